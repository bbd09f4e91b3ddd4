//! Contexts whose sessions wait for a choice.

use std::fmt;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd};

use super::DeferredBufferSession;
#[cfg(unix)]
use super::DeferredSocketSession;
use crate::backend::{Context, DynContext};
use crate::config::{SessionOptions, SocketTransport, check_server_session};
use crate::error::Result;
#[cfg(unix)]
use crate::session::SocketSession;
use crate::session::{BufferSession, Role};
#[cfg(unix)]
use crate::support::Descriptor;

/// How a session makes a context of its own kind out of the one it was given, if it can.
pub(super) type Choose<C> = fn(&dyn DynContext) -> Option<C>;

/// A server context that is not chosen yet: its sessions read the ClientHello, give
/// [`NeedsServerContext`](crate::Status::NeedsServerContext), and go on once
/// [`set_context`](crate::Session::set_context) has given them a context.
///
/// `C` is the context of one backend ([`Backend::deferred_server`](crate::Backend::deferred_server)),
/// or [`AnyContext`] for contexts of whatever backends ([`Deferred::any`]). Contexts are built
/// beforehand and shared: choosing one costs no more than a handle to it. Backends that share the
/// type of their contexts, such as rustls with either provider, are one here.
pub struct Deferred<C> {
    choose: Choose<C>,
}

impl<C: Context> Deferred<C> {
    /// A context whose sessions wait for one of type `C`. Backends are asked for it:
    /// [`Backend::deferred_server`](crate::Backend::deferred_server).
    pub(crate) const fn new() -> Self {
        Self {
            choose: |context| context.as_any().downcast_ref().cloned(),
        }
    }
}

impl Deferred<AnyContext> {
    /// A context whose sessions wait for one of any backend.
    pub const fn any() -> Self {
        Self {
            choose: |context| Some(AnyContext(context.clone_context())),
        }
    }
}

impl<C: Context> Context for Deferred<C> {
    type Buffer = DeferredBufferSession<C>;
    #[cfg(unix)]
    type Socket<'fd> = DeferredSocketSession<'fd, C>;

    fn role(&self) -> Role {
        Role::Server
    }

    fn is_deferred(&self) -> bool {
        true
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<Self::Buffer> {
        check_server_session(&options)?;
        Ok(DeferredBufferSession::new(self.choose, options))
    }

    #[cfg(unix)]
    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Self::Socket<'static>> {
        check_server_session(&options)?;
        DeferredSocketSession::new(self.choose, Descriptor::Owned(fd), options)
    }

    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Self::Socket<'fd>> {
        check_server_session(&options)?;
        DeferredSocketSession::new(self.choose, Descriptor::Borrowed(fd), options)
    }
}

impl<C> Clone for Deferred<C> {
    fn clone(&self) -> Self {
        Self {
            choose: self.choose,
        }
    }
}

impl<C> fmt::Debug for Deferred<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").finish_non_exhaustive()
    }
}

/// A context of whatever backend.
#[derive(Clone)]
pub struct AnyContext(Box<dyn DynContext>);

impl Context for AnyContext {
    type Buffer = Box<dyn BufferSession>;
    #[cfg(unix)]
    type Socket<'fd> = Box<dyn SocketSession + 'fd>;

    fn role(&self) -> Role {
        self.0.role()
    }

    fn is_deferred(&self) -> bool {
        self.0.is_deferred()
    }

    fn socket_transport(&self) -> SocketTransport {
        self.0.socket_transport()
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<Self::Buffer> {
        self.0.buffer_session(options)
    }

    #[cfg(unix)]
    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Self::Socket<'static>> {
        self.0.socket_session(fd, options)
    }

    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Self::Socket<'fd>> {
        self.0.socket_session_borrowed(fd, options)
    }
}

impl fmt::Debug for AnyContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyContext")
            .field("role", &self.0.role())
            .finish_non_exhaustive()
    }
}
