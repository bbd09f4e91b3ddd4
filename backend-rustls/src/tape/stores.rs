//! What is kept of earlier sessions, over a tape: a store may give something else the second time.
//!
//! What rustls stores it stores once it has verified the peer; an attempt that has gone beyond an
//! open question stores nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::SharedSecret;
use rustls::server::{ProducesTickets, StoresServerSessions};
use tls_core::pki_types::ServerName;

use super::{Entry, Tape, recall_or, with};

/// The sessions of a client.
#[derive(Debug)]
pub(crate) struct TapedClientStore {
    store: Arc<dyn ClientSessionStore>,
    /// Nothing is stored any more.
    closed: AtomicBool,
}

impl TapedClientStore {
    pub(crate) fn new(store: Arc<dyn ClientSessionStore>) -> Self {
        Self {
            store,
            closed: AtomicBool::new(false),
        }
    }

    /// Stores nothing more. What was stored while the tape knew that the server had asked for a
    /// certificate was dropped already.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether this session leaves something for others.
    fn is_open(&self) -> bool {
        let in_vain = with(|tape| tape.mark.is_some() || tape.server_asked);
        !in_vain.unwrap_or(false) && !self.closed.load(Ordering::Relaxed)
    }
}

impl ClientSessionStore for TapedClientStore {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        if self.is_open() {
            self.store.set_kx_hint(server_name, group);
        }
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        recall(
            |entry| match entry {
                Entry::Hint(group) => Some(*group),
                _ => None,
            },
            || self.store.kx_hint(server_name),
            |group| Entry::Hint(*group),
        )
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if self.is_open() {
            self.store.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        // The first attempt did not ask, for it had a ticket.
        if with(|tape| tape.goes_without_ticket).unwrap_or(false) {
            return None;
        }
        recall(
            |entry| match entry {
                Entry::Tls12Session(session) => Some(session.as_deref().cloned()),
                _ => None,
            },
            || self.store.tls12_session(server_name),
            |session| Entry::Tls12Session(session.clone().map(Box::new)),
        )
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        if self.is_open() {
            self.store.remove_tls12_session(server_name);
        }
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        if self.is_open() {
            self.store.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        // There is only one of each; see `transcript` for how an attempt goes without.
        if with(Tape::recall_ticket).flatten().is_some() {
            return None;
        }
        let ticket = self.store.take_tls13_ticket(server_name);
        with(|tape| tape.note(Entry::Ticket(ticket.is_some())));
        ticket
    }
}

/// The sessions of a server.
#[derive(Debug)]
pub(crate) struct TapedServerStore(pub(crate) Arc<dyn StoresServerSessions>);

impl StoresServerSessions for TapedServerStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        recall_stored(key, || self.0.get(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        recall_stored(key, || self.0.take(key))
    }

    fn can_cache(&self) -> bool {
        self.0.can_cache()
    }
}

/// The tickets of a server.
#[derive(Debug)]
pub(crate) struct TapedTickets(pub(crate) Arc<dyn ProducesTickets>);

impl ProducesTickets for TapedTickets {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        recall_stored(cipher, || self.0.decrypt(cipher))
    }
}

fn recall_stored(key: &[u8], get: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    recall(
        |entry| match entry {
            Entry::Stored { key: asked, value } if *asked == key => {
                Some(value.as_ref().map(|value| value.secret_bytes().to_vec()))
            }
            _ => None,
        },
        get,
        |value| Entry::Stored {
            key: key.to_vec(),
            value: value.as_deref().map(SharedSecret::from),
        },
    )
}

fn recall<T>(
    same: impl FnOnce(&mut Entry) -> Option<T>,
    get: impl FnOnce() -> T,
    entry: impl FnOnce(&T) -> Entry,
) -> T {
    let Ok(got) = recall_or(same, || Ok::<T, Infallible>(get()), entry);
    got
}
