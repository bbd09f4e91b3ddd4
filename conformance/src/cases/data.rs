//! Application data: nothing lost, doubled or mixed, and every size.

use std::io::{IoSlice, IoSliceMut};

use tls_core::{ErrorKind, SocketSession, Status};

use crate::case::{Case, CaseResult, Mode, Modes};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// The most plaintext in one record, in bytes. RFC 8446 section 5.1.
const RECORD: usize = 16 * 1024;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K1", "K3"],
        items: &["seed-api 14"],
        ..Case::new("data.both_ways_at_once", both_ways_at_once)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K3", "K16"],
        items: &["behaviours 24", "behaviours 33"],
        ..Case::new("data.every_size", every_size)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K3", "K16"],
        items: &["behaviours 24"],
        ..Case::new("data.single_bytes", single_bytes)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K3", "K6", "K16"],
        items: &["behaviours 24"],
        ..Case::new("data.random_sizes", random_sizes)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K16", "K6"],
        items: &["seed-api 10"],
        ..Case::new("data.records_in_pieces", records_in_pieces)
    },
    Case {
        rfc: "contract K16",
        clauses: &["K16", "K3"],
        items: &["seed-api 5", "seed-api 7"],
        modes: Modes::BufferOnly,
        ..Case::new("data.counts_are_true", counts_are_true)
    },
    Case {
        rfc: "contract K17",
        clauses: &["K17"],
        items: &["seed-api 8", "behaviours 25", "behaviours 26"],
        ..Case::new("data.empty_buffers", empty_buffers)
    },
    Case {
        rfc: "contract K17",
        clauses: &["K17", "K5"],
        items: &["seed-api 8", "seed-api 59"],
        ..Case::new("data.empty_buffers_after_a_failure", empty_after_failure)
    },
    Case {
        rfc: "contract K3",
        clauses: &["K3"],
        items: &["behaviours 32"],
        modes: Modes::SocketOnly,
        ..Case::new("data.vectored_writes_are_joined_ones", vectored_writes)
    },
    Case {
        rfc: "contract K17",
        clauses: &["K3", "K17"],
        items: &["behaviours 32"],
        modes: Modes::SocketOnly,
        ..Case::new("data.vectored_reads_fill_in_order", vectored_reads)
    },
];

fn both_ways_at_once(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(16 * 1024).connected()?;
    let (there, back) = (super::pattern(300_000, 1), super::pattern(200_000, 2));
    pair.transfer_both(&there, &back)
}

fn every_size(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    for (seed, size) in [1, 2, 255, RECORD - 1, RECORD, RECORD + 1, 1 << 20]
        .into_iter()
        .enumerate()
    {
        let data = super::pattern(size, seed as u8);
        for side in Side::BOTH {
            pair.transfer(side, &data).map_err(|failure| {
                failure.during(format_args!("{size} bytes from the {}", side.name()))
            })?;
        }
        let before = super::pattern(size, seed as u8);
        check::same_bytes("the source of the writes", &data, &before)?;
    }
    Ok(())
}

fn single_bytes(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    for side in Side::BOTH {
        let data = super::pattern(300, 4);
        for byte in data.chunks(1) {
            pair.write_all(side, byte)?;
        }
        let received = pair.read_exact(side.other(), data.len())?;
        check::same_bytes("single bytes", &received, &data)?;
        nothing_more(&mut pair, side.other())?;
    }
    Ok(())
}

/// Nothing was doubled: no data is behind the data expected.
fn nothing_more(pair: &mut Pair, side: Side) -> CaseResult {
    pair.deliver()?;
    let mut buffer = [0; 64];
    let step = pair.side(side).read(&mut buffer)?;
    check::equal("bytes behind the data", step.bytes, 0)
}

fn random_sizes(scene: &Scene<'_>) -> CaseResult {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut pair = scene.build().window(10_000).connected()?;
    let data = super::pattern(400_000, 6);
    for side in Side::BOTH {
        let (mut taken, mut received) = (0, Vec::new());
        pair.pump_until("random sizes", |pair| {
            if taken < data.len() {
                let end = data.len().min(taken + 1 + random.below(40_000));
                taken += pair.side(side).write(&data[taken..end])?.bytes;
            }
            let mut buffer = vec![0; 1 + random.below(40_000)];
            let step = pair.side(side.other()).read(&mut buffer)?;
            received.extend_from_slice(&buffer[..step.bytes]);
            Ok((received.len() >= data.len()).then_some(()))
        })?;
        check::same_bytes("random sizes", &received, &data)?;
        nothing_more(&mut pair, side.other())?;
    }
    Ok(())
}

/// The same numbers in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn records_in_pieces(scene: &Scene<'_>) -> CaseResult {
    for size in [1, 7, 64, 1024] {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.wire.set_quota(size);
        for side in Side::BOTH {
            pair.side(side).input_chunk = size;
            let pieces = [1, 300, 3000].map(|length| super::pattern(length, length as u8));
            for piece in &pieces {
                check::equal(
                    "what a write took",
                    pair.side(side).write(piece)?.bytes,
                    piece.len(),
                )?;
            }
            let expected = pieces.concat();
            let received = pair.read_exact(side.other(), expected.len())?;
            check::same_bytes("records in pieces", &received, &expected)
                .map_err(|failure| failure.during(format_args!("{size} bytes at a time")))?;
            nothing_more(&mut pair, side.other())?;
        }
    }
    Ok(())
}

/// Every call with little input and little room, its counts compared with what really moved.
fn counts_are_true(scene: &Scene<'_>) -> CaseResult {
    const LITTLE: usize = 11;
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    let data = super::pattern(700, 8);
    let session = pair.client.as_buffer()?;
    let mut sealed = Vec::new();
    let mut output = [0; LITTLE];
    let progress = session.write(&data, &mut output)?;
    check::status("a write", progress.status, Status::Complete)?;
    check::equal("what it took", progress.consumed, data.len())?;
    check::equal("what it produced", progress.produced, LITTLE)?;
    sealed.extend_from_slice(&output);
    while session.pending_output() > 0 {
        let before = session.pending_output();
        let progress = session.drain(&mut output);
        let expected = before.min(LITTLE);
        check::equal("what was drained", progress.produced, expected)?;
        check::equal("what is left", session.pending_output(), before - expected)?;
        let status = match session.pending_output() {
            0 => Status::Complete,
            _ => Status::WantWrite,
        };
        check::status("a drain", progress.status, status)?;
        sealed.extend_from_slice(&output[..progress.produced]);
    }
    let session = pair.server.as_buffer()?;
    let (mut given, mut received) = (0, Vec::new());
    let mut plaintext = [0; LITTLE];
    while received.len() < data.len() {
        let end = sealed.len().min(given + LITTLE);
        let mut input = sealed[given..end].to_vec();
        let progress = session.read(&mut input, &mut plaintext)?;
        ensure!(
            progress.consumed + progress.produced > 0,
            "one step leads on, met {progress:?} with {} of {} bytes given",
            given,
            sealed.len()
        );
        if progress.status == Status::WantRead {
            check::equal("input left by WantRead", progress.consumed, input.len())?;
            check::equal("held after WantRead", session.buffered(), 0)?;
        }
        given += progress.consumed;
        received.extend_from_slice(&plaintext[..progress.produced]);
    }
    check::equal("the input consumed", given, sealed.len())?;
    check::same_bytes("the data", &received, &data)
}

fn empty_buffers(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    for side in Side::BOTH {
        let sent = pair.wire.from(side).sent();
        for _ in 0..3 {
            let step = pair.side(side).write(b"")?;
            check::status("an empty write", step.status, Status::Complete)?;
            check::equal("what it took", step.bytes, 0)?;
        }
        pair.deliver()?;
        check::equal("what empty writes sent", pair.wire.from(side).sent(), sent)?;

        let reader = side.other();
        empty_read(&mut pair, reader, "with nothing there")?;
        pair.write_all(side, b"something")?;
        pair.deliver()?;
        empty_read(&mut pair, reader, "with data in the transport")?;
        let mut one = [0; 1];
        let step = pair.side(reader).read(&mut one)?;
        check::equal("a read of one byte", (step.bytes, one[0]), (1, b's'))?;
        empty_read(&mut pair, reader, "with data in the session")?;
        let rest = pair.read_exact(reader, 8)?;
        check::same_bytes("the rest", &rest, b"omething")?;
    }
    pair.ping_pong()
}

fn empty_read(pair: &mut Pair, side: Side, what: &str) -> CaseResult {
    let endpoint = pair.side(side);
    let buffered = endpoint.session().buffered();
    let incoming = incoming(pair, side)?;
    let endpoint = pair.side(side);
    for _ in 0..3 {
        let step = endpoint.read(&mut [])?;
        check::status(
            &format!("an empty read {what}"),
            step.status,
            Status::Complete,
        )?;
        check::equal("bytes read", step.bytes, 0)?;
        check::equal("still buffered", endpoint.session().buffered(), buffered)?;
    }
    check::equal(
        "ciphertext left by an empty read",
        self::incoming(pair, side)?,
        incoming,
    )
}

/// How much ciphertext waits in front of a session; what waits in a socket is the kernel's affair.
fn incoming(pair: &mut Pair, side: Side) -> CaseResult<usize> {
    let endpoint = pair.side(side);
    if endpoint.mode() == Mode::Socket {
        return Ok(0);
    }
    let bytes = endpoint.take_incoming()?;
    endpoint.put_back(&bytes)?;
    Ok(bytes.len())
}

fn empty_after_failure(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.wire.to(side).cut();
        let (_, end) = pair.read_to_end(side)?;
        check::fails_with("the end", end, ErrorKind::Truncated)?;
        let endpoint = pair.side(side);
        let truncated = ErrorKind::Truncated;
        check::fails_with("an empty read", endpoint.read(&mut []), truncated)?;
        check::fails_with("an empty write", endpoint.write(b""), truncated)?;
    }
    Ok(())
}

fn vectored_writes(scene: &Scene<'_>) -> CaseResult {
    let data = super::pattern(300_000, 9);
    for lengths in [
        &[1, 0, 2, 3, 500][..],
        &[70_000, 1, 0, 100_000],
        &[100; 200],
    ] {
        let mut pair = scene.build().window(4 * 1024).connected()?;
        let total: usize = lengths.iter().sum();
        let (mut taken, mut received) = (0, Vec::new());
        let mut buffer = vec![0; RECORD];
        pair.pump_until("vectored writes", |pair| {
            if taken < total {
                let slices = slices_from(&data, lengths, taken);
                let progress = pair.client.as_socket()?.write_vectored(&slices)?;
                match progress.status {
                    Status::Complete => ensure!(progress.consumed > 0, "Complete takes bytes"),
                    status => {
                        check::status("a vectored write", status, Status::WantWrite)?;
                        check::equal("bytes taken", progress.consumed, 0)?;
                    }
                }
                taken += progress.consumed;
            }
            let step = pair.server.read(&mut buffer)?;
            received.extend_from_slice(&buffer[..step.bytes]);
            Ok((received.len() >= total).then_some(()))
        })?;
        check::same_bytes("from several buffers", &received, &data[..total])?;
        nothing_more(&mut pair, Side::Server)?;
    }
    let mut pair = scene.connected()?;
    for slices in [&[][..], &[IoSlice::new(b""), IoSlice::new(b"")]] {
        let progress = pair.client.as_socket()?.write_vectored(slices)?;
        check::status("nothing to write", progress.status, Status::Complete)?;
        check::equal("bytes taken", progress.consumed, 0)?;
    }
    pair.ping_pong()
}

/// Consecutive slices of these lengths, without the bytes taken already.
fn slices_from<'a>(data: &'a [u8], lengths: &[usize], taken: usize) -> Vec<IoSlice<'a>> {
    let mut start = 0;
    lengths
        .iter()
        .map(|length| {
            let end = start + length;
            let from = start.max(taken).min(end);
            start = end;
            IoSlice::new(&data[from..end])
        })
        .collect()
}

fn vectored_reads(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    let data = super::pattern(5_000, 10);
    pair.write_all(Side::Client, &data)?;
    pair.deliver()?;
    let session = pair.server.as_socket()?;
    check::equal("no buffers at all", read_into(session, &[], 0)?, b"")?;
    check::equal("empty buffers", read_into(session, &[0, 0], 0)?, b"")?;
    let mut received = read_into(session, &[10, 0, 1, 700], 711)?;
    while received.len() < data.len() {
        let more = read_into(session, &[300, 0, 300], 0)?;
        ensure!(!more.is_empty(), "what has arrived is read");
        received.extend(more);
    }
    check::same_bytes("into several buffers", &received, &data)?;
    let step = pair.server.read(&mut [0; 8])?;
    check::status("afterwards", step.status, Status::WantRead)
}

/// One vectored read that completes with at least so many bytes: what it read, in order.
fn read_into(
    session: &mut dyn SocketSession,
    lengths: &[usize],
    at_least: usize,
) -> CaseResult<Vec<u8>> {
    let mut buffers: Vec<_> = lengths.iter().map(|length| vec![0; *length]).collect();
    let mut slices: Vec<_> = buffers
        .iter_mut()
        .map(|buffer| IoSliceMut::new(buffer))
        .collect();
    let progress = session.read_vectored(&mut slices)?;
    check::status("a vectored read", progress.status, Status::Complete)?;
    ensure!(
        progress.produced >= at_least,
        "at least {at_least} bytes are there, met {progress:?}"
    );
    let mut joined = buffers.concat();
    joined.truncate(progress.produced);
    Ok(joined)
}
