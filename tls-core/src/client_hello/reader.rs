//! The ClientHello gathered out of the first records, in pieces of any size. RFC 8446 section 5.1.

use super::ClientHello;
use super::parse::{self, MESSAGE_HEADER};
use crate::error::{Alert, AlertDirection, Error, ErrorKind, Operation, Result};
use crate::iana::AlertDescription;
use crate::support::{RECORD_HEADER, RecordHeader};

/// The longest message, in bytes, its header not counted (contract K4).
const MAX_MESSAGE: usize = 64 * 1024;

/// The most records it may come in. The engines send one; a network may not split records at all.
const MAX_RECORDS: usize = 512;

/// The most a record carries, in bytes.
const MAX_PLAINTEXT: usize = 1 << 14;

/// The content type of handshake messages.
const HANDSHAKE: u8 = 22;

/// The type of the message.
const CLIENT_HELLO: u8 = 1;

/// Gathers a ClientHello out of what a client sends first, bounded in memory: at most 64 KiB of
/// message in at most 512 records.
///
/// After an error the reader is of no more use.
#[derive(Debug, Default)]
pub struct ClientHelloReader {
    /// Whole records, and the one that is being received.
    records: Vec<u8>,
    count: usize,
    /// Where the record that is being received begins.
    start: usize,
    /// What the records up to there carried.
    message: Vec<u8>,
    /// The ClientHello was given out.
    finished: bool,
}

impl ClientHelloReader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the client and returns how many; none beyond the record in which the
    /// ClientHello ends, and none after that. It is there once [`Self::finish`] gives it.
    ///
    /// # Errors
    ///
    /// `Protocol`, with the alert that fits, if what the client sends is no ClientHello or goes
    /// beyond the bounds. Nothing has sent that alert yet.
    pub fn read(&mut self, input: &[u8]) -> Result<usize> {
        let mut taken = 0;
        while !self.is_complete() && taken < input.len() {
            let piece = &input[taken..];
            let piece = &piece[..piece.len().min(self.missing()?)];
            self.records.extend_from_slice(piece);
            taken += piece.len();
            if self.missing()? == 0 {
                self.end_record()?;
            }
        }
        Ok(taken)
    }

    /// How many bytes to receive next so as not to take any that follow the ClientHello's records;
    /// 0 once it is complete.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn wanted(&self) -> Result<usize> {
        match self.is_complete() {
            true => Ok(0),
            false => self.missing(),
        }
    }

    /// Whether the whole message is there.
    pub fn is_complete(&self) -> bool {
        let length = self.message_length();
        self.finished || length.is_some_and(|length| self.message.len() >= length)
    }

    /// How many bytes were taken, of a ClientHello that [`Self::finish`] has not given out.
    pub fn held(&self) -> usize {
        self.records.len()
    }

    /// The ClientHello, once all of it is there; `None` before, and after it was given out.
    ///
    /// # Errors
    ///
    /// `Protocol`, with the alert that fits, if it is malformed.
    pub fn finish(&mut self) -> Result<Option<ClientHello>> {
        if self.finished || !self.is_complete() {
            return Ok(None);
        }
        let parts = parse::parts(&self.message)?;
        self.finished = true;
        // Kept for as long as the session lasts: only once if one record carries all of it, and no
        // more memory than it takes.
        let mut records = std::mem::take(&mut self.records);
        records.shrink_to_fit();
        let joined = (self.count > 1).then(|| self.message.clone().into_boxed_slice());
        self.message = Vec::new();
        Ok(Some(ClientHello {
            records,
            joined,
            parts,
        }))
    }

    /// How many bytes the record that is being received still lacks: of its header, then of its
    /// payload.
    fn missing(&self) -> Result<usize> {
        let record = &self.records[self.start..];
        check_start(record)?;
        let Some(header) = RecordHeader::parse(record) else {
            return Ok(RECORD_HEADER - record.len());
        };
        let first = self.message.first().or_else(|| record.get(RECORD_HEADER));
        if first.is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(refused(
                AlertDescription::UNEXPECTED_MESSAGE,
                "the first message is no ClientHello",
            ));
        }
        match header.payload {
            0 => Err(refused(
                AlertDescription::UNEXPECTED_MESSAGE,
                "an empty record",
            )),
            1..=MAX_PLAINTEXT => Ok(header.record() - record.len()),
            _ => Err(refused(
                AlertDescription::RECORD_OVERFLOW,
                "a record of more than 16 KiB",
            )),
        }
    }

    fn end_record(&mut self) -> Result<()> {
        let payload = self.start + RECORD_HEADER;
        self.message.extend_from_slice(&self.records[payload..]);
        self.start = self.records.len();
        self.count += 1;
        let length = self.message_length();
        if length.is_some_and(|length| length > MESSAGE_HEADER + MAX_MESSAGE) {
            return Err(refused(
                AlertDescription::ILLEGAL_PARAMETER,
                "a ClientHello of more than 64 KiB",
            ));
        }
        if length.is_some_and(|length| self.message.len() > length) {
            return Err(refused(
                AlertDescription::UNEXPECTED_MESSAGE,
                "a message behind the ClientHello",
            ));
        }
        if self.count == MAX_RECORDS && !self.is_complete() {
            return Err(refused(
                AlertDescription::UNEXPECTED_MESSAGE,
                "a ClientHello in more than 512 records",
            ));
        }
        Ok(())
    }

    /// The length of the message with its header, once that was received.
    fn message_length(&self) -> Option<usize> {
        let [_, high, middle, low] = *self.message.first_chunk()?;
        let length = u32::from_be_bytes([0, high, middle, low]);
        Some(MESSAGE_HEADER + length as usize)
    }
}

/// Refuses what is no record of a handshake by the first bytes that show it.
fn check_start(record: &[u8]) -> Result<()> {
    match record {
        [HANDSHAKE, 3, ..] | [HANDSHAKE] | [] => Ok(()),
        [HANDSHAKE, _, ..] => Err(refused(
            AlertDescription::PROTOCOL_VERSION,
            "the peer does not speak TLS",
        )),
        [20 | 21 | 23, ..] => Err(refused(
            AlertDescription::UNEXPECTED_MESSAGE,
            "the first record is none of a handshake",
        )),
        _ => Err(refused(
            AlertDescription::UNEXPECTED_MESSAGE,
            "the peer does not speak TLS",
        )),
    }
}

/// What the client sends breaks the protocol; `alert` is what it is to be told.
#[cold]
pub(super) fn refused(alert: AlertDescription, what: &'static str) -> Error {
    let alert = Alert {
        description: alert,
        direction: AlertDirection::Sent,
    };
    Error::new(ErrorKind::Protocol, Operation::Handshake)
        .with_detail(what)
        .with_alert(alert)
}
