//! Records that carry nothing, in the plain socket mode: where the library itself reads, it may end a
//! call and have its caller wait although there is more.

mod common;

use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::{OpenSsl, SocketSession};
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::SocketTransport;
use tls_core::iana::ProtocolVersion;
use tls_core::{Backend, Context, ErrorKind, SessionOptions, SocketSession as _, Status};

/// A record of application data without any, in the clear.
const EMPTY: [u8; 5] = [23, 3, 3, 0, 0];

fn sockets() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).expect("a socket");
    }
    (ours, theirs)
}

/// Both sides of this version, each with its end of a socket.
fn sessions(version: ProtocolVersion) -> [(SocketSession<'static>, UnixStream, UnixStream); 2] {
    let pki = Pki::new();
    let mut client = client_config(&pki, version);
    client.parameters.socket_transport = SocketTransport::Plain;
    let mut server = server_config(pki.server());
    server.parameters.min_version = version;
    server.parameters.max_version = version;
    server.parameters.socket_transport = SocketTransport::Plain;
    let client = OpenSsl::new().client(client).expect("a context");
    let server = OpenSsl::new().server(server).expect("a context");
    [(client, to(SERVER_NAME)), (server, SessionOptions::new())].map(|(context, options)| {
        let (ours, theirs) = sockets();
        let left = ours.try_clone().expect("a descriptor");
        let session = context
            .socket_session(OwnedFd::from(ours), options)
            .expect("a session");
        (session, left, theirs)
    })
}

/// Whoever waits for the socket to have something new would wait for ever.
#[test]
fn a_handshake_waits_for_nothing_that_is_there() {
    for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
        for count in 1..=40 {
            for (mut session, mut left, mut peer) in sessions(version) {
                assert_eq!(session.handshake().expect("a start"), Status::WantRead);
                peer.write_all(&EMPTY.repeat(count)).expect("room");
                match session.handshake() {
                    Ok(status) => {
                        assert_eq!(status, Status::WantRead, "{count} records, {version}");
                        let more = left.read(&mut [0; 5]).expect_err("nothing is left");
                        assert_eq!(
                            more.kind(),
                            IoKind::WouldBlock,
                            "{count} records, {version}"
                        );
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol, "{error}"),
                }
            }
        }
    }
}
