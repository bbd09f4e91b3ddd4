//! The transport of a buffer session: two bounded queues in memory.

use std::cell::RefCell;
use std::rc::Rc;

use super::Taken;

/// Shared by an endpoint and the wire.
pub(crate) type SharedPort = Rc<RefCell<Port>>;

/// What a socket's buffers are to a socket session.
#[derive(Debug)]
pub(crate) struct Port {
    /// Ciphertext that has arrived and was not consumed.
    pub(crate) incoming: Vec<u8>,
    /// No more will arrive.
    pub(crate) ended: bool,
    /// Ciphertext that was sent and not yet carried away.
    pub(super) outgoing: Vec<u8>,
    /// The endpoint is gone.
    closed: bool,
    /// The capacity of each queue.
    window: usize,
}

impl Port {
    pub(crate) fn new(window: usize) -> SharedPort {
        Rc::new(RefCell::new(Self {
            incoming: Vec::new(),
            ended: false,
            outgoing: Vec::new(),
            closed: false,
            window,
        }))
    }

    /// How many bytes the endpoint may send now.
    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.outgoing.len())
    }

    /// How many bytes may arrive now.
    pub(super) fn incoming_room(&self) -> usize {
        self.window.saturating_sub(self.incoming.len())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn take(&mut self, buffer: &mut [u8]) -> Taken {
        if self.outgoing.is_empty() {
            return if self.closed {
                Taken::Ended
            } else {
                Taken::Nothing
            };
        }
        let taken = self.outgoing.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.outgoing[..taken]);
        self.outgoing.drain(..taken);
        Taken::Bytes(taken)
    }

    pub(super) fn give(&mut self, bytes: &[u8]) -> usize {
        if self.closed {
            return bytes.len();
        }
        let given = bytes.len().min(self.incoming_room());
        self.incoming.extend_from_slice(&bytes[..given]);
        given
    }

    pub(super) fn end_input(&mut self) {
        self.ended = true;
    }
}
