//! Contexts: a checked configuration, lowered once into an `SSL_CTX`.

use std::fmt;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslVersion,
};
use tls_core::config::{Checked, Identity, Parameters, SessionOptions};
use tls_core::iana::{CipherSuite, Group, ProtocolVersion};
use tls_core::pki_types::ServerName;
#[cfg(unix)]
use tls_core::support::Descriptor;
use tls_core::{
    ClientConfig, ConfigProblem, Context, Error, Feature, Operation, Result, Role, ServerConfig,
};
use tls_libssl::Setup;

use crate::error::{self, configure};
use crate::ffi::OpenSslEngine;
use crate::resumption::{self, ClientStore};
use crate::session::BufferSession;
#[cfg(unix)]
use crate::session::SocketSession;
use crate::{caps, ffi, library, private_key, server_name, verify};

/// The largest list of certificates a peer may send, in bytes: the largest handshake message the
/// contract allows (K4).
const MAX_CERTIFICATE_LIST: usize = 128 * 1024;

/// A client or server configuration made ready in OpenSSL's terms; clones share it.
#[derive(Clone)]
pub struct OpenSslContext(Arc<Inner>);

struct Inner {
    context: SslContext,
    side: Side,
}

enum Side {
    Client {
        config: Checked<ClientConfig>,
        store: Option<ClientStore>,
    },
    Server(Checked<ServerConfig>),
}

/// Lowers a client configuration.
pub(crate) fn client(config: Checked<ClientConfig>) -> Result<OpenSslContext> {
    let mut context = base(SslMethod::tls_client(), &config.parameters)?;
    if !config.parameters.alpn.is_empty() {
        configure(context.set_alpn_protos(&wire_format(&config.parameters.alpn)))?;
    }
    if let Some(identity) = &config.identity {
        set_identity(&mut context, identity)?;
    }
    verify::servers(&mut context, &config)?;
    let store = configure(ClientStore::install(&mut context, &config.resumption))?;
    Ok(OpenSslContext::new(context, Side::Client { config, store }))
}

/// Lowers a server configuration.
pub(crate) fn server(config: Checked<ServerConfig>) -> Result<OpenSslContext> {
    let mut context = base(SslMethod::tls_server(), &config.parameters)?;
    context.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    if config.parameters.cipher_suites.is_some() {
        // For the suites that need parameters the caller would otherwise have to give.
        configure(ffi::choose_dh_parameters(&mut context))?;
    }
    if !config.parameters.alpn.is_empty() {
        select_alpn(&mut context, &config.parameters.alpn);
    }
    set_identity(&mut context, &config.identity)?;
    verify::clients(&mut context, &config.client_authentication)?;
    configure(resumption::install_server(&mut context, &config))?;
    Ok(OpenSslContext::new(context, Side::Server(config)))
}

/// What both sides have in common. Everything is set, so that neither the library's defaults nor
/// its configuration file decides.
fn base(method: SslMethod, parameters: &Parameters) -> Result<SslContextBuilder> {
    let mut context = configure(SslContextBuilder::new(method))?;
    context.set_security_level(caps::SECURITY_LEVEL);
    configure(context.set_min_proto_version(Some(version(parameters.min_version)?)))?;
    configure(context.set_max_proto_version(Some(version(parameters.max_version)?)))?;
    context.set_options(SslOptions::NO_COMPRESSION | library::TRAITS.no_renegotiation);
    context.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            // Only the chain given is presented, not what the peer's roots would complete it to.
            | SslMode::NO_AUTO_CHAIN
            // Idle sessions hold no buffers.
            | SslMode::RELEASE_BUFFERS,
    );
    ffi::set_max_certificate_list(&mut context, MAX_CERTIFICATE_LIST);
    if let Some(suites) = &parameters.cipher_suites {
        set_cipher_suites(&mut context, suites)?;
    }
    if let Some(groups) = &parameters.groups {
        set_groups(&mut context, groups)?;
    }
    Ok(context)
}

fn version(version: ProtocolVersion) -> Result<SslVersion> {
    match version {
        ProtocolVersion::TLS1_2 => Ok(SslVersion::TLS1_2),
        ProtocolVersion::TLS1_3 => Ok(SslVersion::TLS1_3),
        other => Err(Error::config(
            ConfigProblem::VersionRange,
            format!("{other} is neither TLSv1.2 nor TLSv1.3"),
        )),
    }
}

fn set_cipher_suites(context: &mut SslContextBuilder, suites: &[CipherSuite]) -> Result<()> {
    let list = |tls13: bool| {
        let names: Vec<_> = suites
            .iter()
            .filter(|suite| suite.is_tls13() == tls13)
            .filter_map(|suite| suite.libssl_name())
            .collect();
        names.join(":")
    };
    let (tls12, tls13) = (list(false), list(true));
    if !tls12.is_empty() {
        context
            .set_cipher_list(&tls12)
            .map_err(unsupported(Feature::Tls12CipherSuites))?;
    }
    if !tls13.is_empty() {
        context
            .set_ciphersuites(&tls13)
            .map_err(unsupported(Feature::Tls13CipherSuites))?;
    }
    Ok(())
}

fn set_groups(context: &mut SslContextBuilder, groups: &[Group]) -> Result<()> {
    let mut names = Vec::new();
    for name in groups.iter().filter_map(|group| caps::group_name(*group)) {
        // The library refuses a list that names a group twice.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    context
        .set_groups_list(&names.join(":"))
        .map_err(unsupported(Feature::GroupsList))
}

/// The library has each entry of a list, and still does not take the list.
fn unsupported(feature: Feature) -> impl FnOnce(ErrorStack) -> Error {
    move |errors| Error::unsupported(feature, error::reasons(&errors))
}

/// The names, each behind a byte that gives its length: RFC 7301 section 3.1.
fn wire_format(protocols: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for protocol in protocols {
        wire.extend(u8::try_from(protocol.len()));
        wire.extend_from_slice(protocol);
    }
    wire
}

/// Chooses by the server's own order; a client that offers only others is refused.
fn select_alpn(context: &mut SslContextBuilder, protocols: &[Vec<u8>]) {
    let protocols = protocols.to_vec();
    context.set_alpn_select_callback(move |_, offered| {
        protocols
            .iter()
            .find_map(|protocol| AlpnNames(offered).find(|name| name == protocol))
            .ok_or(AlpnError::ALERT_FATAL)
    });
}

/// The names in a client's list; ends early where the list is torn.
struct AlpnNames<'a>(&'a [u8]);

impl<'a> Iterator for AlpnNames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some(name)
    }
}

fn set_identity(context: &mut SslContextBuilder, identity: &Identity) -> Result<()> {
    let mut leaf = None;
    for (place, certificate) in identity.chain().iter().enumerate() {
        let what = format!("certificate {} of the chain", place + 1);
        let bad = || error::config(ConfigProblem::Certificate, &what);
        let certificate = verify::decode(certificate, ConfigProblem::Certificate, &what)?;
        if leaf.is_some() {
            context.add_extra_chain_cert(certificate).map_err(bad())?;
            continue;
        }
        context.set_certificate(&certificate).map_err(bad())?;
        leaf = Some(certificate);
    }
    let key = private_key::decode(identity.key())
        .map_err(error::config(ConfigProblem::PrivateKey, "the private key"))?;
    let public = leaf
        .as_ref()
        .map(|leaf| leaf.public_key())
        .transpose()
        .map_err(error::config(
            ConfigProblem::Certificate,
            "the certificate's public key",
        ))?;
    if !public.is_some_and(|public| public.public_eq(&key)) {
        return Err(Error::config(
            ConfigProblem::KeyMismatch,
            "the private key is not that of the first certificate of the chain",
        ));
    }
    context
        .set_private_key(&key)
        .map_err(error::config(ConfigProblem::PrivateKey, "the private key"))
}

impl OpenSslContext {
    fn new(context: SslContextBuilder, side: Side) -> Self {
        Self(Arc::new(Inner {
            context: context.build(),
            side,
        }))
    }

    fn engine(&self, options: &SessionOptions) -> Result<OpenSslEngine> {
        error::isolated(|| OpenSslEngine::new(self.ssl(options)?))
    }

    fn ssl(&self, options: &SessionOptions) -> Result<Ssl> {
        let failed = || error::backend(Operation::CreateSession);
        match &self.0.side {
            Side::Client { config, store } => {
                let name = config.server_name(options, caps::capabilities())?;
                self.client_ssl(config, store.as_ref(), name, options)
                    .map_err(failed())
            }
            Side::Server(config) => {
                config.check_session(options)?;
                let mut ssl = Ssl::new(&self.0.context).map_err(failed())?;
                ssl.set_accept_state();
                Ok(ssl)
            }
        }
    }

    fn client_ssl(
        &self,
        config: &ClientConfig,
        store: Option<&ClientStore>,
        name: Option<ServerName<'static>>,
        options: &SessionOptions,
    ) -> std::result::Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.0.context)?;
        ssl.set_connect_state();
        verify::expect(&mut ssl, config, name.as_ref())?;
        if let Some(name) = name.as_ref().filter(|_| config.send_sni) {
            server_name::send(&mut ssl, name)?;
        }
        if let Some(store) = store {
            store.offer(&mut ssl, name, options)?;
        }
        Ok(ssl)
    }

    fn setup(&self) -> Setup {
        let parameters = match &self.0.side {
            Side::Client { config, .. } => &config.parameters,
            Side::Server(config) => &config.parameters,
        };
        Setup {
            role: self.role(),
            pending_output_bound: parameters.pending_output_bound,
            quiet_shutdown: parameters.quiet_shutdown,
            socket_transport: parameters.socket_transport,
        }
    }
}

impl Context for OpenSslContext {
    type Buffer = BufferSession;
    #[cfg(unix)]
    type Socket<'fd> = SocketSession<'fd>;

    fn role(&self) -> Role {
        match self.0.side {
            Side::Client { .. } => Role::Client,
            Side::Server(_) => Role::Server,
        }
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<Self::Buffer> {
        BufferSession::new(self.engine(&options)?, &self.setup())
    }

    #[cfg(unix)]
    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Self::Socket<'static>> {
        let engine = self.engine(&options)?;
        SocketSession::new(engine, &self.setup(), Descriptor::Owned(fd))
    }

    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Self::Socket<'fd>> {
        let engine = self.engine(&options)?;
        SocketSession::new(engine, &self.setup(), Descriptor::Borrowed(fd))
    }
}

impl fmt::Debug for OpenSslContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSslContext")
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}
