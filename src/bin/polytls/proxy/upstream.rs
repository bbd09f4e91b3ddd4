//! The plain side of a connection.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};
use tls_core::support;

/// Where the plaintext of accepted connections goes.
pub(crate) trait Connect: Send + Sync {
    /// Starts a connection without blocking. `attempt` counts from 0 for each accepted connection;
    /// `None` when there is nothing else to try.
    fn connect(&self, attempt: usize) -> io::Result<Option<Upstream>>;

    /// No more connections will be started; those that idle should end.
    fn drain(&self) {}
}

/// Connects over TCP.
#[derive(Debug, Clone)]
pub(super) struct TcpUpstream {
    /// The addresses to try, in order.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Connect for TcpUpstream {
    fn connect(&self, attempt: usize) -> io::Result<Option<Upstream>> {
        let Some(address) = self.addresses.get(attempt) else {
            return Ok(None);
        };
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&fd, true)?;
        sockopt::set_socket_keepalive(&fd, true)?;
        let connected = match rustix::net::connect(&fd, address) {
            Ok(()) => true,
            Err(Errno::INPROGRESS | Errno::INTR) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Upstream { fd, connected }))
    }
}

/// A plain stream socket in non-blocking mode.
#[derive(Debug)]
pub(crate) struct Upstream {
    fd: OwnedFd,
    connected: bool,
}

impl Upstream {
    /// Takes a connected socket in non-blocking mode.
    pub(crate) fn connected(fd: OwnedFd) -> Self {
        Self {
            fd,
            connected: true,
        }
    }

    /// Whether the connection stands; an error if it cannot be made.
    pub(super) fn is_connected(&mut self) -> io::Result<bool> {
        if self.connected {
            return Ok(true);
        }
        sockopt::socket_error(&self.fd)??;
        self.connected = match rustix::net::getpeername(&self.fd) {
            Ok(_) => true,
            Err(Errno::NOTCONN) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(self.connected)
    }

    /// Receives; 0 bytes mean that the other side has ended its own.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        support::receive(self.fd.as_fd(), buffer)
    }

    /// Sends until the socket would block: how many bytes it took.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match support::send(self.fd.as_fd(), &bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Ends our side of the connection.
    pub(super) fn end(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, Shutdown::Write)?)
    }

    /// Closes so that the other side sees a reset: what it received is not complete.
    pub(super) fn abort(self) {
        // Fails on sockets that know no reset; closing is then all that can be done.
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }
}

impl AsFd for Upstream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Instant;

    fn settle(upstream: &mut Upstream) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !upstream.is_connected()? {
            assert!(Instant::now() < deadline, "neither connected nor refused");
            std::thread::yield_now();
        }
        Ok(())
    }

    #[test]
    fn addresses_are_tried_in_order() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = vec![closed.local_addr().unwrap(), open.local_addr().unwrap()];
        drop(closed);
        let connector = TcpUpstream { addresses };
        let refused = connector
            .connect(0)
            .and_then(|upstream| settle(&mut upstream.unwrap()));
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        settle(&mut connector.connect(1).unwrap().unwrap()).unwrap();
        assert!(connector.connect(2).unwrap().is_none());
    }

    #[test]
    fn an_aborted_connection_is_a_reset_and_an_ended_one_is_not() {
        use std::io::Read;

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = vec![listener.local_addr().unwrap()];
        let connector = TcpUpstream { addresses };
        for aborts in [true, false] {
            let mut upstream = connector.connect(0).unwrap().unwrap();
            settle(&mut upstream).unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            if aborts {
                upstream.abort();
            } else {
                upstream.end().unwrap();
            }
            let end = accepted.read(&mut [0; 1]);
            assert_eq!(end.is_err(), aborts, "{end:?}");
        }
    }
}
