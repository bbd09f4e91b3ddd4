//! One direction of the wire, and what a script does to it.

use std::collections::VecDeque;

/// One direction of the wire: bytes on their way, and what happens to them there.
///
/// Offsets count the bytes the sender has put on the lane since the beginning; bytes that a fault
/// adds or drops do not count. [`sent`](Self::sent) is the offset of the next byte.
#[derive(Debug)]
pub struct Lane {
    /// Bytes on their way, tampered with already.
    pub(super) queue: VecDeque<u8>,
    /// Nothing is taken from the sender and nothing delivered while set.
    pub(super) held: bool,
    /// The most bytes delivered in one step of the relay.
    pub(super) quota: usize,
    /// What the receiver meets once the queue is empty.
    pub(super) end: Option<Ending>,
    /// The ending was delivered.
    pub(super) ended: bool,
    faults: Vec<Fault>,
    sent: usize,
    record: Vec<u8>,
}

/// How a lane ends, seen from its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Eof,
    Reset,
}

#[derive(Debug)]
struct Fault {
    offset: usize,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Flip(u8),
    Insert(Vec<u8>),
    End(Ending),
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            held: false,
            quota: usize::MAX,
            end: None,
            ended: false,
            faults: Vec::new(),
            sent: 0,
            record: Vec::new(),
        }
    }

    /// How many bytes the sender has put on the lane so far.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Everything the sender has put on the lane, before any tampering: what an observer at the
    /// sender's end has seen.
    pub fn recorded(&self) -> &[u8] {
        &self.record
    }

    /// How many bytes are on their way.
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }

    /// Delivers at most this many bytes in each step.
    pub fn set_quota(&mut self, bytes: usize) {
        self.quota = bytes.max(1);
    }

    /// Stops the lane: the sender's bytes pile up at the sender, until its transport is full.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Lets a held lane move again.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// Changes the byte at an offset by exclusive or with `mask`.
    pub fn flip(&mut self, offset: usize, mask: u8) {
        self.add(offset, Action::Flip(mask));
    }

    /// Puts bytes in front of the byte at an offset.
    pub fn insert(&mut self, offset: usize, bytes: impl Into<Vec<u8>>) {
        self.add(offset, Action::Insert(bytes.into()));
    }

    /// Puts bytes on the lane now, behind those that are on their way.
    pub fn inject(&mut self, bytes: &[u8]) {
        if self.end.is_none() {
            self.queue.extend(bytes);
        }
    }

    /// Ends the lane (FIN) before the byte at an offset; it and all later bytes are lost.
    pub fn truncate(&mut self, offset: usize) {
        self.add(offset, Action::End(Ending::Eof));
    }

    /// Ends the lane (FIN) behind the bytes that are on their way.
    pub fn cut(&mut self) {
        self.end.get_or_insert(Ending::Eof);
    }

    /// Resets the connection before the byte at an offset. Needs a wire over TCP, see
    /// [`Builder::tcp`](crate::Builder::tcp).
    pub fn reset(&mut self, offset: usize) {
        self.add(offset, Action::End(Ending::Reset));
    }

    /// Resets the connection behind the bytes that are on their way; see [`reset`](Self::reset).
    pub fn reset_now(&mut self) {
        self.end.get_or_insert(Ending::Reset);
    }

    /// Takes bytes from the sender and does to them what the script says.
    pub(super) fn accept(&mut self, bytes: &[u8]) {
        self.record.extend_from_slice(bytes);
        if self.faults.is_empty() && self.end.is_none() {
            self.queue.extend(bytes);
            self.sent += bytes.len();
            return;
        }
        for &byte in bytes {
            self.accept_one(byte);
            self.sent += 1;
        }
    }

    fn accept_one(&mut self, byte: u8) {
        let mut byte = byte;
        let offset = self.sent;
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.faults)
            .into_iter()
            .partition(|fault| fault.offset == offset);
        self.faults = later;
        for fault in now {
            match fault.action {
                Action::Flip(mask) => byte ^= mask,
                Action::Insert(bytes) => self.inject(&bytes),
                Action::End(ending) => {
                    self.end.get_or_insert(ending);
                }
            }
        }
        self.inject(&[byte]);
    }

    /// A fault at an offset that has passed would never happen, and the case assert nothing.
    fn add(&mut self, offset: usize, action: Action) {
        assert!(
            offset >= self.sent,
            "a fault at byte {offset} comes too late: {} were sent",
            self.sent
        );
        self.faults.push(Fault { offset, action });
    }

    /// Whether every fault of the script has happened.
    pub fn faults_done(&self) -> bool {
        self.faults.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(lane: &Lane) -> Vec<u8> {
        lane.queue.iter().copied().collect()
    }

    #[test]
    fn faults_happen_at_their_offsets() {
        let mut lane = Lane::new();
        lane.flip(1, 0xff);
        lane.insert(2, *b"xy");
        lane.truncate(4);
        lane.accept(b"ab");
        lane.accept(b"cdef");
        assert_eq!(queued(&lane), b"a\x9dxycd");
        assert_eq!(lane.end, Some(Ending::Eof));
        assert_eq!(lane.sent(), 6);
        assert_eq!(lane.recorded(), b"abcdef");
        assert!(lane.faults_done());
    }

    #[test]
    #[should_panic(expected = "too late")]
    fn a_fault_in_the_past_is_refused() {
        let mut lane = Lane::new();
        lane.accept(b"abc");
        lane.flip(1, 1);
    }

    #[test]
    fn nothing_follows_the_end() {
        let mut lane = Lane::new();
        lane.accept(b"abc");
        lane.cut();
        lane.accept(b"def");
        lane.inject(b"ghi");
        assert_eq!(queued(&lane), b"abc");
    }
}
