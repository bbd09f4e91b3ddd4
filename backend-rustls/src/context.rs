//! Contexts: a configuration lowered once, and the sessions made of it.

use std::net::Ipv4Addr;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{InconsistentKeys, SupportedProtocolVersion};
use tls_core::config::{Checked, Identity, Parameters, PeerVerification, ServerResumption};
use tls_core::iana::ProtocolVersion;
use tls_core::pki_types::ServerName;
#[cfg(unix)]
use tls_core::support::{Descriptor, SocketPump};
use tls_core::{
    Capabilities, ClientConfig, ConfigProblem, Context, Error, ErrorKind, Operation, Result, Role,
    ServerConfig, SessionOptions,
};

use crate::caps::Provider;
use crate::presented::Presents;
use crate::replay::{Side, Start};
use crate::resumption::{AgedTickets, ClientStore, ServerStore};
use crate::session::RustlsSession;
use crate::tape::provider::{TapedTime, taped_key};
use crate::tape::stores::{TapedClientStore, TapedServerStore, TapedTickets};
use crate::tape::verify::LateCredentials;
use crate::verify::{client_verifier, server_verifier};

/// A context of rustls, for either role and provider; see [`Context`].
#[derive(Debug, Clone)]
pub struct RustlsContext(Arc<Lowered>);

#[derive(Debug)]
enum Lowered {
    Client(Client),
    Server(Server),
}

#[derive(Debug)]
struct Client {
    checked: Checked<ClientConfig>,
    capabilities: Arc<Capabilities>,
    /// For sessions without a resumption key.
    config: Arc<rustls::ClientConfig>,
    /// For sessions with one; `None` if sessions are not resumed.
    store: Option<Arc<ClientStore>>,
    suspends: bool,
}

#[derive(Debug)]
struct Server {
    checked: Checked<ServerConfig>,
    config: Arc<rustls::ServerConfig>,
    suspends: bool,
}

impl RustlsContext {
    pub(crate) fn client(provider: &Provider, checked: Checked<ClientConfig>) -> Result<Self> {
        let suspends = is_suspended(&checked.peer_verification) || checked.late_credentials;
        let crypto = lower_parameters(&checked.parameters, provider, suspends)?;
        let verifier = server_verifier(&checked, &crypto)?;
        let builder = rustls::ClientConfig::builder_with_details(crypto.clone(), time(suspends))
            .with_protocol_versions(&versions(&checked.parameters))
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &checked.identity {
            None if checked.late_credentials => {
                builder.with_client_cert_resolver(Arc::new(LateCredentials))
            }
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let mut key = certified_key(identity, &crypto)?;
                if suspends {
                    key = taped_key(key);
                }
                builder.with_client_cert_resolver(Arc::new(Presents(Arc::new(key))))
            }
        };
        config.alpn_protocols.clone_from(&checked.parameters.alpn);
        config.enable_sni = checked.send_sni;
        let resumption = checked.resumption;
        let store = resumption
            .enabled
            .then(|| Arc::new(ClientStore::new(resumption.store_size)));
        config.resumption = match &store {
            None => Resumption::disabled(),
            Some(store) if suspends => {
                Resumption::store(Arc::new(TapedClientStore::new(store.view(&[]))))
            }
            Some(store) => Resumption::store(store.view(&[])),
        };
        Ok(Self(Arc::new(Lowered::Client(Client {
            checked,
            capabilities: provider.capabilities().clone(),
            config: Arc::new(config),
            store,
            suspends,
        }))))
    }

    pub(crate) fn server(provider: &Provider, checked: Checked<ServerConfig>) -> Result<Self> {
        let suspends = is_suspended(&checked.peer_verification);
        let crypto = lower_parameters(&checked.parameters, provider, suspends)?;
        let verifier = client_verifier(&checked, &crypto)?;
        let mut key = certified_key(&checked.identity, &crypto)?;
        if suspends {
            key = taped_key(key);
        }
        let mut config = rustls::ServerConfig::builder_with_details(crypto, time(suspends))
            .with_protocol_versions(&versions(&checked.parameters))
            .map_err(refused)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols.clone_from(&checked.parameters.alpn);
        // A list says what this server wants most; without one the client's order counts.
        config.ignore_client_order = checked.parameters.cipher_suites.is_some();
        lower_resumption(&mut config, &checked.resumption, provider)?;
        if suspends {
            config.ticketer = Arc::new(TapedTickets(config.ticketer));
            config.session_storage = Arc::new(TapedServerStore(config.session_storage));
        }
        Ok(Self(Arc::new(Lowered::Server(Server {
            checked,
            config: Arc::new(config),
            suspends,
        }))))
    }

    fn identity(&self) -> Option<&Identity> {
        match &*self.0 {
            Lowered::Client(client) => client.checked.identity.as_ref(),
            Lowered::Server(server) => Some(&server.checked.identity),
        }
    }

    fn parameters(&self) -> &Parameters {
        match &*self.0 {
            Lowered::Client(client) => &client.checked.parameters,
            Lowered::Server(server) => &server.checked.parameters,
        }
    }

    #[cfg(unix)]
    fn pump<'fd>(
        &self,
        descriptor: Descriptor<'fd>,
        options: SessionOptions,
    ) -> Result<SocketPump<'fd, RustlsSession>> {
        let bound = self.parameters().pending_output_bound;
        SocketPump::new(descriptor, self.buffer_session(options)?, bound)
    }
}

impl Context for RustlsContext {
    type Buffer = RustlsSession;
    #[cfg(unix)]
    type Socket<'fd> = SocketPump<'fd, RustlsSession>;

    fn role(&self) -> Role {
        match &*self.0 {
            Lowered::Client(_) => Role::Client,
            Lowered::Server(_) => Role::Server,
        }
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<RustlsSession> {
        let (start, sent_name) = match &*self.0 {
            Lowered::Client(client) => client.connect(&options)?,
            Lowered::Server(server) => (server.accept(&options)?, None),
        };
        RustlsSession::new(start, sent_name, self.identity(), self.parameters())
    }

    #[cfg(unix)]
    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<SocketPump<'static, RustlsSession>> {
        self.pump(Descriptor::Owned(fd), options)
    }

    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<SocketPump<'fd, RustlsSession>> {
        self.pump(Descriptor::Borrowed(fd), options)
    }
}

impl Client {
    /// What a connection starts from; also gives the server name it sends.
    fn connect(&self, options: &SessionOptions) -> Result<(Start, Option<String>)> {
        let name = self.checked.server_name(options, &self.capabilities)?;
        let sent_name = match &name {
            Some(ServerName::DnsName(name)) if self.checked.send_sni => {
                Some(name.as_ref().trim_end_matches('.').to_owned())
            }
            _ => None,
        };
        let (config, store) = self.config_for(name.is_some(), &options.resumption_key);
        let side = Side::Client {
            config,
            name: name.unwrap_or_else(nobody),
            store,
        };
        let suspends = self.suspends;
        Ok((Start { side, suspends }, sent_name))
    }

    /// The configuration under which a session finds what it may resume, and nothing else, and its
    /// own store if it may come to nothing. Without a name there is nothing to find it by.
    fn config_for(
        &self,
        named: bool,
        resumption_key: &[u8],
    ) -> (Arc<rustls::ClientConfig>, Option<Arc<TapedClientStore>>) {
        let shared = resumption_key.is_empty() && !self.checked.late_credentials;
        let (resumption, own) = match &self.store {
            None => return (self.config.clone(), None),
            Some(_) if named && shared => return (self.config.clone(), None),
            Some(_) if !named => (Resumption::disabled(), None),
            Some(store) if self.suspends => {
                let taped = Arc::new(TapedClientStore::new(store.view(resumption_key)));
                (Resumption::store(taped.clone()), Some(taped))
            }
            Some(store) => (Resumption::store(store.view(resumption_key)), None),
        };
        let mut config = rustls::ClientConfig::clone(&self.config);
        config.resumption = resumption;
        (Arc::new(config), own)
    }
}

impl Server {
    fn accept(&self, options: &SessionOptions) -> Result<Start> {
        self.checked.check_session(options)?;
        let side = Side::Server(self.config.clone());
        let suspends = self.suspends;
        Ok(Start { side, suspends })
    }
}

/// rustls wants a name; this one is never sent, nor looked at by a verifier.
fn nobody() -> ServerName<'static> {
    Ipv4Addr::UNSPECIFIED.into()
}

/// Whether rustls got this name because there was none.
pub(crate) fn is_nobody(name: &ServerName<'_>) -> bool {
    *name == nobody()
}

fn is_suspended(verification: &PeerVerification) -> bool {
    matches!(verification, PeerVerification::Suspended)
}

fn time(suspends: bool) -> Arc<dyn TimeProvider> {
    let time = Arc::new(DefaultTimeProvider);
    match suspends {
        true => Arc::new(TapedTime(time)),
        false => time,
    }
}

/// The provider with the suites and groups that were asked for, in that order.
fn lower_parameters(
    parameters: &Parameters,
    provider: &Provider,
    suspends: bool,
) -> Result<Arc<CryptoProvider>> {
    let mut crypto = CryptoProvider::clone(provider.crypto());
    if let Some(suites) = &parameters.cipher_suites {
        let suites = suites.iter().filter(|suite| {
            parameters.allows(match suite.is_tls13() {
                true => ProtocolVersion::TLS1_3,
                false => ProtocolVersion::TLS1_2,
            })
        });
        crypto.cipher_suites = suites
            .filter_map(|suite| provider.cipher_suite(*suite))
            .collect();
    }
    if let Some(groups) = &parameters.groups {
        crypto.kx_groups = groups
            .iter()
            .filter_map(|group| provider.group(*group))
            .collect();
    }
    let usable = |version: &&SupportedProtocolVersion| {
        let mut groups = crypto.kx_groups.iter();
        groups.any(|group| group.usable_for_version(version.version))
    };
    if !versions(parameters).iter().any(usable) {
        return Err(Error::config(
            ConfigProblem::VersionRange,
            "none of the groups can be used in any of the versions",
        ));
    }
    if suspends {
        crypto = provider.over_tape(&crypto);
    }
    Ok(Arc::new(crypto))
}

fn versions(parameters: &Parameters) -> Vec<&'static SupportedProtocolVersion> {
    [
        (ProtocolVersion::TLS1_3, &rustls::version::TLS13),
        (ProtocolVersion::TLS1_2, &rustls::version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| parameters.allows(*version))
    .map(|(_, version)| version)
    .collect()
}

/// A certificate and key as rustls wants them.
pub(crate) fn certified_key(identity: &Identity, crypto: &CryptoProvider) -> Result<CertifiedKey> {
    let key = crypto
        .key_provider
        .load_private_key(identity.key().clone_key())
        .map_err(|error| {
            Error::config(
                ConfigProblem::PrivateKey,
                "rustls cannot use the private key",
            )
            .with_source(Arc::new(error))
        })?;
    let certified = CertifiedKey::new(identity.chain().to_vec(), key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Error::config(
            ConfigProblem::KeyMismatch,
            "the private key is not that of the first certificate of the chain",
        )),
        Err(error) => Err(Error::config(
            ConfigProblem::Certificate,
            "rustls cannot use the first certificate of the chain",
        )
        .with_source(Arc::new(error))),
    }
}

/// Tickets and cache are this context's own, so that no session resumes under another policy.
fn lower_resumption(
    config: &mut rustls::ServerConfig,
    resumption: &ServerResumption,
    provider: &Provider,
) -> Result<()> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if !resumption.enabled {
        config.send_tls13_tickets = 0;
        return Ok(());
    }
    if resumption.tickets {
        let sealer = provider.ticketer().map_err(refused)?;
        config.ticketer = Arc::new(AgedTickets::new(sealer, resumption.timeout));
        return Ok(());
    }
    config.session_storage = Arc::new(ServerStore::new(resumption.cache_size, resumption.timeout));
    Ok(())
}

fn refused(error: rustls::Error) -> Error {
    Error::new(ErrorKind::Backend, Operation::Configure).with_source(Arc::new(error))
}
