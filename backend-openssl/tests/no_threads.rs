//! A server that needs a thread to wait on, in a process that can start none.

#![cfg(not(libressl))]

mod common;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use backend_openssl::OpenSsl;
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::{ClientAuthentication, PeerVerification, SocketTransport};
use tls_core::iana::ProtocolVersion;
use tls_core::{
    Backend, Context, Error, ErrorKind, Session, SessionOptions, SocketSession, Status,
};

/// More than there is room for in any process.
const STACK: &str = "140737488355328";

#[test]
fn a_server_that_finds_no_thread_fails() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--ignored", "--exact", "without_threads"])
        .args(["--test-threads", "1", "--nocapture"])
        .env("RUST_MIN_STACK", STACK)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "the test above runs it, in a process of its own"]
fn without_threads() {
    let found = std::thread::Builder::new().spawn(|| {});
    assert!(found.is_err(), "there is a thread");
    for transport in [SocketTransport::Gathered, SocketTransport::Plain] {
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            let error = serve(transport, version);
            assert_eq!(
                error.kind(),
                ErrorKind::Io,
                "{transport:?} {version}: {error:?}"
            );
        }
    }
}

/// What a server comes to that is to wait for the verdict on its client.
fn serve(transport: SocketTransport, version: ProtocolVersion) -> Error {
    let pki = Pki::new();
    let mut config = server_config(pki.server());
    config.client_authentication = ClientAuthentication::Required(pki.roots());
    config.peer_verification = PeerVerification::Suspended;
    config.parameters.socket_transport = transport;
    let server = OpenSsl::new().server(config).unwrap();
    let mut config = client_config(&pki, version);
    config.identity = Some(pki.client().identity());
    let client = OpenSsl::new().client(config).unwrap();

    let (near, far) = UnixStream::pair().unwrap();
    for socket in [&near, &far] {
        socket.set_nonblocking(true).unwrap();
    }
    let mut client = client
        .socket_session(OwnedFd::from(near), to(SERVER_NAME))
        .unwrap();
    let mut server = server
        .socket_session(OwnedFd::from(far), SessionOptions::new())
        .unwrap();
    for _ in 0..10 {
        // The server may be gone before the client is done.
        let _ = client.handshake();
        match server.handshake() {
            Ok(Status::Complete) => panic!("nobody has decided"),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(server.failure().map(Error::kind), Some(error.kind()));
                return error;
            }
        }
    }
    panic!("the server does not say that it cannot go on");
}
