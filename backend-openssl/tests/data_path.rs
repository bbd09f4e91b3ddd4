//! The shared data path over the real library: both modes, both transports, both versions.

mod common;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::{BufferSession, OpenSsl, OpenSslContext, SocketSession};
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::SocketTransport;
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::{
    Alert, AlertDirection, Backend, BufferSession as _, Context, ErrorKind, Misuse, Session as _,
    SessionOptions, SocketSession as _, Status,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3];
const TRANSPORTS: [SocketTransport; 2] = [SocketTransport::Gathered, SocketTransport::Plain];

/// A client and a server context that talk to each other.
fn contexts(
    version: ProtocolVersion,
    change: impl Fn(&mut tls_core::config::Parameters),
) -> (OpenSslContext, OpenSslContext) {
    let pki = Pki::new();
    let mut client = client_config(&pki, version);
    let mut server = server_config(pki.server());
    change(&mut client.parameters);
    change(&mut server.parameters);
    (
        OpenSsl::new().client(client).expect("a client context"),
        OpenSsl::new().server(server).expect("a server context"),
    )
}

fn is_libressl() -> bool {
    OpenSsl::new().build_info().library == "LibreSSL"
}

/// Bytes that differ from place to place.
fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|place| (place % 251) as u8 ^ (place >> 8) as u8 ^ seed)
        .collect()
}

/// One side of a buffer pair, with what it has been sent and has not consumed.
struct End {
    session: BufferSession,
    input: Vec<u8>,
    received: Vec<u8>,
}

impl End {
    fn new(context: &OpenSslContext, options: SessionOptions) -> Self {
        Self {
            session: context.buffer_session(options).expect("a session"),
            input: Vec::new(),
            received: Vec::new(),
        }
    }

    /// One call of `handshake` or `read`, with pieces of this size, and a drain.
    fn step(&mut self, peer: &mut Self, piece: usize) -> Status {
        let mut output = vec![0; piece];
        let given = self.input.len().min(piece);
        let progress = if self.session.is_handshake_complete() {
            let mut plaintext = vec![0; piece];
            let progress = self
                .session
                .read(&mut self.input[..given], &mut plaintext)
                .expect("data");
            self.received
                .extend_from_slice(&plaintext[..progress.produced]);
            progress
        } else {
            let progress = self
                .session
                .handshake(&mut self.input[..given], &mut output)
                .expect("a handshake");
            peer.input.extend_from_slice(&output[..progress.produced]);
            progress
        };
        assert!(progress.consumed <= given);
        self.input.drain(..progress.consumed);
        let drained = self.session.drain(&mut output);
        peer.input.extend_from_slice(&output[..drained.produced]);
        progress.status
    }
}

fn buffer_pair(version: ProtocolVersion) -> (End, End) {
    bounded_pair(version, 65_536)
}

fn bounded_pair(version: ProtocolVersion, bound: usize) -> (End, End) {
    let (client, server) = contexts(version, |parameters| {
        parameters.pending_output_bound = bound;
    });
    (
        End::new(&client, to(SERVER_NAME)),
        End::new(&server, SessionOptions::new()),
    )
}

fn shake(client: &mut End, server: &mut End, piece: usize) {
    for _ in 0..100_000 {
        client.step(server, piece);
        server.step(client, piece);
        if client.session.is_handshake_complete() && server.session.is_handshake_complete() {
            return;
        }
    }
    panic!("the handshake does not end");
}

#[test]
fn buffer_sessions_work_in_pieces_of_any_size() {
    for version in VERSIONS {
        for piece in [1, 7, 100_000] {
            println!("{version} in pieces of {piece}");
            // In pieces of one byte, with a bound of one byte.
            let bound = if piece == 1 { 1 } else { 65_536 };
            let (mut client, mut server) = bounded_pair(version, bound);
            shake(&mut client, &mut server, piece);
            assert_eq!(client.session.protocol_version(), Some(version));
            assert_eq!(server.session.server_name(), Some(SERVER_NAME));

            let length = if piece == 100_000 { 300_000 } else { 2_000 };
            let data = pattern(length, 1);
            let mut sent = 0;
            while server.received.len() < length {
                let mut output = vec![0; piece];
                let end = length.min(sent + piece);
                let progress = client.session.write(&data[sent..end], &mut output).unwrap();
                sent += progress.consumed;
                server.input.extend_from_slice(&output[..progress.produced]);
                let drained = client.session.drain(&mut output);
                server.input.extend_from_slice(&output[..drained.produced]);
                server.step(&mut client, piece);
                client.step(&mut server, piece);
            }
            assert!(server.received == data);

            let mut output = vec![0; piece];
            loop {
                let progress = client.session.shutdown(&mut output).unwrap();
                server.input.extend_from_slice(&output[..progress.produced]);
                if progress.status == Status::Complete {
                    break;
                }
                assert_eq!(progress.status, Status::WantWrite);
            }
            server.input.extend_from_slice(b"not TLS");
            while server.step(&mut client, piece) != Status::Closed {}
            assert_eq!(server.input, b"not TLS", "left with the caller");
            assert!(server.session.close_notify_received());
            assert!(client.session.close_notify_sent());
        }
    }
}

#[test]
fn an_alert_leaves_before_its_error_is_told() {
    for version in VERSIONS {
        let (mut client, mut server) = buffer_pair(version);
        shake(&mut client, &mut server, 100_000);
        println!("{version}");
        let mut garbage = [vec![23, 3, 3, 0, 40], vec![7; 40]].concat();
        let mut plaintext = [0; 100];
        let answer = server.session.read(&mut garbage, &mut plaintext);
        if version == ProtocolVersion::TLS1_3 && is_libressl() {
            // It sends no alert here.
            let error = answer.unwrap_err();
            assert_eq!((error.kind(), error.alert()), (ErrorKind::Protocol, None));
            continue;
        }
        assert_eq!(answer.unwrap().status, Status::WantWrite);
        let pending = server.session.pending_output();
        assert!(pending > 0);
        let again = server.session.write(b"more", &mut []).unwrap();
        assert_eq!((again.status, again.consumed), (Status::WantWrite, 0));
        let mut output = [0; 1000];
        let drained = server.session.drain(&mut output);
        assert_eq!(drained.produced, pending);
        for _ in 0..2 {
            let error = server.session.read(&mut [], &mut plaintext).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
            let alert = Alert {
                description: AlertDescription::BAD_RECORD_MAC,
                direction: AlertDirection::Sent,
            };
            assert_eq!(error.alert(), Some(alert));
        }
        // Behind the tickets, if there are any.
        client.input.extend_from_slice(&output[..pending]);
        let error = client
            .session
            .read(&mut client.input, &mut plaintext)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PeerAlert);
        let alert = error.alert().unwrap();
        assert_eq!(alert.description, AlertDescription::BAD_RECORD_MAC);
        assert_eq!(alert.direction, AlertDirection::Received);
    }
}

#[test]
fn the_end_of_the_transport_is_a_truncation() {
    for version in VERSIONS {
        let (mut client, _) = buffer_pair(version);
        client.session.input_eof();
        let error = client.session.handshake(&mut [], &mut [0; 9000]);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Truncated);

        let (mut client, mut server) = buffer_pair(version);
        shake(&mut client, &mut server, 100_000);
        let mut output = [0; 1000];
        let written = client.session.write(b"whole", &mut output).unwrap();
        server.session.input_eof();
        let error = server.session.read(&mut output[..1], &mut [0; 10]);
        let misuse = ErrorKind::Misuse(Misuse::InputAfterEof);
        assert_eq!(error.unwrap_err().kind(), misuse, "{}", written.produced);
        let error = server.session.read(&mut [], &mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(server.session.pending_output(), 0, "no alert is left over");
    }
}

#[test]
fn what_others_leave_in_the_error_queue_does_no_harm() {
    let (mut client, mut server) = buffer_pair(ProtocolVersion::TLS1_3);
    shake(&mut client, &mut server, 100_000);
    let leave = || {
        assert!(openssl::x509::X509::from_der(b"no certificate").is_err());
        // The safe crate takes its errors out of the queue; put them back.
        let errors = openssl::rsa::Rsa::private_key_from_der(b"no key").unwrap_err();
        errors.put();
    };
    let mut output = [0; 1000];
    leave();
    let written = client.session.write(b"data", &mut output).unwrap();
    assert!(openssl::error::ErrorStack::get().errors().is_empty());
    leave();
    let mut plaintext = [0; 10];
    let read = server
        .session
        .read(&mut output[..written.produced], &mut plaintext)
        .unwrap();
    assert_eq!(&plaintext[..read.produced], b"data");
    leave();
    let read = server.session.read(&mut [23], &mut plaintext).unwrap();
    assert_eq!(read.status, Status::WantRead);
    assert!(openssl::error::ErrorStack::get().errors().is_empty());
}

type Sockets = (SocketSession<'static>, SocketSession<'static>);

fn sockets(version: ProtocolVersion, transport: SocketTransport) -> Sockets {
    let (client, server) = contexts(version, |parameters| {
        parameters.socket_transport = transport;
    });
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).expect("a socket");
    }
    (
        client
            .socket_session(OwnedFd::from(ours), to(SERVER_NAME))
            .expect("a session"),
        server
            .socket_session(OwnedFd::from(theirs), SessionOptions::new())
            .expect("a session"),
    )
}

fn shaken(version: ProtocolVersion, transport: SocketTransport) -> Sockets {
    let (mut client, mut server) = sockets(version, transport);
    for _ in 0..20 {
        let statuses = (client.handshake().unwrap(), server.handshake().unwrap());
        if statuses == (Status::Complete, Status::Complete) {
            return (client, server);
        }
    }
    panic!("the handshake does not end");
}

/// Writes what it can, from a buffer that it overwrites at once, and reads what there is.
struct Mover {
    session: SocketSession<'static>,
    data: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    closed: bool,
}

impl Mover {
    fn new(session: SocketSession<'static>, seed: u8) -> Self {
        Self {
            session,
            data: pattern(1 << 20, seed),
            sent: 0,
            received: Vec::new(),
            closed: false,
        }
    }

    fn step(&mut self, round: usize) {
        if self.sent < self.data.len() {
            let length = [1, 100, 16_384, 40_000, 200_000][round % 5];
            let end = self.data.len().min(self.sent + length);
            let mut piece = self.data[self.sent..end].to_vec();
            let progress = self.session.write(&piece).unwrap();
            piece.fill(0xee);
            assert_eq!(progress.status == Status::Complete, progress.consumed > 0);
            self.sent += progress.consumed;
        } else if self.session.flush().unwrap() == Status::Complete {
            self.session.shutdown().unwrap();
        }
        let mut plaintext = [0; 50_000];
        for _ in 0..3 {
            let progress = self.session.read(&mut plaintext).unwrap();
            self.received
                .extend_from_slice(&plaintext[..progress.produced]);
            match progress.status {
                Status::Complete => {}
                Status::Closed => self.closed = true,
                Status::WantRead => {
                    assert_eq!(self.session.buffered(), 0);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn sockets_move_data_both_ways_at_once_and_close() {
    for version in VERSIONS {
        for transport in TRANSPORTS {
            println!("{version} {transport:?}");
            let (client, server) = shaken(version, transport);
            let (mut client, mut server) = (Mover::new(client, 3), Mover::new(server, 4));
            for round in 0.. {
                client.step(round);
                server.step(round / 2);
                if client.closed && server.closed {
                    break;
                }
                assert!(round < 100_000, "it does not end");
            }
            assert!(client.received == server.data && server.received == client.data);
            assert_eq!(client.session.shutdown().unwrap(), Status::Closed);
            assert_eq!(client.session.pending_output(), 0);
        }
    }
}

#[test]
fn a_socket_that_ends_early_is_a_truncation() {
    for version in VERSIONS {
        for transport in TRANSPORTS {
            let (mut client, server) = sockets(version, transport);
            drop(server);
            let error = loop {
                match client.handshake() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::Truncated | ErrorKind::Reset),
                "{version} {transport:?} {error}"
            );

            let (mut client, mut server) = shaken(version, transport);
            assert_eq!(server.write(b"last words").unwrap().consumed, 10);
            drop(server);
            let mut plaintext = [0; 100];
            let progress = client.read(&mut plaintext).unwrap();
            assert_eq!(&plaintext[..progress.produced], b"last words");
            for _ in 0..2 {
                let error = client.read(&mut plaintext).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Truncated, "{transport:?} {error}");
            }
        }
    }
}

#[test]
fn slices_are_written_and_read_in_order() {
    use std::io::{IoSlice, IoSliceMut};
    for transport in TRANSPORTS {
        let (mut client, mut server) = shaken(ProtocolVersion::TLS1_3, transport);
        let long = pattern(20_000, 9);
        let slices: [&[u8]; 6] = [b"", b"one", b"two", &long, b"", b"three"];
        let written = client.write_vectored(&slices.map(IoSlice::new)).unwrap();
        let whole = slices.concat();
        assert_eq!(written.consumed, whole.len());
        client.flush().unwrap();
        let (mut first, mut second) = ([0; 10], vec![0; 30_000]);
        let mut read = Vec::new();
        while read.len() < whole.len() {
            let mut buffers = [
                IoSliceMut::new(&mut first),
                IoSliceMut::new(&mut []),
                IoSliceMut::new(&mut second),
            ];
            let produced = server.read_vectored(&mut buffers).unwrap().produced;
            let both = [&first[..], &second[..]].concat();
            read.extend_from_slice(&both[..produced]);
        }
        assert!(read == whole);
    }
}

#[test]
fn a_socket_is_given_back_between_records() {
    for transport in TRANSPORTS {
        let (mut client, mut server) = shaken(ProtocolVersion::TLS1_2, transport);
        let mut plaintext = [0; 4];
        assert_eq!(server.write(b"plaintext").unwrap().consumed, 9);
        assert_eq!(client.read(&mut plaintext).unwrap().produced, 4);
        assert_eq!(&plaintext, b"plai");
        match Box::new(client).into_fd() {
            Ok(detached) => assert_eq!(detached.plaintext, b"ntext"),
            // LibreSSL does not tell whether it holds a part of a record.
            Err(refused) => {
                assert_eq!(transport, SocketTransport::Plain, "{}", refused.error);
                assert!(is_libressl());
            }
        }
    }
}

#[test]
fn a_borrowed_socket_is_not_given_away_and_stays_open() {
    let (client, _) = contexts(ProtocolVersion::TLS1_3, |_| {});
    let (ours, _theirs) = UnixStream::pair().expect("a socket pair");
    let blocking = client.socket_session_borrowed(std::os::fd::AsFd::as_fd(&ours), to(SERVER_NAME));
    let kind = blocking.unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Misuse(Misuse::BlockingDescriptor));
    ours.set_nonblocking(true).expect("a socket");
    let session = client
        .socket_session_borrowed(std::os::fd::AsFd::as_fd(&ours), to(SERVER_NAME))
        .expect("a session");
    let refused = Box::new(session).into_fd().unwrap_err();
    let kind = refused.error.kind();
    assert_eq!(kind, ErrorKind::Misuse(Misuse::BorrowedDescriptor));
    drop(refused);
    assert!(ours.peer_addr().is_ok(), "still open");
}
