//! Sessions that a client keeps and resumes, and what bounds those of a server.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::sha::Sha256;
use openssl::ssl::{
    Ssl, SslContextBuilder, SslOptions, SslRef, SslSession, SslSessionCacheMode, SslVersion,
};
use tls_core::config::{ClientConfig, ServerConfig, ServerResumption, SessionOptions};
use tls_core::iana::ProtocolVersion;
use tls_core::pki_types::ServerName;
use tls_libssl::{BINDING, ClientStore, StoreKey};

use crate::{ffi, library};

/// Has the engine hand its sessions over, to a store that is returned; or, with resumption off,
/// offer nothing and keep nothing.
pub(crate) fn install_client(
    context: &mut SslContextBuilder,
    config: &ClientConfig,
) -> Result<Option<ClientStore<SslSession>>, ErrorStack> {
    let resumption = &config.resumption;
    // LibreSSL offers no other version than that of the session it resumes, and has none of TLS 1.3:
    // a server that speaks nothing older any more would be out of reach.
    let resumes = library::TRAITS.tls13_resumption.is_available()
        || config.parameters.max_version < ProtocolVersion::TLS1_3;
    if !resumption.enabled || !resumes {
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_options(SslOptions::NO_TICKET);
        return Ok(None);
    }
    let store = ClientStore::new(resumption);
    let index = index()?;
    context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    // Called once the peer is verified: at the end of a TLS 1.2 handshake, and for each TLS 1.3
    // ticket, whenever it is read.
    let kept = store.clone();
    context.set_new_session_callback(move |ssl, session| {
        let kept_apart = ffi::observed_of(ssl).is_some_and(|it| !it.questions().may_be_resumed());
        if let Some(key) = ssl.ex_data(index).filter(|_| !kept_apart) {
            let tls13 = session.protocol_version() == SslVersion::TLS1_3;
            kept.keep(key.clone(), session, tls13);
        }
    });
    Ok(Some(store))
}

/// Offers a kept session to the server, if there is one, and keeps those the server gives.
pub(crate) fn offer(
    store: &ClientStore<SslSession>,
    ssl: &mut SslRef,
    server: Option<ServerName<'static>>,
    options: &SessionOptions,
) -> Result<(), ErrorStack> {
    let Some(key) = StoreKey::new(server, options) else {
        return Ok(());
    };
    if let Some(session) = store.choose(&key) {
        ffi::set_session(ssl, &session)?;
    }
    ssl.set_ex_data(index()?, key);
    Ok(())
}

/// Where a session keeps the key its tickets are stored under.
fn index() -> Result<Index<Ssl, StoreKey>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, StoreKey>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}

/// Sets how a server resumes. Ticket keys are the engine's own, made anew for each context, and the
/// cache lives in the context; the session id context keeps out whatever else may reach it (K12).
pub(crate) fn install_server(
    context: &mut SslContextBuilder,
    config: &ServerConfig,
) -> Result<(), ErrorStack> {
    let binding = binding(config)?;
    context.set_session_id_context(&binding)?;
    library::watch_server_name(context, binding)?;

    let ServerResumption {
        enabled,
        tickets,
        cache_size,
        timeout,
        ..
    } = config.resumption;
    if !enabled {
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_options(SslOptions::NO_TICKET);
        return library::issue_no_tickets(context);
    }
    ffi::set_session_timeout(context, timeout);
    if tickets {
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        return Ok(());
    }
    // Without stateless tickets OpenSSL's TLS 1.3 tickets name entries of the cache.
    context.set_options(SslOptions::NO_TICKET);
    context.set_session_cache_mode(SslSessionCacheMode::SERVER);
    context.set_session_cache_size(i32::try_from(cache_size).unwrap_or(i32::MAX));
    Ok(())
}

/// A digest of the policy that sessions are made under, and of the context itself: of everything
/// that makes a session of one context no good in another (K12).
fn binding(config: &ServerConfig) -> Result<[u8; BINDING], ErrorStack> {
    let mut context = [0; BINDING];
    openssl::rand::rand_bytes(&mut context)?;

    let mut hash = Sha256::new();
    tls_libssl::bind(config, &context, &mut |part| hash.update(part));
    Ok(hash.finish())
}
