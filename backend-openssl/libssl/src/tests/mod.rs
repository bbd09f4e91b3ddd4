//! The sessions over a mock engine: no C, every byte in sight.

mod buffer;
mod endings;
mod key_update;
mod renewal;
#[cfg(unix)]
mod socket;

use tls_core::config::SocketTransport;
use tls_core::{BufferSession, Progress, Role, Status};

use crate::mock::{HANDSHAKE, Mock, errors_left, record};
use crate::post_handshake::Policy;
use crate::{BufferEngineSession, Setup};

const FLIGHT: usize = 3;

fn setup(role: Role, bound: usize) -> Setup {
    Setup {
        role,
        pending_output_bound: bound,
        quiet_shutdown: false,
        socket_transport: SocketTransport::Gathered,
        policy: Policy {
            has_client_roots: false,
            allow_renegotiation: false,
        },
        local_certificates: None,
    }
}

fn fresh(role: Role, bound: usize) -> BufferEngineSession<Mock> {
    BufferEngineSession::new(Mock::new(role, FLIGHT), &setup(role, bound)).unwrap()
}

/// The peer's flight.
fn flight() -> Vec<u8> {
    record(HANDSHAKE, &[b'F'; 1000]).repeat(FLIGHT)
}

/// A client whose handshake is complete and whose output has left.
fn open(bound: usize) -> BufferEngineSession<Mock> {
    let mut session = fresh(Role::Client, bound);
    let mut input = flight();
    let mut consumed = 0;
    let mut output = vec![0; 5000];
    for _ in 0..20 {
        let progress = session
            .handshake(&mut input[consumed..], &mut output)
            .unwrap();
        consumed += progress.consumed;
        if progress.status == Status::Complete {
            assert_eq!(consumed, input.len());
            return session;
        }
    }
    panic!("the handshake does not end");
}

/// The error queue of this thread is empty after every call (K8).
#[track_caller]
fn checked(progress: tls_core::Result<Progress>) -> tls_core::Result<Progress> {
    assert_eq!(errors_left(), 0);
    progress
}

/// Everything pending.
fn drained(session: &mut dyn BufferSession) -> Vec<u8> {
    let mut output = vec![0; session.pending_output()];
    let progress = session.drain(&mut output);
    assert_eq!(progress.status, Status::Complete);
    assert_eq!(progress.produced, output.len());
    output
}

fn status(progress: tls_core::Result<Progress>) -> Status {
    checked(progress).unwrap().status
}
