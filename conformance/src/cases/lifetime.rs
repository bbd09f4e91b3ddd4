//! How long things live, and what sessions and threads share.

use std::thread;

use tls_core::{ConfigProblem, DynContext, ErrorKind, Feature, Status};

use crate::case::{Case, CaseResult, Failure};
use crate::check;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// How many bytes of a handshake arrive between two drops.
const STRIDE: usize = 300;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K7",
        clauses: &["K7", "K2", "K19"],
        items: &["seed-api 67", "seed-api 92", "behaviours 186"],
        ..Case::new("lifetime.dropped_in_every_state", every_state)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15"],
        items: &["seed-api 86"],
        ..Case::new(
            "lifetime.contexts_are_replaced_under_live_sessions",
            replaced,
        )
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15"],
        items: &["seed-api 64", "behaviours 185"],
        requires: &[Feature::Alpn],
        ..Case::new("lifetime.servers_keep_apart", servers_keep_apart)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15"],
        items: &["seed-api 64", "behaviours 180"],
        ..Case::new("lifetime.threads_share_contexts", threads)
    },
];

/// A state that one side is in when it is dropped.
type State = fn(&mut Pair, Side) -> CaseResult;

fn every_state(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut arrived = 0;
        while dropped_in_the_handshake(scene, side, arrived)? {
            arrived += STRIDE;
        }
        let states: [(&str, State); 6] = [
            ("with tickets and data unread", |pair, side| {
                pair.write_all(side.other(), &[1; 30_000])
            }),
            ("with data read in part", |pair, side| {
                pair.write_all(side.other(), &[2; 30_000])?;
                pair.read_exact(side, 100).map(drop)
            }),
            ("with a part of a record", |pair, side| {
                pair.ping_pong()?;
                let lane = pair.wire.to(side);
                lane.truncate(lane.sent() + 20);
                pair.write_all(side.other(), b"a record that is torn")?;
                let step = pair.side(side).read(&mut [0; 64])?;
                check::equal("of a torn record", step.bytes, 0)
            }),
            ("with output that cannot leave", fill),
            ("half closed", |pair, side| pair.shutdown(side).map(drop)),
            ("failed, with an alert that cannot leave", |pair, side| {
                pair.ping_pong()?;
                fill(pair, side)?;
                // Long enough to have been sealed.
                let record = [&[99, 3, 3, 0, 40][..], &[0; 40]].concat();
                pair.wire.to(side).inject(&record);
                pair.deliver()?;
                let step = pair.side(side).read(&mut [0; 8])?;
                check::status("a read of what is no TLS", step.status, Status::WantWrite)
            }),
        ];
        for (what, state) in states {
            let mut pair = scene.build().window(16 * 1024).connected()?;
            state(&mut pair, side)
                .and_then(|()| dropped(&mut pair, side))
                .map_err(|failure| failure.during(format_args!("{} {what}", side.name())))?;
        }
    }
    Ok(())
}

/// Writes until nothing more is taken.
fn fill(pair: &mut Pair, side: Side) -> CaseResult {
    while pair.side(side).write(&[3; 10_000])?.status == Status::Complete {}
    Ok(())
}

/// Drops one side when so many bytes of its peer's have arrived, within the handshake; whether it
/// was not complete yet.
fn dropped_in_the_handshake(scene: &Scene<'_>, side: Side, arrived: usize) -> CaseResult<bool> {
    let mut pair = scene.pair()?;
    let mut complete = false;
    pair.pump("a handshake up to its drop", |pair| {
        for other in Side::BOTH {
            let lane = pair.wire.to(side);
            // What is sent in one piece arrives in one.
            if lane.sent() >= arrived && other == side {
                return Ok(Some(()));
            }
            let status = pair.side(other).handshake()?;
            complete |= other == side && status == Status::Complete;
        }
        Ok(complete.then_some(()))
    })?;
    if complete {
        return Ok(false);
    }
    dropped(&mut pair, side)
        .map_err(|failure| failure.during(format_args!("{} at byte {arrived}", side.name())))?;
    Ok(true)
}

/// Drops one side: nothing is sent by that, and the other meets a truncation, or the end of what
/// was shut down before.
fn dropped(pair: &mut Pair, side: Side) -> CaseResult {
    pair.deliver()?;
    let shut_down = pair.side(side).session().close_notify_sent();
    let sent = pair.wire.from(side).sent();
    pair.side(side).close();
    pair.deliver()?;
    check::equal("sent by dropping", pair.wire.from(side).sent(), sent)?;
    let mut buffer = [0; 4096];
    let other = side.other();
    let end = pair.pump_until("the other side's end", |pair| {
        let endpoint = pair.side(other);
        if !endpoint.session().is_handshake_complete()
            && let Err(error) = endpoint.handshake()
        {
            return Ok(Some(Err(error)));
        }
        match endpoint.read(&mut buffer) {
            Ok(step) if step.status == Status::Closed => Ok(Some(Ok(()))),
            Err(error) if !matches!(error.kind(), ErrorKind::Misuse(_)) => Ok(Some(Err(error))),
            _ => Ok(None),
        }
    })?;
    match end {
        Ok(()) => check::equal("an end that was announced", true, shut_down),
        // The system resets a connection that is closed with bytes unread.
        Err(error) if error.kind() == ErrorKind::Reset => Ok(()),
        Err(error) => check::kind("the other side", &error, ErrorKind::Truncated),
    }
}

/// A pair of sessions of these contexts, after the handshake.
fn connected(
    scene: &Scene<'_>,
    client: &dyn DynContext,
    server: &dyn DynContext,
) -> CaseResult<Pair> {
    let builder = scene.build().client_context(client);
    builder.server_context(server).connected()
}

fn replaced(scene: &Scene<'_>) -> CaseResult {
    let client = scene.backend.client(scene.client_config())?;
    let old = scene.backend.server(scene.server_config())?;
    let mut live = connected(scene, &*client, &*old)?;
    let mut begun = scene
        .build()
        .client_context(&*client)
        .server_context(&*old)
        .pair()?;
    begun.client.handshake()?;
    begun.deliver()?;
    begun.server.handshake()?;

    // What cannot be used does not replace anything.
    let mut bad = scene.server_config();
    bad.identity = scene.pki.mismatched.clone();
    check::fails_with(
        "a replacement whose key is another's",
        scene.backend.server(bad).map(drop),
        ErrorKind::Config(ConfigProblem::KeyMismatch),
    )?;
    connected(scene, &*client, &*old)?.ping_pong()?;

    let mut config = scene.server_config();
    config.identity = scene.pki.second_server.clone();
    let new = scene.backend.server(config)?;
    drop(old);
    let mut fresh = connected(scene, &*client, &*new)?;
    begun.handshake()?;
    for (pair, identity) in [
        (&mut live, &scene.pki.server),
        (&mut begun, &scene.pki.server),
        (&mut fresh, &scene.pki.second_server),
    ] {
        // What was begun may have been resumed, which need not bring back more than the leaf.
        check::equal(
            "the leaf the client verified",
            pair.client
                .session()
                .peer_certificates()
                .and_then(<[_]>::first),
            identity.chain().first(),
        )?;
        pair.ping_pong()?;
    }
    Ok(())
}

fn servers_keep_apart(scene: &Scene<'_>) -> CaseResult {
    let mut config = scene.client_config();
    config.parameters.alpn = vec![b"one".to_vec(), b"two".to_vec()];
    let client = scene.backend.client(config)?;
    let server = |identity: &tls_core::config::Identity, alpn: &[u8]| {
        let mut config = scene.server_config();
        config.identity = identity.clone();
        config.parameters.alpn = vec![alpn.to_vec()];
        scene.backend.server(config)
    };
    let (one, two) = (
        server(&scene.pki.server, b"one")?,
        server(&scene.pki.second_server, b"two")?,
    );
    let pair = |server: &dyn DynContext| {
        let builder = scene.build().client_context(&*client);
        builder.server_context(server).pair()
    };
    let mut pairs = [pair(&*one)?, pair(&*two)?, pair(&*one)?];
    // Step by step in turns, so that a leak from one server into the other would show.
    for _ in 0..3 {
        for pair in &mut pairs {
            pair.client.handshake()?;
            pair.relay()?;
            pair.server.handshake()?;
            pair.relay()?;
        }
    }
    drop(one);
    for (pair, (identity, alpn)) in pairs.iter_mut().zip([
        (&scene.pki.server, &b"one"[..]),
        (&scene.pki.second_server, b"two"),
        (&scene.pki.server, b"one"),
    ]) {
        pair.handshake()?;
        check::equal("the protocol", pair.client.session().alpn(), Some(alpn))?;
        check::equal(
            "the chain the client verified",
            pair.client.session().peer_certificates(),
            Some(identity.chain()),
        )?;
        pair.ping_pong()?;
    }
    Ok(())
}

/// Threads make sessions of the same contexts at once, and drop their handles when they like.
fn threads(scene: &Scene<'_>) -> CaseResult {
    const THREADS: u8 = 4;
    const ROUNDS: u8 = 5;
    let client = scene.backend.client(scene.client_config())?;
    let server = scene.backend.server(scene.server_config())?;
    let work = |client: Box<dyn DynContext>, server: Box<dyn DynContext>, thread: u8| {
        let mut pairs = Vec::new();
        for round in 0..ROUNDS {
            let mut pair = connected(scene, &*client, &*server)?;
            let data = super::pattern(20_000, thread * ROUNDS + round);
            pair.transfer_both(&data, &data)?;
            pairs.push(pair);
        }
        drop((client, server));
        pairs.iter_mut().try_for_each(Pair::ping_pong)
    };
    thread::scope(|scope| {
        let mut running = Vec::new();
        for number in 0..THREADS {
            let (client, server) = (client.clone_context(), server.clone_context());
            let name = thread::current().name().unwrap_or_default().to_owned();
            let spawned = thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || work(client, server, number))?;
            running.push(spawned);
        }
        running.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Failure::new("panic", "a thread of the case")))
        })
    })
}
