//! Socket sessions over a pair of connected sockets.

#![cfg(all(unix, feature = "aws-lc-rs"))]

use std::os::unix::net::UnixStream;

use backend_rustls::Rustls;
use tls_core::config::{Identity, Roots};
use tls_core::pki_types::PrivateKeyDer;
use tls_core::{
    Backend, ClientConfig, Context, ErrorKind, Misuse, ServerConfig, Session, SessionOptions,
    SocketSession, Status,
};

type Socket<'fd> = <<Rustls as Backend>::Context as Context>::Socket<'fd>;

fn identity() -> (Identity, Roots) {
    let made = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    (
        Identity::from_der(vec![certificate.clone()], key).unwrap(),
        Roots::given([certificate]),
    )
}

fn connected() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    (one, other)
}

fn shake_hands(client: &mut Socket<'_>, server: &mut Socket<'_>) {
    for _ in 0..100 {
        let client = client.handshake().unwrap();
        let server = server.handshake().unwrap();
        if (client, server) == (Status::Complete, Status::Complete) {
            return;
        }
    }
    panic!("the handshake hangs");
}

#[test]
fn data_and_endings_go_both_ways_over_sockets() {
    let (identity, roots) = identity();
    let backend = Rustls::new();
    let client = Backend::client(&backend, ClientConfig::new(roots)).unwrap();
    let server = Backend::server(&backend, ServerConfig::new(identity)).unwrap();
    let (near, far) = connected();
    let options = SessionOptions::to_server("server.test").unwrap();
    let mut client = client.socket_session(near.into(), options).unwrap();
    let borrowed = std::os::fd::AsFd::as_fd(&far);
    let mut server = server
        .socket_session_borrowed(borrowed, SessionOptions::new())
        .unwrap();
    shake_hands(&mut client, &mut server);

    let data: Vec<u8> = (0..1_000_000u32).map(|index| index as u8).collect();
    for towards_server in [true, false] {
        let (from, to) = match towards_server {
            true => (&mut client, &mut server),
            false => (&mut server, &mut client),
        };
        let (mut sent, mut received) = (0, Vec::new());
        while received.len() < data.len() {
            sent += from.write(&data[sent..]).unwrap().consumed;
            let _ = from.flush().unwrap();
            let mut room = [0; 30_000];
            let produced = to.read(&mut room).unwrap().produced;
            received.extend_from_slice(&room[..produced]);
        }
        assert!(received == data);
    }

    assert_eq!(client.shutdown().unwrap(), Status::Complete);
    let mut room = [0; 10];
    assert_eq!(server.read(&mut room).unwrap().status, Status::Closed);
    assert_eq!(server.shutdown().unwrap(), Status::Closed);
    assert_eq!(client.read(&mut room).unwrap().status, Status::Closed);
    assert_eq!(client.shutdown().unwrap(), Status::Closed);
    assert!(client.close_notify_sent() && server.close_notify_sent());
}

#[test]
fn a_blocking_descriptor_is_misuse() {
    let (identity, _) = identity();
    let server = Backend::server(&Rustls::new(), ServerConfig::new(identity)).unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    let error = server
        .socket_session(near.into(), SessionOptions::new())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse(Misuse::BlockingDescriptor));
}
