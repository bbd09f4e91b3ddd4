//! Split sessions with more than the suite gives them, and what splitting costs.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Pki, SERVER_NAME};
use rustix::event::{PollFd, PollFlags, Timespec};
use tls_core::config::Roots;
use tls_core::iana::ProtocolVersion;
use tls_core::{
    ClientConfig, DynBackend, ReadHalf, ServerConfig, SessionOptions, SocketSession, Status,
    WriteHalf,
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

/// Prints what splitting costs: `cargo test --release --test split -- --ignored --nocapture`.
#[test]
#[ignore = "it measures, and is worth its time only in release builds on a quiet machine"]
fn what_splitting_costs() {
    const TOTAL: usize = 256 * MIB;
    const ROUNDS: usize = 7;
    for backend in backends() {
        let connect = || connected(&*backend, ProtocolVersion::TLS1_3, 256 * 1024);
        let (mut one_way, mut both_ways) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let whole = timed(|| whole_one_way(connect(), TOTAL));
            let split = timed(|| split_ways(connect(), [TOTAL, 0]));
            one_way.push(split / whole);
            let whole = timed(|| whole_both_ways(connect(), TOTAL));
            let split = timed(|| split_ways(connect(), [TOTAL, TOTAL]));
            both_ways.push(split / whole);
        }
        println!(
            "{}: one way {}, both ways {} of the time of whole sessions",
            backend.build_info(),
            spread(one_way),
            spread(both_ways)
        );
    }
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The median, and between what the rest lies.
fn spread(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    let (first, last) = (ratios[0], ratios[ratios.len() - 1]);
    format!("{:.3} ({first:.3} to {last:.3})", ratios[ratios.len() / 2])
}

/// Two threads: one writes with one session, one reads with the other.
fn whole_one_way([client, server]: [Socket; 2], total: usize) {
    thread::scope(|scope| {
        scope.spawn(move || drive(client, [total, 0]));
        scope.spawn(move || drive(server, [0, total]));
    });
}

/// Two threads, each of which reads and writes with one session.
fn whole_both_ways([client, server]: [Socket; 2], total: usize) {
    thread::scope(|scope| {
        scope.spawn(move || drive(client, [total, total]));
        scope.spawn(move || drive(server, [total, total]));
    });
}

/// Writes and reads so many bytes with a whole session, and waits for what it can go on with.
fn drive(mut session: Socket, [mut write, mut read]: [usize; 2]) {
    let data = vec![7; 64 * 1024];
    let mut buffer = vec![0; 64 * 1024];
    while write > 0 || read > 0 || session.pending_output() > 0 {
        let mut flags = PollFlags::empty();
        let mut moved = false;
        if write > 0 {
            let progress = session.write(&data[..data.len().min(write)]).unwrap();
            write -= progress.consumed;
            moved |= progress.consumed > 0;
            flags.set(PollFlags::OUT, progress.consumed == 0);
        } else if session.flush().unwrap() == Status::WantWrite {
            flags |= PollFlags::OUT;
        }
        if read > 0 {
            let progress = session.read(&mut buffer).unwrap();
            read -= progress.produced;
            moved |= progress.produced > 0;
            flags.set(PollFlags::IN, progress.produced == 0);
        }
        if !moved && !flags.is_empty() {
            wait(&session, flags);
        }
    }
}

/// A thread for each half that has something to do.
fn split_ways([client, server]: [Socket; 2], [there, back]: [usize; 2]) {
    let (client_reader, client_writer) = client.split().unwrap();
    let (server_reader, server_writer) = server.split().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || write_half(client_writer, there));
        scope.spawn(move || read_half(server_reader, there));
        if back > 0 {
            scope.spawn(move || write_half(server_writer, back));
            scope.spawn(move || read_half(client_reader, back));
        }
    });
}

fn write_half(mut writer: WriteHalf<Socket>, mut left: usize) {
    let data = vec![7; 64 * 1024];
    while left > 0 {
        let progress = writer.write(&data[..data.len().min(left)]).unwrap();
        left -= progress.consumed;
        if progress.consumed == 0 {
            wait(&writer, PollFlags::OUT);
        }
    }
    while writer.flush().unwrap() != Status::Complete {
        wait(&writer, PollFlags::OUT);
    }
}

fn read_half(mut reader: ReadHalf<Socket>, mut left: usize) {
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let progress = reader.read(&mut buffer).unwrap();
        left -= progress.produced;
        if progress.produced == 0 {
            wait(&reader, PollFlags::IN);
        }
    }
}
