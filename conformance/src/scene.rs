//! What a case is given: the backend, the mode, the version, certificates, and ready-made pairs.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use tls_core::iana::ProtocolVersion;
use tls_core::{ClientConfig, DynBackend, DynContext, Feature, ServerConfig, SessionOptions};

use crate::case::{CaseResult, Failure, Mode};
use crate::endpoint::Endpoint;
use crate::pair::Pair;
use crate::pki::{Pki, SERVER_NAME};
use crate::wire::{End, Port, Wire};

/// The capacity of each queue of a wire in memory, in bytes, unless set.
const DEFAULT_WINDOW: usize = 64 * 1024;

/// What a case is given.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The backend under test.
    pub backend: &'a dyn DynBackend,
    /// How sessions are driven.
    pub mode: Mode,
    /// The one version that [`client_config`](Self::client_config) and
    /// [`server_config`](Self::server_config) allow.
    pub version: ProtocolVersion,
    /// The certificates.
    pub pki: &'static Pki,
    pub(crate) deadline: Instant,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(
        backend: &'a dyn DynBackend,
        mode: Mode,
        version: ProtocolVersion,
        deadline: Instant,
    ) -> Self {
        Self {
            backend,
            mode,
            version,
            pki: Pki::shared(),
            deadline,
        }
    }

    /// Whether the scene is one of TLS 1.3.
    pub fn is_tls13(&self) -> bool {
        self.version == ProtocolVersion::TLS1_3
    }

    /// A client that trusts [`Pki::root`] and speaks only the version of the scene.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.pki.roots());
        config.parameters.min_version = self.version;
        config.parameters.max_version = self.version;
        config
    }

    /// A server that presents [`Pki::server`] and speaks only the version of the scene.
    pub fn server_config(&self) -> ServerConfig {
        let mut config = ServerConfig::new(self.pki.server.clone());
        config.parameters.min_version = self.version;
        config.parameters.max_version = self.version;
        config
    }

    /// Options for a client session with [`SERVER_NAME`].
    pub fn options(&self) -> SessionOptions {
        SessionOptions::to_server(SERVER_NAME).expect("a valid name")
    }

    /// Whether the backend has a feature; for the parts of a case that only matter with it.
    /// What the whole case needs belongs into its `requires`.
    pub fn has(&self, feature: Feature) -> bool {
        self.backend.capabilities().support(feature).is_available()
    }

    /// Builds a pair step by step.
    pub fn build(&self) -> Builder<'a> {
        Builder {
            scene: *self,
            client: ContextOf::Config(Box::new(self.client_config())),
            server: ContextOf::Config(Box::new(self.server_config())),
            options: self.options(),
            window: None,
            tcp: false,
            borrowed: false,
        }
    }

    /// A pair of the default configurations, before the handshake.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub fn pair(&self) -> CaseResult<Pair> {
        self.build().pair()
    }

    /// A pair of the default configurations, after the handshake.
    ///
    /// # Errors
    ///
    /// The backend's, and those of the handshake.
    pub fn connected(&self) -> CaseResult<Pair> {
        self.build().connected()
    }

    /// A pair of these configurations, before the handshake.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub fn pair_with(&self, client: ClientConfig, server: ServerConfig) -> CaseResult<Pair> {
        self.build().client(client).server(server).pair()
    }

    /// Two connected non-blocking stream sockets, for cases about descriptors.
    ///
    /// # Errors
    ///
    /// `harness`.
    pub fn sockets(&self) -> CaseResult<(OwnedFd, OwnedFd)> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        Ok((near.into(), far.into()))
    }
}

enum ContextOf<C> {
    Config(Box<C>),
    Ready(Box<dyn DynContext>),
}

/// Builds a pair step by step; everything has a default.
pub struct Builder<'a> {
    scene: Scene<'a>,
    client: ContextOf<ClientConfig>,
    server: ContextOf<ServerConfig>,
    options: SessionOptions,
    window: Option<usize>,
    tcp: bool,
    borrowed: bool,
}

impl Builder<'_> {
    /// The client's configuration.
    #[must_use]
    pub fn client(mut self, config: ClientConfig) -> Self {
        self.client = ContextOf::Config(Box::new(config));
        self
    }

    /// The server's configuration.
    #[must_use]
    pub fn server(mut self, config: ServerConfig) -> Self {
        self.server = ContextOf::Config(Box::new(config));
        self
    }

    /// A client context that is there already, for cases with several sessions of one context.
    #[must_use]
    pub fn client_context(mut self, context: &dyn DynContext) -> Self {
        self.client = ContextOf::Ready(context.clone_context());
        self
    }

    /// A server context that is there already.
    #[must_use]
    pub fn server_context(mut self, context: &dyn DynContext) -> Self {
        self.server = ContextOf::Ready(context.clone_context());
        self
    }

    /// The options of the client's session.
    #[must_use]
    pub fn options(mut self, options: SessionOptions) -> Self {
        self.options = options;
        self
    }

    /// How many bytes each end of the transport holds on the way out, and on the way in. Exact in
    /// buffer mode, where 1 means one byte of room; in socket mode the sockets' buffers are made as
    /// small as the system allows (a few KiB).
    #[must_use]
    pub fn window(mut self, bytes: usize) -> Self {
        self.window = Some(bytes.max(1));
        self
    }

    /// Socket mode: over loopback TCP instead of Unix sockets, so that the connection can be
    /// reset. No difference in buffer mode.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Socket mode: sessions borrow their descriptors, which then stay open until the process ends.
    #[must_use]
    pub fn borrowed(mut self) -> Self {
        self.borrowed = true;
        self
    }

    /// The pair, before the handshake.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub fn pair(self) -> CaseResult<Pair> {
        let backend = self.scene.backend;
        let client = match self.client {
            ContextOf::Config(config) => backend.client(*config)?,
            ContextOf::Ready(context) => context,
        };
        let server = match self.server {
            ContextOf::Config(config) => backend.server(*config)?,
            ContextOf::Ready(context) => context,
        };
        let transport = Transport {
            window: self.window,
            tcp: self.tcp && self.scene.mode == Mode::Socket,
            borrowed: self.borrowed,
        };
        let (client, client_end) = transport.endpoint(self.scene.mode, &*client, self.options)?;
        let (server, server_end) =
            transport.endpoint(self.scene.mode, &*server, SessionOptions::new())?;
        Ok(Pair::new(
            client,
            server,
            Wire::new(client_end, server_end),
            transport.tcp,
            self.scene.deadline,
        ))
    }

    /// The pair, after the handshake.
    ///
    /// # Errors
    ///
    /// The backend's, and those of the handshake.
    pub fn connected(self) -> CaseResult<Pair> {
        let mut pair = self.pair()?;
        pair.handshake()?;
        Ok(pair)
    }
}

/// What an endpoint sends to and receives from.
#[derive(Debug, Default)]
pub(crate) struct Transport {
    window: Option<usize>,
    tcp: bool,
    borrowed: bool,
}

impl Transport {
    /// Loopback TCP in socket mode, which can be reset.
    pub(crate) fn over_tcp() -> Self {
        Self {
            tcp: true,
            ..Self::default()
        }
    }

    pub(crate) fn endpoint(
        &self,
        mode: Mode,
        context: &dyn DynContext,
        options: SessionOptions,
    ) -> CaseResult<(Endpoint, End)> {
        if mode == Mode::Buffer {
            let port = Port::new(self.window.unwrap_or(DEFAULT_WINDOW));
            let session = context.buffer_session(options)?;
            return Ok((Endpoint::buffer(session, port.clone()), End::Memory(port)));
        }
        let (near, far) = self.sockets()?;
        let session = if self.borrowed {
            // A borrowed descriptor must outlive the session, which has no lifetime here.
            let near: &'static OwnedFd = Box::leak(Box::new(near));
            context.socket_session_borrowed(near.as_fd(), options)?
        } else {
            context.socket_session(near, options)?
        };
        Ok((Endpoint::socket(session), far))
    }

    fn sockets(&self) -> CaseResult<(OwnedFd, End)> {
        if self.tcp {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let near = TcpStream::connect(listener.local_addr()?)?;
            let (far, _) = listener.accept()?;
            for stream in [&near, &far] {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
            }
            self.shrink(&near)?;
            self.shrink(&far)?;
            return Ok((near.into(), End::Tcp(far)));
        }
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        self.shrink(&near)?;
        self.shrink(&far)?;
        Ok((near.into(), End::Unix(far)))
    }

    fn shrink(&self, socket: impl AsFd) -> CaseResult {
        let Some(window) = self.window else {
            return Ok(());
        };
        let resize = || {
            rustix::net::sockopt::set_socket_send_buffer_size(&socket, window)?;
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, window)
        };
        resize().map_err(|errno| Failure::from(std::io::Error::from(errno)))
    }
}
