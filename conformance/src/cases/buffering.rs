//! What is held on the way, how much of it, and what waits for whom.

use tls_core::config::{DEFAULT_PENDING_OUTPUT_BOUND, SocketTransport};
use tls_core::{Feature, Status};

use crate::case::{Case, CaseResult, Failure, Modes};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;
use tls_core::support::RecordHeader;

/// The most plaintext in one record, in bytes. RFC 8446 section 5.1.
const RECORD: usize = 16 * 1024;
/// The most bytes a sealed record has: what TLS 1.2 allows, header included.
const SEALED: usize = RECORD + 2048 + 5;
/// A window in which records do not fit.
const SMALL: usize = 4 * 1024;
/// More writes than any transport, with any bound of the suite, takes.
const MOST_WRITES: usize = 10_000;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K4",
        clauses: &["K4"],
        items: &["seed-api 88", "behaviours 43"],
        ..Case::new("buffering.what_is_not_read_is_bounded", unread_is_bounded)
    },
    Case {
        rfc: "RFC 8446 5.1, RFC 5246 6.2.1",
        clauses: &["K3", "K16"],
        items: &["seed-api 14", "behaviours 44"],
        ..Case::new("buffering.little_room_makes_no_small_records", full_records)
    },
    Case {
        rfc: "contract K3",
        clauses: &["K3", "K4", "K1"],
        items: &["seed-api 14", "behaviours 34", "behaviours 43"],
        ..Case::new("buffering.large_write_is_taken_in_parts", large_write)
    },
    Case {
        rfc: "contract K3",
        clauses: &["K3"],
        items: &["seed-api 66", "behaviours 30"],
        ..Case::new("buffering.writes_need_not_be_repeated", not_repeated)
    },
    Case {
        rfc: "contract K3",
        clauses: &["K3", "K1", "K4"],
        items: &["seed-api 14", "seed-api 66", "behaviours 30"],
        requires: &[Feature::PlainSocketTransport],
        modes: Modes::SocketOnly,
        ..Case::new("buffering.plain_transport_keeps_the_rules", plain_transport)
    },
    Case {
        rfc: "contract K4",
        clauses: &["K4"],
        items: &["behaviours 34", "behaviours 43"],
        ..Case::new("buffering.output_is_bounded", bounded)
    },
    Case {
        rfc: "contract K4",
        clauses: &["K4"],
        items: &["behaviours 34"],
        requires: &[Feature::PendingOutputBound],
        ..Case::new("buffering.bound_is_the_callers", callers_bound)
    },
    Case {
        rfc: "contract K1",
        clauses: &["K1"],
        items: &["behaviours 31"],
        ..Case::new("buffering.reading_does_not_wait_for_writing", no_waiting)
    },
    Case {
        rfc: "contract K1",
        clauses: &["K1", "K3", "K4"],
        items: &["behaviours 31", "behaviours 39"],
        ..Case::new("buffering.both_write_before_they_read", both_write_first)
    },
    Case {
        rfc: "contract K3",
        clauses: &["K3", "K1"],
        items: &["behaviours 35"],
        ..Case::new("buffering.flush_sends_what_is_held", flush_sends)
    },
    Case {
        rfc: "contract K6",
        clauses: &["K6"],
        items: &["seed-api 13", "behaviours 28", "behaviours 29"],
        ..Case::new("buffering.small_reads_of_a_large_record", small_reads)
    },
    Case {
        rfc: "contract K6",
        clauses: &["K6"],
        items: &["seed-api 2", "behaviours 42"],
        ..Case::new("buffering.records_that_came_together", came_together)
    },
    Case {
        rfc: "contract K6",
        clauses: &["K6", "K1"],
        items: &["seed-api 2", "seed-api 10"],
        ..Case::new(
            "buffering.part_of_a_record_is_nothing_to_read",
            part_of_a_record,
        )
    },
    Case {
        rfc: "contract K2",
        clauses: &["K2", "K6"],
        items: &["seed-api 4"],
        ..Case::new("buffering.nothing_to_deliver_is_no_end", no_end)
    },
];

/// Writes until nothing more is taken: how many bytes were. The wire stands still.
fn fill(pair: &mut Pair, side: Side, data: &[u8]) -> CaseResult<usize> {
    let mut taken = 0;
    for _ in 0..MOST_WRITES {
        let step = pair.side(side).write(&data[taken..])?;
        match step.status {
            Status::Complete => ensure!(step.bytes > 0, "Complete takes bytes, met {step:?}"),
            status => {
                check::status("a write without room", status, Status::WantWrite)?;
                check::equal("bytes taken with WantWrite", step.bytes, 0)?;
                return Ok(taken);
            }
        }
        taken += step.bytes;
        ensure!(
            taken < data.len(),
            "all of {} bytes were taken though none leaves",
            data.len()
        );
    }
    Err(Failure::hang("a write without room"))
}

/// Reads what was taken from the other side, and nothing else.
fn read_back(pair: &mut Pair, side: Side, expected: &[u8]) -> CaseResult {
    let received = pair.read_exact(side, expected.len())?;
    check::same_bytes("what arrived", &received, expected)?;
    pair.deliver()?;
    let step = pair.side(side).read(&mut [0; 16])?;
    check::equal("bytes behind what was taken", step.bytes, 0)
}

fn large_write(scene: &Scene<'_>) -> CaseResult {
    let data = super::pattern(2 << 20, 1);
    for side in Side::BOTH {
        let mut pair = scene.build().window(32 * 1024).connected()?;
        let taken = fill(&mut pair, side, &data)?;
        ensure!(taken > 0, "something is taken");
        ensure!(
            pair.side(side).session().pending_output() > 0,
            "what the transport has no room for is held"
        );
        let mut received = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut offered = taken;
        pair.pump_until("the rest of a large write", |pair| {
            if offered < data.len() {
                offered += pair.side(side).write(&data[offered..])?.bytes;
            }
            let step = pair.side(side.other()).read(&mut buffer)?;
            received.extend_from_slice(&buffer[..step.bytes]);
            Ok((received.len() >= data.len()).then_some(()))
        })?;
        check::same_bytes("2 MiB", &received, &data)?;
    }
    Ok(())
}

/// A reader that takes a byte at a time holds little, and in the end the writer has to wait.
fn unread_is_bounded(scene: &Scene<'_>) -> CaseResult {
    /// More than the sessions, their transports and the wire between them may hold.
    const MOST: usize = 512 * 1024;
    let data = super::pattern(4 << 20, 11);
    for side in Side::BOTH {
        let mut pair = scene.build().window(16 * 1024).connected()?;
        pair.ping_pong()?;
        let (mut taken, mut received) = (0, Vec::new());
        for _ in 0..300 {
            while let step = pair.side(side).write(&data[taken..])?
                && step.status == Status::Complete
            {
                taken += step.bytes;
                ensure!(taken < MOST, "{taken} bytes were taken though none is read");
            }
            pair.side(side).flush()?;
            pair.deliver()?;
            let mut byte = [0];
            let reader = pair.side(side.other());
            let step = reader.read(&mut byte)?;
            received.extend_from_slice(&byte[..step.bytes]);
            let held = reader.session().buffered();
            ensure!(
                held <= DEFAULT_PENDING_OUTPUT_BOUND + SEALED,
                "what is not read is bounded, met {held} bytes"
            );
        }
        check::same_bytes("a byte at a time", &received, &data[..received.len()])?;
        ensure!(received.len() > 200, "only {} bytes came", received.len());
        let rest = pair.read_exact(side.other(), taken - received.len())?;
        check::same_bytes("the rest", &rest, &data[received.len()..taken])?;
    }
    Ok(())
}

/// However little leaves at once, records are as long as they may be, and no longer.
fn full_records(scene: &Scene<'_>) -> CaseResult {
    /// What a record may be longer than its plaintext in either version: RFC 8446 section 5.2, RFC
    /// 5246 section 6.2.3.
    const MOST_OVERHEAD: usize = 256;
    let data = super::pattern(1 << 20, 12);
    for side in Side::BOTH {
        let mut pair = scene.build().window(SMALL).connected()?;
        pair.ping_pong()?;
        pair.side(side).output_chunk = 700;
        let sent = pair.wire.from(side).sent();
        pair.transfer(side, &data)?;
        let mut rest = &pair.wire.from(side).recorded()[sent..];
        let mut records = 0;
        while let Some(header) = RecordHeader::parse(rest) {
            ensure!(
                header.payload <= RECORD + MOST_OVERHEAD,
                "a record of {} bytes",
                header.payload
            );
            records += 1;
            rest = &rest[header.record()..];
        }
        let fewest = data.len() / RECORD;
        ensure!(
            records <= fewest + fewest / 4,
            "{} bytes made {records} records, {fewest} would do",
            data.len()
        );
    }
    Ok(())
}

fn not_repeated(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(SMALL).connected()?;
    pair.ping_pong()?;
    for side in Side::BOTH {
        writes_others(&mut pair, side)?;
    }
    Ok(())
}

/// The bytes of a write that was not taken are forgotten: the next may be shorter, elsewhere, and
/// others.
fn writes_others(pair: &mut Pair, side: Side) -> CaseResult {
    let mut expected = Vec::new();
    let mut received = Vec::new();
    let mut buffer = vec![0; RECORD];
    let (mut seed, mut refused) = (0_u8, 0);
    while refused < 6 {
        for length in [50_000, 1, 20_000, 300] {
            seed = seed.wrapping_add(1);
            // Gone after the call, and its successor is another.
            let data = super::pattern(length, seed);
            let step = pair.side(side).write(&data)?;
            expected.extend_from_slice(&data[..step.bytes]);
            refused += u32::from(step.status == Status::WantWrite);
        }
        // Room for a little, so that the next write is taken in part.
        pair.relay()?;
        let step = pair.side(side.other()).read(&mut buffer)?;
        received.extend_from_slice(&buffer[..step.bytes]);
    }
    let rest = pair.read_exact(side.other(), expected.len() - received.len())?;
    received.extend_from_slice(&rest);
    check::same_bytes("what was taken", &received, &expected)?;
    pair.transfer(side, b"and then")
}

/// The engine itself reads and writes the descriptor.
fn plain_transport(scene: &Scene<'_>) -> CaseResult {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.socket_transport = SocketTransport::Plain;
    }
    let builder = scene.build().client(client).server(server);
    let mut pair = builder.window(SMALL).connected()?;
    pair.ping_pong()?;
    for side in Side::BOTH {
        writes_others(&mut pair, side)?;
    }
    let (there, back) = (super::pattern(300_000, 1), super::pattern(200_000, 2));
    pair.transfer_both(&there, &back)?;
    for side in Side::BOTH {
        let data = super::pattern(1 << 20, 3);
        let taken = fill(&mut pair, side, &data)?;
        let held = pair.side(side).session().pending_output();
        ensure!(
            held <= DEFAULT_PENDING_OUTPUT_BOUND + SEALED,
            "what is held is bounded, met {held} bytes"
        );
        let status = pair.side(side).shutdown()?;
        check::status("shutdown without room", status, Status::WantWrite)?;
        let (received, end) = pair.read_to_end(side.other())?;
        check::same_bytes("what was taken", &received, &data[..taken])?;
        end?;
    }
    for side in Side::BOTH {
        let status = pair.shutdown(side)?;
        ensure!(
            matches!(status, Status::Complete | Status::Closed),
            "nothing is left to send, met {status:?}"
        );
    }
    Ok(())
}

fn bounded(scene: &Scene<'_>) -> CaseResult {
    held_within(scene, None, DEFAULT_PENDING_OUTPUT_BOUND)
}

fn callers_bound(scene: &Scene<'_>) -> CaseResult {
    for bound in [1, 5_000, 300_000] {
        held_within(scene, Some(bound), bound)
            .map_err(|failure| failure.during(format_args!("a bound of {bound} bytes")))?;
    }
    Ok(())
}

fn held_within(scene: &Scene<'_>, configured: Option<usize>, bound: usize) -> CaseResult {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    if let Some(bound) = configured {
        client.parameters.pending_output_bound = bound;
        server.parameters.pending_output_bound = bound;
    }
    let mut pair = scene
        .build()
        .client(client)
        .server(server)
        .window(SMALL)
        .connected()?;
    pair.ping_pong()?;
    let data = super::pattern(1 << 20, 2);
    for side in Side::BOTH {
        let taken = fill(&mut pair, side, &data)?;
        let held = pair.side(side).session().pending_output();
        ensure!(
            (bound..=bound + SEALED).contains(&held),
            "{bound} bytes and at most one record more may be held, met {held}"
        );
        read_back(&mut pair, side.other(), &data[..taken])?;
        let held = pair.side(side).session().pending_output();
        check::equal("held once all has left", held, 0)?;
    }
    Ok(())
}

/// With one direction jammed, the other works: `read` asks for room only if it owes a reply.
fn no_waiting(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().window(SMALL).connected()?;
        pair.ping_pong()?;
        pair.wire.from(side).hold();
        let jam = super::pattern(1 << 20, 3);
        let taken = fill(&mut pair, side, &jam)?;
        let data = super::pattern(100_000, 4);
        let (mut offered, mut received) = (0, Vec::new());
        let mut buffer = vec![0; RECORD];
        pair.pump_until("reading with output held", |pair| {
            if offered < data.len() {
                offered += pair.side(side.other()).write(&data[offered..])?.bytes;
            }
            let step = pair.side(side).read(&mut buffer)?;
            ensure!(
                matches!(step.status, Status::Complete | Status::WantRead),
                "reading must not wait for writing, met {step:?}"
            );
            received.extend_from_slice(&buffer[..step.bytes]);
            Ok((received.len() >= data.len()).then_some(()))
        })?;
        check::same_bytes("read with output held", &received, &data)?;
        let step = pair.side(side).read(&mut buffer)?;
        check::status("with nothing to read", step.status, Status::WantRead)?;
        pair.wire.from(side).release();
        read_back(&mut pair, side.other(), &jam[..taken])?;
    }
    Ok(())
}

fn both_write_first(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(SMALL).connected()?;
    let data = [super::pattern(1 << 20, 5), super::pattern(1 << 20, 6)];
    let mut taken = [0; 2];
    // Both write, and nobody reads, until nothing is taken and nothing moves.
    pair.pump("writing until both are stuck", |pair| {
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            taken[index] += pair.side(side).write(&data[index][taken[index]..])?.bytes;
        }
        Ok(None::<()>)
    })?;
    for index in 0..2 {
        ensure!(
            taken[index] > 0 && taken[index] < data[index].len(),
            "both are stuck on the way, met {taken:?} bytes taken"
        );
    }
    let mut received = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; RECORD];
    pair.pump_until("the rest, reading and writing", |pair| {
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            let rest = &data[index][taken[index]..];
            if !rest.is_empty() {
                taken[index] += pair.side(side).write(rest)?.bytes;
            }
            let step = pair.side(side).read(&mut buffer)?;
            received[index].extend_from_slice(&buffer[..step.bytes]);
        }
        let done = received[0].len() >= data[1].len() && received[1].len() >= data[0].len();
        Ok(done.then_some(()))
    })?;
    check::same_bytes("what the client read", &received[0], &data[1])?;
    check::same_bytes("what the server read", &received[1], &data[0])
}

fn flush_sends(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().window(SMALL).connected()?;
        pair.ping_pong()?;
        let data = super::pattern(1 << 20, 7);
        let taken = fill(&mut pair, side, &data)?;
        let endpoint = pair.side(side);
        let status = endpoint.flush()?;
        check::status("flush without room", status, Status::WantWrite)?;
        ensure!(
            endpoint.session().pending_output() > 0,
            "WantWrite means that something is held"
        );
        // From here on only flush is called, and all that was taken arrives.
        let mut received = Vec::new();
        let mut buffer = vec![0; RECORD];
        let done = pair.pump_until("flushing", |pair| {
            let status = pair.side(side).flush()?;
            let step = pair.side(side.other()).read(&mut buffer)?;
            received.extend_from_slice(&buffer[..step.bytes]);
            Ok((received.len() >= taken).then_some(status))
        })?;
        check::status("the last flush", done, Status::Complete)?;
        check::same_bytes("flushed", &received, &data[..taken])?;
    }
    Ok(())
}

fn small_reads(scene: &Scene<'_>) -> CaseResult {
    const PIECE: usize = 1000;
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        let data = super::pattern(RECORD, 8);
        pair.write_all(side.other(), &data)?;
        pair.deliver()?;
        let endpoint = pair.side(side);
        let mut received = Vec::new();
        while received.len() < data.len() {
            let mut buffer = [0; PIECE];
            let step = endpoint.read(&mut buffer)?;
            let expected = PIECE.min(data.len() - received.len());
            check::status("a read of a part", step.status, Status::Complete)?;
            check::equal("its bytes", step.bytes, expected)?;
            received.extend_from_slice(&buffer[..step.bytes]);
            check::equal(
                "buffered then",
                endpoint.session().buffered(),
                data.len() - received.len(),
            )?;
        }
        check::same_bytes("in small parts", &received, &data)?;
        let step = endpoint.read(&mut [0; PIECE])?;
        check::status("afterwards", step.status, Status::WantRead)?;
    }
    Ok(())
}

fn came_together(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        let pieces = [9, 2000, 1].map(|length| super::pattern(length, length as u8));
        for piece in &pieces {
            let step = pair.side(side.other()).write(piece)?;
            check::equal("what a write took", step.bytes, piece.len())?;
        }
        pair.side(side.other()).flush()?;
        pair.deliver()?;
        // Nothing arrives from here on.
        let endpoint = pair.side(side);
        let expected = pieces.concat();
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let step = endpoint.read(&mut buffer)?;
            received.extend_from_slice(&buffer[..step.bytes]);
            if step.status == Status::WantRead {
                break;
            }
            check::status("a read with data there", step.status, Status::Complete)?;
            if step.bytes == 0 {
                return Err(Failure::assertion("a read of data gave none"));
            }
        }
        check::same_bytes("before WantRead", &received, &expected)?;
        check::equal("after WantRead", endpoint.session().buffered(), 0)?;
    }
    Ok(())
}

fn part_of_a_record(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        for part in [1, 4, 5, 6, 100] {
            let data = super::pattern(500, part as u8);
            let step = pair.side(side.other()).write(&data)?;
            check::equal("what a write took", step.bytes, data.len())?;
            pair.wire.set_quota(part);
            check::equal("delivered", pair.relay()?, 2 * part)?;
            let endpoint = pair.side(side);
            for _ in 0..2 {
                let step = endpoint.read(&mut [0; 600])?;
                check::status("with a part of a record", step.status, Status::WantRead)?;
                check::equal("buffered then", endpoint.session().buffered(), 0)?;
            }
            pair.wire.set_quota(usize::MAX);
            pair.deliver()?;
            let mut buffer = [0; 600];
            let step = pair.side(side).read(&mut buffer)?;
            check::status("with the rest of it", step.status, Status::Complete)?;
            check::same_bytes("the record", &buffer[..step.bytes], &data)?;
        }
    }
    Ok(())
}

/// Tickets, and reads in vain: 0 bytes are never the end.
fn no_end(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.deliver()?;
    for _ in 0..3 {
        for side in Side::BOTH {
            let step = pair.side(side).read(&mut [0; 64])?;
            check::equal("bytes read", step.bytes, 0)?;
            ensure!(
                matches!(step.status, Status::Complete | Status::WantRead),
                "nothing to deliver is no end, met {step:?}"
            );
        }
        pair.deliver()?;
    }
    for side in Side::BOTH {
        let endpoint = pair.side(side);
        let step = endpoint.read(&mut [0; 64])?;
        check::status("a read in vain", step.status, Status::WantRead)?;
        ensure!(
            !endpoint.session().close_notify_received(),
            "nobody has shut down"
        );
    }
    pair.ping_pong()
}
