//! Sessions that a client keeps and resumes, and what binds those of a server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tls_core::config::{ClientAuthentication, ClientResumption, ServerConfig, SessionOptions};
use tls_core::pki_types::ServerName;
use tls_core::support::BoundedStore;

/// How many sessions are kept for one server and key (contract K4).
const KEPT_PER_KEY: usize = 16;
/// No ticket lives longer: RFC 8446 section 4.6.1. The engine itself heeds the shorter lifetime
/// that came with the ticket.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The same for TLS 1.2: RFC 5246 appendix F.1.4.
const LONGEST_TLS12: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a session id context is, in bytes: the most the libraries take.
pub const BINDING: usize = 32;

/// What a session is resumed by: the server, and the caller's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreKey {
    server: Option<ServerName<'static>>,
    key: Vec<u8>,
}

impl StoreKey {
    /// The key of sessions with this server and these options.
    ///
    /// Without a server name only the caller's key says whom the session is with; without either,
    /// nothing is kept.
    pub fn new(server: Option<ServerName<'static>>, options: &SessionOptions) -> Option<Self> {
        if server.is_none() && options.resumption_key.is_empty() {
            return None;
        }
        Some(Self {
            server,
            key: options.resumption_key.clone(),
        })
    }
}

#[derive(Debug)]
struct Kept<S> {
    session: S,
    tls13: bool,
    since: Instant,
}

/// The sessions of one client context. Its sessions and its callback share it; what it holds refers
/// to neither.
#[derive(Debug)]
pub struct ClientStore<S>(Arc<BoundedStore<StoreKey, Kept<S>>>);

impl<S> Clone for ClientStore<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Clone> ClientStore<S> {
    /// An empty store, as the configuration wants it.
    pub fn new(resumption: &ClientResumption) -> Self {
        let capacity = resumption.store_size;
        Self(Arc::new(BoundedStore::new(capacity, KEPT_PER_KEY, LONGEST)))
    }

    /// The newest session. One of TLS 1.3 is used once (RFC 8446 appendix C.4), one of TLS 1.2
    /// stays until it is too old.
    pub fn choose(&self, key: &StoreKey) -> Option<S> {
        let kept = self.0.take(key)?;
        if kept.tls13 {
            return Some(kept.session);
        }
        if kept.since.elapsed() >= LONGEST_TLS12 {
            return None;
        }
        let session = kept.session.clone();
        self.0.insert(key.clone(), kept);
        Some(session)
    }

    /// Keeps a session that a server has just given.
    pub fn keep(&self, key: StoreKey, session: S, tls13: bool) {
        let kept = Kept {
            session,
            tls13,
            since: Instant::now(),
        };
        self.0.insert(key, kept);
    }
}

/// Gives a hash the policy that a server's sessions are made under, and the context itself, a
/// random value: everything that makes a session of one context no good in another (K12).
pub fn bind(config: &ServerConfig, context: &[u8; BINDING], hash: &mut dyn FnMut(&[u8])) {
    let mut add = |part: &[u8]| {
        hash(&part.len().to_be_bytes());
        hash(part);
    };
    add(context);
    for certificate in config.identity.chain() {
        add(certificate);
    }
    add(match config.client_authentication {
        ClientAuthentication::None => b"none",
        ClientAuthentication::Optional(_) => b"optional",
        ClientAuthentication::Required(_) => b"required",
        ClientAuthentication::OnRequest(_) => b"on request",
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
}
