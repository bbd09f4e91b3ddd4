//! Data that comes with the server's first flight, before the client has decided about it.

use std::io::Write;
use std::sync::Arc;

use conformance::{Pki, SERVER_NAME};
use rustls::crypto::ring;
use rustls::{ServerConfig, ServerConnection};
use tls_core::iana::ProtocolVersion;
use tls_core::{ErrorKind, Misuse, SessionOptions, Status, Verdict};

use crate::pair::{asking, backends};

const DATA: &[u8] = b"half a round trip early";

#[test]
fn it_is_delivered_after_the_verdict_and_not_before() {
    for backend in backends() {
        for piece in [1, 7, 16 * 1024] {
            let (client, _) = asking(ProtocolVersion::TLS1_3);
            let client = backend.client(client).unwrap();
            let options = SessionOptions::to_server(SERVER_NAME).unwrap();
            let mut client = client.buffer_session(options).unwrap();
            let mut room = vec![0; 16 * 1024];
            let hello = client.handshake(&mut [], &mut room).unwrap();
            let mut server = eager_server();
            let mut input = answer(&mut server, &room[..hello.produced]);

            let mut status = Status::WantRead;
            while status != Status::NeedsCertificateValidation {
                let given = piece.min(input.len());
                assert!(given > 0, "the verdict is never asked for");
                let progress = client.handshake(&mut input[..given], &mut room).unwrap();
                input.drain(..progress.consumed);
                let sent = answer(&mut server, &room[..progress.produced]);
                assert!(sent.is_empty());
                status = progress.status;
            }
            let error = client.read(&mut input, &mut [0; 100]).unwrap_err();
            let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
            assert_eq!(error.kind(), incomplete);
            assert_eq!(client.buffered(), 0);

            client.set_validation_result(Verdict::Accept).unwrap();
            while status != Status::Complete {
                let given = piece.min(input.len());
                let progress = client.handshake(&mut input[..given], &mut room).unwrap();
                input.drain(..progress.consumed);
                let sent = answer(&mut server, &room[..progress.produced]);
                input.extend(sent);
                status = progress.status;
                assert_ne!(status, Status::NeedsCertificateValidation, "asked again");
            }
            assert!(!server.is_handshaking());
            let mut data = vec![0; 100];
            let progress = client.read(&mut input, &mut data).unwrap();
            assert_eq!(&data[..progress.produced], DATA);
        }
    }
}

/// A server that writes before it has heard the client's Finished.
fn eager_server() -> ServerConnection {
    let identity = &Pki::shared().server;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())
        .unwrap();
    config.send_half_rtt_data = true;
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    server.writer().write_all(DATA).unwrap();
    server
}

fn answer(server: &mut ServerConnection, mut input: &[u8]) -> Vec<u8> {
    while !input.is_empty() {
        server.read_tls(&mut input).unwrap();
        server.process_new_packets().unwrap();
    }
    let mut output = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut output).unwrap();
    }
    output
}
