//! A non-blocking TLS echo server: one thread, epoll, and sessions that do no I/O. All ciphertext
//! passes through this program, which may as well take it from io_uring, or from another session.
//!
//! ```text
//! cargo run --example epoll_buffer_server -- 127.0.0.1:8443 [BACKEND]
//! ```

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use polytls::{BufferSession, SessionOptions, Status};

use common::epoll::{self, Turn};

mod common;

fn main() -> Result<(), Box<dyn Error>> {
    let (context, listener) = common::listen("usage: epoll_buffer_server ADDR [BACKEND]")?;
    epoll::serve(&listener, |socket| {
        Ok(Connection {
            socket,
            session: context.buffer_session(SessionOptions::new())?,
            closing: false,
            received: Vec::new(),
            sending: Vec::new(),
            echo: Vec::new(),
        })
    })
}

/// `received` and `sending` hold ciphertext, `echo` what was read and is not yet written back.
struct Connection {
    socket: TcpStream,
    session: Box<dyn BufferSession>,
    closing: bool,
    received: Vec<u8>,
    sending: Vec<u8>,
    echo: Vec<u8>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl epoll::Connection for Connection {
    fn advance(&mut self) -> Result<Turn, Box<dyn Error>> {
        for _ in 0..16 {
            let step = self.step();
            // An alert about what has failed goes out too.
            let sent = self.send()?;
            match step? {
                _ if !sent => return Ok(Turn::Wait),
                Status::WantRead if !self.receive()? => return Ok(Turn::Wait),
                Status::Closed if self.closing => return Ok(Turn::Over),
                // The client has closed its side, and has everything back.
                Status::Closed => self.closing = true,
                _ => {}
            }
        }
        Ok(Turn::Again)
    }
}

impl Connection {
    /// Ciphertext goes out by `send` alone; a call may as well put it into an output of its own.
    fn step(&mut self) -> polytls::Result<Status> {
        if !self.session.is_handshake_complete() {
            let step = self.session.handshake(&mut self.received, &mut [])?;
            self.received.drain(..step.consumed);
            return Ok(step.status);
        }
        if self.closing {
            return Ok(self.session.shutdown(&mut [])?.status);
        }
        if self.echo.is_empty() {
            let mut plaintext = [0; 16 * 1024];
            let step = self.session.read(&mut self.received, &mut plaintext)?;
            self.received.drain(..step.consumed);
            self.echo.extend_from_slice(&plaintext[..step.produced]);
            return Ok(step.status);
        }
        let step = self.session.write(&self.echo, &mut [])?;
        self.echo.drain(..step.consumed);
        Ok(step.status)
    }

    /// Sends what the session holds; `false` if the socket does not take it all.
    fn send(&mut self) -> io::Result<bool> {
        let mut output = [0; 16 * 1024];
        loop {
            if self.sending.is_empty() {
                let drained = self.session.drain(&mut output);
                self.sending.extend_from_slice(&output[..drained.produced]);
            }
            match self.socket.write(&self.sending) {
                _ if self.sending.is_empty() => return Ok(true),
                Ok(count) => drop(self.sending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives; `false` if there is nothing yet. The end is for the session to judge.
    fn receive(&mut self) -> io::Result<bool> {
        let mut input = [0; 16 * 1024];
        match self.socket.read(&mut input) {
            Ok(0) => self.session.input_eof(),
            Ok(count) => self.received.extend_from_slice(&input[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}
