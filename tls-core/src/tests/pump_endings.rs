//! [`SocketPump`](crate::support::SocketPump) over sockets: how connections end.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::mock::{ALERT, DATA, GARBAGE, HANDSHAKE, client, open, record};
use super::pump::{BOUND, connect, connect_bare, fill, jam, owned, sockets, take};
use crate::config::Verdict;
use crate::error::{Error, ErrorKind, Misuse};
use crate::iana::AlertDescription;
use crate::session::{Session, SocketSession};
use crate::status::Status;

#[test]
fn data_and_then_truncation() {
    let whole = record(DATA, b"data");
    for torn in 0..whole.len() {
        let (mut near, mut far) = connect_bare();
        far.write_all(&whole).unwrap();
        far.write_all(&whole[..torn]).unwrap();
        drop(far);
        let mut buffer = [0; 9];
        assert_eq!(near.read(&mut buffer).unwrap().produced, 4);
        for _ in 0..2 {
            let error = near.read(&mut buffer).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "after {torn} bytes");
        }
        assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(near.handshake().unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(near.failure().unwrap().kind(), ErrorKind::Truncated);
        assert!(!near.close_notify_received());
        assert!(near.session().failure().is_some(), "the session was told");
    }
}

#[test]
fn truncation_of_a_handshake() {
    let hello = record(HANDSHAKE, b"hello");
    for torn in 0..hello.len() {
        let (near, mut far) = sockets();
        let mut near = owned(client(), near);
        assert_eq!(near.handshake().unwrap(), Status::WantRead);
        far.write_all(&hello[..torn]).unwrap();
        take(&mut far);
        drop(far);
        for _ in 0..2 {
            let error = near.handshake().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated);
        }
        assert!(near.facts().is_none());
    }
}

#[test]
fn truncation_does_not_wait_for_output() {
    let (mut near, far) = connect_bare();
    fill(&mut near);
    far.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..2 {
        let error = near.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }
    assert_eq!(near.handshake().unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(near.shutdown().unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(near.flush().unwrap(), Status::WantWrite, "flush goes on");
}

/// What is pending leaves before a suspension is told of, and may meet the end of the connection.
#[test]
fn a_session_that_waits_fails_with_its_transport() {
    let (near, far) = sockets();
    let mut near = owned(client(), near);
    let pending = near.pending_output();
    let chain = vec![CertificateDer::from(vec![1])];
    let lifecycle = &mut near.session_mut().lifecycle;
    let status = lifecycle.suspend_for_validation(chain, Ok(()), pending);
    assert_eq!(status, Status::WantWrite);
    assert!(near.unverified_peer_certificates().is_some());
    drop(far);
    let kind = near.handshake().unwrap_err().kind();
    assert!(near.unverified_peer_certificates().is_none());
    assert_eq!(near.default_validation(), None);
    let verdict = near.set_validation_result(Verdict::Accept);
    assert_eq!(verdict.unwrap_err().kind(), kind);
    let verdict = near.accept_with_default_validation();
    assert_eq!(verdict.unwrap_err().kind(), kind);
}

fn connected_tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

#[test]
fn a_reset_keeps_the_system_s_error() {
    let (near, far) = connected_tcp();
    let reset = far.try_clone().unwrap();
    let (mut near, far) = connect(near, far);
    rustix::net::sockopt::set_socket_linger(&reset, Some(Duration::ZERO)).unwrap();
    drop(far);
    drop(reset);
    let mut buffer = [0; 9];
    let first = loop {
        match near.read(&mut buffer) {
            Ok(progress) => assert_eq!(progress.status, Status::WantRead),
            Err(error) => break error,
        }
    };
    let again = near.read(&mut buffer).unwrap_err();
    let write = near.write(b"x").unwrap_err();
    let flush = near.flush().unwrap_err();
    for error in [first, again, write, flush] {
        assert_eq!(error.kind(), ErrorKind::Reset);
        assert_eq!(system(&error).kind(), io::ErrorKind::ConnectionReset);
    }
    assert_eq!(near.failure().unwrap().kind(), ErrorKind::Reset);
}

fn system(error: &Error) -> &io::Error {
    let source = std::error::Error::source(error).unwrap();
    source.downcast_ref().unwrap()
}

#[test]
fn a_closed_pipe_raises_no_signal_and_delivers_what_was_decrypted() {
    let (mut near, mut far) = connect_bare();
    far.write_all(&record(DATA, b"data")).unwrap();
    let mut buffer = [0; 2];
    assert_eq!(near.read(&mut buffer).unwrap().produced, 2);
    drop(far);
    // The bytes are taken before the socket is asked.
    assert_eq!(near.write(b"lost").unwrap().consumed, 4);
    let error = near.write(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reset);
    assert_eq!(system(&error).kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(near.read(&mut buffer).unwrap().produced, 2);
    assert_eq!(near.read(&mut buffer).unwrap_err().kind(), ErrorKind::Reset);
    assert_eq!(near.pending_output(), 0);
}

#[test]
fn a_dead_transport_holds_nothing() {
    let (mut near, far) = connect_bare();
    fill(&mut near);
    assert!(near.pending_output() >= BOUND);
    drop(far);
    assert_eq!(near.flush().unwrap_err().kind(), ErrorKind::Reset);
    assert_eq!(near.pending_output(), 0);
    assert_eq!(near.handshake().unwrap_err().kind(), ErrorKind::Reset);
    assert_eq!(near.shutdown().unwrap_err().kind(), ErrorKind::Reset);
}

#[test]
fn an_alert_waits_for_the_socket_and_the_error_for_the_alert() {
    let (mut near, mut far) = connect_bare();
    let sent = fill(&mut near);
    far.write_all(&record(GARBAGE, b"?")).unwrap();
    let mut buffer = [0; 9];
    for _ in 0..3 {
        assert_eq!(near.read(&mut buffer).unwrap().status, Status::WantWrite);
        assert_eq!(near.write(b"x").unwrap().status, Status::WantWrite);
        assert_eq!(near.write(b"").unwrap().status, Status::WantWrite);
        assert_eq!(near.handshake().unwrap(), Status::WantWrite);
        assert_eq!(near.shutdown().unwrap(), Status::WantWrite);
    }
    let mut wire = Vec::new();
    let error = loop {
        wire.extend(take(&mut far));
        match near.read(&mut buffer) {
            Ok(progress) => assert_eq!(progress.status, Status::WantWrite),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Protocol);
    wire.extend(take(&mut far));
    let alert = record(ALERT, &[2, AlertDescription::UNEXPECTED_MESSAGE.0]);
    assert!(wire.ends_with(&alert));
    let (data, _) = open(&wire);
    assert!(data == sent, "what was taken goes first");
    assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(near.flush().unwrap(), Status::Complete);
    assert!(near.buffered() == 0);
}

#[test]
fn the_peer_s_alert_is_an_error_at_once() {
    let (mut near, mut far) = connect_bare();
    fill(&mut near);
    let alert = record(ALERT, &[2, AlertDescription::BAD_RECORD_MAC.0]);
    far.write_all(&[record(DATA, b"data"), alert].concat())
        .unwrap();
    let mut buffer = [0; 9];
    assert_eq!(near.read(&mut buffer).unwrap().produced, 4);
    let error = near.read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerAlert);
    let description = error.alert().unwrap().description;
    assert_eq!(description, AlertDescription::BAD_RECORD_MAC);
}

#[test]
fn shutdown_is_sent_once_and_reading_goes_on() {
    let (near, far) = sockets();
    let (mut near, mut far) = connect(near, far);
    assert_eq!(near.shutdown().unwrap(), Status::Complete);
    assert!(near.close_notify_sent());
    assert_eq!(near.shutdown().unwrap(), Status::Complete);
    let misuse = ErrorKind::Misuse(Misuse::WriteAfterShutdown);
    assert_eq!(near.write(b"x").unwrap_err().kind(), misuse);
    let mut buffer = [0; 9];
    assert_eq!(far.read(&mut buffer).unwrap().status, Status::Closed);
    assert_eq!(far.write(b"reply").unwrap().consumed, 5);
    assert_eq!(far.shutdown().unwrap(), Status::Closed);
    assert_eq!(near.read(&mut buffer).unwrap().produced, 5);
    assert_eq!(near.read(&mut buffer).unwrap().status, Status::Closed);
    assert_eq!(near.shutdown().unwrap(), Status::Closed);
    drop(near);
    assert_eq!(far.read(&mut buffer).unwrap().status, Status::Closed);
}

#[test]
fn a_close_notify_that_the_pump_holds_is_not_sent() {
    let (near, mut far) = sockets();
    let behind = near.try_clone().unwrap();
    let mut near = owned(client(), near);
    near.handshake().unwrap();
    far.write_all(&record(HANDSHAKE, b"hello")).unwrap();
    assert_eq!(near.handshake().unwrap(), Status::Complete);
    jam(behind);
    assert_eq!(near.shutdown().unwrap(), Status::WantWrite);
    assert!(
        near.session().close_notify_sent(),
        "the session let go of it"
    );
    assert!(!near.close_notify_sent());
    take(&mut far);
    assert_eq!(near.shutdown().unwrap(), Status::Complete);
    assert!(near.close_notify_sent());
    assert_eq!(take(&mut far), record(ALERT, &[1, 0]));
}

#[test]
fn a_close_notify_is_sent_when_the_socket_has_it() {
    let (mut near, mut far) = connect_bare();
    let sent = fill(&mut near);
    for _ in 0..2 {
        assert_eq!(near.shutdown().unwrap(), Status::WantWrite);
        assert!(!near.close_notify_sent());
        let misuse = ErrorKind::Misuse(Misuse::WriteAfterShutdown);
        assert_eq!(near.write(b"x").unwrap_err().kind(), misuse);
        assert_eq!(near.write(b"").unwrap_err().kind(), misuse);
    }
    assert!(near.pending_output() > BOUND);
    let mut wire = Vec::new();
    while near.shutdown().unwrap() == Status::WantWrite {
        assert!(!near.close_notify_sent());
        wire.extend(take(&mut far));
    }
    assert!(near.close_notify_sent());
    wire.extend(take(&mut far));
    assert!(wire.ends_with(&record(ALERT, &[1, 0])));
    assert!(open(&wire).0 == sent);
}
