//! What a peer may make a session do (K4).

use std::io::Write;
use std::sync::Arc;

use rustls::ContentType;
use tls_core::iana::AlertDescription;
use tls_core::{BufferSession, Context, ErrorKind, Session, SessionOptions, Status};

use crate::forge::{forged_client, fresh_client, raw_client, receive, sent, taken_apart};
use crate::pair::{VERSIONS, contexts};
use crate::pki::Authority;

const FATAL: u8 = 2;
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

#[test]
fn thirty_two_key_updates_are_taken_and_answered() {
    let (_, server) = contexts(VERSIONS[1]);
    let (mut client, mut server) = raw_client(&server);
    for _ in 0..32 {
        client.refresh_traffic_keys().unwrap();
        server.inbox.extend(sent(&mut client));
        assert_eq!(server.read_all().unwrap(), b"");
        assert!(server.session.pending_output() > 0, "the answer is queued");
        receive(&mut client, &server.drained());
    }
    client.writer().write_all(b"hello").unwrap();
    server.inbox.extend(sent(&mut client));
    assert_eq!(server.read_all().unwrap(), b"hello");
}

/// Not what the trait promises, which is `WantRead`: rustls does not tell that it holds a part of a
/// message.
#[test]
fn a_request_for_new_keys_within_a_message_is_fatal() {
    let (_, server) = contexts(VERSIONS[1]);
    let (mut client, mut server) = forged_client(&server);
    let (start, rest) = KEY_UPDATE.split_at(3);
    server.inbox = client.record(ContentType::Handshake, start);
    assert_eq!(server.read_all().unwrap(), b"");
    let status = server.session.request_key_update().unwrap();
    assert_eq!(status, Status::WantWrite, "an alert is to leave first");
    let alert = [FATAL, AlertDescription::UNEXPECTED_MESSAGE.0];
    let said = client.open(&server.drained());
    assert_eq!(said, (ContentType::Alert, alert.to_vec()));
    server.inbox = client.record(ContentType::Handshake, rest);
    let error = server.read_error(&mut Vec::new());
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

/// The same of rustls alone, without our code: it refuses to change its keys there, and sends the
/// alert about it by itself.
#[test]
fn rustls_ends_a_connection_asked_for_new_keys_within_a_message() {
    let identity = Authority::new().server();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key());
    let mut server = rustls::ServerConnection::new(Arc::new(config.unwrap())).unwrap();
    let mut client = fresh_client();
    let mut answer = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        server.read_tls(&mut &sent(&mut client)[..]).unwrap();
        server.process_new_packets().unwrap();
        server.write_tls(&mut answer).unwrap();
        receive(&mut client, &std::mem::take(&mut answer));
    }
    let mut client = taken_apart(client);
    let record = client.record(ContentType::Handshake, &KEY_UPDATE[..3]);
    server.read_tls(&mut &record[..]).unwrap();
    server.process_new_packets().expect("a part of a message");
    let refused = server.refresh_traffic_keys().unwrap_err();
    let misplaced = rustls::PeerMisbehaved::KeyEpochWithPendingFragment;
    assert_eq!(refused, rustls::Error::PeerMisbehaved(misplaced));
    server.write_tls(&mut answer).unwrap();
    let alert = vec![FATAL, AlertDescription::UNEXPECTED_MESSAGE.0];
    assert_eq!(client.open(&answer), (ContentType::Alert, alert));
}

/// rustls has no alert for this: the session ends without one.
#[test]
fn one_key_update_more_is_fatal() {
    let (_, server) = contexts(VERSIONS[1]);
    let (mut client, mut server) = raw_client(&server);
    for _ in 0..33 {
        client.refresh_traffic_keys().unwrap();
        server.inbox.extend(sent(&mut client));
    }
    let mut sink = Vec::new();
    let error = server.read_error(&mut sink);
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.alert().is_none());
}

#[test]
fn answers_do_not_pile_up() {
    let (_, server) = contexts(VERSIONS[1]);
    let (mut client, mut server) = raw_client(&server);
    let data = vec![0; 200_000];
    while server.session.write(&data, &mut []).unwrap().consumed > 0 {}
    let full = server.session.pending_output();
    for _ in 0..1000 {
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"x").unwrap();
        server.inbox.extend(sent(&mut client));
        assert_eq!(server.read_all().unwrap(), b"x");
    }
    assert_eq!(server.session.pending_output(), full);
    let backlog = server.drained();
    let more = server.sealed(b"and on it goes");
    let received = receive(&mut client, &[backlog, more].concat());
    assert!(received.ends_with(b"and on it goes"));
}

#[test]
fn a_flood_of_empty_records_is_answered_with_an_alert() {
    for version in VERSIONS {
        let (_, server) = contexts(version);
        let (mut client, mut server) = forged_client(&server);
        for _ in 0..32 {
            let empty = client.record(ContentType::ApplicationData, &[]);
            server.inbox.extend(empty);
        }
        let data = client.record(ContentType::ApplicationData, b"x");
        server.inbox.extend(data);
        assert_eq!(server.read_all().unwrap(), b"x", "32 are taken");

        for _ in 0..33 {
            let empty = client.record(ContentType::ApplicationData, &[]);
            server.inbox.extend(empty);
        }
        let mut alert = Vec::new();
        let error = server.read_error(&mut alert);
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.detail().contains("32 records"), "{error}");
        let told = error.alert().unwrap().description;
        assert_eq!(told, AlertDescription::UNEXPECTED_MESSAGE);
        let (typ, content) = client.open(&alert);
        assert_eq!((typ, content), (ContentType::Alert, vec![FATAL, told.0]));
    }
}

#[test]
fn records_of_different_kinds_count_together() {
    let (_, server) = contexts(VERSIONS[1]);
    let (mut client, mut server) = forged_client(&server);
    for _ in 0..2 {
        // Each KeyUpdate would bring new keys: unlike an empty record, there can be only one.
        for _ in 0..15 {
            let empty = client.record(ContentType::ApplicationData, &[]);
            server.inbox.extend(empty);
        }
        // user_canceled, the one warning that TLS 1.3 has left.
        let warning = client.record(ContentType::Alert, &[1, 90]);
        server.inbox.extend(warning);
    }
    assert_eq!(server.read_all().unwrap(), b"");
    let warning = client.record(ContentType::Alert, &[1, 90]);
    server.inbox.extend(warning);
    let mut alert = Vec::new();
    let error = server.read_error(&mut alert);
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let told = error.alert().unwrap().description;
    let (typ, content) = client.open(&alert);
    assert_eq!((typ, content), (ContentType::Alert, vec![FATAL, told.0]));
}

/// rustls has no alert for this: the session ends without one.
#[test]
fn a_fifth_warning_is_fatal() {
    for version in VERSIONS {
        let (_, server) = contexts(version);
        let (mut client, mut server) = forged_client(&server);
        for _ in 0..4 {
            let warning = client.record(ContentType::Alert, &[1, 90]);
            server.inbox.extend(warning);
        }
        assert_eq!(server.read_all().unwrap(), b"");
        let warning = client.record(ContentType::Alert, &[1, 90]);
        server.inbox.extend(warning);
        let mut sink = Vec::new();
        let error = server.read_error(&mut sink);
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.alert().is_none());
    }
}

/// The alerts that can no longer be read off the wire are those the table says.
#[test]
fn encrypted_alerts_are_those_of_the_table() {
    for version in VERSIONS {
        for (typ, content, expected) in [
            (ContentType::Handshake, &[1, 0, 0][..], None),
            (
                ContentType::Handshake,
                &[20, 0, 0, 0],
                Some(AlertDescription::UNEXPECTED_MESSAGE),
            ),
            (
                ContentType::Alert,
                &[FATAL],
                Some(AlertDescription::DECODE_ERROR),
            ),
        ] {
            let (_, server) = contexts(version);
            let (mut client, mut server) = forged_client(&server);
            server.inbox = client.record(typ, content);
            let Some(expected) = expected else {
                assert_eq!(server.read_all().unwrap(), b"", "half a message");
                continue;
            };
            let mut alert = Vec::new();
            let error = server.read_error(&mut alert);
            assert_eq!(error.kind(), ErrorKind::Protocol);
            assert_eq!(error.alert().unwrap().description, expected);
            let (typ, content) = client.open(&alert);
            assert_eq!(
                (typ, content),
                (ContentType::Alert, vec![FATAL, expected.0])
            );
        }
    }
}

#[test]
fn a_malformed_key_update_is_an_illegal_parameter() {
    let (_, server) = contexts(VERSIONS[1]);
    let (mut client, mut server) = forged_client(&server);
    let mut update = KEY_UPDATE;
    update[4] = 7;
    server.inbox = client.record(ContentType::Handshake, &update);
    let mut alert = Vec::new();
    let error = server.read_error(&mut alert);
    let told = error.alert().unwrap().description;
    assert_eq!(told, AlertDescription::ILLEGAL_PARAMETER);
    assert_eq!(client.open(&alert).1, [FATAL, told.0]);
}

#[test]
fn a_client_hello_of_64_kib_is_refused_at_its_head() {
    let (_, server) = contexts(VERSIONS[1]);
    let mut session = server.buffer_session(SessionOptions::new()).unwrap();
    let mut head = [22, 3, 1, 0x40, 0, 1, 1, 0, 0];
    let mut room = [0; 100];
    let progress = session.handshake(&mut head, &mut room).unwrap();
    assert_eq!(progress.status, Status::WantWrite);
    assert_eq!(&room[..progress.produced], [21, 3, 3, 0, 2, FATAL, 50]);
    let error = session.handshake(&mut [], &mut room).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.detail().contains("64 KiB"), "{error}");
}

#[test]
fn an_oversized_record_is_refused_at_its_header() {
    let (_, server) = contexts(VERSIONS[1]);
    let mut session = server.buffer_session(SessionOptions::new()).unwrap();
    let mut header = [22, 3, 1, 0x48, 1];
    let mut room = [0; 100];
    let progress = session.handshake(&mut header, &mut room).unwrap();
    assert_eq!(progress.status, Status::WantWrite);
    let error = session.handshake(&mut [], &mut room).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}
