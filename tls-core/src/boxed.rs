//! Boxed sessions are sessions, so that code written for any session takes those chosen at run time.

#[cfg(unix)]
use std::io::{IoSlice, IoSliceMut};

use crate::backend::DynContext;
use crate::client_hello::ClientHello;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::iana::AlertDescription;
use crate::session::{BufferSession, Role, Session};
#[cfg(unix)]
use crate::session::{DetachError, Detached, SocketSession};
use crate::status::{PostHandshakeAuth, Progress, Status};
use crate::support::{forward_bindings, forward_suspensions};

impl<S: Session + ?Sized> Session for Box<S> {
    fn role(&self) -> Role {
        (**self).role()
    }

    fn facts(&self) -> Option<&Facts> {
        (**self).facts()
    }

    fn pending_output(&self) -> usize {
        (**self).pending_output()
    }

    fn buffered(&self) -> usize {
        (**self).buffered()
    }

    fn failure(&self) -> Option<&Error> {
        (**self).failure()
    }

    fn close_notify_sent(&self) -> bool {
        (**self).close_notify_sent()
    }

    fn close_notify_received(&self) -> bool {
        (**self).close_notify_received()
    }

    fn request_key_update(&mut self) -> Result<Status> {
        (**self).request_key_update()
    }

    forward_suspensions!(self => (**self), (**self));

    fn request_client_certificate(&mut self) -> Result<Status> {
        (**self).request_client_certificate()
    }

    fn post_handshake_auth(&self) -> PostHandshakeAuth {
        (**self).post_handshake_auth()
    }

    forward_bindings!(self, _ => (**self));

    fn is_handshake_complete(&self) -> bool {
        (**self).is_handshake_complete()
    }

    fn client_hello(&self) -> Option<&ClientHello> {
        (**self).client_hello()
    }

    fn set_context(&mut self, context: &dyn DynContext) -> Result<()> {
        (**self).set_context(context)
    }

    fn refuse_client_hello(&mut self, alert: AlertDescription) -> Result<()> {
        (**self).refuse_client_hello(alert)
    }
}

impl<S: BufferSession + ?Sized> BufferSession for Box<S> {
    fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress> {
        (**self).handshake(input, output)
    }

    fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress> {
        (**self).read(input, plaintext)
    }

    fn write(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<Progress> {
        (**self).write(plaintext, output)
    }

    fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress> {
        (**self).shutdown(output)
    }

    fn drain(&mut self, output: &mut [u8]) -> Progress {
        (**self).drain(output)
    }

    fn input_eof(&mut self) {
        (**self).input_eof();
    }
}

#[cfg(unix)]
impl<S: SocketSession + ?Sized> SocketSession for Box<S> {
    fn handshake(&mut self) -> Result<Status> {
        (**self).handshake()
    }

    fn unread(&mut self, ciphertext: &[u8]) -> Result<()> {
        (**self).unread(ciphertext)
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        (**self).read(plaintext)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress> {
        (**self).read_vectored(buffers)
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        (**self).write(plaintext)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        (**self).write_vectored(buffers)
    }

    fn flush(&mut self) -> Result<Status> {
        (**self).flush()
    }

    fn shutdown(&mut self) -> Result<Status> {
        (**self).shutdown()
    }

    fn into_fd<'session>(self: Box<Self>) -> std::result::Result<Detached, DetachError<'session>>
    where
        Self: 'session,
    {
        (*self).into_fd()
    }
}
