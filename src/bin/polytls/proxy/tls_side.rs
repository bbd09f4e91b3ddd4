//! The TLS side of a connection: the same calls for both modes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use polytls::iana::AlertDescription;
use polytls::{
    BufferSession, ClientHello, DynContext, Error, ErrorKind, Facts, Operation, Progress, Result,
    Session, SessionOptions, SocketSession, Status,
};
use tls_core::support::{receive, send};

use super::flow::Held;
use super::lookup::Found;
use crate::args::Mode;

/// Memory for ciphertext in buffer mode, shared by all connections of a worker.
pub(super) struct CipherScratch {
    input: Box<[u8]>,
    output: Box<[u8]>,
}

impl CipherScratch {
    pub(super) fn new() -> Self {
        Self {
            input: vec![0; 64 * 1024].into_boxed_slice(),
            // The ciphertext of one write of 64 KiB, so that nothing stays behind in the session.
            output: vec![0; 68 * 1024].into_boxed_slice(),
        }
    }
}

/// The TLS side of a connection. Every call means what it means on [`SocketSession`].
pub(super) enum TlsSide {
    /// The session owns the socket.
    Socket(Box<dyn SocketSession>),
    /// The socket stays here.
    Buffer(Box<BufferSide>),
}

impl TlsSide {
    /// Starts a server session on a connected socket in non-blocking mode.
    pub(super) fn new(context: &dyn DynContext, mode: Mode, fd: OwnedFd) -> Result<Self> {
        let options = SessionOptions::new();
        Ok(match mode {
            Mode::Socket => Self::Socket(context.socket_session(fd, options)?),
            Mode::Buffer => Self::Buffer(Box::new(BufferSide {
                session: context.buffer_session(options)?,
                fd,
                input: Held::default(),
                output: Held::default(),
                failure: None,
            })),
        })
    }

    pub(super) fn handshake(&mut self, scratch: &mut CipherScratch) -> Result<Status> {
        match self {
            Self::Socket(session) => session.handshake(),
            Self::Buffer(side) => side.sticky(|side| side.handshake(scratch)),
        }
    }

    pub(super) fn read(
        &mut self,
        plaintext: &mut [u8],
        scratch: &mut CipherScratch,
    ) -> Result<Progress> {
        match self {
            Self::Socket(session) => session.read(plaintext),
            Self::Buffer(side) => side.sticky(|side| side.read(plaintext, scratch)),
        }
    }

    pub(super) fn write(
        &mut self,
        plaintext: &[u8],
        scratch: &mut CipherScratch,
    ) -> Result<Progress> {
        match self {
            Self::Socket(session) => session.write(plaintext),
            Self::Buffer(side) => side.sticky(|side| side.write(plaintext, scratch)),
        }
    }

    pub(super) fn flush(&mut self, scratch: &mut CipherScratch) -> Result<Status> {
        match self {
            Self::Socket(session) => session.flush(),
            Self::Buffer(side) => side.flush(scratch),
        }
    }

    pub(super) fn shutdown(&mut self, scratch: &mut CipherScratch) -> Result<Status> {
        match self {
            Self::Socket(session) => session.shutdown(),
            Self::Buffer(side) => side.sticky(|side| side.shutdown(scratch)),
        }
    }

    pub(super) fn client_hello(&self) -> Option<&ClientHello> {
        match self {
            Self::Socket(session) => session.client_hello(),
            Self::Buffer(side) => side.session.client_hello(),
        }
    }

    /// Goes on with the context that was found, or refuses the client.
    pub(super) fn choose(&mut self, found: Found) -> Result<()> {
        let session: &mut dyn Session = match self {
            Self::Socket(session) => session,
            Self::Buffer(side) => &mut side.session,
        };
        let context = match found {
            Ok(context) => context,
            Err(alert) => return session.refuse_client_hello(alert),
        };
        session.set_context(&*context).inspect_err(|_| {
            // Fails only if the session has, and then it has an alert of its own.
            let _ = session.refuse_client_hello(AlertDescription::INTERNAL_ERROR);
        })
    }

    pub(super) fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Socket(session) => session.facts(),
            Self::Buffer(side) => side.session.facts(),
        }
    }

    /// Whether ciphertext for the client has not reached the socket.
    pub(super) fn has_pending_output(&self) -> bool {
        match self {
            Self::Socket(session) => session.pending_output() > 0,
            Self::Buffer(side) => side.has_pending_output(),
        }
    }
}

impl AsFd for TlsSide {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket(session) => session.as_fd(),
            Self::Buffer(side) => side.fd.as_fd(),
        }
    }
}

/// A buffer session and the socket its ciphertext goes over.
pub(super) struct BufferSide {
    session: Box<dyn BufferSession>,
    fd: OwnedFd,
    /// Received, and not yet taken by the session.
    input: Held,
    /// Out of the session, and not yet taken by the socket.
    output: Held,
    /// A transport error, given again from every later call.
    failure: Option<Error>,
}

impl BufferSide {
    fn sticky<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = call(self);
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        result
    }

    fn handshake(&mut self, scratch: &mut CipherScratch) -> Result<Status> {
        loop {
            if self.flush(scratch)? == Status::WantWrite {
                return Ok(Status::WantWrite);
            }
            let step = self
                .session
                .handshake(self.input.as_mut_slice(), &mut scratch.output)?;
            self.input.consume(step.consumed);
            self.send_or_keep(&scratch.output[..step.produced], Operation::Handshake)?;
            match step.status {
                Status::WantRead if self.has_pending_output() => {}
                Status::WantRead => {
                    let Some(received) = self.receive(scratch, Operation::Handshake)? else {
                        return Ok(Status::WantRead);
                    };
                    self.input.keep(&scratch.input[..received]);
                }
                Status::WantWrite if step.produced > 0 || self.has_pending_output() => {}
                Status::WantWrite => return Err(stuck(Operation::Handshake)),
                Status::Complete if self.has_pending_output() => return self.flush(scratch),
                status => return Ok(status),
            }
        }
    }

    fn read(&mut self, plaintext: &mut [u8], scratch: &mut CipherScratch) -> Result<Progress> {
        let step = self.session.read(self.input.as_mut_slice(), plaintext)?;
        self.input.consume(step.consumed);
        if step.status != Status::WantRead {
            return Ok(step);
        }
        loop {
            let Some(received) = self.receive(scratch, Operation::Read)? else {
                return Ok(Progress::idle(Status::WantRead));
            };
            let input = &mut scratch.input[..received];
            let step = self.session.read(input, plaintext)?;
            if step.status != Status::WantRead {
                self.input.keep(&input[step.consumed..]);
                return Ok(step);
            }
            if received == 0 {
                return Err(Error::new(ErrorKind::Truncated, Operation::Read));
            }
        }
    }

    fn write(&mut self, plaintext: &[u8], scratch: &mut CipherScratch) -> Result<Progress> {
        if self.flush(scratch)? == Status::WantWrite {
            return Ok(Progress::idle(Status::WantWrite));
        }
        let step = self.session.write(plaintext, &mut scratch.output)?;
        self.send_or_keep(&scratch.output[..step.produced], Operation::Write)?;
        Ok(step)
    }

    fn shutdown(&mut self, scratch: &mut CipherScratch) -> Result<Status> {
        loop {
            if self.flush(scratch)? == Status::WantWrite {
                return Ok(Status::WantWrite);
            }
            let step = self.session.shutdown(&mut scratch.output)?;
            self.send_or_keep(&scratch.output[..step.produced], Operation::Shutdown)?;
            let done = step.status != Status::WantWrite;
            if done && !self.has_pending_output() {
                return Ok(step.status);
            }
            if !done && step.produced == 0 && !self.has_pending_output() {
                return Err(stuck(Operation::Shutdown));
            }
        }
    }

    fn flush(&mut self, scratch: &mut CipherScratch) -> Result<Status> {
        loop {
            if !self.output.is_empty() {
                let sent = self.send(self.output.as_slice(), Operation::Flush)?;
                self.output.consume(sent);
                if !self.output.is_empty() {
                    return Ok(Status::WantWrite);
                }
            }
            if self.session.pending_output() == 0 {
                return Ok(Status::Complete);
            }
            let step = self.session.drain(&mut scratch.output);
            if step.produced == 0 {
                return Err(stuck(Operation::Flush));
            }
            self.send_or_keep(&scratch.output[..step.produced], Operation::Flush)?;
        }
    }

    fn has_pending_output(&self) -> bool {
        !self.output.is_empty() || self.session.pending_output() > 0
    }

    /// Receives into the scratch: how many bytes, 0 at the end of which the session was told, or
    /// `None` if the socket would block.
    fn receive(
        &mut self,
        scratch: &mut CipherScratch,
        operation: Operation,
    ) -> Result<Option<usize>> {
        match receive(self.fd.as_fd(), &mut scratch.input) {
            Ok(received) => {
                if received == 0 {
                    self.session.input_eof();
                }
                Ok(Some(received))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(Error::io(error, operation)),
        }
    }

    fn send_or_keep(&mut self, ciphertext: &[u8], operation: Operation) -> Result<()> {
        let sent = self.send(ciphertext, operation)?;
        if sent < ciphertext.len() {
            self.output.keep(&ciphertext[sent..]);
        }
        Ok(())
    }

    /// Sends until the socket would block.
    fn send(&self, ciphertext: &[u8], operation: Operation) -> Result<usize> {
        let mut sent = 0;
        while sent < ciphertext.len() {
            match send(self.fd.as_fd(), &ciphertext[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Error::io(error, operation)),
            }
        }
        Ok(sent)
    }
}

/// A session that asks for what it has: waiting would be for ever.
#[cold]
fn stuck(operation: Operation) -> Error {
    Error::new(ErrorKind::Backend, operation)
        .with_detail("the session asks for output to be moved and holds none")
}
