//! What a worker lends to a connection, and what a connection answers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use polytls::Status;

use super::config::Settings;
use super::ending::Ending;
use super::lookup::Desk;
use super::tls_side::{CipherScratch, TlsSide};
use super::upstream::Connect;

/// How many bytes are moved in one go; also the most that is held in each direction.
const CHUNK: usize = 64 * 1024;

/// What a worker lends to the connection whose turn it is.
pub(super) struct Tools<'a> {
    pub(super) registry: &'a Registry,
    pub(super) connector: &'a dyn Connect,
    pub(super) desk: Option<&'a Desk>,
    pub(super) settings: &'a Settings,
    pub(super) scratch: &'a mut Scratch,
    pub(super) now: Instant,
}

/// Memory that exists once per worker.
pub(super) struct Scratch {
    pub(super) plaintext: Box<[u8]>,
    pub(super) cipher: CipherScratch,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            plaintext: vec![0; CHUNK].into_boxed_slice(),
            cipher: CipherScratch::new(),
        }
    }
}

/// What the events so far said about a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The other side has ended: reads never block again.
    pub(super) read_closed: bool,
}

impl Readiness {
    /// A socket that was just registered: trying is how to find out.
    pub(super) const UNKNOWN: Self = Self {
        readable: true,
        writable: true,
        read_closed: false,
    };

    pub(super) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.read_closed |= event.is_read_closed();
    }

    /// A read would have blocked.
    pub(super) fn block_read(&mut self) {
        self.readable = false;
    }

    /// A write would have blocked.
    pub(super) fn block_write(&mut self) {
        self.writable = false;
    }
}

/// Which of a connection's two sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
}

/// What is to be done with a connection after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Wait for an event or the deadline.
    Wait,
    /// It could go on, and the others come first.
    Again,
    /// Drop it.
    Done,
}

/// For both directions, once; closing the socket is what takes it out again.
pub(super) fn register(registry: &Registry, socket: &impl AsFd, token: Token) -> io::Result<()> {
    registry.register(
        &mut SourceFd(&socket.as_fd().as_raw_fd()),
        token,
        Interest::READABLE | Interest::WRITABLE,
    )
}

/// Writes until the session takes no more: how many bytes it took.
pub(super) fn write_tls(
    tls: &mut TlsSide,
    client: &mut Readiness,
    plaintext: &[u8],
    cipher: &mut CipherScratch,
) -> Result<usize, Ending> {
    let mut taken = 0;
    while taken < plaintext.len() {
        let progress = tls
            .write(&plaintext[taken..], cipher)
            .map_err(Ending::Client)?;
        taken += progress.consumed;
        match progress.status {
            Status::Complete if progress.consumed > 0 => {}
            Status::WantWrite => {
                client.block_write();
                break;
            }
            _ => break,
        }
    }
    if client.writable && tls.has_pending_output() {
        let status = tls.flush(cipher).map_err(Ending::Client)?;
        if status == Status::WantWrite {
            client.block_write();
        }
    }
    Ok(taken)
}
