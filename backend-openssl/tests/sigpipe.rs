//! No SIGPIPE is raised, even where the process would die of it.
//!
//! In a file of its own: the signal's disposition is the process's.

mod common;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::OpenSsl;
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::SocketTransport;
use tls_core::iana::ProtocolVersion;
use tls_core::{Backend, Context, ErrorKind, SessionOptions, SocketSession, Status};

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    // SAFETY: signal(2) with the default disposition; no other thread depends on it here.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    for transport in [SocketTransport::Gathered, SocketTransport::Plain] {
        let pki = Pki::new();
        let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
        client.parameters.socket_transport = transport;
        let client = OpenSsl::new().client(client).expect("a context");
        let server = OpenSsl::new()
            .server(server_config(pki.server()))
            .expect("a context");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        for socket in [&ours, &theirs] {
            socket.set_nonblocking(true).expect("a socket");
        }
        let mut client = client
            .socket_session(OwnedFd::from(ours), to(SERVER_NAME))
            .expect("a session");
        let mut server = server
            .socket_session(OwnedFd::from(theirs), SessionOptions::new())
            .expect("a session");
        while client.handshake().expect("a handshake") != Status::Complete {
            server.handshake().expect("a handshake");
        }
        drop(server);
        // The first call may still tell what it has taken.
        let _ = client.write(b"to nobody");
        for _ in 0..2 {
            let kind = client.write(b"to nobody").expect_err("an error").kind();
            assert_eq!(kind, ErrorKind::Reset, "{transport:?}");
        }
    }
}
