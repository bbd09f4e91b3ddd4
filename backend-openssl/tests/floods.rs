//! Peers that send records without data, over the library's own client.
#![cfg(not(libressl))]

mod common;

use std::ffi::c_int;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::{OpenSsl, SocketSession};
use common::{Pki, server_config};
use foreign_types_shared::ForeignTypeRef;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream, SslVerifyMode};
use tls_core::config::SocketTransport;
use tls_core::iana::AlertDescription;
use tls_core::{
    Alert, AlertDirection, Backend, Context, Error, ErrorKind, Session, SessionOptions,
    SocketSession as _, Status,
};

const TRANSPORTS: [SocketTransport; 2] = [SocketTransport::Gathered, SocketTransport::Plain];
const SSL_KEY_UPDATE_REQUESTED: c_int = 1;

// What `openssl-sys` does not declare.
unsafe extern "C" {
    fn SSL_key_update(ssl: *mut openssl_sys::SSL, kind: c_int) -> c_int;
}

/// A TLS 1.3 connection between the library's own client and a session.
fn connected(transport: SocketTransport) -> (SslStream<UnixStream>, SocketSession<'static>) {
    let mut config = server_config(Pki::new().server());
    config.parameters.socket_transport = transport;
    let server = OpenSsl::new().server(config).expect("a context");
    let mut client = SslContext::builder(SslMethod::tls_client()).expect("a context");
    client.set_verify(SslVerifyMode::NONE);
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).expect("a socket");
    }
    let ssl = Ssl::new(&client.build()).expect("a session");
    let mut client = SslStream::new(ssl, ours).expect("a stream");
    let mut server = server
        .socket_session(OwnedFd::from(theirs), SessionOptions::new())
        .expect("a session");
    let _ = client.connect();
    while server.handshake().expect("a handshake") != Status::Complete {
        let _ = client.connect();
    }
    (client, server)
}

fn update_keys(client: &mut SslStream<UnixStream>) {
    // SAFETY: "SSL_key_update() schedules an update of the keys" (SSL_key_update(3)) of this
    // connection.
    let scheduled = unsafe { SSL_key_update(client.ssl().as_ptr(), SSL_KEY_UPDATE_REQUESTED) };
    assert_eq!(scheduled, 1);
    client.do_handshake().expect("a KeyUpdate");
}

/// Reads until something other than data comes of it.
fn read_on(server: &mut SocketSession<'static>) -> Result<Status, Error> {
    let mut plaintext = [0; 100];
    loop {
        let progress = server.read(&mut plaintext)?;
        if progress.status != Status::Complete {
            return Ok(progress.status);
        }
    }
}

#[test]
fn key_updates_with_data_between_them_go_on() {
    for transport in TRANSPORTS {
        let (mut client, mut server) = connected(transport);
        for round in 0..100 {
            update_keys(&mut client);
            client.write_all(b"data").expect("data");
            assert_eq!(read_on(&mut server).expect("data"), Status::WantRead);
            if round % 10 == 0 {
                assert_eq!(server.write(b"reply").expect("a reply").consumed, 5);
                server.flush().expect("a reply");
                let mut plaintext = [0; 5];
                client.read_exact(&mut plaintext).expect("the reply");
            }
        }
    }
}

#[test]
fn a_flood_of_key_updates_is_ended_with_an_alert() {
    for (transport, at_once) in TRANSPORTS
        .into_iter()
        .flat_map(|it| [(it, 1), (it, 16), (it, 40)])
    {
        println!("{transport:?} {at_once}");
        let (mut client, mut server) = connected(transport);
        let mut sent = 0;
        let error = loop {
            for _ in 0..at_once {
                update_keys(&mut client);
            }
            sent += at_once;
            match read_on(&mut server) {
                Ok(status) => assert_eq!(status, Status::WantRead),
                Err(error) => break error,
            }
            assert!(sent < 33, "33 are too many");
        };
        assert!(sent >= 33, "{sent} are not too many");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{transport:?} {error}");
        let alert = Alert {
            description: AlertDescription::UNEXPECTED_MESSAGE,
            direction: AlertDirection::Sent,
        };
        assert_eq!(error.alert(), Some(alert), "{transport:?}");
        assert_eq!(server.failure().map(Error::kind), Some(ErrorKind::Protocol));
        let refused = client.read(&mut [0; 10]).expect_err("the alert");
        assert!(
            refused.to_string().contains("unexpected message"),
            "{refused}"
        );
    }
}
