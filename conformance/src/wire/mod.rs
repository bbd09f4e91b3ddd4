//! The wire between two endpoints: scripted, and moved by the test alone.
//!
//! In buffer mode each end is a pair of queues; in socket mode it is the far side of a socket pair
//! (or of a loopback TCP connection). Between the two ends the relay carries bytes through two
//! [`Lane`]s, so that the same script does the same in both modes. No thread is involved: nothing
//! moves unless the test moves it.

mod lane;
mod link;
mod port;

pub use lane::Lane;
pub(crate) use link::Link;
pub(crate) use port::{Port, SharedPort};

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use lane::Ending;

use crate::pair::Side;

/// The most bytes a lane takes from its sender before they were delivered: keeps back-pressure.
const LANE_CAPACITY: usize = 64 * 1024;
/// The most bytes moved by one step without a quota.
const STEP: usize = 64 * 1024;

/// The wire between a client and a server.
#[derive(Debug)]
pub struct Wire {
    /// What the client sends.
    pub to_server: Lane,
    /// What the server sends.
    pub to_client: Lane,
    client_end: End,
    server_end: End,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(client_end: End, server_end: End) -> Self {
        Self {
            to_server: Lane::new(),
            to_client: Lane::new(),
            client_end,
            server_end,
            buffer: vec![0; STEP],
        }
    }

    /// The lane this side sends on.
    pub fn from(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.to_server,
            Side::Server => &mut self.to_client,
        }
    }

    /// The lane this side receives on.
    pub fn to(&mut self, side: Side) -> &mut Lane {
        self.from(side.other())
    }

    /// Delivers at most this many bytes in each step, in both directions.
    pub fn set_quota(&mut self, bytes: usize) {
        self.to_server.set_quota(bytes);
        self.to_client.set_quota(bytes);
    }

    /// One step: takes from both senders, delivers to both receivers. Gives how many bytes (and
    /// endings) moved.
    ///
    /// # Errors
    ///
    /// Only when the test's own end of a socket fails in a way no script asked for.
    pub fn relay(&mut self) -> io::Result<usize> {
        let there = carry(
            &mut self.to_server,
            &mut self.client_end,
            &mut self.server_end,
            &mut self.buffer,
        )?;
        let back = carry(
            &mut self.to_client,
            &mut self.server_end,
            &mut self.client_end,
            &mut self.buffer,
        )?;
        Ok(there + back)
    }
}

fn carry(lane: &mut Lane, from: &mut End, to: &mut End, buffer: &mut [u8]) -> io::Result<usize> {
    if lane.held {
        return Ok(0);
    }
    let mut moved = 0;
    let room = LANE_CAPACITY
        .saturating_sub(lane.queue.len())
        .min(lane.quota)
        .min(buffer.len());
    if room > 0 {
        match from.take(&mut buffer[..room])? {
            Taken::Bytes(taken) => {
                lane.accept(&buffer[..taken]);
                moved += taken;
            }
            Taken::Nothing => {}
            Taken::Ended => lane.cut(),
        }
    }
    if !lane.queue.is_empty() {
        let (front, _) = lane.queue.as_slices();
        let chunk = &front[..front.len().min(lane.quota)];
        let given = to.give(chunk)?;
        lane.queue.drain(..given);
        moved += given;
    }
    if let (Some(ending), true, false) = (lane.end, lane.queue.is_empty(), lane.ended) {
        lane.ended = true;
        moved += 1;
        match ending {
            Ending::Eof => to.end_input(),
            Ending::Reset => to.reset()?,
        }
    }
    Ok(moved)
}

/// The test's end of what an endpoint sends to and receives from.
#[derive(Debug)]
pub(crate) enum End {
    Memory(SharedPort),
    Unix(UnixStream),
    Tcp(TcpStream),
    /// A reset was sent: the descriptor is closed.
    Gone,
}

enum Taken {
    Bytes(usize),
    Nothing,
    Ended,
}

impl End {
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<Taken> {
        match self {
            Self::Memory(port) => Ok(port.borrow_mut().take(buffer)),
            Self::Unix(stream) => taken(uninterrupted(|| stream.read(buffer))),
            Self::Tcp(stream) => taken(uninterrupted(|| stream.read(buffer))),
            Self::Gone => Ok(Taken::Ended),
        }
    }

    /// Takes what is there, up to one step; 0 if nothing is, or nothing will be.
    pub(crate) fn take_into(&mut self, received: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        Ok(match self.take(&mut buffer)? {
            Taken::Bytes(taken) => {
                received.extend_from_slice(&buffer[..taken]);
                taken
            }
            Taken::Nothing | Taken::Ended => 0,
        })
    }

    /// Bytes for an endpoint that is gone are lost, as on a network.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let given = match self {
            Self::Memory(port) => return Ok(port.borrow_mut().give(bytes)),
            Self::Unix(stream) => uninterrupted(|| stream.write(bytes)),
            Self::Tcp(stream) => uninterrupted(|| stream.write(bytes)),
            Self::Gone => return Ok(bytes.len()),
        };
        match given {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if is_gone(&error) => Ok(bytes.len()),
            given => given,
        }
    }

    pub(crate) fn end_input(&mut self) {
        // An endpoint that has closed its descriptor needs no FIN.
        let _ = match self {
            Self::Memory(port) => {
                port.borrow_mut().end_input();
                Ok(())
            }
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Gone => Ok(()),
        };
    }

    /// Closing with a linger time of zero sends RST. A caller of buffer sessions meets the reset
    /// itself, so there is nothing to deliver there.
    fn reset(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?;
                *self = Self::Gone;
                Ok(())
            }
            Self::Gone => Ok(()),
            Self::Memory(_) | Self::Unix(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only a TCP wire can be reset; build the pair with `.tcp()`, in socket mode",
            )),
        }
    }
}

/// Repeats a call as long as it is interrupted.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn taken(result: io::Result<usize>) -> io::Result<Taken> {
    match result {
        Ok(0) => Ok(Taken::Ended),
        Ok(bytes) => Ok(Taken::Bytes(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
        Err(error) if is_gone(&error) => Ok(Taken::Ended),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
    )
}
