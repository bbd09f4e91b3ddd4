//! The threads on which calls of servers wait for a verdict, for as long as it is outstanding.

#![cfg(all(target_os = "linux", not(libressl)))]

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use backend_openssl::OpenSsl;
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::{ClientAuthentication, PeerVerification};
use tls_core::iana::ProtocolVersion;
use tls_core::{Backend, BufferSession, Context, Session as _, SessionOptions, Status, Verdict};

/// A server whose verdict is outstanding keeps a thread of its own, and no longer than it lives:
/// whoever drops it, and whether it was answered by then.
#[test]
fn the_thread_of_a_server_that_waits_ends_with_it() {
    const SESSIONS: usize = 8;
    let pki = Pki::new();
    for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
        let mut client = client_config(&pki, version);
        client.identity = Some(pki.client().identity());
        let client = OpenSsl::new().client(client).unwrap();
        let mut server = server_config(pki.server());
        server.client_authentication = ClientAuthentication::Required(pki.roots());
        server.peer_verification = PeerVerification::Suspended;
        let server = OpenSsl::new().server(server).unwrap();
        for (answered, elsewhere) in [(false, false), (false, true), (true, false), (true, true)] {
            let waiting: Vec<_> = (0..SESSIONS)
                .map(|_| {
                    let client = client.buffer_session(to(SERVER_NAME)).unwrap();
                    let server = server.buffer_session(SessionOptions::new()).unwrap();
                    let mut server = until_waiting(client, server);
                    if answered {
                        server.set_validation_result(Verdict::Accept).unwrap();
                    }
                    server
                })
                .collect();
            assert_eq!(threads_that_wait(), SESSIONS);
            match elsewhere {
                true => thread::spawn(move || drop(waiting)).join().unwrap(),
                false => drop(waiting),
            }
            // The kernel may list a thread for a moment after it was joined.
            for _ in 0..1000 {
                if threads_that_wait() == 0 {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(threads_that_wait(), 0);
        }
    }
}

/// Takes a handshake on until the server waits.
fn until_waiting<S: BufferSession>(mut client: S, mut server: S) -> S {
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        step_here(&mut client, &mut to_client, &mut to_server);
        if step_here(&mut server, &mut to_server, &mut to_client)
            == Status::NeedsCertificateValidation
        {
            return server;
        }
    }
    panic!("the server never asks");
}

fn step_here(
    session: &mut impl BufferSession,
    input: &mut Vec<u8>,
    output: &mut Vec<u8>,
) -> Status {
    let mut room = [0; 8 * 1024];
    let progress = session.handshake(input, &mut room).unwrap();
    input.drain(..progress.consumed);
    output.extend_from_slice(&room[..progress.produced]);
    progress.status
}

fn threads_that_wait() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.trim_end() == "polytls waits")
        .count()
}
