//! The memory that ciphertext waits in between a session and its transport.

use std::cell::RefCell;

/// The size of a buffer, in bytes: four full records of TLS 1.3 with their overhead, so that
/// 64 KiB of application data move in one system call.
pub(crate) const BUFFER: usize = 68 * 1024;

/// How many empty buffers a thread keeps for its next call.
const KEPT: usize = 16;

thread_local! {
    /// Empty buffers. A session holds one only while bytes wait in it, so idle sessions cost no
    /// memory, and busy ones allocate nothing and take no lock.
    static EMPTY: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A queue of bytes in one piece of memory, which is borrowed from the thread while it is used.
#[derive(Default)]
pub(crate) struct Buffer {
    memory: Option<Box<[u8]>>,
    head: usize,
    tail: usize,
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.tail - self.head
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// The bytes that wait.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory[self.head..self.tail],
            None => &[],
        }
    }

    /// The bytes that wait, which may be decrypted in place.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Some(memory) => &mut memory[self.head..self.tail],
            None => &mut [],
        }
    }

    /// Takes bytes from the front.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        self.head += count.min(self.len());
        if self.is_empty() {
            self.head = 0;
            self.tail = 0;
        }
    }

    /// Room behind the bytes that wait; empty if there is none.
    #[inline]
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let memory = self.memory.get_or_insert_with(take);
        // Moving less than half of the buffer is rare enough not to matter, and always pays.
        if self.tail == memory.len() && self.head > memory.len() / 2 {
            memory.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
        &mut memory[self.tail..]
    }

    /// Adds bytes that were placed in [`Self::room`].
    #[inline]
    pub(crate) fn commit(&mut self, count: usize) {
        let capacity = self.memory.as_ref().map_or(0, |memory| memory.len());
        self.tail += count.min(capacity - self.tail);
    }

    /// Drops the bytes that wait.
    pub(crate) fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
        self.release();
    }

    /// Gives the memory back to the thread if nothing waits in it.
    #[inline]
    pub(crate) fn release(&mut self) {
        if !self.is_empty() {
            return;
        }
        if let Some(memory) = self.memory.take() {
            give(memory);
        }
    }
}

/// A buffer of the thread, or a new one; its contents are arbitrary.
pub(crate) fn take() -> Box<[u8]> {
    EMPTY
        .try_with(|empty| empty.borrow_mut().pop())
        .ok()
        .flatten()
        .unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice())
}

/// Gives a buffer back to the thread, which frees it if it keeps enough.
pub(crate) fn give(memory: Box<[u8]>) {
    // A thread that is ending keeps none.
    let _ = EMPTY.try_with(|empty| {
        let mut empty = empty.borrow_mut();
        if empty.len() < KEPT {
            empty.push(memory);
        }
    });
}

impl std::fmt::Debug for Buffer {
    /// Only the length: decrypted bytes may lie in the memory.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Buffer").field(&self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_the_front_is_used_again() {
        let mut buffer = Buffer::default();
        assert!(buffer.bytes_mut().is_empty());
        let room = buffer.room();
        assert_eq!(room.len(), BUFFER);
        room[0] = 1;
        room[BUFFER - 1] = 2;
        buffer.commit(BUFFER);
        assert!(buffer.room().is_empty());
        buffer.consume(BUFFER - 1);
        assert_eq!(buffer.room().len(), BUFFER - 1);
        assert_eq!(buffer.bytes(), [2]);
        buffer.consume(1);
        assert!(buffer.is_empty());
    }

    #[test]
    fn memory_is_held_only_while_bytes_wait() {
        let mut buffer = Buffer::default();
        buffer.room()[0] = 7;
        buffer.commit(1);
        buffer.release();
        assert_eq!(buffer.bytes(), [7]);
        buffer.consume(1);
        buffer.release();
        assert!(buffer.memory.is_none());
        assert!(EMPTY.with(|empty| !empty.borrow().is_empty()));
    }
}
