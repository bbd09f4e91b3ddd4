//! Driving a buffer session over a socket of one's own: the caller reads and writes the ciphertext.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use polytls::{BufferSession, Error, Operation, Progress, Result, Status};

/// Large enough for several records at a time.
const BUFFER: usize = 64 * 1024;

/// A buffer session and a non-blocking socket, with the calls of a socket session.
pub(crate) struct Buffered {
    session: Box<dyn BufferSession>,
    socket: TcpStream,
    /// Ciphertext received; what the session has not consumed yet is between the two marks.
    input: Box<[u8]>,
    unread: usize,
    received: usize,
    /// Ciphertext from the session; what is not sent yet is between the two marks.
    output: Box<[u8]>,
    sent: usize,
    produced: usize,
}

impl Buffered {
    pub(crate) fn new(session: Box<dyn BufferSession>, socket: TcpStream) -> Self {
        Self {
            session,
            socket,
            input: vec![0; BUFFER].into(),
            unread: 0,
            received: 0,
            output: vec![0; BUFFER].into(),
            sent: 0,
            produced: 0,
        }
    }

    pub(crate) fn session(&self) -> &dyn BufferSession {
        &*self.session
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn handshake(&mut self) -> Result<Status> {
        loop {
            if !self.send(Operation::Handshake)? {
                return Ok(Status::WantWrite);
            }
            let input = &mut self.input[self.unread..self.received];
            let progress = self.session.handshake(input, &mut self.output)?;
            self.unread += progress.consumed;
            self.produced = progress.produced;
            match progress.status {
                Status::WantWrite => {}
                Status::WantRead => {
                    // What the peer needs before it answers must leave first.
                    if !self.send(Operation::Handshake)? {
                        return Ok(Status::WantWrite);
                    }
                    if !self.receive(Operation::Handshake)? {
                        return Ok(Status::WantRead);
                    }
                }
                status if self.send(Operation::Handshake)? => return Ok(status),
                _ => return Ok(Status::WantWrite),
            }
        }
    }

    pub(crate) fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        loop {
            let input = &mut self.input[self.unread..self.received];
            let step = self.session.read(input, plaintext);
            let progress = match step {
                // The error is told again by the next call; its alert has to leave before.
                Err(_) if !self.send(Operation::Read)? => {
                    return Ok(Progress::idle(Status::WantWrite));
                }
                step => step?,
            };
            self.unread += progress.consumed;
            match progress.status {
                Status::WantRead => {
                    if !self.receive(Operation::Read)? {
                        return Ok(progress);
                    }
                }
                Status::WantWrite => {
                    if self.flush()? != Status::Complete {
                        return Ok(progress);
                    }
                }
                _ => return Ok(progress),
            }
        }
    }

    pub(crate) fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        if !self.send(Operation::Write)? {
            return Ok(Progress::idle(Status::WantWrite));
        }
        let progress = self.session.write(plaintext, &mut self.output)?;
        self.produced = progress.produced;
        self.send(Operation::Write)?;
        Ok(progress)
    }

    pub(crate) fn flush(&mut self) -> Result<Status> {
        loop {
            if !self.send(Operation::Flush)? {
                return Ok(Status::WantWrite);
            }
            let progress = self.session.drain(&mut self.output);
            self.produced = progress.produced;
            if progress.produced == 0 {
                return Ok(progress.status);
            }
        }
    }

    pub(crate) fn shutdown(&mut self) -> Result<Status> {
        loop {
            if !self.send(Operation::Shutdown)? {
                return Ok(Status::WantWrite);
            }
            let progress = self.session.shutdown(&mut self.output)?;
            self.produced = progress.produced;
            if !self.send(Operation::Shutdown)? {
                return Ok(Status::WantWrite);
            }
            if progress.status != Status::WantWrite {
                return Ok(progress.status);
            }
        }
    }

    /// Sends what the session has produced; `false` if the socket does not take it all now.
    fn send(&mut self, operation: Operation) -> Result<bool> {
        while self.sent < self.produced {
            match self.socket.write(&self.output[self.sent..self.produced]) {
                Ok(sent) => self.sent += sent,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(self.why(error, operation)),
                },
            }
        }
        self.sent = 0;
        self.produced = 0;
        Ok(true)
    }

    /// A peer that left is no news if the session had failed before: its own account is better.
    fn why(&self, error: io::Error, operation: Operation) -> Error {
        match self.session.failure() {
            Some(failure) => failure.clone(),
            None => Error::io(error, operation),
        }
    }

    /// Receives more behind what is unread, or tells the session that there is no more; `false` if
    /// the socket has nothing now.
    fn receive(&mut self, operation: Operation) -> Result<bool> {
        // The session wanted more, so it has consumed everything.
        self.unread = 0;
        self.received = 0;
        loop {
            match self.socket.read(&mut self.input) {
                Ok(0) => self.session.input_eof(),
                Ok(received) => self.received = received,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(Error::io(error, operation)),
                },
            }
            return Ok(true);
        }
    }
}
