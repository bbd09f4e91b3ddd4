//! Socket sessions taken apart.

use std::os::fd::OwnedFd;

use crate::error::Error;
use crate::session::SocketSession;

/// What is left of a socket session that was taken apart.
#[derive(Debug)]
pub struct Detached {
    /// The descriptor, still in non-blocking mode.
    pub fd: OwnedFd,
    /// Application data received and not yet read.
    pub plaintext: Vec<u8>,
}

/// A socket session that cannot be taken apart now, and why.
#[derive(Debug)]
pub struct DetachError<'session> {
    /// The session, unchanged.
    pub session: Box<dyn SocketSession + 'session>,
    /// Why it cannot be taken apart.
    pub error: Error,
}
