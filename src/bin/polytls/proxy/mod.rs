//! A TLS-terminating TCP proxy, written against the session traits alone.
//!
//! One thread accepts; each of the others runs an event loop over the connections it was handed. A
//! connection moves bytes between a TLS session and a plain socket, with back-pressure and half-close
//! in both directions, and never makes a broken stream look like a complete one.

mod acceptor;
mod config;
mod connection;
mod ending;
mod flow;
mod limits;
mod linger;
mod lookup;
mod shared;
#[cfg(test)]
mod tests;
mod timers;
mod tls_side;
mod turn;
mod upstream;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpListener;
use socket2::{Domain, Socket, Type};
use tracing::info;

use crate::args::{ListenerArgs, TerminateArgs};
use crate::failure::Failure;
use crate::setup;

pub(crate) use lookup::{Found, Lookup};
pub(crate) use upstream::{Connect, Upstream};

use acceptor::{Acceptor, Contexts};
use config::Settings;
use upstream::TcpUpstream;

/// How many connections may wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// Passes the plaintext of TLS connections on to a TCP server, until SIGTERM or SIGINT.
///
/// # Errors
///
/// The address or the TLS configuration cannot be used, or a thread cannot be started.
pub(crate) fn run(args: TerminateArgs) -> Result<(), Failure> {
    info!(to = %args.to, "upstream");
    let upstream = TcpUpstream {
        addresses: args.to.addresses,
    };
    // The client's socket and the upstream's.
    terminate(&args.listener, Arc::new(upstream), 2)
}

/// Terminates TLS in front of any upstream, until SIGTERM or SIGINT, and then until open connections
/// have ended or the time to finish is over.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn terminate(
    args: &ListenerArgs,
    upstream: Arc<dyn Connect>,
    descriptors_per_connection: u64,
) -> Result<(), Failure> {
    let backend = setup::select_backend(&args.backend)?;
    setup::require_mode(&*backend, args.backend.mode)?;
    let contexts = match &args.identity.sni_map {
        None => Contexts::One(setup::server_context(&*backend, args)?),
        Some(directory) => {
            let deferred = backend.deferred_server()?;
            let map = setup::sni_map(backend, directory, args)?;
            Contexts::Found(deferred, Arc::new(map))
        }
    };
    let settings = Settings::new(args, descriptors_per_connection);
    let (listener, address) = listen(&settings.listen)
        .map_err(|error| Failure::new(format!("cannot listen on {}: {error}", args.listen)))?;
    let (threads, max_connections) = (settings.threads, settings.max_connections);
    let acceptor = Acceptor::start(listener, settings, contexts, upstream)
        .map_err(|error| Failure::new(format!("cannot start the event loops: {error}")))?;
    info!(%address, threads, max_connections, "listening");
    acceptor
        .run()
        .map_err(|error| Failure::new(format!("cannot go on: {error}")))
}

/// Listens on the first of these addresses that can be had.
fn listen(addresses: &[SocketAddr]) -> io::Result<(TcpListener, SocketAddr)> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match listen_on(*address) {
            Ok(listener) => {
                let address = listener.local_addr()?;
                return Ok((listener, address));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// `SO_REUSEADDR` lets a restarted proxy listen at once; a port that is in use is still refused.
fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}
