//! What a driver tells of itself, and what is left of it.

use super::Driver;
use crate::error::{Error, Misuse, Operation, Result};
use crate::session::BufferSession;

impl<B: BufferSession> Driver<B> {
    pub(crate) fn session(&self) -> &B {
        &self.session
    }

    pub(crate) fn session_mut(&mut self) -> &mut B {
        &mut self.session
    }

    /// The session, for calls that ask it about a handshake that is complete and did not fail.
    pub(crate) fn settled(&self, operation: Operation) -> Result<&B> {
        match self.failure() {
            Some(error) => Err(error.clone()),
            None if !self.complete => Err(Error::misuse(Misuse::HandshakeIncomplete, operation)),
            None => Ok(&self.session),
        }
    }

    /// The session, which waits for nobody once the transport has failed.
    #[cfg(unix)]
    pub(crate) fn waiting(&self) -> Option<&B> {
        match self.failure {
            Some(_) => None,
            None => Some(&self.session),
        }
    }

    /// The session, to be given what it waits for.
    #[cfg(unix)]
    pub(crate) fn answered(&mut self) -> Result<&mut B> {
        match &self.failure {
            Some(error) => Err(error.clone()),
            None => Ok(&mut self.session),
        }
    }

    /// Whether `handshake` has given `Complete`.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// See [`Session::pending_output`](crate::Session::pending_output).
    pub(crate) fn pending_output(&self) -> usize {
        if self.transport_failure.is_some() {
            return 0;
        }
        self.session.pending_output() + self.unsent.len()
    }

    /// See [`Session::buffered`](crate::Session::buffered).
    pub(crate) fn buffered(&self) -> usize {
        if self.session.close_notify_received() || self.failure().is_some() {
            return self.session.buffered();
        }
        self.session.buffered() + self.whole
    }

    /// See [`Session::failure`](crate::Session::failure).
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref().or_else(|| self.session.failure())
    }

    /// See [`Session::close_notify_sent`](crate::Session::close_notify_sent).
    pub(crate) fn close_notify_sent(&self) -> bool {
        self.close_notify_sent
    }

    /// Whether ciphertext is held in either direction, a part of a record included.
    #[cfg(unix)]
    pub(crate) fn holds_ciphertext(&self) -> bool {
        self.pending_output() > 0 || !self.received.is_empty() || self.records.is_inside()
    }

    /// The session, and the ciphertext received and not consumed, and taken and not sent.
    pub(crate) fn into_parts(mut self) -> (B, Vec<u8>, Vec<u8>) {
        let mut unsent = self.unsent.bytes().to_vec();
        let taken = unsent.len();
        unsent.resize(taken + self.pending_output() - taken, 0);
        let drained = self.session.drain(&mut unsent[taken..]).produced;
        unsent.truncate(taken + drained);
        (self.session, self.received.bytes().to_vec(), unsent)
    }
}
