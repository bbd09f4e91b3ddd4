//! Split sessions with more than the suite gives them.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use conformance::{Pki, SERVER_NAME};
use rustix::event::{PollFd, PollFlags, Timespec};
use tls_core::config::{ClientAuthentication, Roots};
use tls_core::iana::ProtocolVersion;
use tls_core::{
    ClientConfig, DynBackend, ErrorKind, Feature, Misuse, PostHandshakeAuth, ReadHalf,
    ServerConfig, SessionOptions, SocketSession, Status, Verdict, WriteHalf,
};

type Socket = Box<dyn SocketSession>;

const MIB: usize = 1024 * 1024;
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3];
const PATIENCE: Duration = Duration::from_secs(60);
/// How much lies between two KeyUpdates.
const EVERY: usize = 5 * MIB;

fn backends() -> Vec<Box<dyn DynBackend>> {
    polytls::backend_names()
        .iter()
        .map(|name| polytls::backend(name).expect("it is compiled in"))
        .collect()
}

/// A client and a server over a pair of sockets with buffers of this size, after the handshake.
fn connected(backend: &dyn DynBackend, version: ProtocolVersion, window: usize) -> [Socket; 2] {
    connected_with(backend, version, window, |_, _| {})
}

/// The same, with more to their configurations.
fn connected_with(
    backend: &dyn DynBackend,
    version: ProtocolVersion,
    window: usize,
    configure: impl FnOnce(&mut ClientConfig, &mut ServerConfig),
) -> [Socket; 2] {
    let pki = Pki::shared();
    let (near, far) = UnixStream::pair().unwrap();
    for socket in [&near, &far] {
        socket.set_nonblocking(true).unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size(socket, window).unwrap();
    }
    let mut client = ClientConfig::new(Roots::given([pki.root.clone()]));
    let mut server = ServerConfig::new(pki.server.clone());
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.min_version = version;
        parameters.max_version = version;
    }
    configure(&mut client, &mut server);
    let client = backend.client(client).unwrap();
    let server = backend.server(server).unwrap();
    let options = SessionOptions::to_server(SERVER_NAME).unwrap();
    let mut both = [
        client.socket_session(OwnedFd::from(near), options).unwrap(),
        server
            .socket_session(OwnedFd::from(far), SessionOptions::new())
            .unwrap(),
    ];
    loop {
        let [client, server] = &mut both;
        let ends = [client.handshake().unwrap(), server.handshake().unwrap()];
        if ends == [Status::Complete; 2] {
            return both;
        }
    }
}

fn wait(socket: &impl AsFd, flags: PollFlags) {
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let mut descriptors = [PollFd::new(socket, flags)];
    let ready = rustix::event::poll(&mut descriptors, Some(&timeout)).unwrap();
    assert!(ready > 0, "nothing moves any more");
}

/// A byte that differs from place to place.
fn pattern(place: usize) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)) as u8
}

fn write_pattern(writer: &mut WriteHalf<Socket>, total: usize, changes_keys: bool) {
    let mut piece = vec![0; 100_000];
    let (mut taken, mut updates) = (0, 0);
    while taken < total {
        if changes_keys && taken / EVERY > updates {
            let status = writer.request_key_update().unwrap();
            updates += usize::from(status == Status::Complete);
        }
        let length = piece.len().min(total - taken);
        for (at, byte) in piece[..length].iter_mut().enumerate() {
            *byte = pattern(taken + at);
        }
        let progress = writer.write(&piece[..length]).unwrap();
        taken += progress.consumed;
        if progress.status != Status::Complete {
            wait(writer, PollFlags::OUT);
        }
    }
    while writer.flush().unwrap() != Status::Complete {
        wait(writer, PollFlags::OUT);
    }
}

fn read_pattern(reader: &mut ReadHalf<Socket>, total: usize) {
    let mut buffer = vec![0; 50_000];
    let mut received = 0;
    while received < total {
        let progress = reader.read(&mut buffer).unwrap();
        for (at, byte) in buffer[..progress.produced].iter().enumerate() {
            assert_eq!(*byte, pattern(received + at), "byte {}", received + at);
        }
        received += progress.produced;
        if progress.status != Status::Complete {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, reader.pending_output() > 0);
            wait(reader, flags);
            let _ = reader.flush().unwrap();
        }
    }
    assert_eq!(received, total);
}

/// Both sides with two threads each, keys changing in both directions all the while.
#[test]
fn much_both_ways_at_once_through_small_buffers() {
    const TOTAL: usize = 32 * MIB;
    for backend in backends() {
        for version in VERSIONS {
            let changes_keys = version == ProtocolVersion::TLS1_3
                && backend.capabilities().key_update.is_available();
            thread::scope(|scope| {
                for session in connected(&*backend, version, 8 * 1024) {
                    let (mut reader, mut writer) = session.split().unwrap();
                    scope.spawn(move || {
                        read_pattern(&mut reader, TOTAL);
                        // The other half may have to send what this one owes.
                        reader
                    });
                    scope.spawn(move || write_pattern(&mut writer, TOTAL, changes_keys));
                }
            });
        }
    }
}

/// What only the whole session can be told, either half tells it.
#[test]
fn a_half_asks_for_a_certificate() {
    for backend in backends() {
        let asks = backend.capabilities().post_handshake_auth.is_available();
        let pki = Pki::shared();
        let configure = |client: &mut ClientConfig, server: &mut ServerConfig| {
            if asks {
                client.identity = Some(pki.client.clone());
                client.post_handshake_auth = true;
                server.client_authentication = ClientAuthentication::OnRequest(pki.roots());
            }
        };
        let both = connected_with(&*backend, ProtocolVersion::TLS1_3, 64 * 1024, configure);
        let [
            (mut client_reads, mut client_writes),
            (mut reader, mut writer),
        ] = both.map(|session| session.split().unwrap());
        let asked = writer.with_mut(|session| session.request_client_certificate());
        if !asks {
            let lacking = ErrorKind::Unsupported(Feature::PostHandshakeAuth);
            assert_eq!(asked.unwrap_err().kind(), lacking);
            continue;
        }
        assert_eq!(asked.unwrap(), Status::Complete);
        assert_eq!(writer.flush().unwrap(), Status::Complete);
        let read = client_reads.read(&mut [0; 9]).unwrap();
        assert_eq!(read.status, Status::WantRead);
        assert_eq!(client_writes.flush().unwrap(), Status::Complete);
        let read = reader.read(&mut [0; 9]).unwrap();
        assert_eq!(read.status, Status::WantRead);
        let answer = reader.with(|session| session.post_handshake_auth());
        assert_eq!(answer, PostHandshakeAuth::Received);
        let verdict = reader.with_mut(|session| session.set_validation_result(Verdict::Accept));
        let misuse = ErrorKind::Misuse(Misuse::NotSuspended);
        assert_eq!(verdict.unwrap_err().kind(), misuse);
    }
}
