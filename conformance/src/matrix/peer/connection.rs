//! One connection of a peer: a session in either mode over a TCP socket.

use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tls_core::{ChannelBinding, DynContext, Error, Operation, Session, SessionOptions, Status};

use super::Deadline;
use crate::case::Mode;
use crate::endpoint::{Endpoint, Step};
use crate::matrix::protocol::{Answer, Piece, Problem, Tally, Told, hexadecimal};
use crate::wire::{Link, Port};

/// The capacity of each queue of a buffer session, in bytes.
const WINDOW: usize = 64 * 1024;
/// How much is read at once, in bytes.
const READ_SIZE: usize = 16 * 1024;

/// A session in either mode over a TCP socket.
pub(super) struct Connection {
    endpoint: Endpoint,
    /// Buffer mode: what carries the ciphertext.
    link: Option<Link>,
}

/// What a step came to.
enum Turn<T> {
    Done(T),
    /// Something moved.
    Again,
    /// Nothing moves before the socket is ready.
    Wait {
        read: bool,
        write: bool,
    },
}

impl<T> Turn<T> {
    /// The turn of a call that is done with `Complete` or `Closed`.
    fn of(status: Status, done: impl FnOnce() -> T) -> Result<Self, Problem> {
        match status {
            Status::Complete | Status::Closed => Ok(Self::Done(done())),
            other => Self::waiting(&[other]),
        }
    }

    fn waiting(statuses: &[Status]) -> Result<Self, Problem> {
        let other = statuses
            .iter()
            .find(|status| !matches!(status, Status::WantRead | Status::WantWrite));
        if let Some(other) = other {
            return Err(Problem::harness(format!(
                "the session gave {other:?}, which nothing here asks for"
            )));
        }
        Ok(Self::Wait {
            read: statuses.contains(&Status::WantRead),
            write: statuses.contains(&Status::WantWrite),
        })
    }
}

impl Connection {
    pub(super) fn new(
        context: &dyn DynContext,
        stream: TcpStream,
        mode: Mode,
        options: SessionOptions,
    ) -> Result<Self, Problem> {
        stream.set_nodelay(true).map_err(Problem::harness)?;
        stream.set_nonblocking(true).map_err(Problem::harness)?;
        Ok(match mode {
            Mode::Buffer => {
                let port = Port::new(WINDOW);
                let session = context.buffer_session(options)?;
                Self {
                    endpoint: Endpoint::buffer(session, port.clone()),
                    link: Some(Link::new(port, stream)),
                }
            }
            Mode::Socket => Self {
                endpoint: Endpoint::socket(context.socket_session(OwnedFd::from(stream), options)?),
                link: None,
            },
        })
    }

    pub(super) fn handshake(&mut self, deadline: Deadline) -> Result<Answer, Problem> {
        self.drive(Operation::Handshake, deadline, |endpoint| {
            Turn::of(endpoint.handshake()?, || ())
        })?;
        match self.endpoint.session().facts() {
            Some(facts) => Ok(Answer::Handshaken(Told::from(facts))),
            None => Err(Problem::harness("a complete handshake without facts")),
        }
    }

    /// Sends and receives, both at once.
    pub(super) fn transfer(
        &mut self,
        send: Piece,
        receive: usize,
        deadline: Deadline,
    ) -> Result<Answer, Problem> {
        let data = send.bytes();
        let mut buffer = vec![0; READ_SIZE];
        let mut sent = 0;
        let mut tally = Tally::new();
        let done = self.drive(Operation::Write, deadline, |endpoint| {
            let mut moved = 0;
            let mut statuses = Vec::new();
            if sent < data.len() {
                let step = endpoint.write(&data[sent..])?;
                sent += step.bytes;
                moved += step.bytes;
                statuses.extend(unless_complete(step));
            }
            if tally.bytes() < receive {
                let wanted = READ_SIZE.min(receive - tally.bytes());
                let step = endpoint.read(&mut buffer[..wanted])?;
                if step.status == Status::Closed {
                    return Err(Problem {
                        label: "assertion".to_owned(),
                        ..Problem::harness("the data ended with a close_notify before its time")
                    });
                }
                tally.add(&buffer[..step.bytes]);
                moved += step.bytes;
                statuses.extend(unless_complete(step));
            }
            if sent == data.len() && tally.bytes() == receive {
                return Ok(Turn::Done(()));
            }
            if moved > 0 {
                return Ok(Turn::Again);
            }
            Turn::waiting(&statuses)
        });
        match done {
            Ok(()) => Ok(Answer::Transferred {
                sent,
                received: tally.total(),
            }),
            Err(problem) => Err(Problem {
                text: format!(
                    "{} (sent {sent} of {} bytes, received {} of {receive})",
                    problem.text,
                    data.len(),
                    tally.bytes()
                ),
                ..problem
            }),
        }
    }

    pub(super) fn key_update(&mut self, deadline: Deadline) -> Result<Answer, Problem> {
        let pending = self.drive(Operation::Write, deadline, |endpoint| {
            let before = endpoint.session().pending_output();
            let status = endpoint.request_key_update()?;
            let after = endpoint.session().pending_output();
            Turn::of(status, || [before, after])
        })?;
        Ok(Answer::KeyUpdate { pending })
    }

    /// What both sides of a connection derive alike.
    pub(super) fn bind(&self) -> Result<Answer, Problem> {
        const CONTEXTS: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"context")];
        const LABEL: &[u8] = b"EXPERIMENTAL polytls matrix";

        let session = self.session();
        let mut exported = Vec::new();
        for context in CONTEXTS {
            let mut output = [0; 48];
            session.export_keying_material(&mut output, LABEL, context)?;
            exported.push(hexadecimal(&output));
        }
        let bindings = ChannelBinding::ALL.iter().map(|&binding| {
            let told = match session.channel_binding(binding) {
                Ok(value) => Ok(value.as_deref().map(hexadecimal)),
                Err(error) => Err(Problem::from(error).label),
            };
            (binding.name().to_owned(), told)
        });
        Ok(Answer::Bound {
            exported,
            bindings: bindings.collect(),
        })
    }

    pub(super) fn shut_down(&mut self, deadline: Deadline) -> Result<Answer, Problem> {
        let status = self.drive(Operation::Shutdown, deadline, |endpoint| {
            let status = endpoint.shutdown()?;
            Turn::of(status, || status)
        })?;
        Ok(Answer::ShutDown {
            status: format!("{status:?}"),
        })
    }

    /// Reads until the end, of whichever kind.
    pub(super) fn read_to_end(&mut self, deadline: Deadline) -> Result<Answer, Problem> {
        let mut buffer = vec![0; READ_SIZE];
        let mut tally = Tally::new();
        let ended = self.drive(Operation::Read, deadline, |endpoint| {
            let step = endpoint.read(&mut buffer)?;
            tally.add(&buffer[..step.bytes]);
            match step.status {
                Status::Closed => Ok(Turn::Done(())),
                Status::Complete => Ok(Turn::Again),
                other => Turn::waiting(&[other]),
            }
        });
        Ok(Answer::Ended {
            received: tally.total(),
            error: ended.err(),
        })
    }

    /// Ends the transport in our direction, and leaves the session unaware of it.
    pub(super) fn cut(&mut self) -> Result<Answer, Problem> {
        let ended = match &self.link {
            Some(link) => link.stream().shutdown(Shutdown::Write),
            None => rustix::net::shutdown(self.descriptor()?, rustix::net::Shutdown::Write)
                .map_err(std::io::Error::from),
        };
        ended.map_err(Problem::harness)?;
        Ok(Answer::Done)
    }

    /// Repeats a step until it is done, and waits in between. What is pending leaves, whatever the
    /// step comes to.
    fn drive<T>(
        &mut self,
        operation: Operation,
        deadline: Deadline,
        mut step: impl FnMut(&mut Endpoint) -> Result<Turn<T>, Problem>,
    ) -> Result<T, Problem> {
        let until = deadline.start();
        let result = loop {
            let mut moved = self.carry();
            let turn = match step(&mut self.endpoint) {
                Ok(turn) => turn,
                Err(problem) => break Err(problem),
            };
            let (read, mut write) = match turn {
                Turn::Done(value) => break Ok(value),
                Turn::Again => continue,
                Turn::Wait { read, write } => (read, write),
            };
            write |= self.flush()?;
            moved += self.carry();
            if moved > 0 {
                continue;
            }
            if let Some(error) = self.link.as_mut().and_then(Link::take_error) {
                break Err(Error::io(error, operation).into());
            }
            if !self.wait(read, write, until)? {
                break Err(self.hang(&operation.to_string(), deadline));
            }
        };
        match result {
            Ok(value) => self.settle(until, deadline).map(|()| value),
            Err(problem) => {
                // Its alert leaves, if it can.
                let _ = self.settle(until, deadline);
                Err(problem)
            }
        }
    }

    /// Lets everything that is pending leave.
    fn settle(&mut self, until: Instant, deadline: Deadline) -> Result<(), Problem> {
        loop {
            let write = self.flush()?;
            if self.carry() > 0 {
                continue;
            }
            if !write && !self.link.as_ref().is_some_and(Link::is_sending) {
                return Ok(());
            }
            if !self.wait(false, true, until)? {
                return Err(self.hang("sending what is pending", deadline));
            }
        }
    }

    /// Hands pending ciphertext to the transport; whether some is left.
    fn flush(&mut self) -> Result<bool, Problem> {
        if self.session().pending_output() == 0 {
            return Ok(false);
        }
        Ok(self.endpoint.flush()? == Status::WantWrite)
    }

    fn carry(&mut self) -> usize {
        self.link.as_mut().map_or(0, Link::carry)
    }

    fn session(&self) -> &dyn Session {
        self.endpoint.session()
    }

    fn descriptor(&self) -> Result<BorrowedFd<'_>, Problem> {
        match &self.link {
            Some(link) => Ok(link.stream().as_fd()),
            None => self
                .endpoint
                .descriptor()
                .map_err(|failure| Problem::harness(failure.message)),
        }
    }

    /// Waits until the socket is ready; `false` if it is not in time, or never will be.
    fn wait(&self, read: bool, write: bool, until: Instant) -> Result<bool, Problem> {
        let (read, write) = match &self.link {
            // A buffer session wants room in its queue: the socket empties that.
            Some(link) => (read && link.is_receiving(), link.is_sending()),
            None => (read, write),
        };
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read);
        flags.set(PollFlags::OUT, write);
        if flags.is_empty() {
            return Ok(false);
        }
        poll(&self.descriptor()?, flags, until)
    }

    fn hang(&self, what: &str, deadline: Deadline) -> Problem {
        let session = self.session();
        Problem::hang(format!(
            "{what}: nothing moves, and not done within {} s (the last status is {:?}, {} bytes are pending, {} \
             buffered)",
            deadline.0.as_secs_f32(),
            self.endpoint.last_status(),
            session.pending_output(),
            session.buffered(),
        ))
    }
}

fn unless_complete(step: Step) -> Option<Status> {
    (step.status != Status::Complete).then_some(step.status)
}

/// Waits until a descriptor is ready; `false` if it is not in time.
pub(super) fn poll(
    descriptor: &impl AsFd,
    flags: PollFlags,
    until: Instant,
) -> Result<bool, Problem> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(Problem::harness)?;
        let mut descriptors = [PollFd::new(descriptor, flags)];
        match rustix::event::poll(&mut descriptors, Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Problem::harness(errno)),
        }
    }
}
