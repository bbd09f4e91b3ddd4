//! The threads on which calls of servers wait for a verdict, for as long as it is outstanding.

#![cfg(all(target_os = "linux", not(libressl)))]

mod common;

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use backend_openssl::OpenSsl;
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::{ClientAuthentication, Identity, PeerVerification};
use tls_core::iana::ProtocolVersion;
use tls_core::{
    Backend, BufferSession, CertificateProblem, Context, ErrorKind, Session as _, SessionOptions,
    Status, Verdict,
};

/// Threads are counted while no other test has some.
static ALONE: Mutex<()> = Mutex::new(());

/// A server whose verdict is outstanding keeps a thread of its own, and no longer than it lives:
/// whoever drops it, and whether it was answered by then.
#[test]
fn the_thread_of_a_server_that_waits_ends_with_it() {
    const SESSIONS: usize = 8;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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
            assert_eq!(threads_that_wait_until(SESSIONS), SESSIONS);
            match elsewhere {
                true => thread::spawn(move || drop(waiting)).join().unwrap(),
                false => drop(waiting),
            }
            assert_eq!(threads_that_wait_until(0), 0);
        }
    }
}

/// With TLS 1.2 a client's certificate is in the clear, and depends on nothing the server says: it
/// may come with the ClientHello, however the two are cut.
#[test]
fn a_certificate_that_comes_with_the_hello_is_waited_over() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pki = Pki::new();
    let version = ProtocolVersion::TLS1_2;
    let mut server = server_config(pki.server());
    server.client_authentication = ClientAuthentication::Required(pki.roots());
    server.peer_verification = PeerVerification::Suspended;
    let server = OpenSsl::new().server(server).unwrap();
    let client = OpenSsl::new().client(client_config(&pki, version)).unwrap();
    let shown = pki.client().identity();
    for verdict in [
        Verdict::Accept,
        Verdict::Reject(CertificateProblem::Revoked),
    ] {
        let mut first = client.buffer_session(to(SERVER_NAME)).unwrap();
        let mut both = Vec::new();
        step_here(&mut first, &mut Vec::new(), &mut both);
        let hello = both.len();
        both.extend(certificate_message(&shown));
        let end = both.len();
        for pieces in [
            &[end][..],
            &[hello, end],
            &[hello + 3, end],
            &[hello - 3, end],
            &[hello + 100, end],
        ] {
            let mut session = server.buffer_session(SessionOptions::new()).unwrap();
            let (mut given, mut sent) = (Vec::new(), Vec::new());
            let (mut from, mut status) = (0, Status::WantRead);
            for &piece in pieces {
                given.extend_from_slice(&both[from..piece]);
                from = piece;
                for _ in 0..10 {
                    status = step_here(&mut session, &mut given, &mut sent);
                }
            }
            assert_eq!(status, Status::NeedsCertificateValidation, "{pieces:?}");
            assert_eq!(given, [], "{pieces:?}");
            assert_eq!(session.unverified_peer_certificates(), Some(shown.chain()));
            session.set_validation_result(verdict).unwrap();
            let mut room = [0; 8 * 1024];
            let after = loop {
                match session.handshake(&mut [], &mut room) {
                    Ok(progress) if progress.status == Status::WantWrite => {}
                    other => break other,
                }
            };
            match (verdict, after) {
                (Verdict::Accept, Ok(progress)) => assert_eq!(progress.status, Status::WantRead),
                (Verdict::Reject(problem), Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Certificate(problem));
                }
                (_, other) => panic!("{verdict:?} came to {other:?}"),
            }
        }
    }
}

/// A Certificate message of TLS 1.2 in a record: RFC 5246 section 7.4.2.
fn certificate_message(identity: &Identity) -> Vec<u8> {
    let of_24_bits = |length: usize| u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
    let mut list = Vec::new();
    for certificate in identity.chain() {
        list.extend(of_24_bits(certificate.len()));
        list.extend_from_slice(certificate);
    }
    let body = [of_24_bits(list.len()), list].concat();
    let message = [vec![11], of_24_bits(body.len()), body].concat();
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&[22, 3, 3][..], &length, &message].concat()
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

/// How many threads wait, which the kernel may list for a moment after they were joined.
fn threads_that_wait_until(expected: usize) -> usize {
    for _ in 0..1000 {
        if threads_that_wait() == expected {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    threads_that_wait()
}

fn threads_that_wait() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.trim_end() == "polytls waits")
        .count()
}
