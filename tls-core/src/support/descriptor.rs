//! Non-blocking stream sockets: what K19 asks of every system call on them.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::error::{Error, Misuse, Operation, Result};

/// A descriptor a session owns or borrows.
#[derive(Debug)]
pub enum Descriptor<'fd> {
    /// Closed when the session is dropped.
    Owned(OwnedFd),
    /// Never closed by the session.
    Borrowed(BorrowedFd<'fd>),
}

impl AsFd for Descriptor<'_> {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Owned(fd) => fd.as_fd(),
            Self::Borrowed(fd) => *fd,
        }
    }
}

/// Checks that a descriptor is in non-blocking mode, without changing it.
///
/// # Errors
///
/// `Misuse(BlockingDescriptor)`; `Io` if the descriptor has no flags to read.
pub fn check_nonblocking(fd: BorrowedFd<'_>) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)
        .map_err(|errno| Error::io(errno.into(), Operation::CreateSession))?;
    if flags.contains(OFlags::NONBLOCK) {
        return Ok(());
    }
    Err(Error::misuse(
        Misuse::BlockingDescriptor,
        Operation::CreateSession,
    ))
}

/// Receives into `buffer`; 0 bytes mean that the peer has ended its side. Repeats the call when it
/// is interrupted.
///
/// # Errors
///
/// The operating system's, `WouldBlock` among them.
#[inline]
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (received, _) = retry_on_intr(|| rustix::net::recv(fd, &mut *buffer, RecvFlags::empty()))?;
    Ok(received)
}

/// Sends from `buffer` without raising SIGPIPE. Repeats the call when it is interrupted.
///
/// # Errors
///
/// The operating system's, `WouldBlock` among them.
#[inline]
pub fn send(fd: BorrowedFd<'_>, buffer: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| {
        rustix::net::send(fd, buffer, no_signal())
    })?)
}

/// Sends from several buffers, in order; see [`send`].
///
/// # Errors
///
/// As [`send`].
pub fn send_vectored(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut control = SendAncillaryBuffer::default();
    Ok(retry_on_intr(|| {
        rustix::net::sendmsg(fd, buffers, &mut control, no_signal())
    })?)
}

/// Systems without the flag (Apple's) have a socket option instead, which std and the usual socket
/// crates set when they make a socket.
const fn no_signal() -> SendFlags {
    #[cfg(not(any(target_vendor = "apple")))]
    return SendFlags::NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    return SendFlags::empty();
}
