//! The session that drives a socket.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use super::context::Choose;
use super::first::First;
use crate::backend::{Context, DynContext};
use crate::capabilities::Feature;
use crate::config::{SessionOptions, SocketTransport};
use crate::error::{Error, Misuse, Operation, Result};
use crate::session::{DetachError, Detached, MAX_UNREAD, Role, Session, SocketSession, unasked};
use crate::status::{Progress, Status};
use crate::support::{
    Descriptor, check_nonblocking, check_unread, receive, send, unread_too_much, would_block,
};

/// How much is received at once, in bytes.
const PIECE: usize = 4096;

/// A session of a [`Deferred`](super::Deferred) context that owns or borrows a non-blocking stream
/// socket.
///
/// Of what the client sends it receives the records of the ClientHello and no byte more.
pub struct DeferredSocketSession<'fd, C: Context> {
    first: First<C>,
    stage: Stage<'fd>,
    /// `handshake` was called.
    begun: bool,
    /// Ciphertext from before the handshake.
    unread: Vec<u8>,
}

#[derive(Debug)]
enum Stage<'fd> {
    /// The context is not chosen.
    Open(Descriptor<'fd>),
    /// A session of the chosen context, which has the descriptor. Behind a pointer because an owning
    /// one and a borrowing one are of two types, and what comes back from `into_fd` of a third.
    Chosen(Box<dyn SocketSession + 'fd>),
}

impl<'fd, C: Context> DeferredSocketSession<'fd, C> {
    pub(super) fn new(
        choose: Choose<C>,
        descriptor: Descriptor<'fd>,
        options: SessionOptions,
    ) -> Result<Self> {
        check_nonblocking(descriptor.as_fd())?;
        Ok(Self {
            first: First::new(choose, options),
            stage: Stage::Open(descriptor),
            begun: false,
            unread: Vec::new(),
        })
    }
}

impl<C: Context> First<C> {
    /// Takes the handshake as far as the socket allows.
    fn handshake_on(&mut self, fd: BorrowedFd<'_>) -> Result<Status> {
        let mut status = self.handshake(&[], &mut [])?.status;
        loop {
            status = match status {
                Status::WantRead => match self.receive(fd)? {
                    Some(status) => status,
                    None => return Ok(Status::WantRead),
                },
                Status::WantWrite if self.send_alert(fd)? => self.handshake(&[], &mut [])?.status,
                _ => return Ok(status),
            }
        }
    }

    /// Receives once and takes what came; `None` if nothing is there.
    fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<Option<Status>> {
        let mut piece = [0; PIECE];
        let wanted = self.wanted()?.min(PIECE);
        let received = match receive(fd, &mut piece[..wanted]) {
            Ok(0) => {
                self.lifecycle.end_input();
                &[]
            }
            Ok(length) => &piece[..length],
            Err(error) if would_block(&error) => return Ok(None),
            Err(error) => return Err(self.abandon(Error::io(error, Operation::Handshake))),
        };
        Ok(Some(self.handshake(received, &mut [])?.status))
    }

    /// Sends what is left of an alert: whether all of it has left.
    fn send_alert(&mut self, fd: BorrowedFd<'_>) -> Result<bool> {
        while self.pending_output() > 0 {
            match send(fd, self.unsent()) {
                Ok(length) => self.sent(length),
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(self.abandon(Error::io(error, Operation::Flush))),
            }
        }
        Ok(true)
    }
}

impl<C: Context> DeferredSocketSession<'_, C> {
    /// What speaks for this session now.
    fn current(&self) -> &dyn Session {
        match &self.stage {
            Stage::Open(_) => &self.first,
            Stage::Chosen(session) => session,
        }
    }

    fn current_mut(&mut self) -> &mut dyn Session {
        match &mut self.stage {
            Stage::Open(_) => &mut self.first,
            Stage::Chosen(session) => session,
        }
    }
}

impl<C: Context> SocketSession for DeferredSocketSession<'_, C> {
    fn handshake(&mut self) -> Result<Status> {
        match &mut self.stage {
            Stage::Chosen(session) => session.handshake(),
            Stage::Open(descriptor) => {
                self.begun = true;
                if !self.unread.is_empty() {
                    let taken = self.first.handshake(&self.unread, &mut [])?.consumed;
                    self.unread.drain(..taken);
                }
                self.first.handshake_on(descriptor.as_fd())
            }
        }
    }

    fn unread(&mut self, ciphertext: &[u8]) -> Result<()> {
        check_unread(self.begun)?;
        if self.unread.len() + ciphertext.len() > MAX_UNREAD {
            return Err(unread_too_much());
        }
        self.unread.extend_from_slice(ciphertext);
        Ok(())
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        match &mut self.stage {
            Stage::Chosen(session) => session.read(plaintext),
            Stage::Open(_) => self.first.gate_read(plaintext.len()),
        }
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress> {
        match &mut self.stage {
            Stage::Chosen(session) => session.read_vectored(buffers),
            Stage::Open(_) => self.first.gate_read(buffers.len()),
        }
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        match &mut self.stage {
            Stage::Chosen(session) => session.write(plaintext),
            Stage::Open(_) => self.first.gate_write(plaintext.len()),
        }
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        match &mut self.stage {
            Stage::Chosen(session) => session.write_vectored(buffers),
            Stage::Open(_) => self.first.gate_write(buffers.len()),
        }
    }

    fn flush(&mut self) -> Result<Status> {
        match &mut self.stage {
            Stage::Chosen(session) => session.flush(),
            Stage::Open(descriptor) => match self.first.send_alert(descriptor.as_fd())? {
                true => Ok(Status::Complete),
                false => Ok(Status::WantWrite),
            },
        }
    }

    fn shutdown(&mut self) -> Result<Status> {
        match &mut self.stage {
            Stage::Chosen(session) => session.shutdown(),
            Stage::Open(_) => Ok(self.first.gate_shutdown()?.status),
        }
    }

    fn into_fd<'session>(self: Box<Self>) -> std::result::Result<Detached, DetachError<'session>>
    where
        Self: 'session,
    {
        let Self {
            first,
            stage,
            begun,
            unread,
        } = *self;
        let holds = first.held() > 0 || first.pending_output() > 0 || !unread.is_empty();
        let (stage, error) = match stage {
            Stage::Chosen(session) => match session.into_fd() {
                Ok(detached) => return Ok(detached),
                Err(refused) => (Stage::Chosen(refused.session), refused.error),
            },
            Stage::Open(Descriptor::Owned(fd)) if !holds => {
                return Ok(Detached {
                    fd,
                    plaintext: Vec::new(),
                });
            }
            Stage::Open(descriptor) => {
                let misuse = match descriptor {
                    Descriptor::Owned(_) => Misuse::CiphertextHeld,
                    Descriptor::Borrowed(_) => Misuse::BorrowedDescriptor,
                };
                let error = Error::misuse(misuse, Operation::Detach);
                (Stage::Open(descriptor), error)
            }
        };
        Err(DetachError {
            session: Box::new(DeferredSocketSession {
                first,
                stage,
                begun,
                unread,
            }),
            error,
        })
    }
}

impl<C: Context> AsFd for DeferredSocketSession<'_, C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stage {
            Stage::Open(descriptor) => descriptor.as_fd(),
            Stage::Chosen(session) => session.as_fd(),
        }
    }
}

impl<C: Context> Session for DeferredSocketSession<'_, C> {
    forward_session!(self);

    fn set_context(&mut self, context: &dyn DynContext) -> Result<()> {
        let Stage::Open(descriptor) = &self.stage else {
            return Err(unasked(self, Operation::Handshake));
        };
        let transport = context.socket_transport();
        let context = self.first.choose(context)?;
        if transport == SocketTransport::Plain {
            let reason = "an engine that reads the socket itself cannot be given what was received";
            return Err(Error::unsupported(Feature::DeferredServerContext, reason));
        }
        let options = self.first.options.clone();
        let session: Result<Box<dyn SocketSession + '_>> = match descriptor {
            Descriptor::Borrowed(fd) => match context.socket_session_borrowed(*fd, options) {
                Ok(session) => Ok(Box::new(session)),
                Err(error) => Err(error),
            },
            Descriptor::Owned(fd) => {
                // If no session can be made the descriptor is gone with it, and this one has to
                // have another until it is dropped.
                let spare = fd.try_clone();
                let spare = spare.map_err(|error| Error::io(error, Operation::CreateSession))?;
                let open = Stage::Open(Descriptor::Owned(spare));
                match std::mem::replace(&mut self.stage, open) {
                    Stage::Open(Descriptor::Owned(fd)) => context
                        .socket_session(fd, options)
                        .map(|session| Box::new(session) as _),
                    _ => unreachable!("it was open and owned a moment ago"),
                }
            }
        };
        let unread = std::mem::take(&mut self.unread);
        let session = session.and_then(|mut session| {
            session.unread(self.first.records())?;
            session.unread(&unread)?;
            Ok(session)
        });
        let session = session.map_err(|error| self.first.refuse_without_session(error))?;
        self.stage = Stage::Chosen(session);
        Ok(())
    }
}

impl<C: Context> fmt::Debug for DeferredSocketSession<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredSocketSession")
            .field("first", &self.first)
            .field("stage", &self.stage)
            .finish()
    }
}
