//! What the BIO hands to the engine and takes from it: the rules, without the callbacks.

use std::mem::MaybeUninit;

use tls_core::Role;
use tls_core::support::OUTPUT_RESERVE;

use crate::buffer::Buffer;
use crate::framing::Framing;
use crate::limits::{HelloWatch, NOT_TLS};

/// Which call of the engine is under way, as far as its BIO behaves differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Output goes first: nothing is read while any is pending, and none accepted at the bound.
    Handshake,
    /// One record is read; output is a reply to the peer.
    Read,
    /// Output is never refused: the session asked for room before the call.
    Write,
}

/// What the engine is given for a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireRead {
    /// So many bytes of the input.
    Input(usize),
    /// So many bytes that are not of the peer.
    Injected(usize),
    /// Nothing now.
    Nothing,
}

/// The ciphertext between an engine and its session.
#[derive(Debug)]
pub(crate) struct Wire {
    /// What the engine wrote beyond the output lent to it.
    pub(crate) pending: Buffer,
    bound: usize,
    framing: Framing,
    phase: Phase,
    /// `finished()` of the framing at which the call under way gets no further record.
    records_until: u64,
    /// How many of the pending bytes are replies that found the bound reached; forgotten once
    /// there is room within it.
    reserved: usize,
    refused: bool,
    poison: Option<[u8; 5]>,
    hello: Option<HelloWatch>,
}

impl Wire {
    pub(crate) fn new(role: Role, bound: usize) -> Self {
        Self {
            pending: Buffer::default(),
            bound,
            framing: Framing::default(),
            phase: Phase::Handshake,
            records_until: u64::MAX,
            reserved: 0,
            refused: false,
            poison: None,
            hello: (role == Role::Server).then(HelloWatch::default),
        }
    }

    /// A call begins.
    #[inline]
    pub(crate) fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.refused = false;
        self.records_until = match phase {
            Phase::Handshake => u64::MAX,
            Phase::Read | Phase::Write => self.framing.finished() + 1,
        };
    }

    /// The next call of the engine meets this header instead of input.
    pub(crate) fn poison(&mut self, header: [u8; 5]) {
        self.poison = Some(header);
    }

    pub(crate) fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Whether the last call had output that was not accepted.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// Whether a reply to the peer would be accepted now.
    pub(crate) fn has_room_for_reply(&self) -> bool {
        self.pending.len() < self.bound || self.reserved < OUTPUT_RESERVE
    }

    /// Whether the peer has announced a ClientHello that is too long.
    pub(crate) fn hello_excess(&self) -> bool {
        self.hello.as_ref().is_some_and(HelloWatch::excess)
    }

    /// The handshake is over.
    pub(crate) fn forget_hello(&mut self) {
        self.hello = None;
    }

    /// Hands `input` to the engine, at most as far as the current record goes.
    pub(crate) fn give(&mut self, input: &[u8], buffer: &mut [MaybeUninit<u8>]) -> WireRead {
        if self.begins_like_ssl2(input) {
            self.poison = Some(NOT_TLS);
        }
        if let Some(header) = self.poison {
            let length = fill(buffer, &header);
            if length == header.len() {
                self.poison = None;
            }
            return WireRead::Injected(length);
        }
        if self.holds_back() {
            return WireRead::Nothing;
        }
        let mut given = 0;
        while given < input.len() && given < buffer.len() {
            let length = self.framing.piece().min(input.len() - given);
            let length = fill(&mut buffer[given..], &input[given..][..length]);
            let content_type = self.framing.advance(&input[given..][..length]);
            if let (Some(watch), Some(content_type)) = (&mut self.hello, content_type) {
                watch.see(content_type, &input[given..][..length]);
            }
            given += length;
            if !self.framing.in_record() {
                break;
            }
        }
        match given {
            0 => WireRead::Nothing,
            given => WireRead::Input(given),
        }
    }

    /// Whether a server's input begins with a hello in the format of SSL 2.0. OpenSSL would answer
    /// it; RFC 8446 appendix D.5 advises against that, and its framing is none that is followed here.
    fn begins_like_ssl2(&self, input: &[u8]) -> bool {
        let begins = self.framing.finished() == 0 && !self.framing.in_record();
        begins && self.hello.is_some() && input.first().is_some_and(|first| first & 0x80 != 0)
    }

    fn holds_back(&self) -> bool {
        if self.phase == Phase::Handshake && !self.pending.is_empty() {
            return true;
        }
        let between_records = !self.framing.in_record();
        between_records && (self.framing.finished() >= self.records_until || self.hello_excess())
    }

    /// Takes what the engine writes, all of it or (`None`) nothing, and says how much of it went
    /// to `output`.
    pub(crate) fn take(&mut self, bytes: &[u8], output: &mut [u8]) -> Option<usize> {
        if !self.accepts() {
            self.refused = true;
            return None;
        }
        let mut placed = 0;
        if self.pending.is_empty() {
            placed = bytes.len().min(output.len());
            output[..placed].copy_from_slice(&bytes[..placed]);
        }
        let spilled = &bytes[placed..];
        if !spilled.is_empty() {
            self.reserve(spilled.len());
            self.pending.append(spilled);
        }
        Some(placed)
    }

    fn accepts(&self) -> bool {
        match self.phase {
            Phase::Handshake => self.pending.len() < self.bound,
            Phase::Read => self.has_room_for_reply(),
            Phase::Write => true,
        }
    }

    fn reserve(&mut self, spilled: usize) {
        if self.pending.len() < self.bound {
            self.reserved = 0;
        } else if self.phase == Phase::Read {
            self.reserved += spilled;
        }
    }
}

fn fill(buffer: &mut [MaybeUninit<u8>], bytes: &[u8]) -> usize {
    let length = buffer.len().min(bytes.len());
    // `MaybeUninit<u8>` slices have no stable copying method before Rust 1.93.
    for (slot, byte) in buffer.iter_mut().zip(bytes) {
        slot.write(*byte);
    }
    length
}
