//! How sessions end: close_notify, truncation, alerts, limits, and failures of the engine.

use std::ffi::c_ulong;

use tls_core::iana::AlertDescription;
use tls_core::{
    Alert, AlertDirection, BufferSession, Error, ErrorKind, Misuse, Role, Session, Status,
};

use super::{checked, drained, flight, fresh, open, status};
use crate::mock::{ALERT, DATA, HANDSHAKE, Mock, Next, errors_left, leave_error, record};
use crate::{BufferEngineSession, Setup};

fn sent(description: AlertDescription) -> Option<Alert> {
    Some(Alert {
        description,
        direction: AlertDirection::Sent,
    })
}

/// Every call gives this error.
fn is_stuck_with(session: &mut BufferEngineSession<Mock>, error: &Error) {
    assert_eq!(session.failure().map(Error::kind), Some(error.kind()));
    for _ in 0..2 {
        let results = [
            session.handshake(&mut [], &mut [0; 100]),
            session.read(&mut record(DATA, b"data"), &mut [0; 100]),
            session.read(&mut [], &mut []),
            session.write(b"data", &mut [0; 100]),
            session.shutdown(&mut [0; 100]),
        ];
        for result in results {
            assert_eq!(checked(result).unwrap_err().kind(), error.kind());
        }
    }
    assert_eq!(session.drain(&mut [0; 10]).status, Status::Complete);
}

#[test]
fn close_notify_is_the_end_of_one_direction() {
    let mut session = open(65536);
    let mut input = [record(DATA, b"last"), record(ALERT, &[1, 0]), vec![9; 9]].concat();
    let mut plaintext = [0; 100];
    let progress = checked(session.read(&mut input, &mut plaintext)).unwrap();
    assert_eq!((progress.status, progress.produced), (Status::Complete, 4));
    for _ in 0..2 {
        let progress = checked(session.read(&mut input[16..], &mut plaintext)).unwrap();
        assert_eq!((progress.status, progress.consumed), (Status::Closed, 0));
    }
    assert!(session.close_notify_received());
    assert!(!session.close_notify_sent());
    let mut output = [0; 100];
    let written = checked(session.write(b"still open", &mut output)).unwrap();
    assert_eq!(written.consumed, 10);
    let closing = checked(session.shutdown(&mut output)).unwrap();
    assert_eq!((closing.status, closing.produced), (Status::Closed, 7));
}

#[test]
fn shutdown_sends_once_and_reading_goes_on() {
    let mut session = open(65536);
    assert_eq!(status(session.write(&[1; 100], &mut [])), Status::Complete);
    let mut output = [0; 50];
    let mut all = Vec::new();
    loop {
        let progress = checked(session.shutdown(&mut output)).unwrap();
        all.extend_from_slice(&output[..progress.produced]);
        assert_eq!(session.close_notify_sent(), session.pending_output() == 0);
        if progress.status == Status::Complete {
            break;
        }
        assert_eq!(progress.status, Status::WantWrite);
    }
    assert_eq!(
        all,
        [record(DATA, &[1; 100]), record(ALERT, &[1, 0])].concat()
    );
    let again = checked(session.shutdown(&mut output)).unwrap();
    assert_eq!((again.status, again.produced), (Status::Complete, 0));
    let kind = ErrorKind::Misuse(Misuse::WriteAfterShutdown);
    assert_eq!(session.write(b"no", &mut []).unwrap_err().kind(), kind);
    let mut plaintext = [0; 10];
    let read = checked(session.read(&mut record(DATA, b"yes"), &mut plaintext)).unwrap();
    assert_eq!(&plaintext[..read.produced], b"yes");
    let mut closing = record(ALERT, &[1, 0]);
    assert_eq!(
        status(session.read(&mut closing, &mut plaintext)),
        Status::Closed
    );
    assert_eq!(status(session.shutdown(&mut output)), Status::Closed);
}

#[test]
fn a_quiet_shutdown_sends_nothing() {
    let setup = Setup {
        quiet_shutdown: true,
        ..super::setup(Role::Client, 100)
    };
    let engine = Mock::new(Role::Client, 0);
    let mut session = BufferEngineSession::new(engine, &setup).unwrap();
    while status(session.handshake(&mut [], &mut [0; 9000])) != Status::Complete {}
    let progress = session.shutdown(&mut [0; 100]).unwrap();
    assert_eq!((progress.status, progress.produced), (Status::Closed, 0));
    assert!(session.close_notify_sent() && !session.close_notify_received());
    let mut plaintext = [0; 10];
    let read = checked(session.read(&mut record(DATA, b"yes"), &mut plaintext)).unwrap();
    assert_eq!((read.status, read.produced), (Status::Complete, 3));
}

#[test]
fn the_end_of_the_transport_is_a_truncation() {
    let mut session = fresh(Role::Server, 100);
    session.input_eof();
    let error = checked(session.handshake(&mut [], &mut [0; 10])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    is_stuck_with(&mut session, &error);

    // In the middle of a record, behind data that is delivered first.
    let mut session = open(65536);
    assert_eq!(status(session.write(b"pending", &mut [])), Status::Complete);
    let mut input = [record(DATA, b"data"), vec![23, 3, 3]].concat();
    let mut plaintext = [0; 3];
    let progress = session.read(&mut input, &mut plaintext).unwrap();
    assert_eq!(progress.produced, 3);
    let mut rest = input[progress.consumed..].to_vec();
    let progress = session.read(&mut rest, &mut plaintext).unwrap();
    assert_eq!((progress.produced, progress.consumed), (1, 0));
    assert_eq!(
        status(session.read(&mut rest, &mut plaintext)),
        Status::WantRead
    );
    session.input_eof();
    let kind = session.read(&mut rest, &mut plaintext).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Misuse(Misuse::InputAfterEof));
    let error = checked(session.read(&mut [], &mut plaintext)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(session.pending_output(), 0, "nobody reads it any more");
    is_stuck_with(&mut session, &error);
}

#[test]
fn what_came_before_the_end_is_used_first() {
    let mut session = open(65536);
    let mut plaintext = [0; 2];
    let read = session.read(&mut record(DATA, b"data"), &mut plaintext);
    assert_eq!(read.unwrap().produced, 2);
    session.input_eof();
    assert_eq!(session.buffered(), 2);
    let progress = checked(session.read(&mut [], &mut plaintext)).unwrap();
    assert_eq!((progress.status, &plaintext), (Status::Complete, b"ta"));
    let kind = session.read(&mut [], &mut plaintext).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Truncated);
}

#[test]
fn an_alert_leaves_before_its_error_is_told() {
    let mut session = open(65536);
    assert_eq!(status(session.write(b"before", &mut [])), Status::Complete);
    let mut input = [record(DATA, b"data"), record(99, b"?")].concat();
    let mut plaintext = [0; 10];
    let progress = checked(session.read(&mut input, &mut plaintext)).unwrap();
    assert_eq!((progress.status, progress.produced), (Status::Complete, 4));
    let waits = checked(session.read(&mut [], &mut plaintext)).unwrap();
    assert_eq!((waits.status, waits.produced), (Status::WantWrite, 0));
    // The call takes nothing, but what waits leaves through it.
    let mut output = [0; 15];
    let waits = checked(session.write(b"more", &mut output)).unwrap();
    assert_eq!(
        (waits.status, waits.consumed, waits.produced),
        (Status::WantWrite, 0, 15)
    );
    let rest = drained(&mut session);
    let expected = [record(DATA, b"before"), record(ALERT, &[2, 10])].concat();
    assert_eq!([&output[..], &rest].concat(), expected);
    let error = session.read(&mut [], &mut plaintext).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(
        (error.detail(), error.alert()),
        ("nonsense", sent(AlertDescription(10)))
    );
    is_stuck_with(&mut session, &error);
}

#[test]
fn an_alert_that_leaves_at_once_is_counted_first() {
    let mut session = fresh(Role::Server, 65536);
    let mut output = [0; 100];
    let progress = checked(session.handshake(&mut record(99, b"?"), &mut output)).unwrap();
    assert_eq!((progress.status, progress.produced), (Status::WantWrite, 7));
    assert_eq!(session.pending_output(), 0);
    let error = session.handshake(&mut [], &mut output).unwrap_err();
    assert_eq!(error.alert(), sent(AlertDescription::UNEXPECTED_MESSAGE));
    is_stuck_with(&mut session, &error);
}

#[test]
fn the_peers_alert_ends_the_session_at_once() {
    for handshaking in [true, false] {
        let mut session = if handshaking {
            fresh(Role::Server, 100)
        } else {
            open(100)
        };
        let mut input = record(ALERT, &[2, 40]);
        let result = match handshaking {
            true => session.handshake(&mut input, &mut [0; 100]),
            false => session.read(&mut input, &mut [0; 100]),
        };
        let error = checked(result).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PeerAlert);
        let alert = error.alert().unwrap();
        assert_eq!(alert.description, AlertDescription::HANDSHAKE_FAILURE);
        assert_eq!(alert.direction, AlertDirection::Received);
        is_stuck_with(&mut session, &error);
    }
    let mut session = fresh(Role::Server, 100);
    let error = session
        .handshake(&mut record(ALERT, &[1, 0]), &mut [])
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::PeerAlert,
        "closed in the handshake"
    );
}

#[test]
fn a_peer_without_data_is_stopped() {
    let mut session = open(65536);
    let mut plaintext = [0; 10];
    // 32 are allowed, and data in between starts the count again.
    for _ in 0..3 {
        let mut input = record(HANDSHAKE, b"ticket").repeat(32);
        assert_eq!(
            status(session.read(&mut input, &mut plaintext)),
            Status::WantRead
        );
        assert_eq!(
            status(session.read(&mut record(DATA, b"a"), &mut plaintext)),
            Status::Complete
        );
    }
    let mut input = record(HANDSHAKE, b"ticket").repeat(40);
    let progress = checked(session.read(&mut input, &mut plaintext)).unwrap();
    assert_eq!(
        (progress.status, progress.consumed),
        (Status::WantWrite, 33 * 11)
    );
    assert_eq!(drained(&mut session), record(ALERT, &[2, 10]));
    let error = session.read(&mut [], &mut plaintext).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.detail().contains("32 records"), "{error}");
    assert_eq!(error.alert(), sent(AlertDescription::UNEXPECTED_MESSAGE));
    is_stuck_with(&mut session, &error);
}

#[test]
fn the_fifth_warning_is_too_many() {
    let mut session = open(65536);
    let mut plaintext = [0; 10];
    for _ in 0..4 {
        let mut input = [record(ALERT, &[1, 90]), record(DATA, b"a")].concat();
        assert_eq!(
            status(session.read(&mut input, &mut plaintext)),
            Status::Complete
        );
    }
    assert_eq!(
        status(session.read(&mut record(ALERT, &[1, 90]), &mut plaintext)),
        Status::WantWrite
    );
    drained(&mut session);
    let error = session.read(&mut [], &mut plaintext).unwrap_err();
    assert!(error.detail().contains("warning"), "{error}");
}

#[test]
fn a_hello_that_is_too_long_is_refused_before_it_is_held() {
    let mut session = fresh(Role::Server, 65536);
    let mut hello = record(HANDSHAKE, &[&[1, 1, 0, 1][..], &[0; 100]].concat());
    hello.extend(record(HANDSHAKE, &[0; 100]));
    let mut output = [0; 100];
    let progress = checked(session.handshake(&mut hello, &mut output)).unwrap();
    assert_eq!(
        (progress.status, progress.consumed),
        (Status::WantWrite, 109)
    );
    assert_eq!(drained(&mut session), record(ALERT, &[2, 22]));
    let error = session.handshake(&mut [], &mut output).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.detail().contains("ClientHello"), "{error}");
}

#[test]
fn failures_of_the_engine_are_its_own() {
    let cases = [
        (Next::Error(1), ErrorKind::Backend),
        (Next::Error(4), ErrorKind::Backend),
        (Next::Error(7), ErrorKind::Backend),
        (Next::Error(12), ErrorKind::Backend),
        (Next::Error(6), ErrorKind::Truncated),
        (Next::Panic, ErrorKind::Backend),
    ];
    for (next, kind) in cases {
        for step in 0..4 {
            let engine = |established: bool| {
                let mut engine = Mock::new(Role::Client, 0);
                engine.next = Some(next).filter(|_| !established);
                engine
            };
            let setup = super::setup(Role::Client, 65536);
            let mut session = BufferEngineSession::new(engine(step > 0), &setup).unwrap();
            let mut output = [0; 9000];
            let mut result = session.handshake(&mut [], &mut output);
            if step > 0 {
                assert_eq!(result.unwrap().status, Status::Complete);
                session.disturb(next);
                result = match step {
                    1 => session.read(&mut record(DATA, b"data"), &mut [0; 10]),
                    2 => session.write(b"data", &mut output),
                    _ => session.shutdown(&mut output),
                };
            }
            let error = checked(result).unwrap_err();
            assert_eq!(error.kind(), kind, "{next:?} at {step}: {error}");
            is_stuck_with(&mut session, &error);
        }
    }
}

#[test]
fn what_others_left_in_the_queue_does_no_harm() {
    let mut session = fresh(Role::Client, 65536);
    let mut input = flight();
    let mut output = [0; 9000];
    let leave = || leave_error(c_ulong::MAX);
    leave();
    while status(session.handshake(&mut input, &mut output)) != Status::Complete {
        leave();
    }
    leave();
    assert_eq!(
        status(session.write(b"data", &mut output)),
        Status::Complete
    );
    leave();
    assert_eq!(
        status(session.read(&mut [23], &mut output)),
        Status::WantRead
    );
    leave();
    assert_eq!(status(session.shutdown(&mut output)), Status::Complete);
    assert_eq!(errors_left(), 0);
}
