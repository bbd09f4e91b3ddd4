//! Sessions that a client keeps and resumes, and what bounds those of a server.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::sha::Sha256;
use openssl::ssl::{
    Ssl, SslContextBuilder, SslOptions, SslRef, SslSession, SslSessionCacheMode, SslVersion,
};
use tls_core::config::{
    ClientAuthentication, ClientResumption, ServerConfig, ServerResumption, SessionOptions,
};
use tls_core::pki_types::ServerName;
use tls_core::support::BoundedStore;

use crate::library::BINDING;
use crate::{ffi, library};

/// How many sessions are kept for one server and key (contract K4).
const KEPT_PER_KEY: usize = 16;
/// No ticket lives longer: RFC 8446 section 4.6.1. The engine itself heeds the shorter lifetime
/// that came with the ticket.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The same for TLS 1.2: RFC 5246 appendix F.1.4.
const LONGEST_TLS12: Duration = Duration::from_secs(24 * 60 * 60);

/// What a session is resumed by: the server, and the caller's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StoreKey {
    server: Option<ServerName<'static>>,
    key: Vec<u8>,
}

struct Kept {
    session: SslSession,
    since: Instant,
}

/// The sessions of one client context. Its sessions and its callback share it; what it holds refers
/// to neither.
#[derive(Debug, Clone)]
pub(crate) struct ClientStore(Arc<BoundedStore<StoreKey, Kept>>);

impl ClientStore {
    /// Has the engine hand its sessions over, to a store that is returned; or, with resumption off,
    /// offer nothing and keep nothing.
    pub(crate) fn install(
        context: &mut SslContextBuilder,
        resumption: &ClientResumption,
    ) -> Result<Option<Self>, ErrorStack> {
        if !resumption.enabled {
            context.set_session_cache_mode(SslSessionCacheMode::OFF);
            context.set_options(SslOptions::NO_TICKET);
            return Ok(None);
        }
        let store = Self(Arc::new(BoundedStore::new(
            resumption.store_size,
            KEPT_PER_KEY,
            LONGEST,
        )));
        let index = index()?;
        context
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        // Called once the peer is verified: at the end of a TLS 1.2 handshake, and for each TLS 1.3
        // ticket, whenever it is read.
        let kept = store.clone();
        context.set_new_session_callback(move |ssl, session| {
            if let Some(key) = ssl.ex_data(index) {
                kept.keep(key.clone(), session, Instant::now());
            }
        });
        Ok(Some(store))
    }

    /// Offers a kept session to the server, if there is one, and keeps those the server gives.
    ///
    /// Without a server name only the caller's key says whom the session is with; without either,
    /// nothing is kept.
    pub(crate) fn offer(
        &self,
        ssl: &mut SslRef,
        server: Option<ServerName<'static>>,
        options: &SessionOptions,
    ) -> Result<(), ErrorStack> {
        if server.is_none() && options.resumption_key.is_empty() {
            return Ok(());
        }
        let key = StoreKey {
            server,
            key: options.resumption_key.clone(),
        };
        if let Some(session) = self.choose(&key) {
            ffi::set_session(ssl, &session)?;
        }
        ssl.set_ex_data(index()?, key);
        Ok(())
    }

    /// The newest session. One of TLS 1.3 is used once (RFC 8446 appendix C.4), one of TLS 1.2
    /// stays until it is too old.
    fn choose(&self, key: &StoreKey) -> Option<SslSession> {
        let Kept { session, since } = self.0.take(key)?;
        if session.protocol_version() == SslVersion::TLS1_3 {
            return Some(session);
        }
        if since.elapsed() >= LONGEST_TLS12 {
            return None;
        }
        self.keep(key.clone(), session.clone(), since);
        Some(session)
    }

    fn keep(&self, key: StoreKey, session: SslSession, since: Instant) {
        self.0.insert(key, Kept { session, since });
    }
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
    let mut add = |part: &[u8]| {
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    };
    add(&context);
    for certificate in config.identity.chain() {
        add(certificate);
    }
    add(match config.client_authentication {
        ClientAuthentication::None => b"none",
        ClientAuthentication::Optional(_) => b"optional",
        ClientAuthentication::Required(_) => b"required",
    });
    for root in config
        .client_authentication
        .roots()
        .iter()
        .flat_map(|roots| &roots.given)
    {
        add(root);
    }
    for protocol in &config.parameters.alpn {
        add(protocol);
    }
    Ok(hash.finish())
}
