//! One direction of the wire, and what a script does to it.

use std::collections::VecDeque;
use std::fmt;

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
    edit: Option<Edit>,
    sent: usize,
    record: Vec<u8>,
}

/// How a lane ends, seen from its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Eof,
    Reset,
}

/// Changes bytes, if they are those it waits for.
type Change = Box<dyn FnMut(&mut Vec<u8>) -> bool>;

struct Edit(Change);

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit").finish_non_exhaustive()
    }
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
            edit: None,
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

    /// Shows what the sender sends, one delivery after another, to a function that may change it in
    /// any way, until it says that it did. Not to be mixed with faults at offsets.
    pub fn edit(&mut self, change: impl FnMut(&mut Vec<u8>) -> bool + 'static) {
        self.edit = Some(Edit(Box::new(change)));
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
        if let Some(mut edit) = self.edit.take() {
            let mut edited = bytes.to_vec();
            if !edit.0(&mut edited) {
                self.edit = Some(edit);
            }
            self.inject(&edited);
            self.sent += bytes.len();
            return;
        }
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

    /// Whether everything in the script has happened.
    pub fn faults_done(&self) -> bool {
        self.faults.is_empty() && self.edit.is_none()
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
    fn an_edit_happens_once() {
        let mut lane = Lane::new();
        lane.edit(|bytes| {
            let found = bytes.contains(&b'x');
            bytes.retain(|byte| *byte != b'x');
            found
        });
        lane.accept(b"ab");
        assert!(!lane.faults_done());
        lane.accept(b"cxd");
        assert!(lane.faults_done());
        lane.accept(b"xe");
        assert_eq!(queued(&lane), b"abcdxe");
        assert_eq!((lane.sent(), lane.recorded()), (7, &b"abcxdxe"[..]));
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
