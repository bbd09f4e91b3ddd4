//! The session that drives a socket.

use std::io::{self, ErrorKind as IoKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use tls_core::config::{Identity, SocketTransport};
use tls_core::pki_types::CertificateDer;
use tls_core::session::MAX_UNREAD;
use tls_core::support::{
    Descriptor, Lifecycle, check_nonblocking, check_unread, receive, send, unread_too_much,
};
use tls_core::{
    ChannelBinding, DetachError, Detached, Error, Facts, Feature, Misuse, Operation,
    PostHandshakeAuth, Progress, Result, Role, Session, SocketSession, Status, Verdict,
};

use crate::Setup;
use crate::buffer::{Buffer, GATHER};
use crate::core::{CHUNK, Core};
use crate::engine::Engine;
use crate::plain::Plain;
use crate::questions::Verified;
use crate::session::lifecycle_accessors;

/// A session over a libssl that owns or borrows a non-blocking stream socket.
///
/// Records are gathered and sent 64 KiB at a time, and up to 64 KiB are received at once; with
/// [`SocketTransport::Plain`] the library itself uses the descriptor, record by record. Then the
/// library sends its alerts by itself, at an end of the transport too, so that an alert the socket
/// has no room for is lost and the error given at once; a reset that OpenSSL or BoringSSL meets while
/// it sends tickets is passed over by it, and told as a truncation; a ClientHello is bounded by the
/// library only; and `flush` completes a record that the socket took in part, which is a call of the
/// engine.
#[derive(Debug)]
pub struct SocketEngineSession<'fd, E: Engine> {
    // The order matters: the engine is gone before the descriptor is closed.
    core: Core<E>,
    received: Buffer,
    plain: Option<Plain>,
    /// `handshake` was called.
    begun: bool,
    /// What a reply met that could not be sent: the system tells of a reset only once.
    reply_failed: Option<io::Error>,
    descriptor: Descriptor<'fd>,
}

impl<'fd, E: Engine> SocketEngineSession<'fd, E> {
    /// Takes an engine that knows its role and has no transport yet, and a connected stream socket.
    ///
    /// # Errors
    ///
    /// `Misuse(BlockingDescriptor)`; `Backend`, if the library is out of memory or cannot use
    /// sockets.
    pub(crate) fn new(engine: E, setup: &Setup, descriptor: Descriptor<'fd>) -> Result<Self> {
        check_nonblocking(descriptor.as_fd())?;
        let mut core = Core::new(engine, setup);
        let plain = match setup.socket_transport {
            SocketTransport::Plain => {
                Some(Plain::attach(&mut core, descriptor.as_fd().as_raw_fd())?)
            }
            _ => {
                core.link.attach()?;
                None
            }
        };
        Ok(Self {
            core,
            received: Buffer::default(),
            plain,
            begun: false,
            reply_failed: None,
            descriptor,
        })
    }

    /// The engine, for what only the backend can ask of it.
    pub fn engine(&self) -> &E {
        self.core.link.engine()
    }

    /// Receives once: whether there is anything new, be it the end of the transport.
    fn receive(&mut self, operation: Operation) -> Result<bool> {
        debug_assert!(self.received.is_empty(), "the engine takes all it is given");
        match receive(self.descriptor.as_fd(), self.received.room(GATHER)) {
            Ok(0) => {
                self.received.commit(0);
                if let Some(error) = self.reply_failed.take() {
                    return self.blocked(error, operation);
                }
                self.core.lifecycle.end_input();
                Ok(true)
            }
            Ok(length) => {
                self.received.commit(length);
                Ok(true)
            }
            Err(error) => {
                self.received.commit(0);
                self.blocked(error, operation)
            }
        }
    }

    /// Sends what is pending: whether all of it has left.
    fn send_pending(&mut self, operation: Operation) -> Result<bool> {
        if let Some(error) = self.reply_failed.take() {
            return self.blocked(error, operation);
        }
        while self.core.pending() > 0 {
            let pending = &mut self.core.link.wire_mut().pending;
            match send(self.descriptor.as_fd(), pending.filled()) {
                Ok(sent) => pending.consume(sent),
                Err(error) => return self.blocked(error, operation),
            }
        }
        self.core.lifecycle.output_drained();
        Ok(true)
    }

    /// `false` if the transport only has to be waited for; any other error ends the session.
    #[inline]
    fn blocked(&mut self, error: io::Error, operation: Operation) -> Result<bool> {
        if error.kind() == IoKind::WouldBlock {
            return Ok(false);
        }
        Err(self.core.abandon(Error::io(error, operation)))
    }

    /// Sends replies that a `read` left pending, if the socket takes them now. An error of the
    /// transport is left for the next call that needs it: there may be data to read yet.
    fn send_replies(&mut self) {
        while self.core.pending() > 0 {
            let pending = &mut self.core.link.wire_mut().pending;
            match send(self.descriptor.as_fd(), pending.filled()) {
                Ok(sent) => pending.consume(sent),
                // A peer that has closed may have said so before: `receive` finds out.
                Err(error) if matches!(error.kind(), IoKind::WouldBlock | IoKind::BrokenPipe) => {
                    return;
                }
                Err(error) => {
                    self.reply_failed = Some(error);
                    return;
                }
            }
        }
        self.core.lifecycle.output_drained();
    }

    fn handshake_gathered(&mut self) -> Result<Status> {
        loop {
            let progress = self.core.handshake(self.received.filled_mut(), &mut [])?;
            self.received.consume(progress.consumed);
            let goes_on = match progress.status {
                Status::WantWrite => self.send_pending(Operation::Handshake)?,
                Status::WantRead => self.receive(Operation::Handshake)?,
                _ => false,
            };
            if !goes_on {
                return Ok(progress.status);
            }
        }
    }

    fn read_gathered(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        loop {
            let before = self.core.pending();
            let progress = self.core.read(self.received.filled_mut(), plaintext)?;
            self.received.consume(progress.consumed);
            if progress.status != Status::WantWrite && self.core.pending() > before {
                self.send_replies();
            }
            let goes_on = match progress.status {
                Status::WantWrite => self.send_pending(Operation::Read)?,
                Status::WantRead => self.receive(Operation::Read)?,
                _ => false,
            };
            if !goes_on {
                return Ok(Progress::new(progress.status, 0, progress.produced));
            }
        }
    }

    fn write_gathered(&mut self, plaintext: &[u8]) -> Result<Progress> {
        if plaintext.is_empty() {
            return self.core.write(plaintext, &mut [], 0);
        }
        let mut taken = 0;
        match self.gather(plaintext, &mut taken) {
            // What was taken is the session's: its failure waits for the next call.
            Err(_) if taken > 0 => Ok(written(Status::Complete, taken)),
            status => status.map(|status| written(status, taken)),
        }
    }

    /// Encrypts and sends until all is taken or nothing more is; counts in `taken`.
    fn gather(&mut self, plaintext: &[u8], taken: &mut usize) -> Result<Status> {
        let bound = self.core.bound;
        let mut blocked = false;
        loop {
            // While the socket takes what is gathered it gets it in large pieces; once it does
            // not, gathering goes on to the bound without asking it again.
            let target = if blocked { bound } else { bound.min(GATHER) };
            let progress = self.core.write(&plaintext[*taken..], &mut [], target)?;
            *taken += progress.consumed;
            if !blocked {
                blocked = !self.send_pending(Operation::Write)?;
            }
            let full = self.core.pending() >= bound || (target == bound && progress.consumed == 0);
            let goes_on = matches!(progress.status, Status::Complete | Status::WantWrite);
            let done = *taken == plaintext.len() || !goes_on;
            if done || blocked && full {
                return Ok(progress.status);
            }
        }
    }
}

fn written(status: Status, taken: usize) -> Progress {
    match taken {
        0 => Progress::idle(status),
        _ => Progress::new(Status::Complete, taken, 0),
    }
}

impl<E: Engine> Session for SocketEngineSession<'_, E> {
    lifecycle_accessors!();

    fn pending_output(&self) -> usize {
        let sealed = self.plain.as_ref().map_or(0, Plain::pending);
        sealed + self.core.pending()
    }

    fn buffered(&self) -> usize {
        self.core.buffered(self.received.filled())
    }

    fn request_key_update(&mut self) -> Result<Status> {
        match &mut self.plain {
            Some(plain) => plain.request_key_update(&mut self.core),
            None => self.core.request_key_update(),
        }
    }

    fn request_client_certificate(&mut self) -> Result<Status> {
        match &mut self.plain {
            Some(plain) => plain.request_client_certificate(&mut self.core),
            None => self.core.request_client_certificate(),
        }
    }
}

impl<E: Engine> SocketSession for SocketEngineSession<'_, E> {
    fn handshake(&mut self) -> Result<Status> {
        self.begun = true;
        match &mut self.plain {
            Some(plain) => plain.handshake(&mut self.core),
            None => self.handshake_gathered(),
        }
    }

    fn unread(&mut self, ciphertext: &[u8]) -> Result<()> {
        check_unread(self.begun)?;
        if self.plain.is_some() {
            let reason = "the library itself reads the socket";
            return Err(Error::unsupported(Feature::Unread, reason));
        }
        if self.received.len() + ciphertext.len() > MAX_UNREAD {
            return Err(unread_too_much());
        }
        self.received.append(ciphertext);
        Ok(())
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        match &mut self.plain {
            Some(plain) => {
                let progress = plain.read(&mut self.core, plaintext)?;
                if self.core.pending() > 0 && self.send_pending(Operation::Read)? {
                    // The alert has left: the error is next.
                    return self.read(plaintext);
                }
                Ok(progress)
            }
            None => self.read_gathered(plaintext),
        }
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress> {
        let mut filled = 0;
        for buffer in buffers.iter_mut().filter(|buffer| !buffer.is_empty()) {
            if filled > 0 && self.buffered() == 0 {
                break;
            }
            let length = buffer.len();
            match self.read(buffer) {
                Ok(progress) if progress.status == Status::Complete => filled += progress.produced,
                verdict if filled == 0 => return verdict,
                // Found again by the next call.
                _ => break,
            }
            if filled < length {
                break;
            }
        }
        if filled == 0 {
            return self.read(&mut []);
        }
        Ok(Progress::new(Status::Complete, 0, filled))
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        match &mut self.plain {
            Some(plain) => plain.write(&mut self.core, plaintext),
            None => self.write_gathered(plaintext),
        }
    }

    /// Small slices are put together, so that they do not become small records.
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        let mut taken = 0;
        let mut rest = buffers;
        while let [first, others @ ..] = rest {
            let (verdict, offered) = if first.len() >= CHUNK || others.is_empty() {
                rest = others;
                (self.write(first), first.len())
            } else {
                let mut joined = Buffer::default();
                while let [next, others @ ..] = rest {
                    if !joined.is_empty() && joined.len() + next.len() > CHUNK {
                        break;
                    }
                    joined.append(next);
                    rest = others;
                }
                (self.write(joined.filled()), joined.len())
            };
            match verdict {
                Ok(progress) if progress.consumed == offered => taken += offered,
                Ok(progress) => return Ok(written(progress.status, taken + progress.consumed)),
                // The session keeps its error for the next call.
                Err(_) if taken > 0 => return Ok(written(Status::Complete, taken)),
                Err(error) => return Err(error),
            }
        }
        match taken {
            0 => self.write(&[]),
            _ => Ok(written(Status::Complete, taken)),
        }
    }

    fn flush(&mut self) -> Result<Status> {
        if let Some(plain) = &mut self.plain {
            let status = plain.flush(&mut self.core)?;
            if status != Status::Complete {
                return Ok(status);
            }
        }
        if self.send_pending(Operation::Flush)? {
            return Ok(Status::Complete);
        }
        Ok(Status::WantWrite)
    }

    fn shutdown(&mut self) -> Result<Status> {
        if let Some(plain) = &mut self.plain {
            return plain.shutdown(&mut self.core);
        }
        loop {
            let progress = self.core.shutdown(&mut [])?;
            if progress.status != Status::WantWrite || !self.send_pending(Operation::Shutdown)? {
                return Ok(progress.status);
            }
        }
    }

    fn into_fd<'session>(self: Box<Self>) -> std::result::Result<Detached, DetachError<'session>>
    where
        Self: 'session,
    {
        if self.holds_ciphertext() && matches!(self.descriptor, Descriptor::Owned(_)) {
            return Err(DetachError {
                session: self,
                error: Error::misuse(Misuse::CiphertextHeld, Operation::Detach),
            });
        }
        let mut session = *self;
        match session.descriptor {
            Descriptor::Owned(fd) => Ok(Detached {
                plaintext: session.core.take_plaintext(),
                fd,
            }),
            Descriptor::Borrowed(_) => Err(DetachError {
                session: Box::new(session),
                error: Error::misuse(Misuse::BorrowedDescriptor, Operation::Detach),
            }),
        }
    }
}

impl<E: Engine> SocketEngineSession<'_, E> {
    fn holds_ciphertext(&self) -> bool {
        if self.pending_output() > 0 || !self.received.is_empty() {
            return true;
        }
        match &self.plain {
            Some(_) => self.core.link.engine().holds_input(),
            None => self.core.link.wire().framing().in_record(),
        }
    }
}

impl<E: Engine> AsFd for SocketEngineSession<'_, E> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
