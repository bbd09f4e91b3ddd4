//! The pump's two buffers: ciphertext on its way in and out.

use std::io;
use std::os::fd::BorrowedFd;

use super::descriptor;
use super::record::{MAX_RECORD, RECORD_HEADER, RecordHeader};

/// How much is received with one system call, and gathered before one is made to send, in bytes.
const PIECE: usize = 64 * 1024;

/// Received ciphertext that the session has not consumed yet. Allocated when first used.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    framing: Framing,
    /// Where the last whole record ends. The bytes themselves cannot be asked later: the session
    /// decrypts in place.
    boundary: usize,
}

impl Inbox {
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// How many bytes belong to records that are whole by now.
    pub(super) fn whole(&self) -> usize {
        self.boundary.saturating_sub(self.start)
    }

    /// Whether what was received so far ends within a record.
    pub(super) fn ends_within_record(&self) -> bool {
        self.framing.is_within_record()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end, self.boundary) = (0, 0, 0);
        }
    }

    /// Receives once; 0 bytes mean the end. Only called when everything before was consumed.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        debug_assert_eq!(self.len(), 0);
        if self.buffer.is_empty() {
            self.buffer = vec![0; PIECE].into_boxed_slice();
        }
        self.end = descriptor::receive(fd, &mut self.buffer)?;
        let received = &self.buffer[..self.end];
        self.boundary = self.framing.consume(received).unwrap_or(0);
        Ok(self.end)
    }
}

/// Ciphertext taken from the session that the socket has not taken yet. Allocated when first used.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether so much is gathered that sending comes first.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= PIECE
    }

    /// Room for at least one record, unless the outbox is full.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; PIECE + MAX_RECORD].into_boxed_slice();
        }
        if self.start > 0 && self.buffer.len() - self.end < MAX_RECORD {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put into the room.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Sends once as much as the socket takes.
    pub(super) fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let sent = descriptor::send(fd, &self.buffer[self.start..self.end])?;
        self.start += sent;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Ok(sent)
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

/// Where in the sequence of records the received bytes end.
#[derive(Debug, Default)]
struct Framing {
    header: [u8; RECORD_HEADER],
    /// How many bytes of a header are known, if they end within one.
    known: usize,
    /// How many bytes of a record's payload are missing.
    missing: usize,
}

impl Framing {
    /// Goes on by these bytes; gives the offset behind the last record that they complete.
    fn consume(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        let mut boundary = None;
        while !rest.is_empty() {
            rest = self.step(rest);
            if !self.is_within_record() {
                boundary = Some(bytes.len() - rest.len());
            }
        }
        boundary
    }

    fn is_within_record(&self) -> bool {
        self.known > 0 || self.missing > 0
    }

    /// Goes on to the end of the header, of the record or of the bytes: what is left of them.
    fn step<'bytes>(&mut self, bytes: &'bytes [u8]) -> &'bytes [u8] {
        if self.missing > 0 {
            let (taken, rest) = bytes.split_at(self.missing.min(bytes.len()));
            self.missing -= taken.len();
            return rest;
        }
        let (taken, rest) = bytes.split_at((RECORD_HEADER - self.known).min(bytes.len()));
        self.header[self.known..self.known + taken.len()].copy_from_slice(taken);
        self.known += taken.len();
        if self.known == RECORD_HEADER {
            self.known = 0;
            self.missing = RecordHeader::parse(&self.header).map_or(0, |header| header.payload);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &[u8] = &[23, 3, 3, 0, 2, 1, 2, 23, 3, 3, 0, 0, 23, 3, 3, 0, 1, 9];
    const ENDS: [usize; 3] = [7, 12, 18];

    #[test]
    fn records_are_followed_whatever_the_pieces() {
        for piece in 1..=RECORDS.len() {
            let mut framing = Framing::default();
            for (index, bytes) in RECORDS.chunks(piece).enumerate() {
                let (from, to) = (index * piece, index * piece + bytes.len());
                let last = ENDS.into_iter().rfind(|end| (from + 1..=to).contains(end));
                assert_eq!(framing.consume(bytes), last.map(|end| end - from));
                assert_eq!(framing.is_within_record(), !ENDS.contains(&to));
            }
        }
    }

    #[test]
    fn the_outbox_makes_room_for_a_record() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.room().len(), PIECE + MAX_RECORD);
        outbox.filled(PIECE - 1);
        assert!(!outbox.is_full());
        assert!(outbox.room().len() >= MAX_RECORD);
        outbox.filled(1);
        assert!(outbox.is_full());
    }
}
