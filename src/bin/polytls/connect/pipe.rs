//! Both directions at once between stdin, a connection, and stdout: one poll loop, one bounded
//! buffer for each direction, nothing read before what was read last has gone on.
//!
//! The end of stdin becomes our close_notify, the peer's close_notify becomes the end of stdout;
//! each direction goes on without the other. Once the peer has closed the TCP connection too, only
//! an input that is already flowing is still passed on: it would be a pity to wait for the end of a
//! terminal that nobody listens to.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use polytls::{Error, ErrorKind, Status};
use rustix::event::{PollFd, PollFlags};
use rustix::net::RecvFlags;

use super::stdio::{Input, Moved, Output};
use crate::drive::{self, Connection};
use crate::failure::Failure;

/// Room for a few records.
const BUFFER: usize = 64 * 1024;
/// How long stdin may be idle once the peer has closed the connection altogether.
const LINGER: Duration = Duration::from_secs(1);

pub(super) fn run(connection: &mut Connection) -> Result<(), Failure> {
    let mut pipe = Pipe {
        connection,
        stdin: Input::new(),
        stdout: Output::new(),
        up: Buffer::new(),
        down: Buffer::new(),
        sending: Sending::Open,
        peer: Peer::Open,
    };
    loop {
        let interest = pipe.step()?;
        if pipe.finished() {
            return Ok(());
        }
        match pipe.wait_and_move(interest)? {
            Outcome::GoOn => {}
            Outcome::NobodyListens => {
                // A last courtesy to the peer, without waiting for it.
                let _ = pipe.connection.shutdown();
                return Ok(());
            }
        }
    }
}

struct Pipe<'connection> {
    connection: &'connection mut Connection,
    stdin: Input,
    stdout: Output,
    /// From stdin, not yet taken by the session.
    up: Buffer,
    /// From the session, not yet written to stdout.
    down: Buffer,
    sending: Sending,
    peer: Peer,
}

/// How far our own side is.
enum Sending {
    /// More may come from stdin.
    Open,
    /// Stdin has ended: what is held goes out, then the close_notify.
    Ending,
    /// The close_notify has left.
    Ended,
    /// The session takes nothing more; the reason, unless reading gives a better one.
    Failed(Error),
}

/// How far the peer's side is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Open,
    /// Its close_notify was seen; it may go on reading.
    Closed,
    /// The TCP connection has ended too.
    Gone {
        since: Instant,
    },
}

enum Outcome {
    GoOn,
    NobodyListens,
}

struct Ready {
    stdout: PollFlags,
    stdin: PollFlags,
    socket: PollFlags,
}

impl Pipe<'_> {
    /// Takes every step that does not wait; returns what the socket must be ready for.
    fn step(&mut self) -> Result<PollFlags, Failure> {
        let mut interest = self.receive()?;
        interest |= self.send();
        if let (Sending::Failed(error), Peer::Closed | Peer::Gone { .. }) =
            (&self.sending, self.peer)
        {
            let failure = Failure::from(error.clone());
            return Err(failure.about("the peer closed before it took all of the input"));
        }
        Ok(interest)
    }

    /// Reads from the session once what it gave before is written.
    fn receive(&mut self) -> Result<PollFlags, Failure> {
        if !self.down.is_empty() {
            return Ok(PollFlags::empty());
        }
        if self.peer != Peer::Open {
            return Ok(match self.peer {
                Peer::Gone { .. } => PollFlags::empty(),
                _ => PollFlags::IN,
            });
        }
        let progress = self.connection.read(self.down.space())?;
        self.down.filled(progress.produced);
        match progress.status {
            Status::WantRead => Ok(PollFlags::IN),
            Status::WantWrite => Ok(PollFlags::OUT),
            Status::Closed => {
                self.peer = Peer::Closed;
                self.stdout
                    .close()
                    .map_err(|error| local("stdout", &error))?;
                Ok(PollFlags::IN)
            }
            _ => Ok(PollFlags::empty()),
        }
    }

    /// Gives the session what came from stdin, and its ciphertext to the socket.
    fn send(&mut self) -> PollFlags {
        match self.try_send() {
            Ok(Status::WantWrite) => PollFlags::OUT,
            Ok(Status::WantRead) => PollFlags::IN,
            Ok(_) => PollFlags::empty(),
            Err(error) => {
                // What has arrived is still to be read, and then the session's own account.
                self.up = Buffer::new();
                self.sending = Sending::Failed(error);
                PollFlags::empty()
            }
        }
    }

    fn try_send(&mut self) -> Result<Status, Error> {
        if matches!(self.sending, Sending::Failed(_)) {
            return Ok(Status::Complete);
        }
        while !self.up.is_empty() {
            let progress = self.connection.write(self.up.held())?;
            self.up.taken(progress.consumed);
            if progress.status != Status::Complete {
                return Ok(progress.status);
            }
        }
        let flushed = self.connection.flush()?;
        if flushed != Status::Complete || !matches!(self.sending, Sending::Ending) {
            return Ok(flushed);
        }
        let status = match self.connection.shutdown() {
            // Nothing but the close_notify is lost, on a peer that has closed already.
            Err(error) if self.peer != Peer::Open && is_transport(&error) => Status::Closed,
            status => status?,
        };
        if matches!(status, Status::Complete | Status::Closed) {
            self.sending = Sending::Ended;
        }
        Ok(status)
    }

    fn finished(&self) -> bool {
        self.down.is_empty() && self.peer != Peer::Open && matches!(self.sending, Sending::Ended)
    }

    /// Waits for the socket, stdin or stdout, and moves what they have or take.
    fn wait_and_move(&mut self, socket: PollFlags) -> Result<Outcome, Failure> {
        let Some(ready) = self.wait(socket)? else {
            // The peer is gone and stdin is idle.
            self.sending = Sending::Ending;
            return Ok(Outcome::GoOn);
        };
        if self.peer == Peer::Closed && !ready.socket.is_empty() && self.has_gone() {
            self.peer = Peer::Gone {
                since: Instant::now(),
            };
        }
        if !ready.stdin.is_empty() {
            self.read_stdin()?;
        }
        if !self.down.is_empty() && !ready.stdout.is_empty() {
            return self.write_stdout();
        }
        if ready.stdout.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Ok(Outcome::NobodyListens);
        }
        Ok(Outcome::GoOn)
    }

    /// What is ready; `None` once there is no more point in waiting for stdin.
    fn wait(&self, socket: PollFlags) -> Result<Option<Ready>, Failure> {
        let reads_stdin = matches!(self.sending, Sending::Open) && self.up.is_empty();
        let deadline = match self.peer {
            Peer::Gone { since } if reads_stdin => Some(since + LINGER),
            _ => None,
        };
        let stdout = match self.down.is_empty() {
            true => PollFlags::empty(),
            false => PollFlags::OUT,
        };
        // Poll reports a hang-up even if nothing was asked for: a descriptor that nobody would act
        // upon now stays out, or every call would return at once. That stdout broke is acted upon.
        let mut descriptors = vec![PollFd::new(&self.stdout, stdout)];
        if reads_stdin {
            descriptors.push(PollFd::new(&self.stdin, PollFlags::IN));
        }
        if !socket.is_empty() {
            descriptors.push(PollFd::new(&*self.connection, socket));
        }
        if !drive::wait(&mut descriptors, deadline)? {
            return Ok(None);
        }
        let mut ready = descriptors.iter().map(PollFd::revents);
        let mut next = |included| match included {
            true => ready.next().unwrap_or(PollFlags::empty()),
            false => PollFlags::empty(),
        };
        Ok(Some(Ready {
            stdout: next(true),
            stdin: next(reads_stdin),
            socket: next(!socket.is_empty()),
        }))
    }

    fn read_stdin(&mut self) -> Result<(), Failure> {
        match self.stdin.read(self.up.space()) {
            Ok(Moved::Bytes(read)) => self.up.filled(read),
            Ok(Moved::NotNow) => {}
            Ok(Moved::Ended) => self.sending = Sending::Ending,
            Err(error) => return Err(local("stdin", &error)),
        }
        if let Peer::Gone { since } = &mut self.peer {
            *since = Instant::now();
        }
        Ok(())
    }

    fn write_stdout(&mut self) -> Result<Outcome, Failure> {
        match self.stdout.write(self.down.held()) {
            Ok(Moved::Bytes(written)) => self.down.taken(written),
            Ok(Moved::NotNow) => {}
            Ok(Moved::Ended) => return Ok(Outcome::NobodyListens),
            Err(error) => return Err(local("stdout", &error)),
        }
        Ok(Outcome::GoOn)
    }

    /// After the peer's close_notify nothing more is to be read: whatever comes, end or garbage,
    /// ends the connection.
    fn has_gone(&self) -> bool {
        let mut byte = [0];
        let peeked = rustix::net::recv(
            self.connection.as_fd(),
            &mut byte,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        !matches!(
            peeked,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)
        )
    }
}

fn is_transport(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Reset)
}

fn local(what: &str, error: &io::Error) -> Failure {
    Failure::new(format!("{what}: {error}"))
}

/// Bytes on their way: filled when empty, then taken piece by piece.
struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn held(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The whole buffer, to be filled while nothing is held.
    fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn filled(&mut self, length: usize) {
        self.start = 0;
        self.end = length;
    }

    fn taken(&mut self, length: usize) {
        self.start += length;
    }
}
