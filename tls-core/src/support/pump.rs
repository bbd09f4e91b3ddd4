//! Socket sessions out of buffer sessions.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use super::bindings::forward_bindings;
use super::descriptor::{Descriptor, check_nonblocking, receive, send};
use super::driver::Driver;
use super::plaintext::Joined;
use super::suspension::forward_suspensions;
use super::transport::Transport;
use crate::backend::DynContext;
use crate::client_hello::ClientHello;
use crate::error::{ConfigProblem, Error, Misuse, Operation, Result};
use crate::facts::Facts;
use crate::iana::AlertDescription;
use crate::session::{
    BufferSession, DetachError, Detached, MAX_UNREAD, Role, Session, SocketSession,
};
use crate::status::{PostHandshakeAuth, Progress, Status};

/// Drives a socket for a [`BufferSession`]: the emulated socket mode of engines that do no I/O.
///
/// Receives large pieces and lets the session decrypt them in place; gathers the records of a write
/// and sends them together, at the latest every 64 KiB. The memory for that, 68 KiB in each
/// direction, is borrowed from the thread only while bytes wait in it: an idle session holds none.
#[derive(Debug)]
pub struct SocketPump<'fd, S> {
    driver: Driver<S>,
    /// `handshake` was called.
    begun: bool,
    // After the session, so that it is dropped last.
    descriptor: Descriptor<'fd>,
}

impl<'fd, S: BufferSession> SocketPump<'fd, S> {
    /// Takes a session that has not begun and a connected stream socket in non-blocking mode. Up
    /// to `pending_output_bound` bytes of ciphertext, and one record more, are held for the peer.
    ///
    /// # Errors
    ///
    /// `Misuse(BlockingDescriptor)`, or `Io` if the descriptor has no flags to read; an owned
    /// descriptor is closed.
    pub fn new(
        descriptor: Descriptor<'fd>,
        session: S,
        pending_output_bound: usize,
    ) -> Result<Self> {
        check_nonblocking(descriptor.as_fd())?;
        Ok(Self {
            driver: Driver::new(session, pending_output_bound),
            begun: false,
            descriptor,
        })
    }

    /// Application data that the session has decrypted and not delivered.
    fn take_plaintext(&mut self) -> Vec<u8> {
        let mut plaintext = Vec::new();
        loop {
            let filled = plaintext.len();
            let held = self.driver.session().buffered();
            plaintext.resize(filled + held, 0);
            // Whatever ends the loop, an error too, has nothing more to give away.
            let produced = match self
                .driver
                .session_mut()
                .read(&mut [], &mut plaintext[filled..])
            {
                Ok(progress) => progress.produced,
                Err(_) => 0,
            };
            plaintext.truncate(filled + produced);
            if produced == 0 {
                return plaintext;
            }
        }
    }
}

#[cfg(test)]
impl<S: BufferSession> SocketPump<'_, S> {
    pub(crate) fn session(&self) -> &S {
        self.driver.session()
    }

    pub(crate) fn session_mut(&mut self) -> &mut S {
        self.driver.session_mut()
    }
}

impl<S: BufferSession> SocketSession for SocketPump<'_, S> {
    fn handshake(&mut self) -> Result<Status> {
        self.begun = true;
        self.driver.handshake(&mut self.descriptor)
    }

    fn unread(&mut self, ciphertext: &[u8]) -> Result<()> {
        check_unread(self.begun)?;
        match self.driver.unread(ciphertext) {
            true => Ok(()),
            false => Err(unread_too_much()),
        }
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        self.driver.read(&mut self.descriptor, plaintext)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress> {
        self.driver.read_vectored(&mut self.descriptor, buffers)
    }

    fn write(&mut self, mut plaintext: &[u8]) -> Result<Progress> {
        self.driver.write(&mut self.descriptor, &mut plaintext)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        let mut joined = Joined::new(buffers);
        self.driver.write(&mut self.descriptor, &mut joined)
    }

    fn flush(&mut self) -> Result<Status> {
        self.driver.flush(&mut self.descriptor)
    }

    fn shutdown(&mut self) -> Result<Status> {
        self.driver.shutdown(&mut self.descriptor)
    }

    fn into_fd<'session>(
        mut self: Box<Self>,
    ) -> std::result::Result<Detached, DetachError<'session>>
    where
        Self: 'session,
    {
        let misuse = match self.descriptor {
            Descriptor::Owned(_) if self.driver.holds_ciphertext() => Misuse::CiphertextHeld,
            Descriptor::Borrowed(_) => Misuse::BorrowedDescriptor,
            Descriptor::Owned(_) => {
                let plaintext = self.take_plaintext();
                let Self { descriptor, .. } = *self;
                let Descriptor::Owned(fd) = descriptor else {
                    unreachable!("the descriptor was owned a moment ago");
                };
                return Ok(Detached { fd, plaintext });
            }
        };
        Err(DetachError {
            session: self,
            error: Error::misuse(misuse, Operation::Detach),
        })
    }
}

/// Checks that a session may still be given ciphertext from before its handshake.
///
/// # Errors
///
/// `Misuse(HandshakeBegun)`.
pub fn check_unread(handshake_begun: bool) -> Result<()> {
    match handshake_begun {
        false => Ok(()),
        true => Err(Error::misuse(Misuse::HandshakeBegun, Operation::Handshake)),
    }
}

/// What a session says that is given more than [`MAX_UNREAD`] bytes.
#[cold]
pub fn unread_too_much() -> Error {
    let detail = format!("more than {MAX_UNREAD} bytes from before the handshake");
    Error::config(ConfigProblem::Limit, detail)
}

impl Transport for Descriptor<'_> {
    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        receive(self.as_fd(), buffer)
    }

    #[inline]
    fn send(&mut self, buffer: &[u8]) -> io::Result<usize> {
        send(self.as_fd(), buffer)
    }
}

impl<S> AsFd for SocketPump<'_, S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl<S: BufferSession> Session for SocketPump<'_, S> {
    fn role(&self) -> Role {
        self.driver.session().role()
    }

    fn facts(&self) -> Option<&Facts> {
        // The session's own are there before its last flight has left for the socket.
        self.driver
            .session()
            .facts()
            .filter(|_| self.driver.is_complete())
    }

    fn pending_output(&self) -> usize {
        self.driver.pending_output()
    }

    fn buffered(&self) -> usize {
        self.driver.buffered()
    }

    fn failure(&self) -> Option<&Error> {
        self.driver.failure()
    }

    fn close_notify_sent(&self) -> bool {
        self.driver.close_notify_sent()
    }

    fn close_notify_received(&self) -> bool {
        self.driver.session().close_notify_received()
    }

    fn request_key_update(&mut self) -> Result<Status> {
        self.driver.request_key_update()
    }

    forward_suspensions!(
        self => self.driver.session(), self.driver.waiting()?, self.driver.answered()?
    );

    fn client_hello(&self) -> Option<&ClientHello> {
        self.driver.session().client_hello()
    }

    fn set_context(&mut self, context: &dyn DynContext) -> Result<()> {
        self.driver.session_mut().set_context(context)
    }

    fn refuse_client_hello(&mut self, alert: AlertDescription) -> Result<()> {
        self.driver.session_mut().refuse_client_hello(alert)
    }

    fn request_client_certificate(&mut self) -> Result<Status> {
        self.driver.request_client_certificate()
    }

    fn post_handshake_auth(&self) -> PostHandshakeAuth {
        self.driver.session().post_handshake_auth()
    }

    forward_bindings!(self, operation => self.driver.settled(operation)?);
}
