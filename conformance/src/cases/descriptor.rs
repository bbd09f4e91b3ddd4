//! The descriptor of a socket session, and what sessions outlive.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;
use tls_core::{DynContext, ErrorKind, Misuse, Status};

use crate::case::{Case, CaseResult, Failure, Modes};
use crate::check;
use crate::endpoint::Endpoint;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K19",
        clauses: &["K19", "K7"],
        items: &["seed-api 63", "behaviours 68", "behaviours 187"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.owned_is_closed", owned)
    },
    Case {
        rfc: "contract K19",
        clauses: &["K19"],
        items: &["seed-api 63"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.borrowed_stays_open", borrowed)
    },
    Case {
        rfc: "contract K19",
        clauses: &["K19"],
        items: &["seed-api 63", "behaviours 3"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.blocking_is_refused", blocking)
    },
    Case {
        rfc: "contract K19",
        clauses: &["K19"],
        items: &["seed-api 56", "behaviours 52"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.no_signal_when_the_peer_is_gone", no_signal)
    },
    Case {
        rfc: "contract K19",
        clauses: &["K19", "K7"],
        items: &["seed-api 56", "seed-api 92"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.drop_does_not_wait_for_the_peer", drop_in_a_jam)
    },
    Case {
        rfc: "contract K19",
        clauses: &["K19", "K6"],
        items: &["behaviours 41"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.given_back_with_what_was_not_read", given_back)
    },
    Case {
        rfc: "contract K19",
        clauses: &["K19"],
        items: &["behaviours 41"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.not_given_back_with_ciphertext_held", held)
    },
    Case {
        rfc: "contract K19",
        clauses: &["K19"],
        items: &["seed-api 63"],
        modes: Modes::SocketOnly,
        ..Case::new("descriptor.borrowed_is_not_given_away", not_given_away)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15"],
        items: &["seed-api 62", "behaviours 181"],
        ..Case::new("context.may_go_before_its_sessions", context_first)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15"],
        items: &["seed-api 64"],
        ..Case::new("context.serves_many_sessions_at_once", many_sessions)
    },
];

/// A client context of the scene's default configuration.
fn client(scene: &Scene<'_>) -> CaseResult<Box<dyn DynContext>> {
    Ok(scene.backend.client(scene.client_config())?)
}

/// Whether the other end of a socket is closed: whatever was sent is read and dropped.
fn is_closed(far: &mut UnixStream) -> CaseResult<bool> {
    let mut buffer = [0; 4096];
    loop {
        match far.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The flags of what a descriptor stands for.
fn flags(fd: impl AsFd) -> CaseResult<OFlags> {
    rustix::fs::fcntl_getfl(fd).map_err(|errno| Failure::from(io::Error::from(errno)))
}

fn owned(scene: &Scene<'_>) -> CaseResult {
    let context = client(scene)?;
    for begun in [false, true] {
        let (near, far) = scene.sockets()?;
        let mut far = UnixStream::from(far);
        let number = near.as_raw_fd();
        let before = flags(&near)?;
        let mut session = context.socket_session(near, scene.options())?;
        check::equal("the descriptor", session.as_fd().as_raw_fd(), number)?;
        check::equal("its flags", flags(session.as_fd())?, before)?;
        if begun {
            check::status("a handshake", session.handshake()?, Status::WantRead)?;
        }
        ensure!(!is_closed(&mut far)?, "the session keeps it open");
        drop(session);
        ensure!(is_closed(&mut far)?, "dropping the session closes it");
    }
    // In the middle of a connection, too; and nothing that took its number is closed with the rest.
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    pair.client.close();
    let (near, far) = scene.sockets()?;
    drop(pair);
    drop(context);
    let (mut near, mut far) = (UnixStream::from(near), UnixStream::from(far));
    near.write_all(b"still open")?;
    let mut buffer = [0; 10];
    far.read_exact(&mut buffer)?;
    check::same_bytes("through a later socket", &buffer, b"still open")
}

fn borrowed(scene: &Scene<'_>) -> CaseResult {
    let context = client(scene)?;
    let (near, far) = scene.sockets()?;
    let mut far = UnixStream::from(far);
    let before = flags(&near)?;
    for _ in 0..2 {
        let mut session = context.socket_session_borrowed(near.as_fd(), scene.options())?;
        check::equal(
            "the descriptor",
            session.as_fd().as_raw_fd(),
            near.as_raw_fd(),
        )?;
        check::status("a handshake", session.handshake()?, Status::WantRead)?;
        drop(session);
        ensure!(!is_closed(&mut far)?, "a borrowed descriptor stays open");
    }
    check::equal("its flags", flags(&near)?, before)?;
    let mut near = UnixStream::from(near);
    near.write_all(b"in use")?;
    let mut buffer = [0; 6];
    far.read_exact(&mut buffer)?;
    check::same_bytes("through it afterwards", &buffer, b"in use")?;

    let mut pair = scene.build().borrowed().connected()?;
    pair.ping_pong()?;
    pair.client.close();
    pair.deliver()?;
    let step = pair.server.read(&mut [0; 8])?;
    check::status(
        "the peer, with no end in sight",
        step.status,
        Status::WantRead,
    )
}

fn blocking(scene: &Scene<'_>) -> CaseResult {
    let expected = ErrorKind::Misuse(Misuse::BlockingDescriptor);
    for context in [client(scene)?, scene.backend.server(scene.server_config())?] {
        let options = || match context.role() {
            tls_core::Role::Client => scene.options(),
            tls_core::Role::Server => tls_core::SessionOptions::new(),
        };
        let (near, mut far) = UnixStream::pair()?;
        far.set_nonblocking(true)?;
        let before = flags(&near)?;
        let refused = context.socket_session_borrowed(near.as_fd(), options());
        check::fails_with("borrowing it", refused.map(drop), expected)?;
        check::equal("its flags", flags(&near)?, before)?;
        ensure!(!is_closed(&mut far)?, "it stays open");

        // Both descriptors stand for one socket, so that its flags can be seen afterwards.
        let same = near.try_clone()?;
        let refused = context.socket_session(OwnedFd::from(near), options());
        check::fails_with("owning it", refused.map(drop), expected)?;
        check::equal("its flags", flags(&same)?, before)?;
        drop(same);
        ensure!(is_closed(&mut far)?, "what was given away is closed");
    }
    Ok(())
}

/// The process would learn of a signal: a handler is there, in place of the default, which ends it.
fn no_signal(scene: &Scene<'_>) -> CaseResult {
    let raised = Arc::new(AtomicBool::new(false));
    let handler = signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::clone(&raised))?;
    let result = writes_to_nobody(scene);
    signal_hook::low_level::unregister(handler);
    result?;
    ensure!(
        !raised.load(Ordering::SeqCst),
        "writing to a peer that is gone must raise no SIGPIPE"
    );
    Ok(())
}

type Call = fn(&mut Endpoint) -> tls_core::Result<()>;

fn writes_to_nobody(scene: &Scene<'_>) -> CaseResult {
    // In the handshake, and by every call that sends after it.
    let (near, far) = scene.sockets()?;
    let mut session = client(scene)?.socket_session(near, scene.options())?;
    drop(far);
    transport_error("a handshake with nobody", session.handshake())?;

    let calls: [(&str, Call); 3] = [
        ("a write", |endpoint| {
            endpoint.write(b"is anybody there")?;
            endpoint.flush()?;
            endpoint.write(b"is anybody there").map(drop)
        }),
        ("shutdown", |endpoint| endpoint.shutdown().map(drop)),
        ("dropping it", |endpoint| {
            endpoint.close();
            Ok(())
        }),
    ];
    for (what, call) in calls {
        let Pair {
            mut client, wire, ..
        } = scene.connected()?;
        drop(wire);
        let result = call(&mut client);
        if client.is_closed() {
            continue;
        }
        transport_error(what, result)?;
    }
    Ok(())
}

/// The other end of a Unix socket that is closed: an error of the system.
fn transport_error<T: std::fmt::Debug>(what: &str, result: tls_core::Result<T>) -> CaseResult {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Reset) => {
            ensure!(
                std::error::Error::source(&error).is_some(),
                "{what}: the system's error is kept"
            );
            Ok(())
        }
        Err(error) => Err(Failure::from(error).during(what)),
        Ok(value) => Err(Failure::assertion(format!(
            "{what}: expected an error of the system, met {value:?}"
        ))),
    }
}

fn drop_in_a_jam(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(4 * 1024).connected()?;
    pair.ping_pong()?;
    let data = super::pattern(1 << 20, 1);
    jam(&mut pair, &data)?;
    // Nobody reads. A drop that waits hangs the case.
    pair.client.close();
    let (received, end) = pair.read_to_end(Side::Server)?;
    check::same_bytes(
        "whole records that had left",
        &received,
        &data[..received.len()],
    )?;
    check::fails_with("the end", end, ErrorKind::Truncated)?;
    Ok(())
}

/// The client writes until nothing more is taken.
fn jam(pair: &mut Pair, data: &[u8]) -> CaseResult<usize> {
    let mut taken = 0;
    loop {
        let step = pair.client.write(&data[taken..])?;
        if step.status == Status::WantWrite {
            return Ok(taken);
        }
        taken += step.bytes;
    }
}

fn given_back(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    let data = super::pattern(2_000, 2);
    pair.transfer(Side::Server, b"before")?;
    pair.write_all(Side::Server, &data)?;
    pair.deliver()?;
    let start = pair.read_exact(Side::Client, 500)?;
    let Pair {
        client, mut wire, ..
    } = pair;
    let number = client.descriptor()?.as_raw_fd();
    let detached = match client.into_socket()?.into_fd() {
        Ok(detached) => detached,
        Err(refused) => return Err(Failure::from(refused.error).during("into_fd")),
    };
    check::equal("the descriptor", detached.fd.as_raw_fd(), number)?;
    ensure!(
        flags(&detached.fd)?.contains(OFlags::NONBLOCK),
        "it is still in non-blocking mode"
    );
    let received = [start, detached.plaintext].concat();
    check::same_bytes("read before, and given back", &received, &data)?;
    // The descriptor works, and nothing was sent behind the caller's back.
    let sent = wire.to_server.sent();
    let mut socket = UnixStream::from(detached.fd);
    socket.write_all(b"plain")?;
    while wire.relay()? > 0 {}
    check::same_bytes("sent since", &wire.to_server.recorded()[sent..], b"plain")
}

fn held(scene: &Scene<'_>) -> CaseResult {
    const PARTED: &[u8] = b"a record in two parts, with some text to make it longer";
    let mut pair = scene.build().window(4 * 1024).connected()?;
    pair.ping_pong()?;

    // Ciphertext for the peer.
    let data = super::pattern(1 << 20, 3);
    let taken = jam(&mut pair, &data)?;
    pair = refused(pair, Misuse::CiphertextHeld)?;
    let received = pair.read_exact(Side::Server, taken)?;
    check::same_bytes("sent after all", &received, &data[..taken])?;

    // A part of a record of the peer's.
    for part in [3, 50] {
        pair.server.write(PARTED)?;
        pair.wire.set_quota(part);
        pair.relay()?;
        let step = pair.client.read(&mut [0; 100])?;
        check::status("with a part of a record", step.status, Status::WantRead)?;
        pair = refused(pair, Misuse::CiphertextHeld)?;
        pair.wire.set_quota(usize::MAX);
        let received = pair.read_exact(Side::Client, PARTED.len())?;
        check::same_bytes("both parts", &received, PARTED)?;
    }
    pair.ping_pong()
}

/// The client cannot be taken apart now; it comes back and is put where it was.
fn refused(mut pair: Pair, why: Misuse) -> CaseResult<Pair> {
    match pair.client.into_socket()?.into_fd() {
        Ok(detached) => Err(Failure::assertion(format!(
            "into_fd: expected Misuse({why:?}), met {detached:?}"
        ))),
        Err(refused) => {
            check::kind("into_fd", &refused.error, ErrorKind::Misuse(why))?;
            ensure!(
                refused.session.failure().is_none(),
                "misuse fails no session"
            );
            pair.client = Endpoint::socket(refused.session);
            Ok(pair)
        }
    }
}

fn not_given_away(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().borrowed().connected()?;
    pair.ping_pong()?;
    let mut pair = refused(pair, Misuse::BorrowedDescriptor)?;
    pair.ping_pong()
}

fn context_first(scene: &Scene<'_>) -> CaseResult {
    let client = client(scene)?;
    let server = scene.backend.server(scene.server_config())?;
    let pairs = || {
        scene
            .build()
            .client_context(&*client)
            .server_context(&*server)
    };
    let mut before = pairs().pair()?;
    let mut between = pairs().pair()?;
    between.client.handshake()?;
    between.deliver()?;
    between.server.handshake()?;
    let mut after = pairs().connected()?;
    drop(client);
    drop(server);
    // The tickets of all of them are made, and kept, without the handles.
    for pair in [&mut before, &mut between, &mut after] {
        pair.handshake()?;
        pair.ping_pong()?;
        pair.transfer_both(&[1; 20_000], &[2; 20_000])?;
        check::equal(
            "the chain the client verified",
            pair.client.session().peer_certificates(),
            Some(scene.pki.server.chain()),
        )?;
        pair.shutdown(Side::Client)?;
        pair.read_to_end(Side::Server)?.1?;
    }
    Ok(())
}

fn many_sessions(scene: &Scene<'_>) -> CaseResult {
    const SESSIONS: u8 = 8;
    let client = client(scene)?;
    let server = scene.backend.server(scene.server_config())?;
    let mut pairs = Vec::new();
    for _ in 0..SESSIONS {
        let builder = scene.build().client_context(&*client);
        pairs.push(builder.server_context(&*server).pair()?);
    }
    for pair in &mut pairs {
        pair.client.handshake()?;
        pair.deliver()?;
    }
    for pair in pairs.iter_mut().rev() {
        pair.handshake()?;
    }
    // Every other session ends; the rest go on.
    for pair in pairs.iter_mut().step_by(2) {
        pair.shutdown(Side::Server)?;
        pair.client.close();
    }
    for (seed, pair) in pairs.iter_mut().enumerate().skip(1).step_by(2) {
        let data = super::pattern(5_000, seed as u8);
        pair.transfer_both(&data, &data)?;
    }
    Ok(())
}
