//! Where sessions that may be resumed are kept: bounded, and never older than allowed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::{ProducesTickets, StoresServerSessions};
use tls_core::pki_types::ServerName;
use tls_core::support::BoundedStore;

/// How many TLS 1.3 tickets are kept for a server.
const TICKETS_PER_SERVER: usize = 16;
/// How long a client keeps a session, whatever the server says: RFC 8446 section 4.6.1.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The sessions of a client context, by server name and by the caller's key.
#[derive(Debug)]
pub(crate) struct ClientStore {
    tls12: BoundedStore<ClientKey, Tls12ClientSessionValue>,
    tls13: BoundedStore<ClientKey, Tls13ClientSessionValue>,
    groups: BoundedStore<ClientKey, NamedGroup>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    server_name: ServerName<'static>,
    caller: Arc<[u8]>,
}

impl ClientStore {
    /// A store for this many servers.
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            tls12: BoundedStore::new(servers, 1, CLIENT_TIMEOUT),
            tls13: BoundedStore::new(servers, TICKETS_PER_SERVER, CLIENT_TIMEOUT),
            groups: BoundedStore::new(servers, 1, CLIENT_TIMEOUT),
        }
    }

    /// The part of the store for sessions with this key, as rustls wants it.
    pub(crate) fn view(self: &Arc<Self>, caller: &[u8]) -> Arc<dyn ClientSessionStore> {
        Arc::new(ClientView {
            store: self.clone(),
            caller: caller.into(),
        })
    }
}

/// What sessions with one key see of the store.
struct ClientView {
    store: Arc<ClientStore>,
    caller: Arc<[u8]>,
}

impl ClientView {
    fn key(&self, server_name: ServerName<'static>) -> ClientKey {
        ClientKey {
            server_name,
            caller: self.caller.clone(),
        }
    }
}

impl fmt::Debug for ClientView {
    /// The caller's key may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientView")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl ClientSessionStore for ClientView {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.store.groups.insert(self.key(server_name), group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.store.groups.peek(&self.key(server_name.to_owned()))
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.store.tls12.insert(self.key(server_name), value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.store.tls12.peek(&self.key(server_name.to_owned()))
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.store.tls12.remove(&self.key(server_name.clone()));
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.store.tls13.insert(self.key(server_name), value);
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.store.tls13.take(&self.key(server_name.clone()))
    }
}

/// The sessions of a server context that keeps them itself.
#[derive(Debug)]
pub(crate) struct ServerStore(BoundedStore<Vec<u8>, Vec<u8>>);

impl ServerStore {
    /// A store for this many sessions, kept for this long.
    pub(crate) fn new(sessions: usize, timeout: Duration) -> Self {
        Self(BoundedStore::new(sessions, 1, timeout))
    }
}

impl StoresServerSessions for ServerStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.insert(key, value);
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.peek(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// The tickets of a server context: sealed by the provider, whose keys no other context has, and
/// refused once they are too old.
///
/// The provider renews its keys every 6 hours and keeps one older key, so a ticket lives for 12
/// hours at the most, even if the timeout is longer: then a full handshake follows.
#[derive(Debug)]
pub(crate) struct AgedTickets {
    sealer: Arc<dyn ProducesTickets>,
    timeout: Duration,
    /// What the times in tickets count from. Keys die with the process, so a clock that cannot be
    /// set does.
    origin: Instant,
}

/// How long the time stamp at the start of a ticket is, in bytes.
const STAMP: usize = 8;

impl AgedTickets {
    /// Tickets that are accepted for this long.
    pub(crate) fn new(sealer: Arc<dyn ProducesTickets>, timeout: Duration) -> Self {
        Self {
            sealer,
            timeout,
            origin: Instant::now(),
        }
    }

    /// Milliseconds since the context was made.
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl ProducesTickets for AgedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let seconds = u32::try_from(self.timeout.as_secs()).unwrap_or(u32::MAX);
        seconds.min(self.sealer.lifetime())
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut stamped = Vec::with_capacity(STAMP + plain.len());
        stamped.extend_from_slice(&self.now().to_be_bytes());
        stamped.extend_from_slice(plain);
        self.sealer.encrypt(&stamped)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let mut stamped = self.sealer.decrypt(cipher)?;
        let issued = u64::from_be_bytes(*stamped.first_chunk::<STAMP>()?);
        let age = Duration::from_millis(self.now().saturating_sub(issued));
        if age >= self.timeout {
            return None;
        }
        stamped.drain(..STAMP);
        Some(stamped)
    }
}
