//! Driving a connection in either mode: single steps that never block, and blocking calls made of
//! them and `poll`.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use polytls::{DynContext, Facts, Progress, Result, SessionOptions, SocketSession, Status};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::args::Mode;
use crate::buffered::Buffered;
use crate::failure::Failure;

/// A session and its non-blocking socket, in either mode.
///
/// The calls are those of [`SocketSession`]: none blocks; `WantRead` and `WantWrite` say what to
/// wait for before the next call.
pub(crate) enum Connection {
    Socket(Box<dyn SocketSession>),
    Buffer(Buffered),
}

impl Connection {
    /// A new connection over a connected socket, which is put in non-blocking mode.
    pub(crate) fn new(
        context: &dyn DynContext,
        socket: TcpStream,
        options: SessionOptions,
        mode: Mode,
    ) -> std::result::Result<Self, Failure> {
        socket
            .set_nonblocking(true)
            .map_err(|error| Failure::new(format!("the socket: {error}")))?;
        Ok(match mode {
            Mode::Socket => Self::Socket(context.socket_session(OwnedFd::from(socket), options)?),
            Mode::Buffer => Self::Buffer(Buffered::new(context.buffer_session(options)?, socket)),
        })
    }

    pub(crate) fn handshake(&mut self) -> Result<Status> {
        match self {
            Self::Socket(session) => session.handshake(),
            Self::Buffer(buffered) => buffered.handshake(),
        }
    }

    pub(crate) fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        match self {
            Self::Socket(session) => session.read(plaintext),
            Self::Buffer(buffered) => buffered.read(plaintext),
        }
    }

    pub(crate) fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        match self {
            Self::Socket(session) => session.write(plaintext),
            Self::Buffer(buffered) => buffered.write(plaintext),
        }
    }

    pub(crate) fn flush(&mut self) -> Result<Status> {
        match self {
            Self::Socket(session) => session.flush(),
            Self::Buffer(buffered) => buffered.flush(),
        }
    }

    pub(crate) fn shutdown(&mut self) -> Result<Status> {
        match self {
            Self::Socket(session) => session.shutdown(),
            Self::Buffer(buffered) => buffered.shutdown(),
        }
    }

    /// What the handshake settled, once it is complete.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Socket(session) => session.facts(),
            Self::Buffer(buffered) => buffered.session().facts(),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket(session) => session.as_fd(),
            Self::Buffer(buffered) => buffered.socket().as_fd(),
        }
    }
}

/// A connection whose calls wait, each until the deadline at most.
pub(crate) struct Blocking<'connection> {
    connection: &'connection mut Connection,
    deadline: Instant,
}

impl<'connection> Blocking<'connection> {
    pub(crate) fn new(connection: &'connection mut Connection, deadline: Instant) -> Self {
        Self {
            connection,
            deadline,
        }
    }

    pub(crate) fn handshake(&mut self) -> std::result::Result<(), Failure> {
        self.settle(Connection::handshake)
    }

    /// Application data, or `None` once the peer has closed its side.
    pub(crate) fn read(
        &mut self,
        plaintext: &mut [u8],
    ) -> std::result::Result<Option<usize>, Failure> {
        let progress = self.repeat(|connection| connection.read(plaintext))?;
        Ok(match progress.status {
            Status::Closed => None,
            _ => Some(progress.produced),
        })
    }

    pub(crate) fn write_all(&mut self, mut plaintext: &[u8]) -> std::result::Result<(), Failure> {
        while !plaintext.is_empty() {
            let progress = self.repeat(|connection| connection.write(plaintext))?;
            plaintext = &plaintext[progress.consumed..];
        }
        self.settle(Connection::flush)
    }

    /// Ends this side; the peer's may go on.
    pub(crate) fn shutdown(&mut self) -> std::result::Result<(), Failure> {
        self.settle(Connection::shutdown)
    }

    fn settle(
        &mut self,
        step: impl Fn(&mut Connection) -> Result<Status>,
    ) -> std::result::Result<(), Failure> {
        self.repeat(|connection| Ok(Progress::idle(step(connection)?)))
            .map(|_| ())
    }

    /// Repeats a step until it wants neither to read nor to write, and waits in between.
    fn repeat(
        &mut self,
        mut step: impl FnMut(&mut Connection) -> Result<Progress>,
    ) -> std::result::Result<Progress, Failure> {
        loop {
            let progress = step(self.connection)?;
            let readiness = match progress.status {
                // What is pending leaves first: the peer may be waiting for it.
                Status::WantRead if self.connection.flush()? == Status::Complete => PollFlags::IN,
                Status::WantRead => PollFlags::IN | PollFlags::OUT,
                Status::WantWrite => PollFlags::OUT,
                Status::Complete | Status::Closed => return Ok(progress),
                other => {
                    return Err(Failure::new(format!(
                        "the session asks for {other:?}, which was not configured"
                    )));
                }
            };
            let mut descriptors = [PollFd::new(&*self.connection, readiness)];
            if !wait(&mut descriptors, Some(self.deadline))? {
                return Err(Failure::new("timed out waiting for the peer"));
            }
        }
    }
}

/// Waits until one of the descriptors is ready; `false` if none is by the deadline.
pub(crate) fn wait(
    descriptors: &mut [PollFd<'_>],
    deadline: Option<Instant>,
) -> std::result::Result<bool, Failure> {
    loop {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match rustix::event::poll(descriptors, timeout.map(timespec).as_ref()) {
            Ok(0) if timeout.is_some_and(|timeout| timeout.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => {
                return Err(Failure::new(format!("poll: {}", io::Error::from(errno))));
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    /// As good as for ever, and within what every system counts.
    const LONG: Timespec = Timespec {
        tv_sec: i32::MAX as i64,
        tv_nsec: 0,
    };
    Timespec::try_from(duration).unwrap_or(LONG)
}
