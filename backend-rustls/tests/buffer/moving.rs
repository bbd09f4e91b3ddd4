//! Handshakes and data, in pieces of any size.

use tls_core::iana::{Group, ProtocolVersion};
use tls_core::{BufferSession, ErrorKind, Misuse, Session, Status};

use crate::pair::{Pair, VERSIONS, configured, contexts};
use crate::pki::Authority;

#[test]
fn one_byte_in_and_one_byte_out() {
    for version in VERSIONS {
        let (client, server) = contexts(version);
        let mut pair = Pair::new(&client, &server);
        pair.handshake_in_pieces(1, 1).unwrap();
        for end in [&pair.client, &pair.server] {
            assert_eq!(end.session.protocol_version(), Some(version));
        }
        let mut sent = 0;
        while sent < 5 {
            let progress = pair
                .client
                .session
                .write(&b"hello"[sent..], &mut [])
                .unwrap();
            sent += progress.consumed;
        }
        let mut received = Vec::new();
        while pair.client.session.pending_output() > 0 {
            let mut byte = [0];
            assert_eq!(pair.client.session.drain(&mut byte).produced, 1);
            let mut room = [0];
            let progress = pair.server.session.read(&mut byte, &mut room).unwrap();
            assert_eq!(progress.consumed, 1);
            received.extend_from_slice(&room[..progress.produced]);
        }
        while pair.server.session.buffered() > 0 {
            let mut room = [0];
            let progress = pair.server.session.read(&mut [], &mut room).unwrap();
            received.extend_from_slice(&room[..progress.produced]);
        }
        assert_eq!(received, b"hello");
    }
}

#[test]
fn facts_are_told_by_both_ends() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (client, server) = configured(version, &authority, |client, server| {
            client.parameters.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            server.parameters.alpn = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
            server.parameters.groups = Some(vec![Group::SECP384R1]);
        });
        let mut pair = Pair::new(&client, &server);
        assert!(pair.client.session.facts().is_none());
        pair.handshake().unwrap();
        let (client, server) = (
            pair.client.session.facts().unwrap(),
            pair.server.session.facts().unwrap(),
        );
        for facts in [client, server] {
            assert_eq!(facts.protocol_version, version);
            assert_eq!(facts.group, Some(Group::SECP384R1));
            assert_eq!(facts.alpn.as_deref(), Some(&b"http/1.1"[..]));
            assert_eq!(facts.server_name.as_deref(), Some("server.test"));
            assert!(!facts.resumed);
        }
        assert_eq!(client.cipher_suite, server.cipher_suite);
        assert_eq!(client.peer_certificates.as_ref().unwrap().len(), 1);
        assert_eq!(server.peer_certificates, None);
    }
}

#[test]
fn much_data_both_ways_within_the_bound() {
    const BOUND: usize = 20_000;
    for version in VERSIONS {
        let authority = Authority::new();
        let (client, server) = configured(version, &authority, |client, server| {
            client.parameters.pending_output_bound = BOUND;
            server.parameters.pending_output_bound = BOUND;
        });
        let mut pair = Pair::new(&client, &server);
        pair.handshake().unwrap();
        let data: Vec<u8> = (0..300_000u32).map(|index| index as u8).collect();
        let mut received = [Vec::new(), Vec::new()];
        let mut sent = [0, 0];
        while received.iter().any(|received| received.len() < data.len()) {
            for index in 0..2 {
                let (from, to) = match index {
                    0 => (&mut pair.client, &mut pair.server),
                    _ => (&mut pair.server, &mut pair.client),
                };
                let progress = from.session.write(&data[sent[index]..], &mut []).unwrap();
                sent[index] += progress.consumed;
                assert!(from.session.pending_output() <= BOUND + 16_384 + 29);
                let mut piece = [0; 7_000];
                let drained = from.session.drain(&mut piece).produced;
                to.inbox.extend_from_slice(&piece[..drained]);
                received[index].extend(to.read_all().unwrap());
            }
        }
        assert!(received.iter().all(|received| *received == data));
    }
}

#[test]
fn at_the_bound_write_goes_short_and_then_waits() {
    let mut pair = Pair::open(ProtocolVersion::TLS1_3);
    let data = vec![7; 200_000];
    let session = &mut pair.client.session;
    let progress = session.write(&data, &mut []).unwrap();
    assert_eq!(progress.status, Status::Complete);
    assert_eq!(progress.consumed, 4 * 16_384, "the bound is 64 KiB");
    assert_eq!(session.pending_output(), 4 * (16_384 + 22));
    let progress = session.write(&data, &mut [0; 10]).unwrap();
    assert_eq!(progress.status, Status::WantWrite);
    assert_eq!((progress.consumed, progress.produced), (0, 10));
}

#[test]
fn data_behind_the_finished_is_held_for_the_first_read() {
    for version in VERSIONS {
        let (client, server) = contexts(version);
        let mut pair = Pair::new(&client, &server);
        while !pair.client.session.is_handshake_complete() {
            for index in 0..2 {
                let (from, to) = match index {
                    0 => (&mut pair.client, &mut pair.server),
                    _ => (&mut pair.server, &mut pair.client),
                };
                let mut room = [0; 8_000];
                let progress = from.session.handshake(&mut from.inbox, &mut room).unwrap();
                from.inbox.drain(..progress.consumed);
                to.inbox.extend_from_slice(&room[..progress.produced]);
            }
        }
        let early = pair.client.sealed(b"early");
        pair.server.inbox.extend(early);
        pair.handshake_in_pieces(16_384, 16_384).unwrap();
        assert_eq!(pair.server.read_all().unwrap(), b"early");
    }
}

#[test]
fn a_short_read_leaves_the_rest_to_the_next() {
    let mut pair = Pair::open(ProtocolVersion::TLS1_3);
    let mut record = pair.client.sealed(b"0123456789");
    let mut room = [0; 4];
    let progress = pair.server.session.read(&mut record, &mut room).unwrap();
    assert_eq!((progress.consumed, progress.produced), (record.len(), 4));
    assert_eq!(pair.server.session.buffered(), 6);
    let mut rest = [0; 100];
    let progress = pair.server.session.read(&mut [], &mut rest).unwrap();
    assert_eq!(&rest[..progress.produced], b"456789");
    let progress = pair.server.session.read(&mut [], &mut rest).unwrap();
    assert_eq!(progress.status, Status::WantRead);
    assert_eq!(pair.server.session.buffered(), 0);
}

#[test]
fn one_read_takes_several_records() {
    let mut pair = Pair::open(ProtocolVersion::TLS1_2);
    let mut records = pair.client.sealed(b"one ");
    records.extend(pair.client.sealed(b"two "));
    let partial = pair.client.sealed(b"three");
    records.extend_from_slice(&partial[..8]);
    let mut room = [0; 100];
    let progress = pair.server.session.read(&mut records, &mut room).unwrap();
    assert_eq!(&room[..progress.produced], b"one two ");
    assert_eq!(progress.consumed, records.len());
    assert_eq!(pair.server.session.buffered(), 0);
}

#[test]
fn calls_out_of_order_are_misuse() {
    let (client, server) = contexts(ProtocolVersion::TLS1_3);
    let mut pair = Pair::new(&client, &server);
    let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    let session = &mut pair.client.session;
    assert_eq!(
        session.read(&mut [], &mut []).unwrap_err().kind(),
        incomplete
    );
    assert_eq!(session.write(b"x", &mut []).unwrap_err().kind(), incomplete);
    assert_eq!(session.shutdown(&mut []).unwrap_err().kind(), incomplete);
    pair.handshake().unwrap();
    let progress = pair
        .client
        .session
        .handshake(&mut [1, 2, 3], &mut [])
        .unwrap();
    assert_eq!((progress.status, progress.consumed), (Status::Complete, 0));
    pair.client.session.input_eof();
    let error = pair.client.session.read(&mut [1], &mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse(Misuse::InputAfterEof));
}

#[cfg(feature = "ring")]
#[test]
fn the_providers_talk_to_each_other() {
    use tls_core::{Backend, ClientConfig, Context, ServerConfig};

    let authority = Authority::new();
    let client = ClientConfig::new(authority.roots());
    let client = Backend::client(&backend_rustls::RustlsRing::new(), client).unwrap();
    let server = ServerConfig::new(authority.server());
    let server = Backend::server(&backend_rustls::Rustls::new(), server).unwrap();
    assert_eq!(client.role(), tls_core::Role::Client);
    let mut pair = Pair::new(&client, &server);
    pair.handshake().unwrap();
    assert_eq!(pair.client.session.group(), Some(Group::X25519));
}
