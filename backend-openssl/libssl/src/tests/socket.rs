//! Driving a socket, over the mock.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tls_core::support::Descriptor;
use tls_core::{ErrorKind, Misuse, Role, Session, SocketSession, Status};

use super::{flight, setup};
use crate::SocketEngineSession;
use crate::mock::{ALERT, DATA, HANDSHAKE, Mock, WANTS_REPLY, record};

type Sut = SocketEngineSession<'static, Mock>;

/// A session and the other end of its socket.
fn fresh(role: Role) -> (Sut, UnixStream) {
    bounded(role, 65_536)
}

fn bounded(role: Role, bound: usize) -> (Sut, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let descriptor = Descriptor::Owned(OwnedFd::from(ours));
    let engine = Mock::new(role, 3);
    let session = SocketEngineSession::new(engine, &setup(role, bound), descriptor).unwrap();
    (session, theirs)
}

fn open() -> (Sut, UnixStream) {
    shaken(fresh(Role::Client))
}

fn shaken((mut session, mut peer): (Sut, UnixStream)) -> (Sut, UnixStream) {
    assert_eq!(session.handshake().unwrap(), Status::WantRead);
    peer.write_all(&flight()).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::Complete);
    assert_eq!(received(&mut peer), flight());
    (session, peer)
}

/// Everything that has arrived.
fn received(peer: &mut UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 10_000];
    while let Ok(length @ 1..) = peer.read(&mut piece) {
        all.extend_from_slice(&piece[..length]);
    }
    all
}

#[test]
fn a_handshake_waits_for_readiness() {
    let (mut session, mut peer) = fresh(Role::Server);
    for byte in flight() {
        assert_eq!(session.handshake().unwrap(), Status::WantRead);
        peer.write_all(&[byte]).unwrap();
    }
    assert_eq!(session.handshake().unwrap(), Status::Complete);
    assert_eq!(received(&mut peer), flight());
}

#[test]
fn data_behind_the_handshake_is_buffered() {
    let (mut session, mut peer) = fresh(Role::Client);
    session.handshake().unwrap();
    peer.write_all(&[flight(), record(DATA, b"early"), vec![DATA, 3]].concat())
        .unwrap();
    assert_eq!(session.handshake().unwrap(), Status::Complete);
    assert_eq!(session.buffered(), 10);
    let mut plaintext = [0; 100];
    let progress = session.read(&mut plaintext).unwrap();
    assert_eq!(&plaintext[..progress.produced], b"early");
    assert_eq!(session.buffered(), 0);
    assert_eq!(
        session.read(&mut plaintext).unwrap().status,
        Status::WantRead
    );
    let refused = Box::new(session).into_fd().unwrap_err();
    assert_eq!(
        refused.error.kind(),
        ErrorKind::Misuse(Misuse::CiphertextHeld)
    );
}

#[test]
fn a_full_socket_gathers_to_the_bound() {
    let (mut session, mut peer) = open();
    let data: Vec<u8> = (0..4_000_000u32).map(|place| (place % 251) as u8).collect();
    let (mut taken, mut arrived, mut blocked) = (0, Vec::new(), 0);
    while taken < data.len() || session.pending_output() > 0 {
        let mut piece = data[taken..data.len().min(taken + 300_000)].to_vec();
        let progress = session.write(&piece).unwrap();
        piece.fill(0);
        taken += progress.consumed;
        assert!(session.pending_output() <= 65_536 + 16_384 + 5);
        if progress.status == Status::WantWrite {
            assert!(session.pending_output() >= 65_536);
            blocked += 1;
            arrived.extend(received(&mut peer));
        }
        if taken == data.len() {
            session.flush().unwrap();
            arrived.extend(received(&mut peer));
        }
    }
    arrived.extend(received(&mut peer));
    assert!(blocked > 0, "the socket was never full");
    let mut plaintext = Vec::new();
    while !arrived.is_empty() {
        let length = 5 + usize::from(u16::from_be_bytes([arrived[3], arrived[4]]));
        plaintext.extend_from_slice(&arrived[5..length]);
        arrived.drain(..length);
    }
    assert!(plaintext == data);
}

#[test]
fn a_bound_above_what_is_gathered_is_used() {
    let bound = 1 << 20;
    let (mut session, _peer) = shaken(bounded(Role::Client, bound));
    let piece = [7; 10_000];
    for _ in 0..1_000 {
        let progress = session.write(&piece).unwrap();
        if progress.status == Status::WantWrite {
            assert!(session.pending_output() >= bound);
            assert!(session.pending_output() <= bound + 16_384 + 5);
            return;
        }
    }
    panic!("the bound was never reached");
}

#[test]
fn replies_leave_by_themselves() {
    let (mut session, mut peer) = open();
    peer.write_all(&record(HANDSHAKE, &[WANTS_REPLY])).unwrap();
    let mut plaintext = [0; 10];
    assert_eq!(
        session.read(&mut plaintext).unwrap().status,
        Status::WantRead
    );
    assert_eq!(session.pending_output(), 0);
    assert_eq!(received(&mut peer).len(), 25);
}

#[test]
fn an_alert_is_sent_before_its_error_is_told() {
    let (mut session, mut peer) = open();
    peer.write_all(&[record(DATA, b"first"), record(77, b"?")].concat())
        .unwrap();
    let mut plaintext = [0; 10];
    assert_eq!(session.read(&mut plaintext).unwrap().produced, 5);
    let error = session.read(&mut plaintext).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(received(&mut peer), record(ALERT, &[2, 10]));
    assert_eq!(session.flush().unwrap(), Status::Complete);
    assert_eq!(session.shutdown().unwrap_err().kind(), ErrorKind::Protocol);
}

#[test]
fn an_alert_waits_for_a_full_socket() {
    let (mut session, mut peer) = open();
    while session.write(&[7; 100_000]).unwrap().status == Status::Complete {}
    peer.write_all(&record(77, b"?")).unwrap();
    let mut plaintext = [0; 10];
    for _ in 0..3 {
        assert_eq!(
            session.read(&mut plaintext).unwrap().status,
            Status::WantWrite
        );
        assert_eq!(session.write(b"more").unwrap().consumed, 0);
    }
    let mut arrived = Vec::new();
    while session.flush().unwrap() == Status::WantWrite {
        arrived.extend(received(&mut peer));
    }
    arrived.extend(received(&mut peer));
    assert!(arrived.ends_with(&record(ALERT, &[2, 10])));
    let kind = session.read(&mut plaintext).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Protocol);
}

#[test]
fn the_end_of_the_stream_is_a_truncation_behind_its_data() {
    let (mut session, mut peer) = open();
    peer.write_all(&[record(DATA, b"last"), vec![23, 3, 3, 0, 9, 1]].concat())
        .unwrap();
    drop(peer);
    let mut plaintext = [0; 10];
    assert_eq!(session.read(&mut plaintext).unwrap().produced, 4);
    for _ in 0..2 {
        let kind = session.read(&mut plaintext).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::Truncated);
    }
}

#[test]
fn a_peer_that_is_gone_is_a_reset_without_a_signal() {
    let (mut session, peer) = open();
    drop(peer);
    let progress = session.write(b"data").unwrap();
    assert_eq!(progress.consumed, 4, "what was taken is told first");
    let error = session.write(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reset);
    assert!(std::error::Error::source(&error).is_some(), "{error}");
    assert_eq!(session.pending_output(), 0);
    let kind = session.read(&mut [0; 10]).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Reset, "the first error stays");
}

#[test]
fn shutdown_waits_for_a_full_socket_and_is_half_close() {
    let (mut session, mut peer) = open();
    while session.write(&[7; 100_000]).unwrap().status == Status::Complete {}
    assert_eq!(session.shutdown().unwrap(), Status::WantWrite);
    assert!(!session.close_notify_sent());
    let mut arrived = Vec::new();
    while session.shutdown().unwrap() == Status::WantWrite {
        arrived.extend(received(&mut peer));
    }
    arrived.extend(received(&mut peer));
    assert!(arrived.ends_with(&record(ALERT, &[1, 0])));
    assert!(session.close_notify_sent());
    peer.write_all(&[record(DATA, b"yes"), record(ALERT, &[1, 0])].concat())
        .unwrap();
    let mut plaintext = [0; 10];
    assert_eq!(session.read(&mut plaintext).unwrap().produced, 3);
    assert_eq!(session.read(&mut plaintext).unwrap().status, Status::Closed);
    assert_eq!(session.shutdown().unwrap(), Status::Closed);
    assert!(received(&mut peer).is_empty(), "nothing more is sent");
}

#[test]
fn a_socket_is_given_back_with_its_plaintext() {
    let (mut session, mut peer) = open();
    peer.write_all(&record(DATA, b"plaintext")).unwrap();
    let mut plaintext = [0; 5];
    assert_eq!(session.read(&mut plaintext).unwrap().produced, 5);
    let detached = Box::new(session).into_fd().unwrap();
    assert_eq!(detached.plaintext, b"text");
    let mut socket = UnixStream::from(detached.fd);
    socket.write_all(b"clear").unwrap();
    assert_eq!(received(&mut peer), b"clear");
}

#[test]
fn descriptors_are_checked_and_the_borrowed_stay_open() {
    let (ours, _peer) = UnixStream::pair().unwrap();
    let engine = || Mock::new(Role::Client, 3);
    let setup = setup(Role::Client, 65_536);
    let borrowed = || Descriptor::Borrowed(ours.as_fd());
    let kind = SocketEngineSession::new(engine(), &setup, borrowed())
        .unwrap_err()
        .kind();
    assert_eq!(kind, ErrorKind::Misuse(Misuse::BlockingDescriptor));
    ours.set_nonblocking(true).unwrap();
    let session = SocketEngineSession::new(engine(), &setup, borrowed()).unwrap();
    let refused = Box::new(session).into_fd().unwrap_err();
    let kind = refused.error.kind();
    assert_eq!(kind, ErrorKind::Misuse(Misuse::BorrowedDescriptor));
    drop(refused);
    assert!(ours.peer_addr().is_ok());
}
