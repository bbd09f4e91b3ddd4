//! The one buffer: a queue of bytes whose memory is held only while there is something in it.

use std::cell::RefCell;
use std::mem;

use tls_core::support::{MAX_RECORD, OUTPUT_RESERVE};

/// How much is received at once, and how much is gathered before it is sent, in bytes.
pub(crate) const GATHER: usize = 64 * 1024;

/// The size of a fresh buffer: what the default bound lets a session hold, so that it never grows.
const FRESH: usize = GATHER + MAX_RECORD + OUTPUT_RESERVE;

/// How many empty buffers each thread keeps.
const SPARE: usize = 4;

/// The largest buffer that is kept, in bytes. Bounds above the default make buffers grow, and one
/// that grew is needed as large again; but a thread must not keep what the largest bound lets wait.
const LARGEST_SPARE: usize = 1024 * 1024;

thread_local! {
    /// Sessions of one thread take turns with the same few buffers: idle sessions hold no memory,
    /// and busy ones do not allocate.
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// The same for one that has grown.
    static LARGE_SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that come in at the end and leave at the front.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Empty while nothing is held; initialised to its whole length otherwise.
    storage: Vec<u8>,
    head: usize,
    tail: usize,
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.tail - self.head
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.storage[self.head..self.tail]
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.head..self.tail]
    }

    /// Exactly `length` bytes of room behind what is held; [`Self::commit`] says how many were
    /// filled.
    pub(crate) fn room(&mut self, length: usize) -> &mut [u8] {
        if self.storage.is_empty() {
            self.storage = take_spare();
        }
        if self.storage.len() - self.tail < length && self.head > 0 {
            self.storage.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
        let needed = self.tail + length;
        if self.storage.len() < needed {
            self.grow(needed);
        }
        &mut self.storage[self.tail..needed]
    }

    /// Goes on in the thread's large buffer if that is enough, and in a larger one otherwise.
    fn grow(&mut self, needed: usize) {
        let large = take_large_spare();
        if large.len() < needed {
            give_spare(large);
            self.storage.resize(needed.next_multiple_of(GATHER), 0);
            return;
        }
        let small = mem::replace(&mut self.storage, large);
        self.storage[self.head..self.tail].copy_from_slice(&small[self.head..self.tail]);
        give_spare(small);
    }

    pub(crate) fn commit(&mut self, length: usize) {
        debug_assert!(length <= self.storage.len() - self.tail);
        self.tail += length;
        self.release_if_empty();
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.commit(bytes.len());
    }

    /// Drops `length` bytes from the front, and the memory with the last of them.
    pub(crate) fn consume(&mut self, length: usize) {
        debug_assert!(length <= self.len());
        self.head += length;
        self.release_if_empty();
    }

    /// Moves as much as fits to `target`.
    pub(crate) fn move_to(&mut self, target: &mut [u8]) -> usize {
        let length = self.len().min(target.len());
        target[..length].copy_from_slice(&self.filled()[..length]);
        self.consume(length);
        length
    }

    pub(crate) fn clear(&mut self) {
        self.consume(self.len());
    }

    fn release_if_empty(&mut self) {
        if self.is_empty() && !self.storage.is_empty() {
            self.head = 0;
            self.tail = 0;
            give_spare(mem::take(&mut self.storage));
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// While a thread ends its spares may be gone already: then there are none.
fn take_spare() -> Vec<u8> {
    let spare = SPARES.try_with(|spares| spares.borrow_mut().pop());
    spare.ok().flatten().unwrap_or_else(|| vec![0; FRESH])
}

fn take_large_spare() -> Vec<u8> {
    let spare = LARGE_SPARE.try_with(|spare| mem::take(&mut *spare.borrow_mut()));
    spare.unwrap_or_default()
}

fn give_spare(storage: Vec<u8>) {
    if storage.len() > FRESH {
        give_large_spare(storage);
        return;
    }
    if storage.len() != FRESH {
        return;
    }
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < SPARE {
            spares.push(storage);
        }
    });
}

fn give_large_spare(storage: Vec<u8>) {
    if storage.len() > LARGEST_SPARE {
        return;
    }
    let _ = LARGE_SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < storage.len() {
            *spare = storage;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_memory_with_the_last() {
        let mut buffer = Buffer::default();
        buffer.append(b"abcdef");
        let mut target = [0; 4];
        assert_eq!(buffer.move_to(&mut target), 4);
        assert_eq!((&target, buffer.filled()), (b"abcd", &b"ef"[..]));
        buffer.append(b"gh");
        assert_eq!(buffer.filled(), b"efgh");
        buffer.consume(4);
        assert!(buffer.is_empty() && buffer.storage.is_empty());
    }

    #[test]
    fn it_moves_up_before_it_grows() {
        let mut buffer = Buffer::default();
        buffer.append(&vec![1; FRESH]);
        buffer.consume(FRESH - 1);
        buffer.append(&vec![2; FRESH - 1]);
        assert_eq!(buffer.storage.len(), FRESH);
        assert_eq!(buffer.filled()[..2], [1, 2]);
        buffer.append(&[3; 10]);
        assert_eq!(buffer.len(), FRESH + 10);
        assert_eq!(buffer.filled().last(), Some(&3));
        buffer.clear();
        assert!(SPARES.with(|spares| spares.borrow().iter().all(|spare| spare.len() == FRESH)));
    }

    #[test]
    fn one_that_grew_is_used_again_unless_it_is_too_large() {
        let fill = |length: usize| {
            let mut buffer = Buffer::default();
            let mut expected = Vec::new();
            while expected.len() < length {
                let piece = [expected.len() as u8; MAX_RECORD];
                buffer.append(&piece);
                expected.extend(piece);
            }
            assert_eq!(buffer.filled(), expected);
            buffer.storage.as_ptr()
        };
        let kept = || LARGE_SPARE.with(|spare| spare.borrow().len());
        let first = fill(300_000);
        let size = kept();
        assert!((300_000..=LARGEST_SPARE).contains(&size));
        assert_eq!(fill(300_000), first);
        assert_eq!(fill(200_000), first);
        fill(2 * LARGEST_SPARE);
        assert!(kept() <= LARGEST_SPARE);
        assert!(SPARES.with(|spares| spares.borrow().iter().all(|spare| spare.len() == FRESH)));
    }

    #[test]
    fn an_empty_buffer_does_not_keep_room_it_was_given() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.room(GATHER).len(), GATHER);
        buffer.commit(0);
        assert!(buffer.storage.is_empty());
    }
}
