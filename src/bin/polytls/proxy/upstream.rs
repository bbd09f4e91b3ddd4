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
