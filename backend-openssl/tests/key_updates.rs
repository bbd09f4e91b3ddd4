//! New keys, over the real library, in both transports: what the suite cannot ask of every backend.
#![cfg(not(libressl))]

mod common;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::{OpenSsl, SocketSession};
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::SocketTransport;
use tls_core::iana::ProtocolVersion;
use tls_core::{
    Backend, Context, ErrorKind, Misuse, Session, SessionOptions, SocketSession as _, Status,
};

const TRANSPORTS: [SocketTransport; 2] = [SocketTransport::Gathered, SocketTransport::Plain];

type Sut = SocketSession<'static>;

/// A client and a server of TLS 1.3 that have shaken hands and read each other's data.
fn connected(transport: SocketTransport) -> (Sut, Sut) {
    let pki = Pki::new();
    let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
    let mut server = server_config(pki.server());
    client.parameters.socket_transport = transport;
    server.parameters.socket_transport = transport;
    let client = OpenSsl::new().client(client).expect("a client context");
    let server = OpenSsl::new().server(server).expect("a server context");
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).expect("a socket");
    }
    let client = client.socket_session(OwnedFd::from(ours), to(SERVER_NAME));
    let server = server.socket_session(OwnedFd::from(theirs), SessionOptions::new());
    let (mut client, mut server) = (client.expect("a session"), server.expect("a session"));
    let mut done = [false; 2];
    while done != [true; 2] {
        for (session, done) in [&mut client, &mut server].into_iter().zip(&mut done) {
            *done = session.handshake().expect("a handshake") == Status::Complete;
        }
    }
    send(&mut client, &mut server);
    send(&mut server, &mut client);
    (client, server)
}

fn send(from: &mut Sut, to: &mut Sut) {
    assert_eq!(from.write(b"data").expect("a write").consumed, 4);
    assert_eq!(from.flush().expect("a flush"), Status::Complete);
    assert_eq!(read(to), b"data");
}

/// All the data that is there.
fn read(session: &mut Sut) -> Vec<u8> {
    let (mut data, mut plaintext) = (Vec::new(), [0; 100]);
    loop {
        let progress = session.read(&mut plaintext).expect("a read");
        data.extend_from_slice(&plaintext[..progress.produced]);
        if progress.produced == 0 {
            assert_eq!(progress.status, Status::WantRead);
            return data;
        }
    }
}

/// More often than any engine endures answers.
#[test]
fn one_that_only_writes_has_new_keys_as_often_as_it_likes() {
    for transport in TRANSPORTS {
        for client_writes in [true, false] {
            let (mut client, mut server) = connected(transport);
            let (writer, reader) = match client_writes {
                true => (&mut client, &mut server),
                false => (&mut server, &mut client),
            };
            for round in 0..200 {
                println!("{transport:?} {client_writes} {round}");
                assert_eq!(writer.request_key_update().unwrap(), Status::Complete);
                send(writer, reader);
                assert_eq!(reader.flush().unwrap(), Status::Complete);
                assert_eq!(read(writer), b"");
            }
            // Both directions work, and the peer is asked again.
            send(reader, writer);
            assert_eq!(writer.request_key_update().unwrap(), Status::Complete);
            send(writer, reader);
            send(reader, writer);
        }
    }
}

#[test]
fn one_that_only_asks_is_refused_in_time() {
    for transport in TRANSPORTS {
        let (mut client, mut server) = connected(transport);
        for _ in 0..16 {
            assert_eq!(client.request_key_update().unwrap(), Status::Complete);
            assert_eq!(client.flush().unwrap(), Status::Complete);
            assert_eq!(read(&mut server), b"");
        }
        for _ in 0..3 {
            let kind = client.request_key_update().unwrap_err().kind();
            assert_eq!(kind, ErrorKind::Misuse(Misuse::TooManyKeyUpdates));
        }
        send(&mut client, &mut server);
        assert_eq!(client.request_key_update().unwrap(), Status::Complete);
        send(&mut client, &mut server);
        send(&mut server, &mut client);
    }
}

/// The engine holds one message, which leaves by whatever sends next.
#[test]
fn the_plain_transport_holds_one_until_it_is_flushed() {
    let (mut client, mut server) = connected(SocketTransport::Plain);
    assert_eq!(client.request_key_update().unwrap(), Status::Complete);
    assert!(client.pending_output() > 0);
    assert_eq!(client.flush().unwrap(), Status::Complete);
    assert_eq!(client.pending_output(), 0);
    send(&mut client, &mut server);

    // Asked for again, the first goes.
    for _ in 0..2 {
        assert_eq!(client.request_key_update().unwrap(), Status::Complete);
    }
    send(&mut client, &mut server);
    // In front of the close_notify.
    assert_eq!(client.request_key_update().unwrap(), Status::Complete);
    assert_eq!(client.shutdown().unwrap(), Status::Complete);
    assert_eq!(client.pending_output(), 0);
    let end = server.read(&mut [0; 10]).unwrap();
    assert_eq!(end.status, Status::Closed);
    send(&mut server, &mut client);
}

#[test]
fn the_plain_transport_waits_where_the_socket_is_full() {
    let (mut client, mut server) = connected(SocketTransport::Plain);
    let mut written = 0;
    while client.pending_output() == 0 {
        written += client.write(&[7; 1000]).unwrap().consumed;
        assert!(written < 100_000_000, "the socket takes everything");
    }
    assert_eq!(client.request_key_update().unwrap(), Status::WantWrite);
    let mut read = 0;
    let mut plaintext = vec![0; 20_000];
    while read < written {
        assert_ne!(client.flush().unwrap(), Status::WantRead);
        read += server.read(&mut plaintext).unwrap().produced;
    }
    assert_eq!(client.request_key_update().unwrap(), Status::Complete);
    send(&mut client, &mut server);
    send(&mut server, &mut client);
}
