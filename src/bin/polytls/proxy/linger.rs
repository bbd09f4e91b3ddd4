//! The last seconds of a connection.
//!
//! Closing a socket with unread bytes in it makes the kernel send a reset, which destroys what is
//! still on its way to the other side: the alert that says what was wrong, or the end of an answer.
//! So output is flushed, our side ended, and what still comes is read and thrown away until the
//! other side ends too, for a bounded time.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use polytls::Status;
use rustix::net::Shutdown;
use tls_core::support;

use super::flow::Flow;
use super::tls_side::TlsSide;
use super::turn::{Readiness, Scratch, Turn, write_tls};
use super::upstream::Upstream;

/// How long the last seconds are.
const LINGER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Linger {
    deadline: Instant,
    client: ClientStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientStage {
    /// What was received for the client, and alerts, are still to leave.
    Flush,
    /// What the client still sends is thrown away.
    Discard,
    Gone,
}

impl Linger {
    pub(super) fn new(now: Instant, client_is_gone: bool) -> Self {
        Self {
            deadline: now + LINGER,
            client: if client_is_gone {
                ClientStage::Gone
            } else {
                ClientStage::Flush
            },
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes the client's side one step further.
    pub(super) fn client(
        &mut self,
        tls: &mut TlsSide,
        client: &mut Readiness,
        download: &mut Flow,
        scratch: &mut Scratch,
    ) -> Turn {
        match self.client {
            ClientStage::Flush => {
                match flush(tls, client, download, scratch) {
                    Flushed::All => {
                        let ended = rustix::net::shutdown(tls.as_fd(), Shutdown::Write);
                        self.client = if ended.is_ok() {
                            client.readable = true;
                            ClientStage::Discard
                        } else {
                            ClientStage::Gone
                        };
                    }
                    Flushed::Blocked => return Turn::Wait,
                    Flushed::Failed => self.client = ClientStage::Gone,
                }
                Turn::Again
            }
            ClientStage::Discard => {
                let turn = discard(
                    client,
                    |buffer| support::receive(tls.as_fd(), buffer),
                    &mut scratch.plaintext,
                );
                if turn == Turn::Done {
                    self.client = ClientStage::Gone;
                }
                turn
            }
            ClientStage::Gone => Turn::Done,
        }
    }

    /// Takes the upstream's side one step further: a complete upload is delivered to its end, though
    /// the client can take no answer any more.
    pub(super) fn upstream(
        slot: &mut Option<Upstream>,
        server: &mut Readiness,
        upload: &mut Flow,
        buffer: &mut [u8],
    ) -> Turn {
        let Some(upstream) = slot else {
            return Turn::Done;
        };
        if !upload.held.is_empty() {
            if !server.writable {
                return Turn::Wait;
            }
            let held = upload.held.as_slice();
            let Ok(taken) = upstream.send(held) else {
                *slot = None;
                return Turn::Done;
            };
            if taken < held.len() {
                server.block_write();
            }
            upload.deliver(taken);
            return Turn::Again;
        }
        if upload.must_end_sink() {
            upload.sink_ended();
            if upstream.end().is_err() {
                *slot = None;
                return Turn::Done;
            }
        }
        let turn = discard(server, |buffer| upstream.receive(buffer), buffer);
        if turn == Turn::Done {
            *slot = None;
        }
        turn
    }
}

enum Flushed {
    All,
    Blocked,
    Failed,
}

fn flush(
    tls: &mut TlsSide,
    client: &mut Readiness,
    download: &mut Flow,
    scratch: &mut Scratch,
) -> Flushed {
    if !download.held.is_empty() && client.writable {
        match write_tls(tls, client, download.held.as_slice(), &mut scratch.cipher) {
            Ok(taken) => download.deliver(taken),
            Err(_) => download.break_off(),
        }
    }
    if !client.writable {
        return Flushed::Blocked;
    }
    match tls.flush(&mut scratch.cipher) {
        Ok(Status::WantWrite) => {
            client.block_write();
            Flushed::Blocked
        }
        Ok(_) if download.held.is_empty() => Flushed::All,
        Ok(_) => Flushed::Blocked,
        Err(_) => Flushed::Failed,
    }
}

/// Reads and throws away one piece: `Done` at the end or a failure.
fn discard(
    readiness: &mut Readiness,
    receive: impl FnOnce(&mut [u8]) -> std::io::Result<usize>,
    buffer: &mut [u8],
) -> Turn {
    if !readiness.readable {
        return Turn::Wait;
    }
    match receive(buffer) {
        Ok(0) => Turn::Done,
        Ok(_) => Turn::Again,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            readiness.block_read();
            Turn::Wait
        }
        Err(_) => Turn::Done,
    }
}
