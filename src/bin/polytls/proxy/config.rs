//! What the proxy is told, and what the system allows of it.

use std::net::SocketAddr;
use std::time::Duration;

use super::limits;
use crate::args::{ListenerArgs, Mode};

/// What the event loops are told.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Where to listen: the first of these that can be had.
    pub(super) listen: Vec<SocketAddr>,
    /// Who moves the ciphertext.
    pub(super) mode: Mode,
    /// How long a handshake may take.
    pub(super) handshake_timeout: Duration,
    /// How long nothing may move; `None`: for ever.
    pub(super) idle_timeout: Option<Duration>,
    /// How many connections there may be at once; others wait to be accepted.
    pub(super) max_connections: usize,
    /// How many threads share the connections; at least 1.
    pub(super) threads: usize,
    /// How long open connections may go on once the proxy was told to stop.
    pub(super) drain_timeout: Duration,
}

impl Settings {
    /// Raises the limit on descriptors, and allows no more connections than fit into it when each
    /// takes so many.
    pub(super) fn new(args: &ListenerArgs, descriptors_per_connection: u64) -> Self {
        let descriptors = limits::raise_descriptor_limit();
        Self {
            listen: args.listen.addresses.clone(),
            mode: args.backend.mode,
            handshake_timeout: args.handshake_timeout,
            idle_timeout: args.idle_timeout,
            max_connections: limits::connections_within(
                args.max_connections.get(),
                descriptors,
                descriptors_per_connection,
            ),
            threads: args.thread_count().get(),
            drain_timeout: args.drain_timeout,
        }
    }
}
