//! Socket sessions out of buffer sessions.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use super::descriptor::{Descriptor, check_nonblocking};
use super::staging::{Inbox, Outbox};
use crate::error::{Error, Misuse, Operation, Result};
use crate::facts::Facts;
use crate::session::{BufferSession, DetachError, Detached, Role, Session, SocketSession};
use crate::status::{Progress, Status};

/// The most plaintext that goes into one record, in bytes. RFC 8446 section 5.1.
const MAX_PLAINTEXT: usize = 1 << 14;

/// Drives a socket for a [`BufferSession`]: the emulated socket mode of engines that do no I/O.
///
/// Receives large pieces and lets the session decrypt them in place; gathers the records of a write
/// and sends them together, at the latest every 64 KiB. Both buffers are allocated when first used.
#[derive(Debug)]
pub struct SocketPump<'fd, S> {
    session: S,
    descriptor: Descriptor<'fd>,
    pending_output_bound: usize,
    inbox: Inbox,
    outbox: Outbox,
    /// `handshake` has given `Complete`: its last flight has left.
    established: bool,
    /// Our close_notify has left for the socket.
    close_notify_sent: bool,
    /// The transport failed; the session itself does not know.
    failure: Option<Error>,
}

/// How far sending got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    Blocked,
}

impl<'fd, S: BufferSession> SocketPump<'fd, S> {
    /// Takes a session that has not begun and a connected stream socket in non-blocking mode. Up
    /// to `pending_output_bound` bytes of ciphertext, and one record more, are held.
    ///
    /// # Errors
    ///
    /// `Misuse(BlockingDescriptor)`, or `Io` if the descriptor is not open.
    pub fn new(
        descriptor: Descriptor<'fd>,
        session: S,
        pending_output_bound: usize,
    ) -> Result<Self> {
        check_nonblocking(descriptor.as_fd())?;
        Ok(Self {
            session,
            descriptor,
            pending_output_bound,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            established: false,
            close_notify_sent: false,
            failure: None,
        })
    }

    /// Fails if the transport has failed.
    fn gate(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }

    /// Also fails before the handshake is complete, which is later here than in the session: its
    /// last flight has to leave for the socket. A session that has failed speaks for itself.
    fn gate_established(&self, operation: Operation) -> Result<()> {
        self.gate()?;
        if self.established || self.session.failure().is_some() {
            return Ok(());
        }
        Err(Error::misuse(Misuse::HandshakeIncomplete, operation))
    }

    /// The transport has failed. What the session failed with before goes first.
    #[cold]
    fn fail(&mut self, error: io::Error, operation: Operation) -> Error {
        self.outbox.clear();
        let error = match self.session.failure() {
            Some(earlier) => earlier.clone(),
            None => Error::io(error, operation),
        };
        self.failure.insert(error).clone()
    }

    /// Sends everything that is pending, as far as the socket takes it.
    fn send_pending(&mut self, operation: Operation) -> Result<Sent> {
        loop {
            if self.session.pending_output() > 0 && !self.outbox.is_full() {
                let drained = self.session.drain(self.outbox.room()).produced;
                self.outbox.filled(drained);
            }
            if self.outbox.len() == 0 {
                self.close_notify_sent = self.session.close_notify_sent();
                return Ok(Sent::All);
            }
            match self.outbox.send(self.descriptor.as_fd()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Sent::Blocked);
                }
                Err(error) => return Err(self.fail(error, operation)),
            }
        }
    }

    /// Receives once, when all input was consumed; `false` if the socket would block.
    fn receive(&mut self, operation: Operation) -> Result<bool> {
        match self.inbox.receive(self.descriptor.as_fd()) {
            Ok(0) => {
                self.session.input_eof();
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(self.fail(error, operation)),
        }
    }

    fn step_read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        let progress = self.session.read(self.inbox.bytes_mut(), plaintext)?;
        self.inbox.consume(progress.consumed);
        Ok(progress)
    }

    fn step_handshake(&mut self) -> Result<Status> {
        let room = self.outbox.room();
        let progress = self.session.handshake(self.inbox.bytes_mut(), room)?;
        self.inbox.consume(progress.consumed);
        self.outbox.filled(progress.produced);
        Ok(progress.status)
    }

    /// Takes from `plaintext` until it is used up or the bound is reached: how many bytes.
    fn gather(&mut self, plaintext: &[u8]) -> Result<usize> {
        let mut taken = 0;
        while taken < plaintext.len() {
            if self.outbox.is_full() || self.pending_output() >= self.pending_output_bound {
                let sent = self.send_pending(Operation::Write);
                // What was taken is the session's: the error waits for the next call.
                if taken > 0 && sent.is_err() {
                    break;
                }
                if sent? == Sent::Blocked && self.pending_output() >= self.pending_output_bound {
                    break;
                }
                if self.outbox.is_full() {
                    break;
                }
            }
            let rest = &plaintext[taken..];
            let piece = &rest[..rest.len().min(MAX_PLAINTEXT)];
            let progress = match self.session.write(piece, self.outbox.room()) {
                Ok(progress) => progress,
                Err(_) if taken > 0 => break,
                Err(error) => return Err(error),
            };
            self.outbox.filled(progress.produced);
            taken += progress.consumed;
            if progress.consumed == 0 && progress.produced == 0 {
                break;
            }
        }
        Ok(taken)
    }
}

impl<S: BufferSession> SocketSession for SocketPump<'_, S> {
    fn handshake(&mut self) -> Result<Status> {
        self.gate()?;
        if self.established && self.session.failure().is_none() {
            return Ok(Status::Complete);
        }
        loop {
            if self.send_pending(Operation::Handshake)? == Sent::Blocked {
                return Ok(Status::WantWrite);
            }
            match self.step_handshake()? {
                Status::WantWrite => {}
                Status::WantRead => {
                    if self.send_pending(Operation::Handshake)? == Sent::Blocked {
                        return Ok(Status::WantWrite);
                    }
                    if !self.receive(Operation::Handshake)? {
                        return Ok(Status::WantRead);
                    }
                }
                Status::Complete if self.pending_output() > 0 => {}
                status => {
                    self.established = status == Status::Complete;
                    return Ok(status);
                }
            }
        }
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        self.gate_established(Operation::Read)?;
        loop {
            let progress = self.step_read(plaintext)?;
            match progress.status {
                Status::WantWrite => {
                    if self.send_pending(Operation::Read)? == Sent::Blocked {
                        return Ok(Progress::idle(Status::WantWrite));
                    }
                }
                Status::WantRead => {
                    if !self.receive(Operation::Read)? {
                        self.send_in_passing();
                        return Ok(Progress::idle(Status::WantRead));
                    }
                }
                status => return Ok(Progress::new(status, 0, progress.produced)),
            }
        }
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress> {
        let mut filled = 0;
        for buffer in buffers.iter_mut().filter(|buffer| !buffer.is_empty()) {
            if filled > 0 && self.buffered() == 0 {
                break;
            }
            // What a later buffer meets, an error too, comes again with the next call.
            match self.read(buffer) {
                Ok(progress) if progress.produced > 0 => {
                    filled += progress.produced;
                    if progress.produced < buffer.len() {
                        break;
                    }
                }
                outcome if filled == 0 => return outcome,
                _ => break,
            }
        }
        if filled == 0 {
            return self.read(&mut []);
        }
        Ok(Progress::new(Status::Complete, 0, filled))
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        self.write_vectored(&[IoSlice::new(plaintext)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        self.gate_established(Operation::Write)?;
        let mut taken = 0;
        for buffer in buffers.iter().filter(|buffer| !buffer.is_empty()) {
            match self.gather(buffer) {
                Ok(count) => {
                    taken += count;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(_) if taken > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if taken == 0 {
            return self.write_nothing(buffers);
        }
        self.send_in_passing();
        Ok(Progress::new(Status::Complete, taken, 0))
    }

    fn flush(&mut self) -> Result<Status> {
        self.gate()?;
        Ok(match self.send_pending(Operation::Flush)? {
            Sent::All => Status::Complete,
            Sent::Blocked => Status::WantWrite,
        })
    }

    fn shutdown(&mut self) -> Result<Status> {
        self.gate_established(Operation::Shutdown)?;
        loop {
            let progress = self.session.shutdown(self.outbox.room())?;
            self.outbox.filled(progress.produced);
            if self.send_pending(Operation::Shutdown)? == Sent::Blocked {
                return Ok(Status::WantWrite);
            }
            if progress.status != Status::WantWrite {
                return Ok(progress.status);
            }
        }
    }

    fn into_fd<'session>(
        mut self: Box<Self>,
    ) -> std::result::Result<Detached, DetachError<'session>>
    where
        Self: 'session,
    {
        let refusal = match self.descriptor {
            Descriptor::Borrowed(_) => Some(Misuse::BorrowedDescriptor),
            Descriptor::Owned(_) if self.holds_ciphertext() => Some(Misuse::CiphertextHeld),
            Descriptor::Owned(_) => None,
        };
        if let Some(misuse) = refusal {
            return Err(DetachError {
                session: self,
                error: Error::misuse(misuse, Operation::Detach),
            });
        }
        let plaintext = match self.take_plaintext() {
            Ok(plaintext) => plaintext,
            Err(error) => {
                return Err(DetachError {
                    session: self,
                    error,
                });
            }
        };
        let Self { descriptor, .. } = *self;
        let Descriptor::Owned(fd) = descriptor else {
            unreachable!("borrowed descriptors were refused above");
        };
        Ok(Detached { fd, plaintext })
    }
}

impl<S: BufferSession> SocketPump<'_, S> {
    /// A write that took nothing: the bound is reached, or there was nothing to take.
    fn write_nothing(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return self.session.write(&[], &mut []);
        }
        if self.send_pending(Operation::Write)? == Sent::Blocked {
            return Ok(Progress::idle(Status::WantWrite));
        }
        match self.session.failure() {
            Some(error) => Err(error.clone()),
            None => Ok(Progress::idle(Status::WantWrite)),
        }
    }

    /// Sends what is pending in a call that has something else to give: an error of the transport
    /// is kept for the next call.
    fn send_in_passing(&mut self) {
        if self.failure.is_none() && self.pending_output() > 0 {
            let _ = self.send_pending(Operation::Flush);
        }
    }

    fn holds_ciphertext(&self) -> bool {
        self.pending_output() > 0 || self.inbox.len() > 0 || self.inbox.ends_within_record()
    }

    /// Application data that the session has decrypted and not delivered.
    fn take_plaintext(&mut self) -> Result<Vec<u8>> {
        let mut plaintext = vec![0; self.session.buffered()];
        let mut filled = 0;
        while filled < plaintext.len() {
            let produced = self
                .session
                .read(&mut [], &mut plaintext[filled..])?
                .produced;
            if produced == 0 {
                break;
            }
            filled += produced;
        }
        plaintext.truncate(filled);
        Ok(plaintext)
    }
}

impl<S> AsFd for SocketPump<'_, S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl<S: BufferSession> Session for SocketPump<'_, S> {
    fn role(&self) -> Role {
        self.session.role()
    }

    fn facts(&self) -> Option<&Facts> {
        self.session.facts().filter(|_| self.established)
    }

    fn pending_output(&self) -> usize {
        self.session.pending_output() + self.outbox.len()
    }

    fn buffered(&self) -> usize {
        if self.session.close_notify_received() {
            return self.session.buffered();
        }
        self.session.buffered() + self.inbox.whole()
    }

    fn failure(&self) -> Option<&Error> {
        self.failure.as_ref().or_else(|| self.session.failure())
    }

    fn close_notify_sent(&self) -> bool {
        self.close_notify_sent
    }

    fn close_notify_received(&self) -> bool {
        self.session.close_notify_received()
    }
}
