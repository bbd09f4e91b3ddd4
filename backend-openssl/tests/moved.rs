//! Sessions are values: where they stand in memory may change at any time, and the thread that has
//! them too.

mod common;

use std::thread;

use backend_openssl::OpenSsl;
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::iana::ProtocolVersion;
use tls_core::{Backend, BufferSession, Context, SessionOptions, Status};

/// Takes one step of a handshake on a thread of its own, into which the session moves and out again.
fn step<S: BufferSession + 'static>(mut session: S, input: &mut Vec<u8>) -> (S, Vec<u8>, Status) {
    let mut given = std::mem::take(input);
    let (session, rest, sent, status) = thread::spawn(move || {
        let mut output = vec![0; 700];
        let progress = session.handshake(&mut given, &mut output).unwrap();
        given.drain(..progress.consumed);
        output.truncate(progress.produced);
        (session, given, output, progress.status)
    })
    .join()
    .unwrap();
    *input = rest;
    (session, sent, status)
}

#[test]
fn sessions_move_between_places_and_threads_in_the_handshake() {
    let pki = Pki::new();
    for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
        // The contexts are gone before the first step.
        let mut client = OpenSsl::new()
            .client(client_config(&pki, version))
            .unwrap()
            .buffer_session(to(SERVER_NAME))
            .unwrap();
        let mut server = OpenSsl::new()
            .server(server_config(pki.server()))
            .unwrap()
            .buffer_session(SessionOptions::new())
            .unwrap();
        let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
        for steps in 0.. {
            assert!(steps < 100, "the handshake must come to its end");
            let (moved, sent, client_status) = step(client, &mut to_client);
            to_server.extend(sent);
            // To the heap, and back to another place.
            let (moved_too, sent, server_status) = step(*Box::new(server), &mut to_server);
            to_client.extend(sent);
            (client, server) = (moved, moved_too);
            if [client_status, server_status] == [Status::Complete; 2] {
                break;
            }
        }
        let mut sealed = [0; 100];
        let written = client.write(b"moved", &mut sealed).unwrap().produced;
        let mut plaintext = [0; 100];
        let mut moved = Box::new(server);
        let read = moved.read(&mut sealed[..written], &mut plaintext);
        assert_eq!(&plaintext[..read.unwrap().produced], b"moved");
    }
}
