//! A non-blocking TLS echo server: one thread, epoll, sockets driven by their sessions.
//!
//! ```text
//! cargo run --example epoll_server -- 127.0.0.1:8443 [BACKEND]
//! openssl s_client -connect 127.0.0.1:8443 -quiet
//! ```
//!
//! `epoll_buffer_server` does the same with sessions that do no I/O.

use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use polytls::{SessionOptions, SocketSession, Status};

use common::epoll::{self, Turn};

mod common;

fn main() -> Result<(), Box<dyn Error>> {
    let (context, listener) = common::listen("usage: epoll_server ADDR [BACKEND]")?;
    epoll::serve(&listener, |socket| {
        Ok(Connection {
            session: context.socket_session(OwnedFd::from(socket), SessionOptions::new())?,
            closing: false,
            echo: vec![0; 16 * 1024].into(),
            length: 0,
        })
    })
}

/// What was read and is not yet written back is `echo[..length]`.
struct Connection {
    session: Box<dyn SocketSession>,
    closing: bool,
    echo: Box<[u8]>,
    length: usize,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.session.as_fd()
    }
}

impl epoll::Connection for Connection {
    fn advance(&mut self) -> Result<Turn, Box<dyn Error>> {
        for _ in 0..16 {
            match self.step()? {
                Status::Complete => {}
                Status::Closed if self.closing => return Ok(Turn::Over),
                // The client has closed its side, and has everything back.
                Status::Closed => self.closing = true,
                _ => {
                    // What a write has left must go out, even if the client sends nothing more.
                    self.session.flush()?;
                    return Ok(Turn::Wait);
                }
            }
        }
        Ok(Turn::Again)
    }
}

impl Connection {
    /// The status says what is waited for, whatever the call: a read may want to write.
    fn step(&mut self) -> polytls::Result<Status> {
        let handshake = self.session.handshake()?;
        if handshake != Status::Complete {
            return Ok(handshake);
        }
        if self.closing {
            return self.session.shutdown();
        }
        if self.length == 0 {
            let read = self.session.read(&mut self.echo)?;
            self.length = read.produced;
            return Ok(read.status);
        }
        // Reads only once everything read before is written: back-pressure for free.
        let written = self.session.write(&self.echo[..self.length])?;
        self.echo.copy_within(written.consumed..self.length, 0);
        self.length -= written.consumed;
        Ok(written.status)
    }
}
