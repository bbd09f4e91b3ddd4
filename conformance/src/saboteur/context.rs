//! Contexts of a saboteur.

use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tls_core::config::SocketTransport;
use tls_core::{
    BufferSession, DynContext, Error, Misuse, Operation, Result, Role, SessionOptions,
    SocketSession,
};

use super::Sabotage;
use super::session::{SabotagedBuffer, SabotagedSocket};

/// What is done to the descriptor of a socket session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DescriptorHook {
    /// It is passed on.
    Pass,
    /// It is put into non-blocking mode.
    MakeNonblocking,
    /// A second descriptor of the socket stays open.
    Leak,
    /// It is shut down with the session, a borrowed one too.
    ShutDown,
    /// It is written to in a way that raises SIGPIPE where nobody reads.
    Signal,
    /// What was not read is lost when it is given back.
    LosePlaintext,
    /// It is given back although the session says that it must not be, and why.
    GiveBackDespite(Misuse),
}

pub(super) struct SabotagedContext {
    inner: Box<dyn DynContext>,
    sabotage: &'static Sabotage,
    /// No handle to the context was dropped so far.
    intact: Arc<AtomicBool>,
}

impl SabotagedContext {
    pub(super) fn new(inner: Box<dyn DynContext>, sabotage: &'static Sabotage) -> Self {
        Self {
            inner,
            sabotage,
            intact: Arc::new(AtomicBool::new(true)),
        }
    }

    fn options(&self, mut options: SessionOptions) -> SessionOptions {
        (self.sabotage.options)(&mut options);
        options
    }

    fn descriptor(&self, fd: &OwnedFd) -> Result<()> {
        let failed = |error| Error::io(error, Operation::CreateSession);
        match self.sabotage.descriptor {
            DescriptorHook::MakeNonblocking => make_nonblocking(fd.as_fd()),
            DescriptorHook::Leak => {
                std::mem::forget(fd.try_clone().map_err(failed)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn make_nonblocking(fd: BorrowedFd<'_>) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true)
        .map_err(|errno| Error::io(errno.into(), Operation::CreateSession))
}

impl DynContext for SabotagedContext {
    fn role(&self) -> Role {
        self.inner.role()
    }

    fn is_deferred(&self) -> bool {
        self.inner.is_deferred()
    }

    fn socket_transport(&self) -> SocketTransport {
        self.inner.socket_transport()
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<Box<dyn BufferSession>> {
        let inner = self.inner.buffer_session(self.options(options))?;
        Ok(Box::new(SabotagedBuffer::new(
            inner,
            (self.sabotage.hook)(),
            Arc::clone(&self.intact),
        )))
    }

    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Box<dyn SocketSession>> {
        self.descriptor(&fd)?;
        let inner = self.inner.socket_session(fd, self.options(options))?;
        Ok(Box::new(SabotagedSocket::new(
            inner,
            (self.sabotage.hook)(),
            Arc::clone(&self.intact),
            self.sabotage.descriptor,
        )))
    }

    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Box<dyn SocketSession + 'fd>> {
        if self.sabotage.descriptor == DescriptorHook::MakeNonblocking {
            make_nonblocking(fd)?;
        }
        let inner = self
            .inner
            .socket_session_borrowed(fd, self.options(options))?;
        Ok(Box::new(SabotagedSocket::new(
            inner,
            (self.sabotage.hook)(),
            Arc::clone(&self.intact),
            self.sabotage.descriptor,
        )))
    }

    fn clone_context(&self) -> Box<dyn DynContext> {
        Box::new(Self {
            inner: self.inner.clone_context(),
            sabotage: self.sabotage,
            intact: Arc::clone(&self.intact),
        })
    }

    /// The context underneath: the sessions that are given it are the engine's.
    fn as_any(&self) -> &dyn Any {
        self.inner.as_any()
    }
}

impl Drop for SabotagedContext {
    fn drop(&mut self) {
        if self.sabotage.context_drop_matters {
            self.intact.store(false, Ordering::Relaxed);
        }
    }
}
