//! Records of unusual lengths, in the plain socket mode: where the library itself reads. After some
//! that carry nothing it may end a call and have its caller wait although there is more.

mod common;

use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::{OpenSsl, SocketSession};
use common::{Pki, SERVER_NAME, client_config, server_config, to};
use tls_core::config::SocketTransport;
use tls_core::iana::ProtocolVersion;
use tls_core::{Backend, Context, Error, ErrorKind, SessionOptions, SocketSession as _, Status};

/// A record of application data without any, in the clear.
const EMPTY: [u8; 5] = [23, 3, 3, 0, 0];
/// What a record of TLS 1.2 may hold at the most, in bytes: RFC 5246 section 6.2.3.
const LONGEST: usize = (1 << 14) + 2048;
/// What comes of a record that makes no sense.
const BODY: [u8; 100] = [7; 100];
/// More rounds than a handshake has.
const ROUNDS: usize = 6;

/// A session, its own descriptor once more, and the other end of its socket.
struct Side {
    session: SocketSession<'static>,
    socket: UnixStream,
    outside: UnixStream,
    /// How many records it has sent.
    sent: usize,
}

impl Side {
    fn new(context: &impl Context<Socket<'static> = SocketSession<'static>>, name: bool) -> Self {
        let (inside, outside) = UnixStream::pair().expect("a socket pair");
        for socket in [&inside, &outside] {
            socket.set_nonblocking(true).expect("a socket");
        }
        let options = match name {
            true => to(SERVER_NAME),
            false => SessionOptions::new(),
        };
        let socket = inside.try_clone().expect("a descriptor");
        let session = context
            .socket_session(OwnedFd::from(inside), options)
            .expect("a session");
        Self {
            session,
            socket,
            outside,
            sent: 0,
        }
    }

    /// Whoever waits for the socket to have something new would wait for ever if it had something.
    fn handshake(&mut self) -> Result<Status, Error> {
        let status = self.session.handshake()?;
        if status == Status::WantRead {
            let left = self.socket.read(&mut [0; 5]).expect_err("nothing is left");
            assert_eq!(left.kind(), IoKind::WouldBlock);
        }
        Ok(status)
    }

    /// What it has sent, with so many empty records in front of one of its own.
    fn said(&mut self, index: usize, count: usize) -> Vec<u8> {
        let mut sent = vec![0; 100_000];
        let length = self.outside.read(&mut sent).unwrap_or(0);
        let mut rest = &sent[..length];
        let mut said = Vec::new();
        while let [_, _, _, high, low, ..] = rest {
            let (record, behind) =
                rest.split_at(5 + usize::from(u16::from_be_bytes([*high, *low])));
            if self.sent == index {
                said.extend(EMPTY.repeat(count));
            }
            said.extend_from_slice(record);
            self.sent += 1;
            rest = behind;
        }
        said
    }
}

/// A client and a server of this version.
fn sides(pki: &Pki, version: ProtocolVersion) -> [Side; 2] {
    let mut client = client_config(pki, version);
    client.parameters.socket_transport = SocketTransport::Plain;
    let mut server = server_config(pki.server());
    server.parameters.socket_transport = SocketTransport::Plain;
    [
        Side::new(&OpenSsl::new().client(client).expect("a context"), true),
        Side::new(&OpenSsl::new().server(server).expect("a context"), false),
    ]
}

/// Whether both come to the end of the handshake, and to no error for what was put in.
fn flooded(sides: &mut [Side; 2], from: usize, index: usize, count: usize) -> bool {
    let mut complete = [false; 2];
    for _ in 0..ROUNDS {
        for at in 0..2 {
            match sides[at].handshake() {
                Ok(status) => complete[at] = status == Status::Complete,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
                    return false;
                }
            }
            let count = if at == from { count } else { 0 };
            let said = sides[at].said(index, count);
            sides[1 - at].outside.write_all(&said).expect("room");
        }
    }
    assert_eq!(complete, [true; 2]);
    true
}

#[test]
fn a_handshake_waits_for_nothing_that_is_there() {
    let pki = Pki::new();
    for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
        assert!(flooded(&mut sides(&pki, version), 0, 0, 0));
        for from in 0..2 {
            for index in 0..5 {
                for count in [1, 2, 3, 5, 20, 40] {
                    flooded(&mut sides(&pki, version), from, index, count);
                }
            }
        }
    }
}

#[test]
fn a_record_of_any_length_is_the_peers_fault() {
    let pki = Pki::new();
    // Some libraries have less room than for the longest, as no suite needs so much.
    let lengths = (0..64)
        .chain(16_640..16_760)
        .chain([16_384, LONGEST, LONGEST + 1, 65_535]);
    for length in lengths {
        // What has come is less than the header announces, and that is no more than there may be.
        let may_wait = (BODY.len() + 1..=LONGEST).contains(&length);
        let length = u16::try_from(length).expect("two bytes").to_be_bytes();
        for at in 0..2 {
            let mut sides = sides(&pki, ProtocolVersion::TLS1_2);
            assert!(flooded(&mut sides, 0, 0, 0));
            let Side {
                session, outside, ..
            } = &mut sides[at];
            let record = [&[23, 3, 3], &length[..], &BODY].concat();
            outside.write_all(&record).expect("room");
            match session.read(&mut [0; 8]) {
                Ok(progress) => {
                    assert_eq!(progress.status, Status::WantRead);
                    assert!(may_wait, "{length:?} is no length, or the record was there");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol, "{length:?}: {error}"),
            }
        }
    }
}
