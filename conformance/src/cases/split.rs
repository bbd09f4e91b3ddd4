//! Sessions in two halves, used by two threads at once.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use tls_core::config::{ClientAuthentication, PeerVerification};
use tls_core::{
    ClientConfig, Error, ErrorKind, Feature, Misuse, PostHandshakeAuth, ReadHalf, ServerConfig,
    SessionOptions, SocketSession, Status, Verdict, WriteHalf,
};

use super::pattern;
use crate::case::{Case, CaseResult, Failure, Modes, Versions};
use crate::check;
use crate::ensure;
use crate::pair::Side;
use crate::scene::Scene;

/// How much each side sends: many times what fits into the sockets.
const TOTAL: usize = 2 * 1024 * 1024;
/// How much lies between two KeyUpdates of a side.
const EVERY: usize = 300_000;
/// The size of the sockets' buffers, in bytes.
const WINDOW: usize = 8 * 1024;

type Socket = Box<dyn SocketSession>;
type Reader = ReadHalf<Socket>;
type Writer = WriteHalf<Socket>;

const CASE: Case = Case {
    rfc: "contract K1, K3",
    modes: Modes::SocketOnly,
    ..Case::new("", both_directions)
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "split.both_directions_at_once",
        clauses: &["K1", "K3"],
        items: &["behaviours 39", "seed-api 68", "seed-api 69", "seed-api 70"],
        ..CASE
    },
    Case {
        name: "split.several_buffers_at_once",
        clauses: &["K3"],
        items: &["behaviours 39"],
        run: vectored,
        ..CASE
    },
    Case {
        name: "split.shutdown_while_the_other_half_reads",
        clauses: &["K7"],
        items: &["behaviours 49"],
        run: shutdown,
        ..CASE
    },
    Case {
        name: "split.a_failure_is_that_of_both_halves",
        clauses: &["K5"],
        items: &["behaviours 39"],
        run: failure,
        ..CASE
    },
    Case {
        name: "split.a_dropped_half_sends_nothing",
        clauses: &["K7", "K2"],
        items: &["seed-api 67", "behaviours 40"],
        run: dropped,
        ..CASE
    },
    Case {
        name: "split.reunited",
        clauses: &["K10"],
        items: &["seed-api 68"],
        run: reunited,
        ..CASE
    },
    Case {
        name: "split.both_halves_wait_for_a_verdict",
        rfc: "contract K13",
        clauses: &["K13", "K14"],
        items: &["seed-api 15"],
        requires: &[
            Feature::PostHandshakeAuth,
            Feature::SuspendedVerificationServer,
        ],
        versions: Versions::TLS13,
        run: waiting,
        ..CASE
    },
    Case {
        name: "split.not_before_the_handshake",
        clauses: &["K17"],
        items: &["seed-api 68"],
        run: early,
        ..CASE
    },
];

/// A client and a server over a pair of sockets, after the handshake.
fn connected(scene: &Scene<'_>) -> CaseResult<[Socket; 2]> {
    connected_with(scene, scene.client_config(), scene.server_config())
}

fn connected_with(
    scene: &Scene<'_>,
    client: ClientConfig,
    server: ServerConfig,
) -> CaseResult<[Socket; 2]> {
    let (near, far) = scene.sockets()?;
    for socket in [&near, &far] {
        rustix::net::sockopt::set_socket_send_buffer_size(socket, WINDOW)
            .map_err(std::io::Error::from)?;
    }
    let client = scene.backend.client(client)?;
    let server = scene.backend.server(server)?;
    let mut both = [
        client.socket_session(near, scene.options())?,
        server.socket_session(far, SessionOptions::new())?,
    ];
    for _ in 0..1_000 {
        let mut done = true;
        for session in &mut both {
            done &= session.handshake()? == Status::Complete;
        }
        if done {
            return Ok(both);
        }
    }
    Err(Failure::hang("the handshake over a pair of sockets"))
}

fn halves(session: Socket) -> CaseResult<(Reader, Writer)> {
    session.split().map_err(|refused| refused.error.into())
}

/// Runs both works, each in a thread of its own.
fn at_once<A: Send, B: Send>(
    one: impl FnOnce() -> CaseResult<A> + Send,
    other: impl FnOnce() -> CaseResult<B> + Send,
) -> CaseResult<(A, B)> {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one.join().expect("a thread of the case does not panic");
        Ok((one?, other?))
    })
}

/// Waits until the socket is ready as the status says. A reader waits to write too while the session
/// holds something for the peer.
fn wait(half: &impl AsFd, status: Status, pending: usize, until: Instant) -> CaseResult {
    let mut flags = match status {
        Status::WantRead => PollFlags::IN,
        Status::WantWrite => PollFlags::OUT,
        status => return Err(Failure::assertion(format!("a call gave {status:?}"))),
    };
    flags.set(PollFlags::OUT, pending > 0 || status == Status::WantWrite);
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).expect("some seconds");
    let mut descriptors = [PollFd::new(half, flags)];
    match rustix::event::poll(&mut descriptors, Some(&timeout)) {
        Ok(0) => Err(Failure::hang(format!("waiting after {status:?}"))),
        Ok(_) => Ok(()),
        Err(errno) => Err(std::io::Error::from(errno).into()),
    }
}

/// Reads until `enough` bytes are there, or to the end.
fn read(reader: &mut Reader, enough: usize, until: Instant) -> CaseResult<Vec<u8>> {
    let mut received = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while received.len() < enough {
        let progress = reader.read(&mut buffer)?;
        received.extend_from_slice(&buffer[..progress.produced]);
        match progress.status {
            Status::Complete => {}
            Status::Closed => break,
            status => {
                let _ = reader.flush()?;
                wait(reader, status, reader.pending_output(), until)?;
            }
        }
    }
    Ok(received)
}

/// Writes everything, with KeyUpdates in between if it `changes_keys`, and lets it leave.
fn write(writer: &mut Writer, data: &[u8], changes_keys: bool, until: Instant) -> CaseResult {
    let (mut taken, mut updates) = (0, 0);
    while taken < data.len() {
        if changes_keys && taken / EVERY > updates {
            match writer.request_key_update()? {
                Status::Complete => updates += 1,
                // There is room once what was written has left.
                Status::WantWrite => {
                    flush(writer, until)?;
                    continue;
                }
                // The peer's message is there in part: later.
                _ => {}
            }
        }
        let progress = writer.write(&data[taken..])?;
        taken += progress.consumed;
        if progress.status != Status::Complete {
            wait(writer, progress.status, 0, until)?;
        }
    }
    ensure!(!changes_keys || updates > 1, "keys must have changed");
    flush(writer, until)
}

fn flush(writer: &mut Writer, until: Instant) -> CaseResult {
    while writer.flush()? == Status::WantWrite {
        wait(writer, Status::WantWrite, 0, until)?;
    }
    Ok(())
}

/// Four threads, two on each side: everything arrives, whatever the other direction does.
fn both_directions(scene: &Scene<'_>) -> CaseResult {
    let until = scene.deadline;
    let changes_keys = scene.is_tls13() && scene.has(Feature::KeyUpdate);
    let [client, server] = connected(scene)?;
    let sent = [pattern(TOTAL, 1), pattern(TOTAL, 2)];
    let duplex = |session: Socket, own: &[u8], others: &[u8]| -> CaseResult<(Reader, Writer)> {
        let (mut reader, mut writer) = halves(session)?;
        let (received, ()) = at_once(
            || read(&mut reader, others.len(), until),
            || write(&mut writer, own, changes_keys, until),
        )?;
        check::same_bytes("what one side read", &received, others)?;
        // Nobody leaves while an answer of the other side is on its way.
        Ok((reader, writer))
    };
    at_once(
        || duplex(client, &sent[0], &sent[1]),
        || duplex(server, &sent[1], &sent[0]),
    )
    .map(drop)
}

/// More buffers than one call takes, empty ones among them.
fn vectored(scene: &Scene<'_>) -> CaseResult {
    let until = scene.deadline;
    let [client, server] = connected(scene)?;
    let (_client_reader, mut writer) = halves(client)?;
    let (mut reader, _server_writer) = halves(server)?;
    let data = pattern(300_000, 3);
    let send = || -> CaseResult {
        let mut taken = 0;
        while taken < data.len() {
            let pieces = data[taken..].chunks(5_000).flat_map(|piece| [piece, &[]]);
            let slices: Vec<_> = pieces.map(IoSlice::new).collect();
            let progress = writer.write_vectored(&slices)?;
            taken += progress.consumed;
            if progress.status != Status::Complete {
                wait(&writer, progress.status, 0, until)?;
            }
        }
        flush(&mut writer, until)
    };
    let receive = || -> CaseResult<Vec<u8>> {
        let mut received = Vec::new();
        while received.len() < data.len() {
            let mut buffers = vec![vec![0; 700]; 40];
            buffers[3].clear();
            let mut slices: Vec<_> = buffers
                .iter_mut()
                .map(|buffer| IoSliceMut::new(buffer))
                .collect();
            let progress = reader.read_vectored(&mut slices)?;
            received.extend_from_slice(&buffers.concat()[..progress.produced]);
            if progress.status != Status::Complete {
                wait(&reader, progress.status, 0, until)?;
            }
        }
        Ok(received)
    };
    let ((), received) = at_once(send, receive)?;
    check::same_bytes("what was read", &received, &data)
}

/// What one half ends leaves the other as it is.
fn shutdown(scene: &Scene<'_>) -> CaseResult {
    let until = scene.deadline;
    let late = pattern(200_000, 4);
    for side in Side::BOTH {
        let [client, server] = connected(scene)?;
        let (session, peer) = match side {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        let (mut reader, mut writer) = halves(session)?;
        let (mut peer_reader, mut peer_writer) = halves(peer)?;
        let closed = AtomicBool::new(false);
        let ends = || -> CaseResult {
            while writer.shutdown()? == Status::WantWrite {
                wait(&writer, Status::WantWrite, 0, until)?;
            }
            closed.store(true, Ordering::Release);
            let after = ErrorKind::Misuse(Misuse::WriteAfterShutdown);
            check::fails_with("a write after shutdown", writer.write(b"late"), after)?;
            Ok(())
        };
        let answers = || -> CaseResult {
            let before = read(&mut peer_reader, usize::MAX, until)?;
            check::equal("data before the close_notify", before.len(), 0)?;
            write(&mut peer_writer, &late, false, until)?;
            while peer_writer.shutdown()? == Status::WantWrite {
                wait(&peer_writer, Status::WantWrite, 0, until)?;
            }
            Ok(())
        };
        let reads = || read(&mut reader, usize::MAX, until);
        let (received, _) = at_once(reads, || at_once(ends, answers))?;
        check::same_bytes("what came after own shutdown", &received, &late)?;
        ensure!(
            closed.load(Ordering::Acquire),
            "the writer did not shut down"
        );
        let status = writer.shutdown()?;
        check::status("shutdown once more", status, Status::Closed)?;
    }
    Ok(())
}

/// The reader meets garbage; what it is told the writer is told too, and both ever after.
fn failure(scene: &Scene<'_>) -> CaseResult {
    let until = scene.deadline;
    let [client, server] = connected(scene)?;
    let (mut reader, mut writer) = halves(client)?;
    // A record that no key has sealed.
    let mut garbage = vec![23, 3, 3, 0, 40];
    garbage.extend([7; 40]);
    rustix::io::write(server.as_fd(), &garbage).map_err(std::io::Error::from)?;
    let met: Error = loop {
        match reader.read(&mut [0; 100]) {
            Ok(progress) => wait(&reader, progress.status, reader.pending_output(), until)?,
            Err(error) => break error,
        }
    };
    check::kind("what the reader met", &met, ErrorKind::Protocol)?;
    for _ in 0..2 {
        let other = check::fails_with("the writer", writer.write(b"data"), met.kind())?;
        check::equal("the alert of both", other.alert(), met.alert())?;
        check::fails_with("the reader", reader.read(&mut [0; 100]), met.kind())?;
        check::fails_with("shutdown", writer.shutdown(), met.kind())?;
        for failure in [reader.failure(), writer.failure()] {
            check::equal(
                "the failure",
                failure.map(|error| error.kind()),
                Some(met.kind()),
            )?;
        }
    }
    Ok(())
}

/// Without a shutdown the peer hears nothing of a half that is gone, and of the last one that the
/// connection broke off.
fn dropped(scene: &Scene<'_>) -> CaseResult {
    let until = scene.deadline;
    for reader_goes_first in [true, false] {
        let [client, mut server] = connected(scene)?;
        let (mut reader, mut writer) = halves(client)?;
        // Tickets and the like are out of the way.
        write(&mut writer, b"ping", false, until)?;
        let mut buffer = [0; 100];
        let mut arrived = 0;
        while arrived < 4 {
            arrived += server.read(&mut buffer)?.produced;
        }
        // What is left unread would reset the connection.
        let status = reader.read(&mut buffer)?.status;
        check::status("nothing but tickets", status, Status::WantRead)?;
        let waits = |server: &mut Socket, what: &str| -> CaseResult {
            let status = server.read(&mut [0; 100])?.status;
            check::status(what, status, Status::WantRead)
        };
        if reader_goes_first {
            drop(reader);
            waits(&mut server, "after the reader is gone")?;
            write(&mut writer, b"still", false, until)?;
            check::equal("bytes", server.read(&mut buffer)?.produced, 5)?;
            drop(writer);
        } else {
            drop(writer);
            waits(&mut server, "after the writer is gone")?;
            check::equal("bytes taken", server.write(b"still")?.consumed, 5)?;
            check::same_bytes("what is read", &read(&mut reader, 5, until)?, b"still")?;
            drop(reader);
        }
        let end = server.read(&mut buffer);
        check::fails_with("after both are gone", end, ErrorKind::Truncated)?;
    }
    Ok(())
}

fn reunited(scene: &Scene<'_>) -> CaseResult {
    let until = scene.deadline;
    let [client, server] = connected(scene)?;
    let facts = client.facts().cloned();
    let (reader, mut writer) = halves(client)?;
    let (mut other_reader, other_writer) = halves(server)?;
    check::equal("the facts of a half", Some(reader.facts()), facts.as_ref())?;
    write(&mut writer, b"before", false, until)?;
    check::same_bytes("before", &read(&mut other_reader, 6, until)?, b"before")?;

    let Err(strangers) = reader.reunite(other_writer) else {
        return Err(Failure::assertion("halves of two sessions make one"));
    };
    let (reader, other_writer) = (strangers.reader, strangers.writer);
    let reunite = |reader: Reader, writer| {
        let mismatch = |_| Failure::assertion("the halves of one session do not fit");
        reader.reunite(writer).map_err(mismatch)
    };
    let mut client = reunite(reader, writer)?;
    let mut server = reunite(other_reader, other_writer)?;
    check::equal("the facts afterwards", client.facts(), facts.as_ref())?;
    check::equal("bytes taken", client.write(b"after")?.consumed, 5)?;
    let mut buffer = [0; 100];
    let progress = server.read(&mut buffer)?;
    check::same_bytes("after", &buffer[..progress.produced], b"after")
}

/// A request from before the split is answered to the half that reads, and both tell that the session
/// waits; put together again it takes the verdict, and can be split anew.
fn waiting(scene: &Scene<'_>) -> CaseResult {
    let until = scene.deadline;
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    client.identity = Some(scene.pki.client.clone());
    client.post_handshake_auth = true;
    server.client_authentication = ClientAuthentication::OnRequest(scene.pki.roots());
    server.peer_verification = PeerVerification::Suspended;
    let [mut client, mut server] = connected_with(scene, client, server)?;
    let asked = server.request_client_certificate()?;
    check::status("a request", asked, Status::Complete)?;
    check::status("its flush", server.flush()?, Status::Complete)?;
    let (mut reader, mut writer) = halves(server)?;
    let mut buffer = [0; 100];
    let answered = client.read(&mut buffer)?;
    check::status("the client", answered.status, Status::WantRead)?;
    check::equal("bytes taken", client.write(b"behind")?.consumed, 6)?;
    let waits = loop {
        match reader.read(&mut buffer)?.status {
            Status::WantRead => wait(&reader, Status::WantRead, 0, until)?,
            status => break status,
        }
    };
    let needs = Status::NeedsCertificateValidation;
    check::status("the half that reads", waits, needs)?;
    for _ in 0..2 {
        check::status("a read", reader.read(&mut buffer)?.status, needs)?;
        let written = writer.write(b"early")?;
        check::status("a write", written.status, needs)?;
        check::equal("bytes written", written.consumed, 0)?;
        check::status("a shutdown", writer.shutdown()?, needs)?;
    }
    let mismatch = |_| Failure::assertion("the halves of one session do not fit");
    let mut server = reader.reunite(writer).map_err(mismatch)?;
    server.set_validation_result(Verdict::Accept)?;
    let (mut reader, mut writer) = halves(server)?;
    let got = read(&mut reader, 6, until)?;
    check::same_bytes("behind the answer", &got, b"behind")?;
    write(&mut writer, b"welcome", false, until)?;
    let server = reader.reunite(writer).map_err(mismatch)?;
    let state = server.post_handshake_auth();
    check::equal("the answer", state, PostHandshakeAuth::Received)?;
    let (mut reader, _writer) = halves(client)?;
    let got = read(&mut reader, 7, until)?;
    check::same_bytes("from the server", &got, b"welcome")
}

/// The session comes back as it was, and can be split later.
fn early(scene: &Scene<'_>) -> CaseResult {
    let (near, _far) = scene.sockets()?;
    let client = scene.backend.client(scene.client_config())?;
    let mut session = client.socket_session(near, scene.options())?;
    for _ in 0..2 {
        let Err(refused) = session.split() else {
            return Err(Failure::assertion("a handshake was split"));
        };
        let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
        check::kind("an early split", &refused.error, incomplete)?;
        session = refused.session;
        let status = session.handshake()?;
        check::status("the handshake goes on", status, Status::WantRead)?;
    }
    halves(connected(scene)?.into_iter().next().expect("a client")).map(drop)
}
