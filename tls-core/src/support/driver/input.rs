//! Ciphertext from the peer: received, and taken by the session.

use std::io;

use super::Driver;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::session::BufferSession;
use crate::support::transport::{Transport, would_block};

impl<B: BufferSession> Driver<B> {
    /// Receives once, all input having been consumed; `false` if the transport would block.
    ///
    /// A short piece is not taken for the last one: an end of the stream behind it, which was
    /// signalled together with it, would never be signalled again to an edge-triggered loop.
    pub(super) fn receive(
        &mut self,
        transport: &mut impl Transport,
        operation: Operation,
    ) -> Result<bool> {
        if self.ended {
            return Err(self.fail(Error::new(ErrorKind::Truncated, operation)));
        }
        loop {
            match transport.receive(self.received.room()) {
                Ok(0) => {
                    self.ended = true;
                    self.session.input_eof();
                    return Ok(true);
                }
                Ok(count) => {
                    self.received.commit(count);
                    self.whole = self.records.follow(self.received.bytes());
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(self.fail_transport(error, operation)),
            }
        }
    }

    /// Takes ciphertext as if it had been received; `false` if there is no room for it.
    pub(crate) fn unread(&mut self, ciphertext: &[u8]) -> bool {
        let held = self.received.len();
        let Some(room) = self.received.room().get_mut(..ciphertext.len()) else {
            return false;
        };
        room.copy_from_slice(ciphertext);
        self.received.commit(ciphertext.len());
        if let whole @ 1.. = self.records.follow(ciphertext) {
            self.whole = held + whole;
        }
        true
    }

    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.received.consume(count);
        self.whole = self.whole.saturating_sub(count);
    }
}
