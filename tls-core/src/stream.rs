//! `std::io::Read` and `Write` over any transport.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use crate::config::DEFAULT_PENDING_OUTPUT_BOUND;
use crate::session::{BufferSession, Session};
use crate::status::Status;
use crate::support::{Driver, Joined, Transport};

/// A TLS connection as a `Read + Write` stream, over any other such stream: a socket, a pipe in
/// memory, a connection that was in the clear until now (STARTTLS), another `TlsStream`.
///
/// Blocks where the transport blocks. If the transport does not block, a call that would gives
/// [`WouldBlock`](io::ErrorKind::WouldBlock) and is repeated when the transport is ready; which
/// way the transport must move is not told, so a program with an event loop is better served by a
/// [`SocketSession`](crate::SocketSession).
///
/// The first `read` or `write` performs the handshake; call [`handshake`](Self::handshake) to do
/// it earlier. Dropping the stream sends nothing: end it with [`shutdown`](Self::shutdown).
///
/// Errors keep the [`Error`](crate::Error) as their inner error. While bytes wait, and only then, up to 68 KiB in
/// each direction are borrowed from the thread; a call allocates nothing of its own.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use tls_core::{Backend, ClientConfig, Context, SessionOptions, TlsStream, config::Roots};
///
/// fn fetch(backend: &impl Backend, host: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
///     let context = backend.client(ClientConfig::new(Roots::system()))?;
///     let session = context.buffer_session(SessionOptions::to_server(host)?)?;
///     let mut stream = TlsStream::new(session, TcpStream::connect((host, 443))?);
///     write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
///     stream.flush()?;
///     let mut response = Vec::new();
///     stream.read_to_end(&mut response)?;
///     stream.shutdown()?;
///     Ok(response)
/// }
/// ```
pub struct TlsStream<S, B = Box<dyn BufferSession>> {
    driver: Driver<B>,
    transport: Direct<S>,
}

/// What a stream is made of, so that nothing is lost when it is taken apart.
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamParts<S, B> {
    /// The session.
    pub session: B,
    /// The transport.
    pub transport: S,
    /// Ciphertext that was received and that the session has not consumed. Once the peer's
    /// close_notify was seen, these are the bytes that followed it.
    pub received: Vec<u8>,
    /// Ciphertext that was taken from the session and that the transport has not taken.
    pub unsent: Vec<u8>,
}

/// The stream's transport.
#[derive(Debug)]
struct Direct<S>(S);

impl<S: Read + Write> Transport for Direct<S> {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn send(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: Read + Write, B: BufferSession> TlsStream<S, B> {
    /// Puts a session that has not begun on a transport. Does no I/O.
    pub fn new(session: B, transport: S) -> Self {
        Self {
            driver: Driver::new(session, DEFAULT_PENDING_OUTPUT_BOUND),
            transport: Direct(transport),
        }
    }

    /// Performs the handshake, or what is left of it. Blocks if the transport does.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: repeat the call when the transport is ready. `Other` if the session waits for
    /// an answer of the caller, given through [`session_mut`](Self::session_mut); repeat the call
    /// then. Otherwise the session has failed; an alert about it has been sent.
    pub fn handshake(&mut self) -> io::Result<()> {
        match self.driver.handshake(&mut self.transport)? {
            Status::Complete => Ok(()),
            status => Err(pause(status)),
        }
    }

    /// Ends our side with a close_notify (RFC 8446 section 6.1); reading goes on. `Closed` once the
    /// peer's was seen as well, `Complete` while it is outstanding. Blocks if the transport does,
    /// but never for the peer's close_notify: read for that.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: repeat the call when the transport is ready. `InvalidInput` before the
    /// handshake is complete. Otherwise the session has failed.
    pub fn shutdown(&mut self) -> io::Result<Status> {
        match self.driver.shutdown(&mut self.transport)? {
            status @ (Status::Complete | Status::Closed) => Ok(status),
            status => Err(pause(status)),
        }
    }

    /// Changes the keys this side sends with, asks the peer to change its own, and sends the
    /// message, as far as the transport takes it: what is left goes in front of what is written
    /// next. See [`Session::request_key_update`]. Blocks if the transport does.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: nothing was queued; repeat the call when the transport is ready, or after a
    /// `read`. `InvalidInput` before the handshake is complete, after `shutdown`, or for too many
    /// KeyUpdates without application data; `Unsupported` with TLS 1.2 or a backend that lacks it.
    /// Otherwise the session has failed.
    pub fn request_key_update(&mut self) -> io::Result<()> {
        let mut status = self.driver.request_key_update()?;
        if status == Status::WantWrite {
            self.flush()?;
            status = self.driver.request_key_update()?;
        }
        if status != Status::Complete {
            return Err(pause(status));
        }
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes the stream apart, without sending anything.
    pub fn into_parts(self) -> StreamParts<S, B> {
        let (session, received, unsent) = self.driver.into_parts();
        StreamParts {
            session,
            transport: self.transport.0,
            received,
            unsent,
        }
    }

    fn handshake_first(&mut self) -> io::Result<()> {
        if self.driver.is_complete() {
            return Ok(());
        }
        self.handshake()
    }
}

impl<S, B: BufferSession> TlsStream<S, B> {
    /// The session, for what was negotiated. How much ciphertext waits to be sent, and whether the
    /// close_notify has left, is known to the stream and not to it.
    pub fn session(&self) -> &B {
        self.driver.session()
    }

    /// The session, to resolve what it waits for. Moving bytes through it breaks the stream.
    pub fn session_mut(&mut self) -> &mut B {
        self.driver.session_mut()
    }

    /// The transport.
    pub fn transport(&self) -> &S {
        &self.transport.0
    }

    /// The transport, for its options. Reading from it or writing to it breaks the stream.
    pub fn transport_mut(&mut self) -> &mut S {
        &mut self.transport.0
    }
}

impl<S: Read + Write, B: BufferSession> Read for TlsStream<S, B> {
    /// Reads application data. 0 bytes (for a buffer that is not empty) mean that the peer has
    /// ended the data with an authenticated close_notify; the end of the transport without one is
    /// `UnexpectedEof`.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.handshake_first()?;
        let progress = self.driver.read(&mut self.transport, buffer)?;
        match progress.status {
            Status::Complete | Status::Closed => Ok(progress.produced),
            status => Err(pause(status)),
        }
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.handshake_first()?;
        let progress = self.driver.read_vectored(&mut self.transport, buffers)?;
        match progress.status {
            Status::Complete | Status::Closed => Ok(progress.produced),
            status => Err(pause(status)),
        }
    }
}

impl<S: Read + Write, B: BufferSession> Write for TlsStream<S, B> {
    /// Encrypts and sends. The bytes counted are the session's, even if the transport did not take
    /// all of their ciphertext yet ([`flush`](Self::flush) goes on with it) or has failed since,
    /// which the next call tells.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.handshake_first()?;
        let mut plaintext = buffer;
        let progress = self.driver.write(&mut self.transport, &mut plaintext)?;
        match progress.status {
            Status::Complete => Ok(progress.consumed),
            status => Err(pause(status)),
        }
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.handshake_first()?;
        let mut plaintext = Joined::new(buffers);
        let progress = self.driver.write(&mut self.transport, &mut plaintext)?;
        match progress.status {
            Status::Complete => Ok(progress.consumed),
            status => Err(pause(status)),
        }
    }

    /// Sends all pending ciphertext and flushes the transport.
    fn flush(&mut self) -> io::Result<()> {
        match self.driver.flush(&mut self.transport)? {
            Status::Complete => Ok(()),
            status => Err(pause(status)),
        }
    }
}

/// A step that is not done. `WouldBlock` allocates nothing.
fn pause(status: Status) -> io::Error {
    match status {
        Status::WantRead | Status::WantWrite => io::ErrorKind::WouldBlock.into(),
        Status::Closed => io::ErrorKind::UnexpectedEof.into(),
        _ => suspended(status),
    }
}

#[cold]
fn suspended(status: Status) -> io::Error {
    io::Error::other(match status {
        Status::WantCredentials => "the session waits for a client certificate",
        Status::NeedsCertificateValidation => "the session waits for a verdict on a certificate",
        _ => "the session waits for a server context",
    })
}

impl<S: fmt::Debug, B: Session> fmt::Debug for TlsStream<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("driver", &self.driver)
            .field("transport", &self.transport.0)
            .finish()
    }
}
