//! Changing keys within a session.

use tls_core::{ErrorKind, Feature, Misuse, Status};

use super::pattern;
use crate::case::{Case, CaseResult, Failure, Versions};
use crate::check;
use crate::ensure;
use crate::forge::{Forge, content_type};
use crate::pair::{End, Pair, Side};
use crate::scene::Scene;

/// More requests in a row than any bound lets through.
const MANY: usize = 5_000;
/// The most requests in a row, nothing being written or read between them.
const MOST: usize = 16;
/// The most bytes a KeyUpdate takes as a record: header, message, content type and tag.
const RECORD: usize = 5 + 5 + 1 + 16;
/// A KeyUpdate with `update_requested`, and one without. RFC 8446 section 4.6.3.
const REQUEST: [u8; 5] = [24, 0, 0, 1, 1];
const ANSWER: [u8; 5] = [24, 0, 0, 1, 0];

const CASE: Case = Case {
    rfc: "RFC 8446 4.6.3",
    versions: Versions::TLS13,
    requires: &[Feature::KeyUpdate],
    ..Case::new("", data_around)
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "key_update.data_before_and_after",
        clauses: &["K3", "K16"],
        items: &["behaviours 168"],
        run: data_around,
        ..CASE
    },
    Case {
        name: "key_update.the_keys_change",
        clauses: &["K11", "K16"],
        items: &["behaviours 168"],
        run: keys_change,
        ..CASE
    },
    Case {
        name: "key_update.nothing_leaves_by_the_call",
        clauses: &["K4"],
        items: &["behaviours 168"],
        run: no_output,
        ..CASE
    },
    Case {
        name: "key_update.both_at_once",
        clauses: &["K1"],
        items: &["behaviours 167", "behaviours 168"],
        run: both_at_once,
        ..CASE
    },
    Case {
        name: "key_update.within_a_transfer",
        clauses: &["K1", "K3"],
        items: &["behaviours 168", "behaviours 170"],
        run: within_a_transfer,
        ..CASE
    },
    Case {
        name: "key_update.one_byte_at_a_time",
        clauses: &["K16"],
        items: &["behaviours 168"],
        run: one_byte,
        ..CASE
    },
    Case {
        name: "key_update.many_in_a_row",
        clauses: &["K4"],
        items: &["behaviours 169"],
        run: many_in_a_row,
        ..CASE
    },
    Case {
        name: "key_update.one_side_is_silent",
        clauses: &["K4"],
        items: &["behaviours 169"],
        run: one_side_is_silent,
        ..CASE
    },
    Case {
        name: "key_update.waits_for_room",
        clauses: &["K4"],
        items: &["behaviours 170"],
        run: waits_for_room,
        ..CASE
    },
    Case {
        name: "key_update.within_a_message",
        clauses: &["K1", "K16"],
        items: &["behaviours 168"],
        run: within_a_message,
        ..CASE
    },
    Case {
        name: "key_update.before_the_handshake",
        clauses: &["K17"],
        run: before_the_handshake,
        ..CASE
    },
    Case {
        name: "key_update.after_shutdown",
        clauses: &["K7"],
        items: &["behaviours 67"],
        run: after_shutdown,
        ..CASE
    },
    Case {
        name: "key_update.after_a_failure",
        clauses: &["K5"],
        run: after_a_failure,
        ..CASE
    },
    Case {
        name: "key_update.tls12_has_none",
        clauses: &["K11"],
        rfc: "RFC 5246",
        versions: Versions::TLS12,
        requires: &[],
        run: tls12_has_none,
        ..CASE
    },
    // These ask the backend for nothing, so that those which lack the feature answer to them too.
    Case {
        name: "key_update.a_reader_answers",
        clauses: &["K1"],
        items: &["behaviours 167", "behaviours 170"],
        requires: &[],
        run: a_reader_answers,
        ..CASE
    },
    Case {
        name: "key_update.met_after_own_shutdown",
        clauses: &["K7"],
        items: &["behaviours 67"],
        requires: &[],
        run: |scene| met_after_own_shutdown(scene, false),
        ..CASE
    },
    Case {
        name: "key_update.asked_for_after_own_shutdown",
        clauses: &["K7"],
        items: &["behaviours 67"],
        requires: &[],
        run: |scene| met_after_own_shutdown(scene, true),
        ..CASE
    },
];

/// Requests a KeyUpdate that must be queued.
fn request(pair: &mut Pair, side: Side) -> CaseResult {
    let status = pair.side(side).request_key_update().map_err(|error| {
        Failure::from(error).during(format_args!("request of the {}", side.name()))
    })?;
    check::equal("a request", status, Status::Complete)
}

fn data_around(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    for seed in 0..3 {
        for side in Side::BOTH {
            let (there, back) = (pattern(40_000, seed), pattern(20_000, seed + 9));
            pair.transfer_both(&there, &back)?;
            request(&mut pair, side)?;
            pair.transfer_both(&back, &there)?;
        }
    }
    Ok(())
}

/// The other peer opens each record with the one key that it may be under, so that it fails if the
/// message is there and the keys are the old ones, or the reverse.
fn keys_change(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.victim.write(b"before")?;
        let status = forge.victim.request_key_update()?;
        check::equal("a request", status, Status::Complete)?;
        forge.victim.write(b"after")?;
        forge.victim.flush()?;
        let records = forge.received()?;
        let place = |what: &[u8]| records.iter().position(|record| record.payload == what);
        let places = (place(b"before"), place(&REQUEST), place(b"after"));
        ensure!(
            matches!(places, (Some(before), Some(update), Some(after)) if before < update && update < after),
            "a KeyUpdate must stand between the data, met {records:?}"
        );
        // The same in the other direction: the answer, and what comes under the next keys.
        forge.send_key_update(false)?;
        forge.send_data(b"answered")?;
        let (data, _) = forge.victim_reads()?;
        check::same_bytes("under the peer's next keys", &data, b"answered")?;
    }
    Ok(())
}

fn no_output(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.received()?;
        let before = forge.victim.session().pending_output();
        let status = forge.victim.request_key_update()?;
        check::equal("a request", status, Status::Complete)?;
        let held = forge.victim.session().pending_output();
        ensure!(held > before, "the message must be pending output");
        let early = forge.received()?;
        ensure!(early.is_empty(), "the call itself has sent {early:?}");
        forge.victim.flush()?;
        let records = forge.received()?;
        ensure!(
            matches!(&records[..], [record] if record.payload == REQUEST),
            "flush must send the one KeyUpdate, met {records:?}"
        );
    }
    Ok(())
}

/// A message that the peer has begun is no fault of anybody's: new keys wait for its end, or not.
fn within_a_message(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        let (start, rest) = REQUEST.split_at(3);
        forge.send(content_type::HANDSHAKE, start)?;
        let (_, end) = forge.victim_reads()?;
        ensure!(matches!(end, End::Open), "half a message, met {end:?}");
        let mut status = forge.victim.request_key_update()?;
        if status == Status::WantWrite {
            forge.victim.flush()?;
            status = forge.victim.request_key_update()?;
        }
        forge.finish_key_update(rest)?;
        forge.send_data(b"behind")?;
        let (data, _) = forge.victim_reads()?;
        check::same_bytes("behind the message", &data, b"behind")?;
        if status == Status::WantRead {
            status = forge.victim.request_key_update()?;
        }
        check::equal("a request", status, Status::Complete)?;
        forge.victim.write(b"after")?;
        forge.victim.flush()?;
        let records = forge.received()?;
        ensure!(
            records.iter().any(|record| record.payload == b"after"),
            "data must come under the new keys, met {records:?}"
        );
    }
    Ok(())
}

fn both_at_once(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    let data = pattern(30_000, 5);
    for _ in 0..3 {
        for side in Side::BOTH {
            request(&mut pair, side)?;
        }
        pair.transfer_both(&data, &data)?;
    }
    pair.ping_pong()
}

/// Megabytes each way, each side asking for new keys again and again, over a transport that takes
/// little at once.
fn within_a_transfer(scene: &Scene<'_>) -> CaseResult {
    const TOTAL: usize = 1024 * 1024;
    const EVERY: usize = 100_000;

    let mut pair = scene.build().window(8 * 1024).connected()?;
    let data = pattern(TOTAL, 3);
    let (mut taken, mut asked, mut received) = ([0; 2], [0; 2], [Vec::new(), Vec::new()]);
    let mut buffer = vec![0; 16 * 1024];
    pair.pump_until("a transfer with KeyUpdates", |pair| {
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            let endpoint = pair.side(side);
            if taken[index] / EVERY > asked[index] {
                match endpoint.request_key_update()? {
                    Status::Complete => asked[index] += 1,
                    Status::WantWrite | Status::WantRead => {}
                    status => {
                        return Err(Failure::assertion(format!("a request gave {status:?}")));
                    }
                }
            }
            if taken[index] < TOTAL {
                taken[index] += endpoint.write(&data[taken[index]..])?.bytes;
            }
            let read = endpoint.read(&mut buffer)?.bytes;
            received[index].extend_from_slice(&buffer[..read]);
        }
        let done = received.iter().all(|bytes| bytes.len() >= TOTAL);
        Ok(done.then_some(()))
    })?;
    for (bytes, side) in received.iter().zip(Side::BOTH) {
        check::same_bytes(&format!("what the {} read", side.name()), bytes, &data)?;
    }
    ensure!(
        asked.iter().all(|count| *count > 1),
        "keys must have changed within the transfer: {asked:?} times"
    );
    Ok(())
}

fn one_byte(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.one_byte_at_a_time();
    for side in Side::BOTH {
        request(&mut pair, side)?;
        let endpoint = pair.side(side);
        let held = endpoint.session().pending_output();
        endpoint.flush()?;
        ensure!(
            held > 0 && endpoint.session().pending_output() < held,
            "the message must be pending and leave"
        );
        pair.transfer_both(b"from the client", b"from the server")?;
    }
    Ok(())
}

/// Without data in between a peer endures only so many: a session says so before its peer does.
fn many_in_a_row(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        let mut queued = 0;
        for _ in 0..MANY {
            let endpoint = pair.side(side);
            match endpoint.request_key_update() {
                Ok(Status::Complete) => queued += 1,
                Ok(Status::WantWrite) => {
                    endpoint.flush()?;
                    pair.deliver()?;
                }
                Ok(status) => {
                    return Err(Failure::assertion(format!("a request gave {status:?}")));
                }
                Err(error) => {
                    let expected = ErrorKind::Misuse(Misuse::TooManyKeyUpdates);
                    check::kind("one request too many", &error, expected)?;
                }
            }
            let held = pair.side(side).session().pending_output();
            ensure!(held <= MOST * RECORD, "{held} bytes are pending");
        }
        ensure!(queued == MOST, "{queued} requests in a row were taken");
        // Both must be alive, having answered, and keys can be changed again.
        pair.ping_pong()?;
        request(&mut pair, side)?;
        pair.ping_pong()?;
    }
    Ok(())
}

/// The answers of one that never writes count as well.
fn one_side_is_silent(scene: &Scene<'_>) -> CaseResult {
    for writer in Side::BOTH {
        for asking in Side::BOTH {
            let mut pair = scene.connected()?;
            pair.ping_pong()?;
            for round in 0..40 {
                match pair.side(asking).request_key_update() {
                    Ok(Status::Complete) => {}
                    Err(error) if round >= MOST => {
                        let expected = ErrorKind::Misuse(Misuse::TooManyKeyUpdates);
                        check::kind("one request too many", &error, expected)?;
                    }
                    other => {
                        return Err(Failure::assertion(format!(
                            "request {round} of the {}: {other:?}",
                            asking.name()
                        )));
                    }
                }
                pair.transfer(writer, &pattern(2_000, round as u8))?;
                // Lets the silent side read, and its answer leave.
                pair.transfer(writer, b"more")?;
            }
            pair.ping_pong()?;
        }
    }
    Ok(())
}

fn waits_for_room(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(4 * 1024).connected()?;
    let data = pattern(16 * 1024, 8);
    let mut taken = 0;
    for _ in 0..MANY {
        let step = pair.client.write(&data)?;
        taken += step.bytes;
        if step.status == Status::WantWrite {
            break;
        }
    }
    let held = pair.client.session().pending_output();
    let status = pair.client.request_key_update()?;
    check::equal("a request at the bound", status, Status::WantWrite)?;
    check::equal(
        "what is pending",
        pair.client.session().pending_output(),
        held,
    )?;
    pair.read_exact(Side::Server, taken)?;
    request(&mut pair, Side::Client)?;
    pair.ping_pong()
}

fn before_the_handshake(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    let expected = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    for side in Side::BOTH {
        check::fails_with(
            "a request before the handshake",
            pair.side(side).request_key_update(),
            expected,
        )?;
    }
    pair.handshake()?;
    request(&mut pair, Side::Client)?;
    pair.ping_pong()
}

fn after_shutdown(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        // A KeyUpdate that is still held leaves in front of the close_notify.
        request(&mut pair, side)?;
        pair.shutdown(side)?;
        let held = pair.side(side).session().pending_output();
        let expected = ErrorKind::Misuse(Misuse::WriteAfterShutdown);
        check::fails_with(
            "a request after shutdown",
            pair.side(side).request_key_update(),
            expected,
        )?;
        check::equal(
            "what is pending",
            pair.side(side).session().pending_output(),
            held,
        )?;
        let (data, end) = pair.read_to_end(side.other())?;
        check::same_bytes("before the end", &data, b"")?;
        end?;
        pair.transfer(side.other(), b"reading goes on")?;
    }
    Ok(())
}

fn after_a_failure(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.send(99, b"what is this")?;
        let (_, end) = forge.victim_reads()?;
        let kind = end.failure("a record of unknown type")?.kind();
        check::fails_with(
            "a request after a failure",
            forge.victim.request_key_update(),
            kind,
        )?;
    }
    Ok(())
}

fn tls12_has_none(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    for side in Side::BOTH {
        let expected = ErrorKind::Unsupported(Feature::KeyUpdate);
        check::fails_with(
            "a request in TLS 1.2",
            pair.side(side).request_key_update(),
            expected,
        )?;
    }
    pair.ping_pong()
}

/// One that only reads answers: neither waits for a write of its caller.
fn a_reader_answers(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.received()?;
        forge.send_key_update(true)?;
        let (_, end) = forge.victim_reads()?;
        ensure!(matches!(end, End::Open), "a KeyUpdate met {end:?}");
        let records = forge.received()?;
        ensure!(
            matches!(&records[..], [record]
                if record.content_type == content_type::HANDSHAKE && record.payload == ANSWER),
            "the answer must leave without a write, met {records:?}"
        );
        forge.send_data(b"data")?;
        check::same_bytes("after the answer", &forge.victim_reads()?.0, b"data")?;
        forge.victim.write(b"back")?;
        forge.victim.flush()?;
        let records = forge.received()?;
        ensure!(
            matches!(&records[..], [record] if record.payload == b"back"),
            "data must come under the next keys, met {records:?}"
        );
    }
    Ok(())
}

/// Reading goes on under the peer's next keys; nothing follows the close_notify.
fn met_after_own_shutdown(scene: &Scene<'_>, asks: bool) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.victim.shutdown()?;
        forge.victim.flush()?;
        forge.received()?;
        forge.send_key_update(asks)?;
        forge.send_data(b"still here")?;
        let (data, end) = forge.victim_reads()?;
        match end {
            End::Open => {}
            End::Failed(error) => return Err(error.into()),
            end => return Err(Failure::assertion(format!("a KeyUpdate met {end:?}"))),
        }
        check::same_bytes("after own shutdown", &data, b"still here")?;
        let late = forge.received()?;
        ensure!(late.is_empty(), "behind the close_notify came {late:?}");
    }
    Ok(())
}
