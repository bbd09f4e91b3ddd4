//! Backends and contexts, and their object-safe twins.

use std::any::Any;
use std::fmt;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::capabilities::{Capabilities, Feature};
use crate::config::{Checked, ClientConfig, ServerConfig, SessionOptions, SocketTransport};
use crate::deferred::Deferred;
use crate::error::Result;
#[cfg(unix)]
use crate::session::SocketSession;
use crate::session::{BufferSession, Role};

/// Which library a backend is, as found at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildInfo {
    /// The library's own name: `OpenSSL`, `rustls`.
    pub library: String,
    /// The library's own version.
    pub version: String,
}

impl BuildInfo {
    /// Names a library and its version.
    pub fn new(library: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            library: library.into(),
            version: version.into(),
        }
    }
}

impl fmt::Display for BuildInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.library, self.version)
    }
}

/// A TLS engine: makes contexts, and says what it can do.
///
/// Programs call [`client`](Self::client) and [`server`](Self::server); implementors provide
/// [`build_client`](Self::build_client) and [`build_server`](Self::build_server), which only ever
/// see configurations within the capabilities stated.
pub trait Backend: Send + Sync + 'static {
    /// The name programs choose the backend by at run time.
    const NAME: &'static str;

    /// The contexts this backend makes.
    type Context: Context;

    /// The library underneath, as found at run time.
    fn build_info(&self) -> BuildInfo;

    /// What the backend can do, probed once where builds of the library differ.
    fn capabilities(&self) -> &Capabilities;

    /// Lowers a checked client configuration.
    ///
    /// # Errors
    ///
    /// `Config(..)` if the engine finds a certificate, key or root unusable; `Backend`.
    fn build_client(&self, config: Checked<ClientConfig>) -> Result<Self::Context>;

    /// Lowers a checked server configuration.
    ///
    /// # Errors
    ///
    /// As [`Self::build_client`].
    fn build_server(&self, config: Checked<ServerConfig>) -> Result<Self::Context>;

    /// Makes a client context. May read the system's roots from the file system.
    ///
    /// # Errors
    ///
    /// `Unsupported(feature)` or `Config(..)`, saying what exactly is wrong.
    fn client(&self, config: ClientConfig) -> Result<Self::Context> {
        self.build_client(config.check(self.capabilities())?)
    }

    /// Makes a server context.
    ///
    /// # Errors
    ///
    /// `Unsupported(feature)` or `Config(..)`, saying what exactly is wrong.
    fn server(&self, config: ServerConfig) -> Result<Self::Context> {
        self.build_server(config.check(self.capabilities())?)
    }

    /// Makes a server context that is chosen by what the client offers, among the server contexts of
    /// this backend.
    ///
    /// # Errors
    ///
    /// `Unsupported(DeferredServerContext)`.
    fn deferred_server(&self) -> Result<Deferred<Self::Context>> {
        self.capabilities()
            .require(Feature::DeferredServerContext)?;
        Ok(Deferred::new())
    }
}

/// A configuration made ready, from which sessions are made: immutable, shared by all of them, and
/// cheap to clone (K15). It may be dropped before its sessions.
///
/// Resumption belongs to the context: a session is resumed only in the context, or for clients
/// towards the server name and key, that it was made with (K12).
pub trait Context: Clone + fmt::Debug + Send + Sync + 'static {
    /// Sessions without I/O.
    type Buffer: BufferSession + 'static;
    /// Sessions that own or borrow a socket, for as long as `'fd`.
    #[cfg(unix)]
    type Socket<'fd>: SocketSession + 'fd;

    /// Which side sessions of this context are.
    fn role(&self) -> Role;

    /// Whether sessions of this context wait for another context to be chosen.
    fn is_deferred(&self) -> bool {
        false
    }

    /// How socket sessions of this context move ciphertext.
    fn socket_transport(&self) -> SocketTransport {
        SocketTransport::Gathered
    }

    /// Makes a session without I/O.
    ///
    /// # Errors
    ///
    /// `Config(ServerName)` if a client is not told whom to talk to, or a server is.
    fn buffer_session(&self, options: SessionOptions) -> Result<Self::Buffer>;

    /// Makes a session that owns a connected stream socket in non-blocking mode.
    ///
    /// # Errors
    ///
    /// `Misuse(BlockingDescriptor)`, whose flags are left untouched (the descriptor is closed);
    /// otherwise as [`Self::buffer_session`].
    #[cfg(unix)]
    fn socket_session(&self, fd: OwnedFd, options: SessionOptions)
    -> Result<Self::Socket<'static>>;

    /// Makes a session that borrows a connected stream socket in non-blocking mode. The socket
    /// cannot be closed while the session lives:
    ///
    /// ```compile_fail,E0505
    /// # use std::{net::TcpStream, os::fd::AsFd};
    /// # use tls_core::{Context, SessionOptions, SocketSession};
    /// fn too_long(context: &impl Context, socket: TcpStream) -> tls_core::Result<()> {
    ///     let mut session = context.socket_session_borrowed(socket.as_fd(), SessionOptions::new())?;
    ///     drop(socket);
    ///     session.handshake()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::socket_session`]; the descriptor stays open.
    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Self::Socket<'fd>>;
}

/// The object-safe twin of [`Backend`], for programs that choose at run time. Every backend is one.
pub trait DynBackend: Send + Sync {
    /// See [`Backend::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Backend::build_info`].
    fn build_info(&self) -> BuildInfo;
    /// See [`Backend::capabilities`].
    fn capabilities(&self) -> &Capabilities;
    /// See [`Backend::client`].
    ///
    /// # Errors
    ///
    /// As [`Backend::client`].
    fn client(&self, config: ClientConfig) -> Result<Box<dyn DynContext>>;
    /// See [`Backend::server`].
    ///
    /// # Errors
    ///
    /// As [`Backend::server`].
    fn server(&self, config: ServerConfig) -> Result<Box<dyn DynContext>>;
    /// See [`Backend::deferred_server`].
    ///
    /// # Errors
    ///
    /// As [`Backend::deferred_server`].
    fn deferred_server(&self) -> Result<Box<dyn DynContext>>;
}

impl<B: Backend> DynBackend for B {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn build_info(&self) -> BuildInfo {
        Backend::build_info(self)
    }

    fn capabilities(&self) -> &Capabilities {
        Backend::capabilities(self)
    }

    fn client(&self, config: ClientConfig) -> Result<Box<dyn DynContext>> {
        Ok(Box::new(Backend::client(self, config)?))
    }

    fn server(&self, config: ServerConfig) -> Result<Box<dyn DynContext>> {
        Ok(Box::new(Backend::server(self, config)?))
    }

    fn deferred_server(&self) -> Result<Box<dyn DynContext>> {
        Ok(Box::new(Backend::deferred_server(self)?))
    }
}

/// The object-safe twin of [`Context`]. Every context is one.
pub trait DynContext: Any + Send + Sync {
    /// See [`Context::role`].
    fn role(&self) -> Role;
    /// See [`Context::is_deferred`].
    fn is_deferred(&self) -> bool;
    /// See [`Context::socket_transport`].
    fn socket_transport(&self) -> SocketTransport;
    /// See [`Context::buffer_session`].
    ///
    /// # Errors
    ///
    /// As [`Context::buffer_session`].
    fn buffer_session(&self, options: SessionOptions) -> Result<Box<dyn BufferSession>>;
    /// See [`Context::socket_session`].
    ///
    /// # Errors
    ///
    /// As [`Context::socket_session`].
    #[cfg(unix)]
    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Box<dyn SocketSession>>;
    /// See [`Context::socket_session_borrowed`].
    ///
    /// # Errors
    ///
    /// As [`Context::socket_session_borrowed`].
    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Box<dyn SocketSession + 'fd>>;
    /// Another handle to the same context.
    fn clone_context(&self) -> Box<dyn DynContext>;
    /// The context itself.
    fn as_any(&self) -> &dyn Any;
}

impl<C: Context> DynContext for C {
    fn role(&self) -> Role {
        Context::role(self)
    }

    fn is_deferred(&self) -> bool {
        Context::is_deferred(self)
    }

    fn socket_transport(&self) -> SocketTransport {
        Context::socket_transport(self)
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<Box<dyn BufferSession>> {
        Ok(Box::new(Context::buffer_session(self, options)?))
    }

    #[cfg(unix)]
    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Box<dyn SocketSession>> {
        Ok(Box::new(Context::socket_session(self, fd, options)?))
    }

    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Box<dyn SocketSession + 'fd>> {
        Ok(Box::new(Context::socket_session_borrowed(
            self, fd, options,
        )?))
    }

    fn clone_context(&self) -> Box<dyn DynContext> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Clone for Box<dyn DynContext> {
    fn clone(&self) -> Self {
        (**self).clone_context()
    }
}
