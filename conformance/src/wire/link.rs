//! A real socket as the transport of a buffer session.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::SharedPort;

/// The most bytes moved by one system call.
const PIECE: usize = 64 * 1024;

/// Carries bytes between the queues of a buffer session and a non-blocking socket.
#[derive(Debug)]
pub(crate) struct Link {
    port: SharedPort,
    stream: TcpStream,
    buffer: Vec<u8>,
    broken: Option<io::Error>,
}

impl Link {
    pub(crate) fn new(port: SharedPort, stream: TcpStream) -> Self {
        Self {
            port,
            stream,
            buffer: vec![0; PIECE],
            broken: None,
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends and receives as much as there is room for; gives how many bytes (and endings) moved.
    pub(crate) fn carry(&mut self) -> usize {
        self.send() + self.receive()
    }

    /// Whether something waits for room in the socket.
    pub(crate) fn is_sending(&self) -> bool {
        !self.port.borrow().outgoing.is_empty()
    }

    /// Whether something may arrive that there is room for.
    pub(crate) fn is_receiving(&self) -> bool {
        let port = self.port.borrow();
        !port.ended && port.incoming_room() > 0 && self.broken.is_none()
    }

    /// The error that the socket met, once.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    fn send(&mut self) -> usize {
        let mut port = self.port.borrow_mut();
        let mut moved = 0;
        while !port.outgoing.is_empty() {
            match self.stream.write(&port.outgoing) {
                Ok(sent) => {
                    port.outgoing.drain(..sent);
                    moved += sent;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    // Nobody will have it; but what has arrived may say why.
                    _ => {
                        port.outgoing.clear();
                        self.broken = Some(error);
                    }
                },
            }
        }
        moved
    }

    fn receive(&mut self) -> usize {
        let mut port = self.port.borrow_mut();
        let mut moved = 0;
        while !port.ended {
            let room = port.incoming_room().min(PIECE);
            if room == 0 {
                break;
            }
            match self.stream.read(&mut self.buffer[..room]) {
                Ok(0) => {
                    port.end_input();
                    moved += 1;
                }
                Ok(received) => moved += port.give(&self.buffer[..received]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    _ => {
                        self.broken = Some(error);
                        break;
                    }
                },
            }
        }
        moved
    }
}
