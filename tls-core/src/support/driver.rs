//! Moves ciphertext between a buffer session and a transport: what the socket pump and the stream
//! adapter have in common.

mod input;
mod state;

use std::io::{self, IoSliceMut};

use super::buffer::Buffer;
use super::plaintext::Plaintext;
use super::record::RecordTracker;
use super::transport::{Transport, would_block};
use crate::error::{AlertDirection, Error, ErrorKind, Misuse, Operation, Result};
use crate::iana::ProtocolVersion;
use crate::session::{BufferSession, Role};
use crate::status::{PostHandshakeAuth, Progress, Status};

/// How much ciphertext is gathered before it is sent, in bytes.
const GATHER: usize = 64 * 1024;

/// Whether a call may receive, and so wait for the peer if the transport blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Allowed,
    Forbidden,
}

/// A buffer session with the ciphertext that waits on either side of it.
#[derive(Debug)]
pub(crate) struct Driver<B> {
    session: B,
    pending_output_bound: usize,
    /// Ciphertext from the peer that the session has not consumed.
    received: Buffer,
    /// How many bytes of `received` lead up to the end of its last whole record.
    whole: usize,
    /// Where the received stream stands: the session decrypts in place, so that the records
    /// themselves cannot be asked later.
    records: RecordTracker,
    /// Ciphertext of the session that the transport has not taken.
    unsent: Buffer,
    /// Bytes were sent that the transport may hold back.
    unflushed: bool,
    /// The transport has ended, and the session knows.
    ended: bool,
    /// `handshake` has given `Complete`: its last flight has left for the transport.
    complete: bool,
    close_notify_sent: bool,
    /// What every call gives once the transport has failed.
    failure: Option<Error>,
    /// What `flush` gives then.
    transport_failure: Option<Error>,
}

impl<B: BufferSession> Driver<B> {
    pub(crate) fn new(session: B, pending_output_bound: usize) -> Self {
        Self {
            session,
            pending_output_bound,
            received: Buffer::default(),
            whole: 0,
            records: RecordTracker::default(),
            unsent: Buffer::default(),
            unflushed: false,
            ended: false,
            complete: false,
            close_notify_sent: false,
            failure: None,
            transport_failure: None,
        }
    }

    /// See [`SocketSession::handshake`](crate::SocketSession::handshake).
    pub(crate) fn handshake(&mut self, transport: &mut impl Transport) -> Result<Status> {
        let status = self.handshake_steps(transport);
        self.release();
        status
    }

    /// See [`SocketSession::read`](crate::SocketSession::read).
    pub(crate) fn read(
        &mut self,
        transport: &mut impl Transport,
        plaintext: &mut [u8],
    ) -> Result<Progress> {
        let progress = self.read_steps(transport, plaintext, Wait::Allowed);
        self.release();
        progress
    }

    /// See [`SocketSession::read_vectored`](crate::SocketSession::read_vectored).
    pub(crate) fn read_vectored(
        &mut self,
        transport: &mut impl Transport,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<Progress> {
        let progress = self.read_vectored_steps(transport, buffers);
        self.release();
        progress
    }

    /// See [`SocketSession::write`](crate::SocketSession::write).
    pub(crate) fn write(
        &mut self,
        transport: &mut impl Transport,
        plaintext: &mut impl Plaintext,
    ) -> Result<Progress> {
        let progress = self.write_steps(transport, plaintext);
        self.release();
        progress
    }

    /// See [`SocketSession::flush`](crate::SocketSession::flush).
    pub(crate) fn flush(&mut self, transport: &mut impl Transport) -> Result<Status> {
        let sent = self.send_and_flush(transport, Operation::Flush);
        self.release();
        if let Some(error) = &self.transport_failure {
            return Err(error.clone());
        }
        Ok(if sent? {
            Status::Complete
        } else {
            Status::WantWrite
        })
    }

    /// See [`SocketSession::shutdown`](crate::SocketSession::shutdown).
    pub(crate) fn shutdown(&mut self, transport: &mut impl Transport) -> Result<Status> {
        let status = self.shutdown_steps(transport);
        self.release();
        status
    }

    /// See [`Session::request_key_update`](crate::Session::request_key_update).
    pub(crate) fn request_key_update(&mut self) -> Result<Status> {
        if let Some(error) = self.gate(Operation::KeyUpdate) {
            return Err(error);
        }
        let full = self.pending_output() >= self.pending_output_bound;
        let possible = self.session.protocol_version() == Some(ProtocolVersion::TLS1_3);
        // What comes before the bound, which is reached here sooner than in the session, is the
        // session's to know; the rest it refuses without effect.
        let verdict = match full && possible {
            true => self.session.write(&[], &mut []).map(|_| Status::WantWrite),
            false => self.session.request_key_update(),
        };
        self.announced(verdict)
    }

    /// See [`Session::request_client_certificate`](crate::Session::request_client_certificate).
    pub(crate) fn request_client_certificate(&mut self) -> Result<Status> {
        if let Some(error) = self.gate(Operation::RequestCertificate) {
            return Err(error);
        }
        let full = self.pending_output() >= self.pending_output_bound;
        let pending = self.session.post_handshake_auth() == PostHandshakeAuth::Pending;
        // As above: what the session refuses, it refuses before it looks for room.
        let possible = self.session.role() == Role::Server && !pending;
        let verdict = match full && possible {
            true => self.session.write(&[], &mut []).map(|_| Status::WantWrite),
            false => self.session.request_client_certificate(),
        };
        self.announced(verdict)
    }

    /// An error waits until its alert, which is on its way, has left.
    fn announced(&self, verdict: Result<Status>) -> Result<Status> {
        match verdict {
            Err(error) if is_announced(&error) && self.pending_output() > 0 => {
                Ok(Status::WantWrite)
            }
            verdict => verdict,
        }
    }

    fn handshake_steps(&mut self, transport: &mut impl Transport) -> Result<Status> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        if self.complete && self.session.failure().is_none() {
            // It may wait for its caller, again.
            let idle = self.session.handshake(&mut [], &mut []);
            if idle.is_ok_and(|progress| progress.status == Status::Complete) {
                return Ok(Status::Complete);
            }
        }
        // What an earlier call could not send goes before any new input (K1). A session that has
        // failed says itself whether it waits for an alert to leave.
        if self.session.failure().is_none()
            && !self.send_and_flush(transport, Operation::Handshake)?
        {
            return Ok(Status::WantWrite);
        }
        loop {
            let step = self
                .session
                .handshake(self.received.bytes_mut(), self.unsent.room());
            let progress = match step {
                Ok(progress) => progress,
                Err(error) => return self.settle(transport, error, Operation::Handshake),
            };
            self.consume(progress.consumed);
            self.unsent.commit(progress.produced);
            match progress.status {
                Status::WantWrite => {
                    if !self.make_room(transport, Operation::Handshake)? {
                        return Ok(Status::WantWrite);
                    }
                }
                Status::WantRead if !self.received.is_empty() => {
                    self.require_progress(progress.consumed > 0, Operation::Handshake)?;
                }
                Status::WantRead => {
                    if !self.send_and_flush(transport, Operation::Handshake)? {
                        return Ok(Status::WantWrite);
                    }
                    if !self.receive(transport, Operation::Handshake)? {
                        return Ok(Status::WantRead);
                    }
                }
                status => {
                    if !self.send_and_flush(transport, Operation::Handshake)? {
                        return Ok(Status::WantWrite);
                    }
                    self.complete |= status == Status::Complete;
                    return Ok(status);
                }
            }
        }
    }

    fn read_steps(
        &mut self,
        transport: &mut impl Transport,
        plaintext: &mut [u8],
        wait: Wait,
    ) -> Result<Progress> {
        if let Some(error) = self.gate(Operation::Read) {
            return self.read_before_failure(plaintext).ok_or(error);
        }
        loop {
            let progress = match self.session.read(self.received.bytes_mut(), plaintext) {
                Ok(progress) => progress,
                Err(error) => {
                    return self
                        .settle(transport, error, Operation::Read)
                        .map(Progress::idle);
                }
            };
            self.consume(progress.consumed);
            if progress.produced > 0 {
                return Ok(Progress::new(Status::Complete, 0, progress.produced));
            }
            match progress.status {
                // A record without application data: there may be more behind it.
                Status::Complete if progress.consumed > 0 => {}
                Status::WantRead if !self.received.is_empty() => {
                    self.require_progress(progress.consumed > 0, Operation::Read)?;
                }
                Status::WantRead => {
                    if wait == Wait::Forbidden {
                        return Ok(Progress::idle(Status::WantRead));
                    }
                    self.send_replies(transport)?;
                    if !self.receive(transport, Operation::Read)? {
                        return Ok(Progress::idle(Status::WantRead));
                    }
                }
                Status::WantWrite => {
                    if !self.make_room(transport, Operation::Read)? {
                        return Ok(Progress::idle(Status::WantWrite));
                    }
                }
                status => return Ok(Progress::idle(status)),
            }
        }
    }

    fn read_vectored_steps(
        &mut self,
        transport: &mut impl Transport,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<Progress> {
        let mut filled = 0;
        for buffer in buffers.iter_mut().filter(|buffer| !buffer.is_empty()) {
            let mut rest = &mut buffer[..];
            while !rest.is_empty() {
                // Nothing is waited for, or met, that the next call cannot wait for or meet.
                let produced = match filled {
                    0 => {
                        let progress = self.read_steps(transport, rest, Wait::Allowed)?;
                        if progress.produced == 0 {
                            return Ok(progress);
                        }
                        progress.produced
                    }
                    _ if self.buffered() == 0 => 0,
                    _ => match self.read_steps(transport, rest, Wait::Forbidden) {
                        Ok(progress) => progress.produced,
                        Err(_) => 0,
                    },
                };
                if produced == 0 {
                    return Ok(Progress::new(Status::Complete, 0, filled));
                }
                filled += produced;
                rest = &mut rest[produced..];
            }
        }
        if filled == 0 {
            return self.read_steps(transport, &mut [], Wait::Allowed);
        }
        Ok(Progress::new(Status::Complete, 0, filled))
    }

    /// Application data decrypted before the transport failed is still delivered (K5).
    #[cold]
    fn read_before_failure(&mut self, plaintext: &mut [u8]) -> Option<Progress> {
        if !self.complete || self.session.buffered() == 0 {
            return None;
        }
        let progress = self.session.read(&mut [], plaintext).ok()?;
        (progress.produced > 0).then(|| Progress::new(Status::Complete, 0, progress.produced))
    }

    fn write_steps(
        &mut self,
        transport: &mut impl Transport,
        plaintext: &mut impl Plaintext,
    ) -> Result<Progress> {
        if let Some(error) = self.gate(Operation::Write) {
            return Err(error);
        }
        let mut taken = 0;
        let mut blocked = false;
        loop {
            if plaintext.is_empty() && taken > 0 {
                break;
            }
            let held = self.session.pending_output() + self.unsent.len();
            if held >= self.pending_output_bound.min(GATHER) && !plaintext.is_empty() {
                if !blocked {
                    match self.send(transport, Operation::Write) {
                        Ok(all) => blocked = !all,
                        // What was taken is the session's; the error waits for the next call.
                        Err(_) if taken > 0 => break,
                        Err(error) => return Err(error),
                    }
                }
                if self.pending_output() >= self.pending_output_bound {
                    if taken == 0 {
                        return self.refuse_write(transport);
                    }
                    break;
                }
            }
            let progress = match self.session.write(plaintext.piece(), self.unsent.room()) {
                Ok(progress) => progress,
                Err(_) if taken > 0 => break,
                Err(error) => {
                    return self
                        .settle(transport, error, Operation::Write)
                        .map(Progress::idle);
                }
            };
            self.unsent.commit(progress.produced);
            plaintext.advance(progress.consumed);
            taken += progress.consumed;
            match progress.status {
                Status::Complete | Status::WantWrite if progress.consumed > 0 => {}
                Status::WantWrite if !blocked && taken == 0 => {
                    blocked = !self.make_room(transport, Operation::Write)?;
                }
                Status::WantWrite => break,
                status => return Ok(Progress::new(status, taken, 0)),
            }
        }
        if !blocked {
            match self.send(transport, Operation::Write) {
                // As above.
                Ok(_) => {}
                Err(_) if taken > 0 => {}
                Err(error) => return Err(error),
            }
        }
        if taken == 0 {
            return Ok(Progress::idle(Status::WantWrite));
        }
        Ok(Progress::new(Status::Complete, taken, 0))
    }

    /// The bound is reached. The rules that come before it are the session's to know.
    #[cold]
    fn refuse_write(&mut self, transport: &mut impl Transport) -> Result<Progress> {
        match self.session.write(&[], &mut []) {
            Ok(_) => Ok(Progress::idle(Status::WantWrite)),
            Err(error) => self
                .settle(transport, error, Operation::Write)
                .map(Progress::idle),
        }
    }

    fn shutdown_steps(&mut self, transport: &mut impl Transport) -> Result<Status> {
        if let Some(error) = self.gate(Operation::Shutdown) {
            return Err(error);
        }
        loop {
            let progress = match self.session.shutdown(self.unsent.room()) {
                Ok(progress) => progress,
                Err(error) => return self.settle(transport, error, Operation::Shutdown),
            };
            self.unsent.commit(progress.produced);
            if progress.status == Status::WantWrite {
                if !self.make_room(transport, Operation::Shutdown)? {
                    return Ok(Status::WantWrite);
                }
                continue;
            }
            if !self.send_and_flush(transport, Operation::Shutdown)? {
                return Ok(Status::WantWrite);
            }
            return Ok(progress.status);
        }
    }

    /// What a call gives without touching the session. The handshake is complete later here than
    /// in the session, whose own failure speaks for itself.
    #[inline]
    fn gate(&self, operation: Operation) -> Option<Error> {
        if let Some(error) = &self.failure {
            return Some(error.clone());
        }
        if self.complete || self.session.failure().is_some() {
            return None;
        }
        Some(Error::misuse(Misuse::HandshakeIncomplete, operation))
    }

    /// The session has failed: its alert leaves before the error is given (K5).
    #[cold]
    fn settle(
        &mut self,
        transport: &mut impl Transport,
        error: Error,
        operation: Operation,
    ) -> Result<Status> {
        if !is_announced(&error) {
            return Err(error);
        }
        match self.send_and_flush(transport, operation) {
            Ok(false) => Ok(Status::WantWrite),
            // If the transport fails as well, the session's error remains the one that is given.
            Ok(true) | Err(_) => Err(error),
        }
    }

    /// Makes room for a session that asks for it; `false` if the transport would block.
    fn make_room(&mut self, transport: &mut impl Transport, operation: Operation) -> Result<bool> {
        let held = self.pending_output() > 0 || self.unflushed;
        self.require_progress(held, operation)?;
        self.send_and_flush(transport, operation)
    }

    /// Sends what reading made the session owe, a KeyUpdate or a refusal to renegotiate: the peer
    /// may wait for it while this side waits for the peer. A transport that would block has it in
    /// front of the next bytes.
    fn send_replies(&mut self, transport: &mut impl Transport) -> Result<()> {
        if self.session.pending_output() > 0 {
            self.send_and_flush(transport, Operation::Read)?;
        }
        Ok(())
    }

    /// Sends everything held, and has the transport pass it on; `false` if it would block.
    fn send_and_flush(
        &mut self,
        transport: &mut impl Transport,
        operation: Operation,
    ) -> Result<bool> {
        if !self.send(transport, operation)? {
            return Ok(false);
        }
        while self.unflushed {
            match transport.flush() {
                Ok(()) => self.unflushed = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(self.fail_transport(error, operation)),
            }
        }
        self.close_notify_sent |= self.session.close_notify_sent();
        Ok(true)
    }

    /// Sends everything held; `false` if the transport would block.
    fn send(&mut self, transport: &mut impl Transport, operation: Operation) -> Result<bool> {
        if let (Some(error), Some(_)) = (&self.failure, &self.transport_failure) {
            return Err(error.clone());
        }
        loop {
            if self.session.pending_output() > 0 {
                let progress = self.session.drain(self.unsent.room());
                self.unsent.commit(progress.produced);
                self.require_progress(!self.unsent.is_empty(), operation)?;
            }
            if self.unsent.is_empty() {
                return Ok(true);
            }
            match transport.send(self.unsent.bytes()) {
                Ok(0) => {
                    return Err(self.fail_transport(io::ErrorKind::WriteZero.into(), operation));
                }
                Ok(count) => {
                    self.unsent.consume(count);
                    self.unflushed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(self.fail_transport(error, operation)),
            }
        }
    }

    /// A session that asks for what it was given already would be asked again for ever.
    #[inline]
    fn require_progress(&mut self, progress: bool, operation: Operation) -> Result<()> {
        if progress {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Backend, operation)
            .with_detail("the session asks for input or room it does not use");
        Err(self.fail(error))
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Error {
        self.failure.get_or_insert(error).clone()
    }

    /// The transport has failed. A session that had failed before keeps its own error.
    #[cold]
    fn fail_transport(&mut self, error: io::Error, operation: Operation) -> Error {
        self.unsent.clear();
        self.unflushed = false;
        let error = Error::io(error, operation);
        let first = self.session.failure().unwrap_or(&error).clone();
        self.transport_failure = Some(error);
        self.fail(first)
    }

    #[inline]
    fn release(&mut self) {
        self.received.release();
        self.unsent.release();
    }
}

/// Whether an alert for the peer goes with the error.
fn is_announced(error: &Error) -> bool {
    let alert = error.alert();
    alert.is_some_and(|alert| alert.direction == AlertDirection::Sent)
}
