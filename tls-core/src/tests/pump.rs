//! [`SocketPump`] over sockets: moving bytes, and who holds what.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::OFlags;

use super::mock::{ALERT, DATA, Fault, HANDSHAKE, Mock, client, record, server};
use crate::error::{ErrorKind, Misuse};
use crate::session::{Session, SocketSession};
use crate::status::Status;
use crate::support::{Descriptor, MAX_RECORD, SocketPump};

pub(super) type Pump = SocketPump<'static, Mock>;

pub(super) const BOUND: usize = 64 * 1024;

pub(super) fn sockets() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

pub(super) fn owned(session: Mock, socket: impl Into<OwnedFd>) -> Pump {
    SocketPump::new(Descriptor::Owned(socket.into()), session, BOUND).unwrap()
}

/// A client and a server after their handshake.
pub(super) fn connect(near: impl Into<OwnedFd>, far: impl Into<OwnedFd>) -> (Pump, Pump) {
    let (mut near, mut far) = (owned(client(), near), owned(server(), far));
    assert_eq!(near.handshake().unwrap(), Status::WantRead);
    assert_eq!(far.handshake().unwrap(), Status::WantRead);
    assert_eq!(near.handshake().unwrap(), Status::Complete);
    assert_eq!(far.handshake().unwrap(), Status::Complete);
    (near, far)
}

/// A client whose peer is a bare socket that plays the server's part.
pub(super) fn connect_bare() -> (Pump, UnixStream) {
    let (near, mut far) = sockets();
    let mut near = owned(client(), near);
    assert_eq!(near.handshake().unwrap(), Status::WantRead);
    far.write_all(&record(HANDSHAKE, b"hello")).unwrap();
    assert_eq!(near.handshake().unwrap(), Status::Complete);
    let mut flights = record(HANDSHAKE, b"hello");
    flights.extend(record(HANDSHAKE, b"finish"));
    assert_eq!(take(&mut far), flights);
    (near, far)
}

/// Everything that has arrived.
pub(super) fn take(socket: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match socket.read(&mut piece) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return bytes,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Fills a socket behind the back of the pump that owns it, so that nothing can leave.
pub(super) fn jam(mut socket: UnixStream) {
    let full = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    for size in [4096, 1] {
        loop {
            if let Err(error) = socket.write(&[0; 4096][..size]) {
                assert!(full(error));
                break;
            }
        }
    }
}

/// Writes until neither the socket nor the session takes more: what was taken.
pub(super) fn fill(pump: &mut Pump) -> Vec<u8> {
    let piece = pattern(100_000);
    let mut taken = Vec::new();
    loop {
        let progress = pump.write(&piece).unwrap();
        taken.extend(&piece[..progress.consumed]);
        if progress.status == Status::WantWrite {
            assert_eq!(progress.consumed, 0);
            return taken;
        }
        assert!(progress.consumed > 0);
    }
}

pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn two_pumps_write_before_they_read_and_finish() {
    let (near, far) = sockets();
    let (near, far) = connect(near, far);
    let message = pattern(8 << 20);
    let mut sides = [(near, Vec::<u8>::new(), 0), (far, Vec::new(), 0)];
    let mut piece = vec![0; 50_000];
    while sides
        .iter()
        .any(|(_, received, _)| received.len() < message.len())
    {
        for (pump, received, sent) in &mut sides {
            if *sent < message.len() {
                *sent += pump.write(&message[*sent..]).unwrap().consumed;
            } else {
                pump.flush().unwrap();
            }
            let progress = pump.read(&mut piece).unwrap();
            received.extend(&piece[..progress.produced]);
            assert!(pump.pending_output() <= BOUND + MAX_RECORD);
        }
    }
    for (pump, received, _) in &sides {
        assert!(*received == message);
        assert_eq!(pump.buffered(), 0);
    }
}

#[test]
fn handshake_output_that_cannot_leave_is_wanted_out() {
    let (near, mut far) = sockets();
    jam(near.try_clone().unwrap());
    let mut near = owned(client(), near);
    far.write_all(&record(HANDSHAKE, b"hello")).unwrap();
    for _ in 0..2 {
        assert_eq!(near.handshake().unwrap(), Status::WantWrite);
        assert!(near.pending_output() > 0);
        assert_eq!(near.buffered(), 0, "no input is taken meanwhile");
    }
    take(&mut far);
    assert_eq!(near.handshake().unwrap(), Status::Complete);
}

#[test]
fn the_handshake_is_complete_when_the_socket_has_its_last_flight() {
    let (near, mut far) = sockets();
    let behind = near.try_clone().unwrap();
    let mut near = owned(client(), near);
    assert_eq!(near.handshake().unwrap(), Status::WantRead);
    far.write_all(&record(HANDSHAKE, b"hello")).unwrap();
    jam(behind);
    for _ in 0..2 {
        assert_eq!(near.handshake().unwrap(), Status::WantWrite);
        assert!(near.session().facts().is_some(), "the session is done");
        assert!(near.facts().is_none());
        let misuse = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), misuse);
        assert_eq!(near.write(b"x").unwrap_err().kind(), misuse);
        assert_eq!(near.shutdown().unwrap_err().kind(), misuse);
    }
    take(&mut far);
    assert_eq!(near.handshake().unwrap(), Status::Complete);
    assert!(near.facts().is_some());
    assert_eq!(take(&mut far), record(HANDSHAKE, b"finish"));
}

#[test]
fn the_handshake_leaves_what_is_not_its_own() {
    let (near, mut far) = sockets();
    let mut near = owned(server(), near);
    let early = [
        record(HANDSHAKE, b"hello"),
        record(HANDSHAKE, b"finish"),
        record(DATA, b"early"),
        record(DATA, b"and torn")[..7].to_vec(),
    ];
    far.write_all(&early.concat()).unwrap();
    let misuse = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    assert_eq!(near.read(&mut []).unwrap_err().kind(), misuse);
    assert_eq!(near.write(&[]).unwrap_err().kind(), misuse);
    assert_eq!(near.shutdown().unwrap_err().kind(), misuse);
    assert!(near.facts().is_none());
    assert_eq!(near.handshake().unwrap(), Status::Complete);
    assert!(near.facts().is_some());
    assert_eq!(near.buffered(), record(DATA, b"early").len());
    let mut buffer = [0; 99];
    assert_eq!(near.read(&mut buffer).unwrap().produced, 5);
    assert_eq!(near.read(&mut buffer).unwrap().status, Status::WantRead);
    assert_eq!(
        near.buffered(),
        0,
        "the torn record is held, and cannot be read"
    );
}

#[test]
fn slices_are_sent_as_one_write() {
    let (near, far) = sockets();
    let (mut near, mut far) = connect(near, far);
    let message = pattern(40_000);
    let slices: Vec<_> = message.chunks(33).map(IoSlice::new).collect();
    let progress = near.write_vectored(&slices).unwrap();
    assert_eq!(
        (progress.status, progress.consumed),
        (Status::Complete, message.len())
    );
    assert_eq!(near.session().records, 3);
    let (mut first, mut second) = (vec![0; 3], vec![0; 50_000]);
    let progress = far
        .read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)])
        .unwrap();
    let received = [first, second].concat();
    assert_eq!(progress.produced, message.len());
    assert!(received[..message.len()] == message);
    for progress in [
        near.write_vectored(&[]),
        near.write(&[]),
        near.read(&mut []),
    ] {
        let progress = progress.unwrap();
        assert_eq!((progress.status, progress.consumed), (Status::Complete, 0));
    }
}

#[test]
fn pending_output_is_bounded_and_flushed() {
    for bound in [1, 1_000, BOUND, 1 << 20] {
        let (near, mut far) = sockets();
        let mut near = SocketPump::new(Descriptor::Owned(near.into()), client(), bound).unwrap();
        near.handshake().unwrap();
        far.write_all(&record(HANDSHAKE, b"hello")).unwrap();
        assert_eq!(near.handshake().unwrap(), Status::Complete);
        near.session_mut().bound = bound;
        take(&mut far);
        let sent = fill(&mut near);
        let held = near.pending_output();
        assert!(
            (bound..=bound + MAX_RECORD).contains(&held),
            "{held} of {bound}"
        );
        let mut wire = Vec::new();
        while near.flush().unwrap() == Status::WantWrite {
            wire.extend(take(&mut far));
        }
        assert_eq!(near.pending_output(), 0);
        wire.extend(take(&mut far));
        assert!(super::mock::open(&wire).0 == sent);
    }
}

#[test]
fn a_blocking_descriptor_is_refused_and_left_alone() {
    let (near, mut far) = sockets();
    near.set_nonblocking(false).unwrap();
    let refused = SocketPump::new(Descriptor::Borrowed(near.as_fd()), client(), BOUND);
    let misuse = ErrorKind::Misuse(Misuse::BlockingDescriptor);
    assert_eq!(refused.unwrap_err().kind(), misuse);
    let flags = rustix::fs::fcntl_getfl(&near).unwrap();
    assert!(!flags.contains(OFlags::NONBLOCK));
    let refused = SocketPump::new(Descriptor::Owned(near.into()), client(), BOUND);
    assert_eq!(refused.unwrap_err().kind(), misuse);
    assert_eq!(
        far.read(&mut [0]).unwrap(),
        0,
        "an owned descriptor is closed"
    );
}

#[test]
fn a_borrowed_descriptor_is_never_closed() {
    let (near, mut far) = sockets();
    let mut pump = SocketPump::new(Descriptor::Borrowed(near.as_fd()), client(), BOUND).unwrap();
    assert_eq!(pump.handshake().unwrap(), Status::WantRead);
    let refusal = Box::new(pump).into_fd().unwrap_err();
    let misuse = ErrorKind::Misuse(Misuse::BorrowedDescriptor);
    assert_eq!(refusal.error.kind(), misuse);
    drop(refusal);
    take(&mut far);
    (&near).write_all(b"open").unwrap();
    assert_eq!(take(&mut far), b"open");
}

#[test]
fn a_descriptor_is_given_back_only_without_ciphertext() {
    let held = |pump: Pump, what: &str| {
        let Err(refusal) = Box::new(pump).into_fd() else {
            panic!("{what}");
        };
        let misuse = ErrorKind::Misuse(Misuse::CiphertextHeld);
        assert_eq!(refusal.error.kind(), misuse, "{what}");
        assert!(
            refusal.session.is_handshake_complete(),
            "{what}: it goes on"
        );
    };
    let mut buffer = [0; 2];

    let (mut near, mut far) = connect_bare();
    far.write_all(&record(DATA, b"torn")[..6]).unwrap();
    assert_eq!(near.read(&mut buffer).unwrap().status, Status::WantRead);
    held(near, "a part of a record");

    let (mut near, mut far) = connect_bare();
    let records = [record(DATA, b"one"), record(DATA, b"two")].concat();
    far.write_all(&records).unwrap();
    assert_eq!(near.read(&mut buffer).unwrap().produced, 2);
    held(near, "a record not consumed");

    let (mut near, _far) = connect_bare();
    fill(&mut near);
    held(near, "unsent output");

    let (mut near, mut far) = connect_bare();
    far.write_all(&record(DATA, b"text")).unwrap();
    assert_eq!(near.read(&mut buffer).unwrap().produced, 2);
    let detached = Box::new(near).into_fd().unwrap();
    assert_eq!(detached.plaintext, b"xt");
    let mut socket = UnixStream::from(detached.fd);
    socket.write_all(b"clear").unwrap();
    assert_eq!(take(&mut far), b"clear");
    far.write_all(b"text").unwrap();
    assert_eq!(take(&mut socket), b"text");
}

#[test]
fn an_owned_descriptor_is_closed_without_a_word() {
    let (near, mut far) = connect_bare();
    drop(near);
    let mut byte = [0];
    assert_eq!(far.read(&mut byte).unwrap(), 0);
}

#[test]
fn sessions_that_break_the_contract_do_not_hang() {
    for fault in [Fault::IgnoresInput, Fault::WantsRoom] {
        let (near, mut far) = sockets();
        let mut near = owned(server(), near);
        near.session_mut().fault = fault;
        far.write_all(&record(HANDSHAKE, b"hello")).unwrap();
        for _ in 0..2 {
            assert_eq!(near.handshake().unwrap_err().kind(), ErrorKind::Backend);
        }
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::Backend);
    }
    let (mut near, far) = connect_bare();
    near.session_mut().fault = Fault::IgnoresEof;
    drop(far);
    assert_eq!(
        near.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::Truncated
    );
}

#[test]
fn records_without_data_are_passed_over() {
    for fault in [Fault::None, Fault::GivesNothing] {
        pass_over(fault);
    }
}

fn pass_over(fault: Fault) {
    let (mut near, mut far) = connect_bare();
    near.session_mut().fault = fault;
    let records = [
        record(HANDSHAKE, b"a ticket"),
        record(DATA, b""),
        record(DATA, b"data"),
        record(ALERT, &[1, 0]),
        b"after the end".to_vec(),
    ];
    far.write_all(&records.concat()).unwrap();
    let mut buffer = [0; 9];
    assert_eq!(near.read(&mut buffer).unwrap().produced, 4);
    for _ in 0..2 {
        assert_eq!(near.read(&mut buffer).unwrap().status, Status::Closed);
        assert!(near.close_notify_received());
        assert_eq!(near.buffered(), 0);
    }
}

#[test]
fn a_reply_leaves_though_nothing_is_written() {
    let (mut pump, mut peer) = connect_bare();
    pump.session_mut().owe(HANDSHAKE, b"reply");
    let progress = pump.read(&mut [0; 16]).unwrap();
    assert_eq!(progress.status, Status::WantRead);
    assert_eq!(take(&mut peer), record(HANDSHAKE, b"reply"));
    assert_eq!(pump.pending_output(), 0);
}

/// The bound is reached here sooner than in the session, which has given its output away.
#[test]
fn a_request_for_new_keys_waits_for_room() {
    let (mut near, mut far) = connect_bare();
    let written = fill(&mut near);
    let held = near.pending_output();
    assert!(held >= BOUND && near.session().pending_output() < BOUND);
    assert_eq!(near.request_key_update().unwrap(), Status::WantWrite);
    assert_eq!(near.pending_output(), held, "nothing was queued");
    let mut wire = Vec::new();
    while near.flush().unwrap() == Status::WantWrite {
        wire.extend(take(&mut far));
    }
    wire.extend(take(&mut far));
    assert!(super::mock::open(&wire).0 == written);
    assert_eq!(near.request_key_update().unwrap(), Status::Complete);
    assert!(near.pending_output() > 0 && take(&mut far).is_empty());
    assert_eq!(near.flush().unwrap(), Status::Complete);
    assert_eq!(take(&mut far), record(HANDSHAKE, b"update"));
}
