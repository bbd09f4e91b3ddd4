//! Alerts, close_notify and truncation.

use tls_core::iana::AlertDescription;
use tls_core::{
    AlertDirection, BufferSession, Context, ErrorKind, Misuse, Session, SessionOptions, Status,
};

use crate::pair::{Pair, VERSIONS, configured, contexts};
use crate::pki::Authority;

#[test]
fn a_half_close_goes_each_way_once() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let (status, goodbye) = pair.client.closed();
        assert_eq!(status, Status::Complete);
        assert!(pair.client.session.close_notify_sent());
        assert_eq!(pair.client.closed(), (Status::Complete, vec![]));
        let error = pair.client.session.write(b"x", &mut []).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse(Misuse::WriteAfterShutdown));

        // What follows a close_notify is not the session's.
        pair.server.inbox.extend_from_slice(&goodbye);
        pair.server.inbox.extend_from_slice(b"junk");
        let mut room = [0; 10];
        let progress = pair.server.session.read(&mut pair.server.inbox, &mut room);
        let progress = progress.unwrap();
        assert_eq!(progress.status, Status::Closed);
        assert_eq!(progress.consumed, goodbye.len());

        let late = pair.server.sealed(b"late");
        pair.client.inbox.extend(late);
        assert_eq!(pair.client.read_all().unwrap(), b"late");
        let (status, goodbye) = pair.server.closed();
        assert_eq!(status, Status::Closed);
        pair.client.inbox.extend(goodbye);
        assert_eq!(pair.client.read_all().unwrap(), b"");
        assert!(pair.client.session.close_notify_received());
        assert_eq!(pair.client.closed(), (Status::Closed, vec![]));
    }
}

#[test]
fn shutdown_waits_until_the_close_notify_has_left() {
    let mut pair = Pair::open(VERSIONS[1]);
    let session = &mut pair.client.session;
    let progress = session.shutdown(&mut [0]).unwrap();
    assert_eq!((progress.status, progress.produced), (Status::WantWrite, 1));
    assert!(!session.close_notify_sent());
    let mut room = [0; 100];
    assert_eq!(session.drain(&mut room).status, Status::Complete);
    assert!(session.close_notify_sent());
}

#[test]
fn a_quiet_shutdown_sends_nothing() {
    let authority = Authority::new();
    let (client, server) = configured(VERSIONS[1], &authority, |client, _| {
        client.parameters.quiet_shutdown = true;
    });
    let mut pair = Pair::new(&client, &server);
    pair.handshake().unwrap();
    assert_eq!(pair.client.closed(), (Status::Closed, vec![]));
    assert_eq!(pair.client.session.pending_output(), 0);
}

#[test]
fn a_quiet_shutdown_waits_for_what_was_written() {
    let authority = Authority::new();
    let (client, server) = configured(VERSIONS[1], &authority, |client, _| {
        client.parameters.quiet_shutdown = true;
    });
    let mut pair = Pair::new(&client, &server);
    pair.handshake().unwrap();
    let session = &mut pair.client.session;
    assert_eq!(session.write(b"taken", &mut []).unwrap().consumed, 5);
    let progress = session.shutdown(&mut []).unwrap();
    assert_eq!(progress.status, Status::WantWrite);
    assert!(!session.close_notify_sent());
    let (status, record) = pair.client.closed();
    assert_eq!(status, Status::Closed);
    pair.server.inbox.extend(record);
    assert_eq!(pair.server.read_all().unwrap(), b"taken");
}

#[test]
fn the_end_of_the_transport_is_truncation() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let record = pair.client.sealed(b"half of this is missing");
        pair.server.inbox.extend(&record[..record.len() / 2]);
        assert_eq!(pair.server.read_all().unwrap(), b"");
        pair.server.session.input_eof();
        for _ in 0..2 {
            let error = pair.server.session.read(&mut [], &mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated);
        }
        assert_eq!(pair.server.session.pending_output(), 0);
    }
}

#[test]
fn data_is_delivered_before_truncation() {
    let mut pair = Pair::open(VERSIONS[0]);
    let mut record = pair.client.sealed(b"abc");
    let mut byte = [0];
    let progress = pair.server.session.read(&mut record, &mut byte).unwrap();
    assert_eq!(progress.consumed, record.len());
    pair.server.session.input_eof();
    let mut room = [0; 10];
    let progress = pair.server.session.read(&mut [], &mut room).unwrap();
    assert_eq!((progress.status, progress.produced), (Status::Complete, 2));
    let error = pair.server.session.read(&mut [], &mut room).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn truncation_in_the_handshake() {
    for version in VERSIONS {
        let (client, server) = contexts(version);
        let mut pair = Pair::new(&client, &server);
        let mut hello = vec![0; 8_000];
        let progress = pair.client.session.handshake(&mut [], &mut hello).unwrap();
        let half = &mut hello[..progress.produced / 2];
        let progress = pair.server.session.handshake(half, &mut []).unwrap();
        assert_eq!(progress.status, Status::WantRead);
        pair.server.session.input_eof();
        let error = pair.server.session.handshake(&mut [], &mut []).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert!(pair.server.session.facts().is_none());
    }
}

#[test]
fn the_alert_leaves_and_then_the_error_stays() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let good = pair.client.sealed(b"good");
        let mut bad = pair.client.sealed(b"bad");
        *bad.last_mut().unwrap() ^= 1;
        let mut both = [good, bad].concat();
        let session = &mut pair.server.session;
        let mut room = [0; 100];
        let progress = session.read(&mut both, &mut room).unwrap();
        assert_eq!(&room[..progress.produced], b"good");
        assert_eq!(progress.consumed, both.len());

        let pending = session.pending_output();
        assert!(pending > 0);
        for left in (0..pending).rev() {
            let progress = session.read(&mut [], &mut room).unwrap();
            assert_eq!(progress.status, Status::WantWrite);
            assert_eq!(session.drain(&mut [0]).produced, 1);
            assert_eq!(session.pending_output(), left);
        }
        for _ in 0..2 {
            let error = session.read(&mut [], &mut room).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
            let alert = error.alert().unwrap();
            assert_eq!(alert.description, AlertDescription::BAD_RECORD_MAC);
            assert_eq!(alert.direction, AlertDirection::Sent);
            let error = session.write(b"x", &mut []).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
    }
}

/// What the table says was sent is what the peer receives.
#[test]
fn the_peer_receives_the_alert_that_is_reported() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let mut bad = pair.client.sealed(b"bad");
        bad[7] ^= 1;
        pair.server.inbox.extend(bad);
        let sent = pair.server.read_error(&mut pair.client.inbox);
        let received = pair.client.read_error(&mut pair.server.inbox);
        assert_eq!(received.kind(), ErrorKind::PeerAlert);
        assert_eq!(
            received.alert().unwrap().description,
            sent.alert().unwrap().description
        );
        assert_eq!(
            received.alert().unwrap().direction,
            AlertDirection::Received
        );
    }
}

#[test]
fn a_bad_record_after_our_close_notify_is_an_error() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.server.closed();
        let mut bad = pair.client.sealed(b"bad");
        bad[9] ^= 1;
        pair.server.inbox.extend(bad);
        let mut sink = Vec::new();
        let error = pair.server.read_error(&mut sink);
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}

#[test]
fn what_is_not_tls_is_named() {
    for (bytes, sentence) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "plain HTTP"),
        (&b"\x80\x2e\x01\x00\x02\x00"[..], "not a TLS record"),
        (&b"SSH-2.0-OpenSSH"[..], "not a TLS record"),
    ] {
        let (_, server) = contexts(VERSIONS[1]);
        let mut session = server.buffer_session(SessionOptions::new()).unwrap();
        let mut input = bytes.to_vec();
        let mut room = [0; 100];
        let progress = session.handshake(&mut input, &mut room).unwrap();
        assert_eq!(progress.status, Status::WantWrite);
        assert_eq!(&room[..progress.produced], [21, 3, 3, 0, 2, 2, 50]);
        let error = session.handshake(&mut [], &mut room).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.detail().contains(sentence), "{error}");
        let alert = error.alert().unwrap().description;
        assert_eq!(alert, AlertDescription::DECODE_ERROR);
    }
}

#[test]
fn a_close_notify_in_the_handshake_ends_it() {
    let (client, server) = contexts(VERSIONS[1]);
    let mut pair = Pair::new(&client, &server);
    let mut goodbye = [21, 3, 3, 0, 2, 1, 0];
    let error = pair.server.session.handshake(&mut goodbye, &mut []);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerAlert);
    let alert = error.alert().unwrap().description;
    assert_eq!(alert, AlertDescription::CLOSE_NOTIFY);
}
