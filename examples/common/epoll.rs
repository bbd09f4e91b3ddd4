//! The loop of the two epoll servers: edge-triggered, one thread.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(0);

/// What a connection has come to.
pub(crate) enum Turn {
    /// Its socket would block, in the direction it waits for.
    Wait,
    /// It could go on, and lets the others have their turn first.
    Again,
    /// It is done.
    Over,
}

/// A connection on a socket of its own.
pub(crate) trait Connection: AsFd {
    /// Goes on until the socket would block, or for a while.
    fn advance(&mut self) -> Result<Turn, Box<dyn Error>>;
}

/// Accepts for ever. A real server would also limit the number of connections, and the time that a
/// handshake may take.
pub(crate) fn serve<C: Connection>(
    listener: &TcpListener,
    connect: impl Fn(TcpStream) -> Result<C, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    let mut listening = SourceFd(&listener.as_raw_fd());
    poll.registry()
        .register(&mut listening, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections = HashMap::new();
    let mut ready = Vec::new();
    let mut last = 0;
    loop {
        let timeout = (!ready.is_empty()).then_some(Duration::ZERO);
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        ready.extend(events.iter().map(mio::event::Event::token));
        for token in std::mem::take(&mut ready) {
            if token == LISTENER {
                while let Some(socket) = accept(listener)? {
                    let connection = connect(socket)?;
                    last += 1;
                    // Once, for both directions: sessions ask for readiness only after the socket
                    // would have blocked, so that no edge is missed.
                    poll.registry().register(
                        &mut SourceFd(&connection.as_fd().as_raw_fd()),
                        Token(last),
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    connections.insert(Token(last), connection);
                }
                continue;
            }
            match connections.get_mut(&token).map(C::advance) {
                None | Some(Ok(Turn::Wait)) => {}
                Some(Ok(Turn::Again)) => ready.push(token),
                Some(Ok(Turn::Over)) => drop(connections.remove(&token)),
                Some(Err(error)) => {
                    eprintln!("{error}");
                    connections.remove(&token);
                }
            }
        }
    }
}

/// The next connection; `None` once accepting would block, which has to be met: the edge that says
/// that there are connections comes once for all of them.
fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                return Ok(Some(socket));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            // Gone before it was accepted; the next one may be fine.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A real server would wait until the system has room for connections again.
            Err(error) => return Err(error),
        }
    }
}
