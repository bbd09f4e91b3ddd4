//! Sessions that a client keeps and resumes, and what bounds those of a server.

use std::sync::OnceLock;

use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::sha::Sha256;
use boring::ssl::{
    Ssl, SslContextBuilder, SslOptions, SslRef, SslSession, SslSessionCacheMode, SslVersion,
};
use boring::stack::StackRef;
use boring::x509::{X509, X509StoreContextRef};
use tls_core::config::{ClientResumption, ServerConfig, ServerResumption, SessionOptions};
use tls_core::pki_types::ServerName;
use tls_libssl::{BINDING, ClientStore, StoreKey};

use crate::{ffi, server_name};

/// Has the engine hand its sessions over, to a store that is returned; or, with resumption off,
/// offer nothing and keep nothing.
pub(crate) fn install_client(
    context: &mut SslContextBuilder,
    resumption: &ClientResumption,
) -> Result<Option<ClientStore<SslSession>>, ErrorStack> {
    if !resumption.enabled {
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

/// Sets how a server resumes. Ticket keys are the engine's own, made anew for each context; the
/// session id context keeps out whatever else may reach it (K12).
pub(crate) fn install_server(
    context: &mut SslContextBuilder,
    config: &ServerConfig,
) -> Result<(), ErrorStack> {
    let binding = binding(config)?;
    context.set_session_id_context(&binding)?;
    server_name::watch(context, binding);
    // The engine's own cache has no sessions of TLS 1.3.
    context.set_session_cache_mode(SslSessionCacheMode::OFF);

    let ServerResumption {
        enabled,
        tickets,
        cache_size,
        timeout,
        ..
    } = config.resumption;
    if !enabled {
        context.set_options(SslOptions::NO_TICKET);
        return Ok(());
    }
    ffi::set_session_timeout(context, timeout);
    if !tickets {
        ffi::keep_tickets(context, ffi::TicketStore::new(cache_size, 1, timeout))?;
    }
    Ok(())
}

/// Gives no tickets of TLS 1.3 to a client whose chain makes them too long: the library puts the
/// chain into each.
pub(crate) fn limit(client: &mut X509StoreContextRef) {
    if client.untrusted().is_some_and(is_too_long) {
        ffi::give_no_tickets_to(client);
    }
}

/// Whether a chain makes tickets too long.
pub(crate) fn is_too_long(chain: &StackRef<X509>) -> bool {
    let length: usize = chain
        .iter()
        .filter_map(|it| it.to_der().ok())
        .map(|der| der.len())
        .sum();
    length > ffi::LONGEST_SESSION
}

/// A digest of the policy that sessions are made under, and of the context itself: of everything
/// that makes a session of one context no good in another (K12).
fn binding(config: &ServerConfig) -> Result<[u8; BINDING], ErrorStack> {
    let mut context = [0; BINDING];
    boring::rand::rand_bytes(&mut context)?;

    let mut hash = Sha256::new();
    tls_libssl::bind(config, &context, &mut |part| hash.update(part));
    Ok(hash.finish())
}
