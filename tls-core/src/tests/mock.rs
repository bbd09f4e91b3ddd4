//! A session that frames like TLS, hides like a toy, and keeps the contract of a buffer session.

use std::collections::VecDeque;

use rustls_pki_types::CertificateDer;

use crate::capabilities::Support;
use crate::config::Verdict;
use crate::error::{
    Alert, AlertDirection, CertificateProblem, Error, ErrorKind, Operation, Result,
};
use crate::facts::Facts;
use crate::iana::{AlertDescription, CipherSuite, ProtocolVersion};
use crate::session::{BufferSession, Role, Session};
use crate::status::{Progress, Status};
use crate::support::{Lifecycle, RECORD_HEADER, RecordHeader};

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const DATA: u8 = 23;
/// A content type nobody knows: a protocol violation.
pub(super) const GARBAGE: u8 = 99;

const MASK: u8 = 0x5a;
const FRAGMENT: usize = 1 << 14;

/// How a session breaks the contract.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Gives `WantRead` and takes nothing of the input.
    IgnoresInput,
    /// Gives `WantWrite` and holds nothing.
    WantsRoom,
    /// Gives `WantRead` even after the end of input.
    IgnoresEof,
    /// Gives `Complete` after a record without application data.
    GivesNothing,
}

/// Client: hello, then a finish for the server's hello. Server: a hello for a hello, done with the
/// finish.
#[derive(Debug)]
pub(super) struct Mock {
    role: Role,
    pub(super) lifecycle: Lifecycle,
    pub(super) fault: Fault,
    pub(super) bound: usize,
    /// How many calls of `write` took something: one record each.
    pub(super) records: usize,
    steps: usize,
    input: Vec<u8>,
    plaintext: VecDeque<u8>,
    output: VecDeque<u8>,
}

pub(super) fn client() -> Mock {
    Mock::new(Role::Client)
}

pub(super) fn server() -> Mock {
    Mock::new(Role::Server)
}

/// A record on the wire.
pub(super) fn record(content_type: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let mut record = vec![content_type, 3, 3, high, low];
    record.extend(payload.iter().map(|byte| byte ^ MASK));
    record
}

/// The application data in records on the wire, and how many records there are.
pub(super) fn open(mut wire: &[u8]) -> (Vec<u8>, usize) {
    let (mut data, mut records) = (Vec::new(), 0);
    while let Some(header) = RecordHeader::parse(wire) {
        let (record, rest) = wire.split_at(header.record());
        if header.content_type == DATA {
            data.extend(record[RECORD_HEADER..].iter().map(|byte| byte ^ MASK));
        }
        wire = rest;
        records += 1;
    }
    assert!(wire.is_empty(), "whole records");
    (data, records)
}

impl Mock {
    fn new(role: Role) -> Self {
        let mut mock = Self {
            role,
            lifecycle: Lifecycle::new(),
            fault: Fault::None,
            bound: 64 * 1024,
            records: 0,
            steps: 0,
            input: Vec::new(),
            plaintext: VecDeque::new(),
            output: VecDeque::new(),
        };
        if role == Role::Client {
            mock.output.extend(record(HANDSHAKE, b"hello"));
        }
        mock
    }

    /// Queues a record for the peer, as an engine does that answers one.
    pub(super) fn owe(&mut self, content_type: u8, payload: &[u8]) {
        self.output.extend(record(content_type, payload));
    }

    fn put(&mut self, output: &mut [u8]) -> usize {
        let count = output.len().min(self.output.len());
        for (to, from) in output.iter_mut().zip(self.output.drain(..count)) {
            *to = from;
        }
        if self.output.is_empty() {
            self.lifecycle.output_drained();
        }
        count
    }

    /// Takes up to the end of one record, and scribbles over what it took as an engine that
    /// decrypts in place would.
    fn feed(&mut self, input: &mut [u8], operation: Operation) -> (usize, Option<Result<Status>>) {
        let header = |held: &[u8]| RecordHeader::parse(held).map(RecordHeader::record);
        let mut taken = 0;
        while taken < input.len() && header(&self.input) != Some(self.input.len()) {
            self.input.push(input[taken]);
            input[taken] = 0xee;
            taken += 1;
        }
        if header(&self.input) != Some(self.input.len()) {
            return (taken, None);
        }
        let mut payload = std::mem::take(&mut self.input);
        let content_type = payload[0];
        payload.drain(..RECORD_HEADER);
        payload.iter_mut().for_each(|byte| *byte ^= MASK);
        let verdict = match (content_type, payload.as_slice()) {
            (HANDSHAKE, _) => {
                self.step();
                None
            }
            (DATA, data) if self.lifecycle.facts().is_some() => {
                self.plaintext.extend(data);
                None
            }
            (ALERT, [1, 0]) => {
                self.lifecycle.receive_close_notify();
                None
            }
            (ALERT, [2, code]) => {
                let error = Error::peer_alert(AlertDescription(*code), operation);
                Some(self.lifecycle.fail(error, false, 0))
            }
            _ => Some(self.refuse(operation)),
        };
        (taken, verdict)
    }

    fn step(&mut self) {
        self.steps += 1;
        let answer: &[u8] = match (self.role, self.steps) {
            (Role::Client, 1) => b"finish",
            (Role::Server, 1) => b"hello",
            _ => return,
        };
        self.output.extend(record(HANDSHAKE, answer));
    }

    fn refuse(&mut self, operation: Operation) -> Result<Status> {
        let description = AlertDescription::UNEXPECTED_MESSAGE;
        self.output.extend(record(ALERT, &[2, description.0]));
        let error = Error::new(ErrorKind::Protocol, operation).with_alert(Alert {
            description,
            direction: AlertDirection::Sent,
        });
        self.lifecycle.fail(error, true, self.output.len())
    }

    fn want_read(&mut self, operation: Operation) -> Result<Status> {
        if !self.lifecycle.input_ended() || self.fault == Fault::IgnoresEof {
            return Ok(Status::WantRead);
        }
        let error = Error::new(ErrorKind::Truncated, operation);
        self.lifecycle.fail(error, false, 0)
    }

    fn handshake_done(&self) -> bool {
        match self.role {
            Role::Client => self.steps == 1,
            Role::Server => self.steps == 2,
        }
    }
}

impl Session for Mock {
    fn role(&self) -> Role {
        self.role
    }

    fn facts(&self) -> Option<&Facts> {
        self.lifecycle.facts()
    }

    fn pending_output(&self) -> usize {
        self.output.len()
    }

    fn buffered(&self) -> usize {
        self.plaintext.len()
    }

    fn failure(&self) -> Option<&Error> {
        self.lifecycle.failure()
    }

    fn close_notify_sent(&self) -> bool {
        self.lifecycle.close_notify_sent()
    }

    fn close_notify_received(&self) -> bool {
        self.lifecycle.close_notify_received()
    }

    fn unverified_peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.lifecycle.unverified_peer_certificates()
    }

    fn default_validation(&self) -> Option<std::result::Result<(), CertificateProblem>> {
        self.lifecycle.default_validation()
    }

    fn set_validation_result(&mut self, _verdict: Verdict) -> Result<()> {
        self.lifecycle.resolve_validation()
    }

    fn request_key_update(&mut self) -> Result<Status> {
        let held = self.output.len();
        let gate = self
            .lifecycle
            .gate_key_update(Support::Native, held, self.bound);
        if let Some(verdict) = gate {
            return verdict;
        }
        self.owe(HANDSHAKE, b"update");
        self.lifecycle.key_update_queued(true);
        Ok(Status::Complete)
    }
}

impl BufferSession for Mock {
    fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress> {
        match self.fault {
            Fault::IgnoresInput => return Ok(Progress::idle(Status::WantRead)),
            Fault::WantsRoom => return Ok(Progress::idle(Status::WantWrite)),
            Fault::None | Fault::IgnoresEof | Fault::GivesNothing => {}
        }
        if let Some(verdict) = self.lifecycle.gate_handshake(self.output.len()) {
            return verdict.map(Progress::idle);
        }
        let (mut consumed, mut produced) = (0, self.put(output));
        if self.output.is_empty() && !self.handshake_done() {
            let (taken, verdict) = self.feed(input, Operation::Handshake);
            consumed = taken;
            if let Some(verdict) = verdict {
                return verdict.map(|status| Progress::new(status, consumed, produced));
            }
            produced += self.put(&mut output[produced..]);
        }
        let status = if !self.output.is_empty() {
            Status::WantWrite
        } else if self.handshake_done() {
            self.lifecycle.complete_handshake(Facts::new(
                ProtocolVersion::TLS1_3,
                CipherSuite::TLS_AES_128_GCM_SHA256,
            ));
            Status::Complete
        } else if consumed < input.len() {
            Status::WantRead
        } else {
            self.want_read(Operation::Handshake)?
        };
        Ok(Progress::new(status, consumed, produced))
    }

    fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress> {
        let mut consumed = 0;
        loop {
            if !self.plaintext.is_empty() && !plaintext.is_empty() {
                let produced = plaintext.len().min(self.plaintext.len());
                for (to, from) in plaintext.iter_mut().zip(self.plaintext.drain(..produced)) {
                    *to = from;
                }
                self.lifecycle.data_read();
                return Ok(Progress::new(Status::Complete, consumed, produced));
            }
            if let Some(verdict) = self.lifecycle.gate_read(plaintext.len(), self.output.len()) {
                return verdict.map(|status| Progress::new(status, consumed, 0));
            }
            let (taken, verdict) = self.feed(&mut input[consumed..], Operation::Read);
            consumed += taken;
            if let Some(verdict) = verdict {
                return verdict.map(|status| Progress::new(status, consumed, 0));
            }
            if taken == 0 {
                let status = self.want_read(Operation::Read)?;
                return Ok(Progress::new(status, consumed, 0));
            }
            if self.fault == Fault::GivesNothing && self.plaintext.is_empty() {
                return Ok(Progress::new(Status::Complete, consumed, 0));
            }
        }
    }

    fn write(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<Progress> {
        let gate = self
            .lifecycle
            .gate_write(plaintext.len(), self.output.len());
        if let Some(verdict) = gate {
            return verdict.map(Progress::idle);
        }
        let mut produced = self.put(output);
        if self.output.len() >= self.bound {
            return Ok(Progress::new(Status::WantWrite, 0, produced));
        }
        let taken = plaintext.len().min(FRAGMENT);
        self.output.extend(record(DATA, &plaintext[..taken]));
        self.records += 1;
        self.lifecycle.data_written();
        produced += self.put(&mut output[produced..]);
        Ok(Progress::new(Status::Complete, taken, produced))
    }

    fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress> {
        if let Some(verdict) = self.lifecycle.gate_shutdown(self.output.len()) {
            return verdict.map(Progress::idle);
        }
        if self.lifecycle.queue_close_notify() {
            self.output.extend(record(ALERT, &[1, 0]));
        }
        let produced = self.put(output);
        let status = self.lifecycle.shutdown_status(false);
        Ok(Progress::new(status, 0, produced))
    }

    fn drain(&mut self, output: &mut [u8]) -> Progress {
        let produced = self.put(output);
        let status = if self.output.is_empty() {
            Status::Complete
        } else {
            Status::WantWrite
        };
        Progress::new(status, 0, produced)
    }

    fn input_eof(&mut self) {
        self.lifecycle.end_input();
    }
}
