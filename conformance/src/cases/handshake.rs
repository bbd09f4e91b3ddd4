//! Handshakes: completion, order, and input in any pieces, or none, or not TLS at all.

use tls_core::{ErrorKind, Misuse, Status};

use crate::case::{Case, CaseResult, Failure, Modes, Versions};
use crate::check;
use crate::ensure;
use crate::forge::{Forge, content_type};
use crate::pair::{End, Pair, Side};
use crate::scene::Scene;

/// More calls than any handshake of the suite takes, however small the pieces.
const MOST_CALLS: usize = 10_000;
/// The room offered where output is to stay behind, in bytes.
const LITTLE_ROOM: usize = 5;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 2, RFC 5246 7.3",
        clauses: &["K10", "K14"],
        items: &["behaviours 1", "behaviours 4"],
        ..Case::new("handshake.completes", completes)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K16", "K1"],
        items: &["seed-api 7", "seed-api 10", "behaviours 5"],
        ..Case::new("handshake.one_byte_at_a_time", one_byte_at_a_time)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K16", "K1"],
        items: &["seed-api 10", "behaviours 3"],
        ..Case::new("handshake.in_pieces", in_pieces)
    },
    Case {
        rfc: "contract K1",
        clauses: &["K1", "K16"],
        items: &["seed-api 5", "seed-api 6", "behaviours 9", "behaviours 15"],
        modes: Modes::BufferOnly,
        ..Case::new("handshake.pending_output_goes_first", pending_first)
    },
    Case {
        rfc: "contract K1",
        clauses: &["K1", "K16"],
        items: &["seed-api 9", "behaviours 8"],
        ..Case::new("handshake.waits_for_input", waits_for_input)
    },
    Case {
        rfc: "contract K1",
        clauses: &["K1", "K10", "K16"],
        items: &["behaviours 10"],
        ..Case::new("handshake.after_completion_does_nothing", after_completion)
    },
    Case {
        rfc: "contract K17",
        clauses: &["K17", "K1"],
        items: &["behaviours 11"],
        ..Case::new("handshake.data_before_completion_is_misuse", misuse)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2", "K5", "K10"],
        items: &["seed-api 61", "behaviours 13", "behaviours 14"],
        ..Case::new("handshake.end_of_the_transport_is_truncation", truncation)
    },
    Case {
        rfc: "RFC 8446 4.4.4, RFC 5246 7.4.9",
        clauses: &["K6"],
        items: &["seed-api 1", "behaviours 20"],
        ..Case::new("handshake.data_behind_the_finished", data_behind_finished)
    },
    Case {
        rfc: "RFC 8446 4.6.1",
        clauses: &["K18"],
        items: &["seed-api 3", "behaviours 23"],
        versions: Versions::TLS13,
        ..Case::new("handshake.tickets_may_wait", tickets_may_wait)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K9", "K5", "K4"],
        items: &["seed-api 61", "behaviours 18"],
        ..Case::new("handshake.not_tls_is_refused_at_once", not_tls)
    },
    Case {
        rfc: "RFC 8446 5.1, 5.2",
        clauses: &["K4", "K9", "K16"],
        items: &["behaviours 19"],
        ..Case::new("handshake.oversized_record_is_refused_at_once", oversized)
    },
];

fn completes(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    ensure!(
        pair.client.session().facts().is_none(),
        "facts must be None before the handshake is complete"
    );
    pair.handshake()?;
    for session in [pair.client.session(), pair.server.session()] {
        check::equal(
            "the negotiated version",
            session.protocol_version(),
            Some(scene.version),
        )?;
    }
    check::equal(
        "the chain the client verified",
        pair.client.session().peer_certificates(),
        Some(scene.pki.server.chain()),
    )?;
    pair.ping_pong()
}

fn one_byte_at_a_time(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    pair.one_byte_at_a_time();
    pair.handshake()?;
    pair.transfer_both(&[7; 500], &[9; 500])
}

fn in_pieces(scene: &Scene<'_>) -> CaseResult {
    for size in [7, 64, 1024] {
        let mut pair = scene.build().window(size).pair()?;
        pair.wire.set_quota(size);
        for side in Side::BOTH {
            pair.side(side).input_chunk = size;
            pair.side(side).output_chunk = size;
        }
        pair.handshake()
            .and_then(|()| pair.ping_pong())
            .map_err(|failure| failure.during(format_args!("pieces of {size} bytes")))?;
    }
    Ok(())
}

/// Takes the handshake through little room, and looks at every single call.
fn pending_first(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    let mut complete = [false; 2];
    let mut held_back = [false; 2];
    for _ in 0..MOST_CALLS {
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            let (status, held) = one_call(&mut pair, side)?;
            complete[index] = status == Status::Complete;
            held_back[index] |= held;
            pair.deliver()?;
        }
        if complete == [true; 2] {
            check::equal("both sides had to hold output", held_back, [true; 2])?;
            return pair.ping_pong();
        }
    }
    Err(Failure::hang("a handshake through little room"))
}

/// One call with everything that has arrived and little room: its status, and whether it had to
/// leave input alone for pending output.
fn one_call(pair: &mut Pair, side: Side) -> CaseResult<(Status, bool)> {
    let endpoint = pair.side(side);
    let mut input = endpoint.take_incoming()?;
    let mut output = [0; LITTLE_ROOM];
    let session = endpoint.as_buffer()?;
    let before = session.pending_output();
    let progress = session.handshake(&mut input, &mut output)?;
    let after = session.pending_output();
    if before > LITTLE_ROOM {
        check::status("with output held", progress.status, Status::WantWrite)?;
        check::equal("input consumed with output held", progress.consumed, 0)?;
        check::equal("output produced", progress.produced, LITTLE_ROOM)?;
        check::equal("output held afterwards", after, before - LITTLE_ROOM)?;
    }
    if progress.status != Status::WantWrite {
        check::equal("output held without WantWrite", after, 0)?;
    }
    let held_back = before > LITTLE_ROOM && !input.is_empty();
    endpoint.send_ciphertext(&output[..progress.produced])?;
    endpoint.put_back(&input[progress.consumed..])?;
    // The lengths of flights are the engine's: junk makes sure that there is input to leave alone.
    if before > LITTLE_ROOM && !held_back {
        let mut junk = [0xff; 8];
        let progress = endpoint.as_buffer()?.handshake(&mut junk, &mut [])?;
        if after > 0 {
            check::status(
                "junk behind output held",
                progress.status,
                Status::WantWrite,
            )?;
            check::equal("junk consumed", progress.consumed, 0)?;
            return Ok((progress.status, true));
        }
    }
    Ok((progress.status, held_back))
}

fn waits_for_input(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    for _ in 0..3 {
        let status = pair.server.handshake()?;
        check::status("the server before a ClientHello", status, Status::WantRead)?;
        check::equal("what it holds", pair.server.session().pending_output(), 0)?;
    }
    for _ in 0..3 {
        let status = pair.client.handshake()?;
        check::status("the client after its hello", status, Status::WantRead)?;
    }
    pair.deliver()?;
    let hello = pair.wire.to_server.sent();
    ensure!(hello > 0, "a ClientHello must have left");
    pair.client.handshake()?;
    pair.deliver()?;
    check::equal("one ClientHello", pair.wire.to_server.sent(), hello)?;
    pair.handshake()?;
    pair.ping_pong()
}

fn after_completion(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    for side in Side::BOTH {
        let facts = pair.side(side).session().facts().cloned();
        pair.write_all(side.other(), b"not for the handshake")?;
        pair.deliver()?;
        let sent = pair.wire.from(side).sent();
        for _ in 0..3 {
            let status = pair.side(side).handshake()?;
            check::status("handshake after completion", status, Status::Complete)?;
        }
        pair.deliver()?;
        check::equal("what it sent", pair.wire.from(side).sent(), sent)?;
        check::equal(
            "facts afterwards",
            pair.side(side).session().facts().cloned(),
            facts,
        )?;
        let data = pair.read_exact(side, 21)?;
        check::same_bytes("the data", &data, b"not for the handshake")?;
    }
    Ok(())
}

fn misuse(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    refuses_data(&mut pair)?;
    pair.client.handshake()?;
    pair.deliver()?;
    refuses_data(&mut pair)?;
    pair.server.handshake()?;
    pair.deliver()?;
    refuses_data(&mut pair)?;
    pair.handshake()?;
    pair.ping_pong()
}

/// Reading and writing is refused on both sides, and does no harm.
fn refuses_data(pair: &mut Pair) -> CaseResult {
    let expected = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    for side in Side::BOTH {
        let endpoint = pair.side(side);
        check::fails_with("an early read", endpoint.read(&mut [0; 16]), expected)?;
        check::fails_with("an early empty read", endpoint.read(&mut []), expected)?;
        check::fails_with("an early write", endpoint.write(b"early"), expected)?;
        check::fails_with("an early empty write", endpoint.write(b""), expected)?;
        ensure!(
            endpoint.session().failure().is_none(),
            "misuse must not fail the session"
        );
    }
    Ok(())
}

fn truncation(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let flight = flight_to(scene, side)?;
        for cut in [0, 3, 5, 9, flight / 4, flight / 2, flight - 20] {
            truncated_at(scene, side, cut).map_err(|failure| {
                failure.during(format_args!(
                    "the input of the {} ends after {cut} of {flight} bytes",
                    side.name()
                ))
            })?;
        }
    }
    Ok(())
}

/// How many bytes this side needs before its handshake completes, save for what signatures and
/// the like vary.
fn flight_to(scene: &Scene<'_>, side: Side) -> CaseResult<usize> {
    let mut pair = scene.pair()?;
    first_done(&mut pair)?;
    pair.deliver()?;
    // The server's tickets, which would follow, are not sent yet.
    Ok(pair.wire.to(side).sent())
}

fn truncated_at(scene: &Scene<'_>, side: Side, cut: usize) -> CaseResult {
    let mut pair = scene.pair()?;
    pair.wire.to(side).truncate(cut);
    let outcome = pair.handshake_outcome()?;
    let error = outcome.of(side).failure("the handshake")?;
    check::kind("the handshake", error, ErrorKind::Truncated)?;
    check::equal("an alert with it", error.alert(), None)?;
    let endpoint = pair.side(side);
    check::equal("output held", endpoint.session().pending_output(), 0)?;
    ensure!(
        endpoint.session().facts().is_none(),
        "no facts without a handshake"
    );
    check::fails_with("again", endpoint.handshake(), ErrorKind::Truncated)?;
    check::fails_with("a read", endpoint.read(&mut [0; 8]), ErrorKind::Truncated)?;
    check::fails_with("a write", endpoint.write(b"x"), ErrorKind::Truncated)?;
    Ok(())
}

/// Takes both sides on until the first of them is done: the client in TLS 1.3, the server in TLS
/// 1.2. Its last flight has not been delivered yet.
fn first_done(pair: &mut Pair) -> CaseResult<Side> {
    for _ in 0..10 {
        for side in Side::BOTH {
            if pair.side(side).handshake()? == Status::Complete {
                return Ok(side);
            }
            pair.deliver()?;
        }
    }
    Err(Failure::hang("no side completes the handshake"))
}

fn data_behind_finished(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    let first = first_done(&mut pair)?;
    let pieces = [&b"first"[..], &[7; 3000], b"third"];
    for piece in pieces {
        let step = pair.side(first).write(piece)?;
        check::equal("what a write took", step.bytes, piece.len())?;
    }
    pair.deliver()?;
    let second = pair.side(first.other());
    check::status(
        "the handshake, given everything at once",
        second.handshake()?,
        Status::Complete,
    )?;
    let expected = pieces.concat();
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    while received.len() < expected.len() {
        let step = second.read(&mut buffer)?;
        check::status("a read of what has arrived", step.status, Status::Complete)?;
        received.extend_from_slice(&buffer[..step.bytes]);
    }
    check::same_bytes("the data behind the Finished", &received, &expected)?;
    let step = second.read(&mut buffer)?;
    check::status("a read of nothing more", step.status, Status::WantRead)?;
    pair.ping_pong()
}

fn tickets_may_wait(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    let first = first_done(&mut pair)?;
    check::equal("the side that is done first", first, Side::Client)?;
    pair.deliver()?;
    check::status("the server", pair.server.handshake()?, Status::Complete)?;
    pair.deliver()?;
    let data = super::pattern(30_000, 3);
    for piece in data.chunks(3_000) {
        pair.write_all(Side::Client, piece)?;
    }
    let received = pair.read_exact(Side::Server, data.len())?;
    check::same_bytes("written before tickets were read", &received, &data)?;
    // The tickets, and the answer behind them.
    pair.transfer(Side::Server, b"answer")?;
    pair.ping_pong()
}

fn not_tls(scene: &Scene<'_>) -> CaseResult {
    // A ClientHello in the format of SSL 2.0, which RFC 8446 appendix D.5 advises to refuse.
    let mut ancient = vec![0x80, 28, 1, 3, 3, 0, 3, 0, 0, 0, 16, 0, 0xc0, 0x2b];
    ancient.extend([0x5a; 16]);
    let inputs: [(&str, &[u8]); 6] = [
        (
            "an HTTP request",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        ("an HTTP answer", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("an SSH greeting", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("zeros", &[0; 64]),
        ("ones", &[0xff; 64]),
        ("a hello of SSL 2.0", &ancient),
    ];
    for side in Side::BOTH {
        for (what, input) in inputs {
            refused_at_once(scene, side, input)
                .map_err(|failure| failure.during(format_args!("{what} to {}", victim(side))))?;
        }
    }
    Ok(())
}

/// A record longer than RFC 8446 section 5.2 allows, of which only the header arrives.
fn oversized(scene: &Scene<'_>) -> CaseResult {
    let header = [content_type::HANDSHAKE, 3, 3, 0xff, 0xff];
    for side in Side::BOTH {
        refused_at_once(scene, side, &header).map_err(|failure| {
            failure.during(format_args!("in the handshake, {}", victim(side)))
        })?;
        let mut forge = Forge::connected(scene, side)?;
        forge.send_raw(&[content_type::APPLICATION_DATA, 3, 3, 0xff, 0xff]);
        let (_, end) = forge.victim_reads()?;
        let error = end.failure("an oversized record of data")?;
        check::kind("an oversized record of data", error, ErrorKind::Protocol)?;
    }
    Ok(())
}

/// What is no TLS is an error as soon as it is seen, though no end of the transport follows.
fn refused_at_once(scene: &Scene<'_>, side: Side, input: &[u8]) -> CaseResult {
    let mut forge = Forge::stranger(scene, side)?;
    forge.send_raw(input);
    let end: End = forge.victim_handshakes()?;
    let error = end.failure("the handshake")?;
    check::kind("the handshake", error, ErrorKind::Protocol)?;
    check::fails_with("again", forge.victim.handshake(), ErrorKind::Protocol)?;
    ensure!(
        forge.victim.session().facts().is_none(),
        "no facts without a handshake"
    );
    Ok(())
}

fn victim(forging: Side) -> &'static str {
    forging.other().name()
}
