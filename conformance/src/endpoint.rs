//! One side of a connection, driven alike in both modes.

use std::mem;
use std::os::fd::AsFd;
use std::thread;

use tls_core::{BufferSession, Progress, Result, Role, Session, SocketSession, Status};

use crate::case::{CaseResult, Failure, Mode};
use crate::wire::SharedPort;

/// What one call came to, with the plaintext it moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The status of the call.
    pub status: Status,
    /// Plaintext bytes: delivered by `read`, taken by `write`, 0 otherwise.
    pub bytes: usize,
}

/// A session and its transport, driven alike in both modes.
///
/// Calls behave as those of a socket session do: in buffer mode the endpoint plays the socket. It
/// offers what has arrived, repeats the call while that leads on, hands over what comes out, and
/// tells the session of the end of input once everything before was consumed. So `WantRead` means
/// in both modes that nothing more has arrived, and `WantWrite` that the transport is full. Bytes
/// move between endpoints only when the wire is told to
/// ([`Pair::relay`](crate::Pair::relay), or a driver that does it).
#[derive(Debug)]
pub struct Endpoint {
    drive: Drive,
    role: Role,
    /// The most ciphertext offered to a buffer session in one call, in bytes.
    pub input_chunk: usize,
    /// The most room offered to a buffer session in one call, in bytes.
    pub output_chunk: usize,
    activity: u64,
    last: Option<Status>,
}

#[derive(Debug)]
enum Drive {
    Buffer {
        session: Box<dyn BufferSession>,
        port: SharedPort,
        eof_told: bool,
        scratch: Vec<u8>,
    },
    Socket(Box<dyn SocketSession>),
    Gone,
}

/// What one call of a buffer session moved.
struct Moved {
    status: Status,
    taken: usize,
    sent: usize,
    plaintext: usize,
}

impl Endpoint {
    pub(crate) fn buffer(session: Box<dyn BufferSession>, port: SharedPort) -> Self {
        let role = session.role();
        Self::new(
            Drive::Buffer {
                session,
                port,
                eof_told: false,
                scratch: Vec::new(),
            },
            role,
        )
    }

    pub(crate) fn socket(session: Box<dyn SocketSession>) -> Self {
        let role = session.role();
        Self::new(Drive::Socket(session), role)
    }

    fn new(drive: Drive, role: Role) -> Self {
        Self {
            drive,
            role,
            input_chunk: usize::MAX,
            output_chunk: usize::MAX,
            activity: 0,
            last: None,
        }
    }

    /// Which side this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// How the session is driven.
    pub fn mode(&self) -> Mode {
        match self.drive {
            Drive::Buffer { .. } => Mode::Buffer,
            _ => Mode::Socket,
        }
    }

    /// Facts, buffered bytes, failure and so on.
    ///
    /// # Panics
    ///
    /// After [`close`](Self::close).
    pub fn session(&self) -> &dyn Session {
        match &self.drive {
            Drive::Buffer { session, .. } => &**session,
            Drive::Socket(session) => &**session,
            Drive::Gone => panic!("the endpoint was closed"),
        }
    }

    /// What answers a suspension.
    ///
    /// # Panics
    ///
    /// After [`close`](Self::close).
    pub fn session_mut(&mut self) -> &mut dyn Session {
        match &mut self.drive {
            Drive::Buffer { session, .. } => &mut **session,
            Drive::Socket(session) => &mut **session,
            Drive::Gone => panic!("the endpoint was closed"),
        }
    }

    /// The buffer session itself, for cases that pass their own slices.
    ///
    /// # Errors
    ///
    /// `harness` in socket mode: such a case says `Modes::BufferOnly`.
    pub fn as_buffer(&mut self) -> CaseResult<&mut dyn BufferSession> {
        match &mut self.drive {
            Drive::Buffer { session, .. } => Ok(&mut **session),
            _ => Err(Failure::new(
                "harness",
                "this endpoint has no buffer session",
            )),
        }
    }

    /// The socket session itself, for cases about the descriptor.
    ///
    /// # Errors
    ///
    /// `harness` in buffer mode: such a case says `Modes::SocketOnly`.
    pub fn as_socket(&mut self) -> CaseResult<&mut dyn SocketSession> {
        match &mut self.drive {
            Drive::Socket(session) => Ok(&mut **session),
            _ => Err(Failure::new(
                "harness",
                "this endpoint has no socket session",
            )),
        }
    }

    /// Takes the socket session out of the endpoint.
    ///
    /// # Errors
    ///
    /// As [`as_socket`](Self::as_socket).
    pub fn into_socket(self) -> CaseResult<Box<dyn SocketSession>> {
        match self.drive {
            Drive::Socket(session) => Ok(session),
            _ => Err(Failure::new(
                "harness",
                "this endpoint has no socket session",
            )),
        }
    }

    /// Buffer mode: takes the ciphertext that has arrived and was not consumed.
    ///
    /// # Errors
    ///
    /// `harness` in socket mode.
    pub fn take_incoming(&mut self) -> CaseResult<Vec<u8>> {
        Ok(mem::take(&mut self.port()?.borrow_mut().incoming))
    }

    /// Buffer mode: puts ciphertext that was taken and not consumed back in front.
    ///
    /// # Errors
    ///
    /// `harness` in socket mode.
    pub fn put_back(&mut self, bytes: &[u8]) -> CaseResult {
        let port = self.port()?;
        port.borrow_mut()
            .incoming
            .splice(..0, bytes.iter().copied());
        Ok(())
    }

    /// Buffer mode: sends ciphertext that the case took out of the session itself.
    ///
    /// # Errors
    ///
    /// `harness` in socket mode.
    pub fn send_ciphertext(&mut self, bytes: &[u8]) -> CaseResult {
        self.port()?.borrow_mut().send(bytes);
        Ok(())
    }

    fn port(&self) -> CaseResult<&SharedPort> {
        match &self.drive {
            Drive::Buffer { port, .. } => Ok(port),
            _ => Err(Failure::new("harness", "this endpoint has no queues")),
        }
    }

    /// Takes the handshake as far as what has arrived allows.
    ///
    /// # Errors
    ///
    /// The session's.
    pub fn handshake(&mut self) -> Result<Status> {
        let step = match &mut self.drive {
            Drive::Socket(session) => session.handshake().map(|status| Step { status, bytes: 0 }),
            _ => self.drive_buffer(|session, input, output| {
                let progress = session.handshake(input, output)?;
                Ok(Moved {
                    status: progress.status,
                    taken: progress.consumed,
                    sent: progress.produced,
                    plaintext: 0,
                })
            }),
        };
        self.note(step).map(|step| step.status)
    }

    /// Reads into `plaintext`.
    ///
    /// # Errors
    ///
    /// The session's.
    pub fn read(&mut self, plaintext: &mut [u8]) -> Result<Step> {
        let step = match &mut self.drive {
            Drive::Socket(session) => session.read(plaintext).map(|progress| Step {
                status: progress.status,
                bytes: progress.produced,
            }),
            _ => self.drive_buffer(|session, input, _| {
                let progress = session.read(input, plaintext)?;
                Ok(Moved {
                    status: progress.status,
                    taken: progress.consumed,
                    sent: 0,
                    plaintext: progress.produced,
                })
            }),
        };
        self.note(step)
    }

    /// Writes from `plaintext`, possibly only a part of it.
    ///
    /// # Errors
    ///
    /// The session's.
    pub fn write(&mut self, plaintext: &[u8]) -> Result<Step> {
        let step = match &mut self.drive {
            Drive::Socket(session) => session.write(plaintext).map(|progress| Step {
                status: progress.status,
                bytes: progress.consumed,
            }),
            _ => self.drive_buffer(|session, _, output| {
                let progress = session.write(plaintext, output)?;
                Ok(Moved {
                    status: progress.status,
                    taken: 0,
                    sent: progress.produced,
                    plaintext: progress.consumed,
                })
            }),
        };
        self.note(step)
    }

    /// Sends our close_notify; see `Session`'s traits for the statuses.
    ///
    /// # Errors
    ///
    /// The session's.
    pub fn shutdown(&mut self) -> Result<Status> {
        let step = match &mut self.drive {
            Drive::Socket(session) => session.shutdown().map(|status| Step { status, bytes: 0 }),
            _ => self.drive_buffer(|session, _, output| {
                let progress = session.shutdown(output)?;
                Ok(Moved {
                    status: progress.status,
                    taken: 0,
                    sent: progress.produced,
                    plaintext: 0,
                })
            }),
        };
        self.note(step).map(|step| step.status)
    }

    /// Changes the sending keys and asks the peer to; nothing leaves by it.
    ///
    /// # Errors
    ///
    /// The session's.
    ///
    /// # Panics
    ///
    /// After [`close`](Self::close).
    pub fn request_key_update(&mut self) -> Result<Status> {
        let step = match &mut self.drive {
            Drive::Buffer { session, .. } => session.request_key_update(),
            Drive::Socket(session) => session.request_key_update(),
            Drive::Gone => panic!("the endpoint was closed"),
        };
        self.note(step.map(|status| Step { status, bytes: 0 }))
            .map(|step| step.status)
    }

    /// Asks the client for a certificate; nothing leaves by it.
    ///
    /// # Errors
    ///
    /// The session's.
    ///
    /// # Panics
    ///
    /// After [`close`](Self::close).
    pub fn request_client_certificate(&mut self) -> Result<Status> {
        let step = match &mut self.drive {
            Drive::Buffer { session, .. } => session.request_client_certificate(),
            Drive::Socket(session) => session.request_client_certificate(),
            Drive::Gone => panic!("the endpoint was closed"),
        };
        self.note(step.map(|status| Step { status, bytes: 0 }))
            .map(|step| step.status)
    }

    /// Hands pending ciphertext to the transport, as far as there is room.
    ///
    /// # Errors
    ///
    /// The session's; none in buffer mode.
    pub fn flush(&mut self) -> Result<Status> {
        let step = match &mut self.drive {
            Drive::Socket(session) => session.flush().map(|status| Step { status, bytes: 0 }),
            _ => self.drive_buffer(|session, _, output| {
                let Progress {
                    status, produced, ..
                } = session.drain(output);
                Ok(Moved {
                    status,
                    taken: 0,
                    sent: produced,
                    plaintext: 0,
                })
            }),
        };
        self.note(step).map(|step| step.status)
    }

    /// Drops the session and closes its transport.
    pub fn close(&mut self) {
        if let Drive::Buffer { port, .. } = &self.drive {
            port.borrow_mut().close();
        }
        self.drive = Drive::Gone;
    }

    /// Has another thread drop the session, and closes its transport.
    pub fn close_on_another_thread(&mut self) {
        if let Drive::Buffer { port, .. } = &self.drive {
            port.borrow_mut().close();
        }
        let session: Box<dyn Send> = match mem::replace(&mut self.drive, Drive::Gone) {
            Drive::Buffer { session, .. } => Box::new(session),
            Drive::Socket(session) => Box::new(session),
            Drive::Gone => return,
        };
        let dropped = thread::spawn(move || drop(session)).join();
        dropped.expect("dropping does not panic");
    }

    /// Whether the session was dropped.
    pub fn is_closed(&self) -> bool {
        matches!(self.drive, Drive::Gone)
    }

    /// Grows whenever a call led somewhere.
    pub(crate) fn activity(&self) -> u64 {
        self.activity
    }

    /// The status of the last call.
    pub(crate) fn last_status(&self) -> Option<Status> {
        self.last
    }

    /// The descriptor of a socket session.
    ///
    /// # Errors
    ///
    /// `harness` in buffer mode.
    pub fn descriptor(&self) -> CaseResult<std::os::fd::BorrowedFd<'_>> {
        match &self.drive {
            Drive::Socket(session) => Ok(session.as_fd()),
            _ => Err(Failure::new("harness", "this endpoint has no descriptor")),
        }
    }

    fn note(&mut self, step: Result<Step>) -> Result<Step> {
        let status = step.as_ref().ok().map(|step| step.status);
        if status != self.last {
            self.activity += 1;
        }
        self.last = status;
        if let Ok(step) = &step {
            self.activity += step.bytes as u64;
        }
        step
    }

    /// Repeats a call of a buffer session as a socket session would: while input is left and the
    /// call leads on, and while there is room for what it wants to send.
    fn drive_buffer(
        &mut self,
        mut call: impl FnMut(&mut dyn BufferSession, &mut [u8], &mut [u8]) -> Result<Moved>,
    ) -> Result<Step> {
        let Self {
            drive,
            input_chunk,
            output_chunk,
            activity,
            ..
        } = self;
        let Drive::Buffer {
            session,
            port,
            eof_told,
            scratch,
        } = drive
        else {
            panic!("the endpoint was closed");
        };
        let mut port = port.borrow_mut();
        loop {
            let offered = port.incoming.len().min(*input_chunk);
            let room = port.room().min(*output_chunk);
            scratch.resize(room, 0);
            let moved = match call(&mut **session, &mut port.incoming[..offered], scratch) {
                Ok(moved) => moved,
                Err(error) => {
                    // A failed session's input is void; misuse has not touched it.
                    if session.failure().is_some() {
                        port.incoming.drain(..offered);
                    }
                    return Err(error);
                }
            };
            port.incoming.drain(..moved.taken);
            port.send(&scratch[..moved.sent]);
            *activity += (moved.taken + moved.sent) as u64;
            let step = Step {
                status: moved.status,
                bytes: moved.plaintext,
            };
            if moved.plaintext > 0 {
                return Ok(step);
            }
            match moved.status {
                Status::WantRead if moved.taken > 0 && !port.incoming.is_empty() => {}
                Status::WantRead if port.incoming.is_empty() && port.ended && !*eof_told => {
                    *eof_told = true;
                    session.input_eof();
                }
                Status::WantWrite if moved.sent > 0 => {}
                Status::WantWrite if room > 0 => {
                    let sent = session.drain(scratch).produced;
                    port.send(&scratch[..sent]);
                    *activity += sent as u64;
                    if sent == 0 {
                        return Ok(step);
                    }
                }
                _ => return Ok(step),
            }
        }
    }
}
