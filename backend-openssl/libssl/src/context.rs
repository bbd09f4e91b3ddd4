//! Contexts: what is the same for every library once it has taken the configuration.

use std::fmt;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use tls_core::config::{Checked, Identity, Parameters, SessionOptions, SocketTransport};
use tls_core::pki_types::ServerName;
#[cfg(unix)]
use tls_core::support::Descriptor;
use tls_core::{ClientConfig, Context, Result, Role, ServerConfig};

#[cfg(unix)]
use crate::SocketEngineSession;
use crate::engine::Engine;
use crate::post_handshake::Policy;
use crate::{BufferEngineSession, ClientStore, Questions, Setup};

/// A configuration that a library has taken.
pub trait Lowered: Send + Sync + 'static {
    /// What its sessions run on.
    type Engine: Engine;
    /// What its clients keep to resume.
    type Kept: Send + Sync;

    /// The configuration.
    fn side(&self) -> &Side<Self::Kept>;

    /// A handle for one session, which knows its role and is ready for its handshake.
    ///
    /// # Errors
    ///
    /// `Config(..)` for options that do not fit; `Backend`, if the library is out of memory.
    fn engine(&self, options: &SessionOptions) -> Result<Self::Engine>;
}

/// Which side a context is of, with what its sessions need of the configuration.
#[derive(Debug)]
pub enum Side<S> {
    /// A client.
    Client {
        /// Its configuration.
        config: Checked<ClientConfig>,
        /// The sessions it may resume, unless resumption is off.
        store: Option<ClientStore<S>>,
    },
    /// A server.
    Server(Checked<ServerConfig>),
}

impl<S> Side<S> {
    const fn role(&self) -> Role {
        match self {
            Self::Client { .. } => Role::Client,
            Self::Server(_) => Role::Server,
        }
    }

    fn parameters(&self) -> &Parameters {
        match self {
            Self::Client { config, .. } => &config.parameters,
            Self::Server(config) => &config.parameters,
        }
    }

    /// What the callbacks of its sessions ask; `server_name` is whom a client expects.
    pub fn questions(&self, server_name: Option<ServerName<'static>>) -> Questions {
        match self {
            Self::Client { config, .. } => Questions::of_client(config, server_name),
            Self::Server(config) => Questions::of_server(config),
        }
    }

    fn policy(&self) -> Policy {
        let has_client_roots = match self {
            Self::Client { .. } => false,
            Self::Server(config) => config.client_authentication.roots().is_some(),
        };
        Policy {
            has_client_roots,
            allow_renegotiation: self.parameters().allow_renegotiation,
        }
    }

    fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Client { config, .. } => config.identity.as_ref(),
            Self::Server(config) => Some(&config.identity),
        }
    }

    fn setup(&self) -> Setup {
        let parameters = self.parameters();
        Setup {
            role: self.role(),
            pending_output_bound: parameters.pending_output_bound,
            quiet_shutdown: parameters.quiet_shutdown,
            socket_transport: parameters.socket_transport,
            policy: self.policy(),
            local_certificates: self.identity().map(Identity::shared_chain),
        }
    }
}

/// A client or server configuration made ready in a library's terms; clones share it.
pub struct EngineContext<L>(Arc<L>);

impl<L> EngineContext<L> {
    /// Shares what a library has taken.
    pub fn new(lowered: L) -> Self {
        Self(Arc::new(lowered))
    }
}

impl<L: Lowered> Context for EngineContext<L> {
    type Buffer = BufferEngineSession<L::Engine>;
    #[cfg(unix)]
    type Socket<'fd> = SocketEngineSession<'fd, L::Engine>;

    fn role(&self) -> Role {
        self.0.side().role()
    }

    fn socket_transport(&self) -> SocketTransport {
        self.0.side().parameters().socket_transport
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<Self::Buffer> {
        BufferEngineSession::new(self.0.engine(&options)?, &self.0.side().setup())
    }

    #[cfg(unix)]
    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Self::Socket<'static>> {
        let engine = self.0.engine(&options)?;
        SocketEngineSession::new(engine, &self.0.side().setup(), Descriptor::Owned(fd))
    }

    #[cfg(unix)]
    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Self::Socket<'fd>> {
        let engine = self.0.engine(&options)?;
        SocketEngineSession::new(engine, &self.0.side().setup(), Descriptor::Borrowed(fd))
    }
}

impl<L> Clone for EngineContext<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Lowered> fmt::Debug for EngineContext<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineContext")
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}
