//! Requests for new keys.

use tls_core::{BufferSession, ErrorKind, Misuse, Role, Session, Status};

use super::{checked, drained, fresh, open, status};
use crate::mock::{DATA, HANDSHAKE, REPLY, UPDATE, WANTS_REPLY, record};

fn update(asks: bool) -> Vec<u8> {
    record(HANDSHAKE, &[UPDATE, 0, 0, 1, u8::from(asks)])
}

#[test]
fn a_request_is_queued_behind_what_is_pending() {
    let mut session = open(65536);
    assert_eq!(status(session.write(b"data", &mut [])), Status::Complete);
    assert_eq!(session.request_key_update().unwrap(), Status::Complete);
    let expected = [record(DATA, b"data"), update(true)].concat();
    assert_eq!(drained(&mut session), expected);
}

#[test]
fn an_answer_that_is_owed_goes_first() {
    let mut session = open(65536);
    let mut question = record(HANDSHAKE, &[WANTS_REPLY]);
    let read = session.read(&mut question, &mut [0; 10]);
    assert_eq!(status(read), Status::WantRead);
    assert_eq!(session.request_key_update().unwrap(), Status::Complete);
    let expected = [record(HANDSHAKE, &[REPLY; 20]), update(true)].concat();
    assert_eq!(drained(&mut session), expected);
}

#[test]
fn a_request_waits_for_room() {
    let mut session = open(100);
    assert_eq!(status(session.write(&[1; 100], &mut [])), Status::Complete);
    assert_eq!(session.request_key_update().unwrap(), Status::WantWrite);
    assert_eq!(drained(&mut session), record(DATA, &[1; 100]));
    assert_eq!(session.request_key_update().unwrap(), Status::Complete);
    assert_eq!(drained(&mut session), update(true));
}

#[test]
fn one_that_only_writes_asks_sixteen_times_and_then_changes_its_own_keys() {
    let mut session = open(65536);
    for round in 0..100 {
        assert_eq!(session.request_key_update().unwrap(), Status::Complete);
        assert_eq!(drained(&mut session), update(round < 16), "{round}");
        assert_eq!(status(session.write(b"data", &mut [])), Status::Complete);
        drained(&mut session);
    }
    let read = session.read(&mut record(DATA, b"data"), &mut [0; 10]);
    assert_eq!(checked(read).unwrap().produced, 4);
    assert_eq!(session.request_key_update().unwrap(), Status::Complete);
    assert_eq!(drained(&mut session), update(true));
}

#[test]
fn one_that_writes_nothing_is_refused() {
    let mut session = open(65536);
    for _ in 0..16 {
        assert_eq!(session.request_key_update().unwrap(), Status::Complete);
    }
    let kind = session.request_key_update().unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Misuse(Misuse::TooManyKeyUpdates));
    assert_eq!(drained(&mut session), update(true).repeat(16));
    assert!(session.failure().is_none());

    let kind = fresh(Role::Client, 100).request_key_update();
    let kind = kind.unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Misuse(Misuse::HandshakeIncomplete));
}
