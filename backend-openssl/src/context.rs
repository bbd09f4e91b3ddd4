//! Contexts: a checked configuration, lowered once into an `SSL_CTX`.

use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSession,
    SslVersion,
};
use tls_core::config::{Checked, Identity, Parameters, SessionOptions};
use tls_core::iana::{CipherSuite, Group, ProtocolVersion};
use tls_core::pki_types::ServerName;
use tls_core::{ClientConfig, ConfigProblem, Error, Feature, Operation, Result, ServerConfig};
use tls_libssl::{ClientStore, EngineContext, MAX_CERTIFICATE_LIST, Side, alpn_wire_format};

use crate::error::{self, configure};
use crate::ffi::OpenSslEngine;
use crate::identity::{self, DecodedIdentity};
use crate::{caps, ffi, library, resumption, server_name, verify};

/// A client or server configuration made ready in OpenSSL's terms; clones share it.
pub type OpenSslContext = EngineContext<Lowered>;

/// An `SSL_CTX`, and what its sessions need of the configuration besides.
pub struct Lowered {
    context: SslContext,
    side: Side<SslSession>,
}

/// Lowers a client configuration.
pub(crate) fn client(config: Checked<ClientConfig>) -> Result<OpenSslContext> {
    let mut context = base(SslMethod::tls_client(), &config.parameters)?;
    if !config.parameters.alpn.is_empty() {
        configure(context.set_alpn_protos(&alpn_wire_format(&config.parameters.alpn)))?;
    }
    if let Some(identity) = &config.identity {
        set_identity(&mut context, identity)?;
    }
    if config.post_handshake_auth {
        library::offer_post_handshake_auth(&mut context);
    }
    verify::servers(&mut context, &config)?;
    let store = configure(resumption::install_client(&mut context, &config))?;
    Ok(lowered(context, Side::Client { config, store }))
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
    verify::clients(&mut context, &config)?;
    configure(resumption::install_server(&mut context, &config))?;
    Ok(lowered(context, Side::Server(config)))
}

fn lowered(context: SslContextBuilder, side: Side<SslSession>) -> OpenSslContext {
    EngineContext::new(Lowered {
        context: context.build(),
        side,
    })
}

/// What both sides have in common. Everything is set, so that neither the library's defaults nor
/// its configuration file decides.
fn base(method: SslMethod, parameters: &Parameters) -> Result<SslContextBuilder> {
    let mut context = configure(SslContextBuilder::new(method))?;
    context.set_security_level(caps::SECURITY_LEVEL);
    configure(context.set_min_proto_version(Some(version(parameters.min_version)?)))?;
    configure(context.set_max_proto_version(Some(version(parameters.max_version)?)))?;
    context.set_options(SslOptions::NO_COMPRESSION | renegotiation(parameters));
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

/// A server that renegotiates resumes no session by it: a client is verified again, and not taken
/// for whom it was (K10).
fn renegotiation(parameters: &Parameters) -> SslOptions {
    match parameters.allow_renegotiation {
        true => {
            library::TRAITS.client_renegotiation
                | SslOptions::NO_SESSION_RESUMPTION_ON_RENEGOTIATION
        }
        false => library::TRAITS.no_renegotiation,
    }
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

/// Chooses by the server's own order; a client that offers only others is refused.
fn select_alpn(context: &mut SslContextBuilder, protocols: &[Vec<u8>]) {
    let protocols = protocols.to_vec();
    context.set_alpn_select_callback(move |_, offered| {
        tls_libssl::select_alpn(&protocols, offered).ok_or(AlpnError::ALERT_FATAL)
    });
}

fn set_identity(context: &mut SslContextBuilder, identity: &Identity) -> Result<()> {
    let DecodedIdentity { chain, key } = identity::decode(identity)?;
    for (place, certificate) in chain.into_iter().enumerate() {
        let set = match place {
            0 => context.set_certificate(&certificate),
            _ => context.add_extra_chain_cert(certificate),
        };
        set.map_err(identity::bad_certificate(place))?;
    }
    context.set_private_key(&key).map_err(identity::bad_key())
}

impl tls_libssl::Lowered for Lowered {
    type Engine = OpenSslEngine;
    type Kept = SslSession;

    fn side(&self) -> &Side<SslSession> {
        &self.side
    }

    fn engine(&self, options: &SessionOptions) -> Result<OpenSslEngine> {
        error::isolated(|| {
            let questions = self.side.questions(options.server_name.clone());
            #[cfg_attr(libressl, allow(unused_mut, reason = "its servers never wait"))]
            let mut engine = OpenSslEngine::new(self.ssl(options)?, questions)?;
            #[cfg(not(libressl))]
            if let Side::Server(config) = &self.side {
                if config.peer_verification.is_suspended() {
                    engine.wait_for_verdicts();
                }
            }
            Ok(engine)
        })
    }
}

impl Lowered {
    fn ssl(&self, options: &SessionOptions) -> Result<Ssl> {
        let failed = || error::backend(Operation::CreateSession);
        match &self.side {
            Side::Client { config, store } => {
                let name = config.server_name(options, caps::capabilities())?;
                self.client_ssl(config, store.as_ref(), name, options)
            }
            Side::Server(config) => {
                config.check_session(options)?;
                let mut ssl = Ssl::new(&self.context).map_err(failed())?;
                ssl.set_accept_state();
                Ok(ssl)
            }
        }
    }

    fn client_ssl(
        &self,
        config: &ClientConfig,
        store: Option<&ClientStore<SslSession>>,
        name: Option<ServerName<'static>>,
        options: &SessionOptions,
    ) -> Result<Ssl> {
        let failed = || error::backend(Operation::CreateSession);
        let mut ssl = Ssl::new(&self.context).map_err(failed())?;
        ssl.set_connect_state();
        verify::expect(&mut ssl, config, name.as_ref()).map_err(failed())?;
        library::watch_selected_protocol(&mut ssl, &config.parameters.alpn).map_err(failed())?;
        if config.late_credentials {
            ffi::ask_for_certificate(&mut ssl);
        }
        if let Some(name) = name.as_ref().filter(|_| config.send_sni) {
            server_name::send(&mut ssl, name)?;
        }
        if let Some(store) = store {
            resumption::offer(store, &mut ssl, name, options).map_err(failed())?;
        }
        Ok(ssl)
    }
}
