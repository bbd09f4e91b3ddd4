//! The steady state: what read and write allocate.

use allocation_counter::measure;
use tls_core::config::DEFAULT_PENDING_OUTPUT_BOUND;
use tls_core::{Feature, Status};

use crate::case::{Case, CaseResult, Mode};
use crate::check;
use crate::endpoint::{Endpoint, Step};
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// How many allocations of an engine's own one record may cost. rustls makes 1 to seal and 5 to
/// open one.
const ENGINE_ALLOCATIONS: u64 = 8;
/// How many bytes an engine may allocate to seal one record.
const ENGINE_BYTES: u64 = 40 * 1024;
/// A full record of plaintext, in bytes.
const RECORD: usize = 16 * 1024;
/// Room for the ciphertext of a record, in bytes.
const SEALED: usize = RECORD + 1024;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K20",
        clauses: &["K20"],
        ..Case::new("steady.would_block_read_allocates_nothing", would_block)
    },
    Case {
        rfc: "contract K20",
        clauses: &["K20"],
        ..Case::new("steady.records_allocate_within_the_engine", records)
    },
    Case {
        rfc: "contract K20",
        clauses: &["K20", "K4"],
        requires: &[Feature::PendingOutputBound],
        ..Case::new("steady.output_held_again_takes_no_new_memory", held_again)
    },
];

fn would_block(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    for side in Side::BOTH {
        let mut buffer = [0; 64];
        let endpoint = pair.side(side);
        let mut last = endpoint.read(&mut buffer)?;
        let allocated = measure(|| {
            for _ in 0..100 {
                if let Ok(step) = endpoint.read(&mut buffer) {
                    last = step;
                }
            }
        });
        check::status("a read without data", last.status, Status::WantRead)?;
        check::equal(
            "allocations of 100 would-block reads",
            allocated.count_total,
            0,
        )?;
    }
    Ok(())
}

fn records(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    let data = super::pattern(RECORD, 5);
    for side in Side::BOTH {
        // The first records fill buffers that are then kept.
        for _ in 0..4 {
            pair.transfer(side, &data)?;
        }
        for _ in 0..16 {
            one_record(&mut pair, side, &data)?;
        }
    }
    Ok(())
}

/// What waits for room is held in memory that was there before, whatever the bound.
fn held_again(scene: &Scene<'_>) -> CaseResult {
    for bound in [DEFAULT_PENDING_OUTPUT_BOUND, 300_000] {
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        client.parameters.pending_output_bound = bound;
        server.parameters.pending_output_bound = bound;
        let builder = scene.build().client(client).server(server);
        let mut pair = builder.window(4 * 1024).connected()?;
        pair.ping_pong()?;
        for side in Side::BOTH {
            // The first rounds make the buffers that are then kept.
            for round in 0..4 {
                let (taken, most) = fill_counted(pair.side(side))?;
                ensure!(taken >= bound / 2, "only {taken} bytes were held");
                ensure!(
                    round < 2 || most <= ENGINE_BYTES,
                    "a write of {RECORD} bytes within a bound of {bound}: at most \
                     {ENGINE_BYTES} bytes are the engine's own, met {most}"
                );
                let received = pair.read_exact(side.other(), taken)?;
                check::same_bytes("what was held", &received, &vec![7; taken])?;
            }
        }
    }
    Ok(())
}

/// Writes while anything is taken and none of it leaves: how many bytes were, and the most that one
/// of the calls allocated.
fn fill_counted(endpoint: &mut Endpoint) -> CaseResult<(usize, u64)> {
    let data = [7; RECORD];
    let (mut taken, mut most) = (0, 0);
    loop {
        let mut result = None;
        let allocated = if endpoint.mode() == Mode::Socket {
            let session = endpoint.as_socket()?;
            measure(|| result = Some(session.write(&data)))
        } else {
            let session = endpoint.as_buffer()?;
            measure(|| result = Some(session.write(&data, &mut [])))
        };
        let progress = result.expect("measured once")?;
        most = most.max(allocated.bytes_total);
        taken += progress.consumed;
        if progress.status == Status::WantWrite {
            return Ok((taken, most));
        }
    }
}

/// Sends one record and reads it, calling the sessions alone while counting.
fn one_record(pair: &mut Pair, from: Side, data: &[u8]) -> CaseResult {
    let (written, allocated) = counted_write(pair.side(from), data)?;
    check::equal("what a write took", written.bytes, data.len())?;
    within("a write of 16 KiB", allocated)?;
    pair.deliver()?;
    let mut received = vec![0; RECORD];
    let mut filled = 0;
    while filled < RECORD {
        let (step, allocated) = counted_read(pair.side(from.other()), &mut received[filled..])?;
        within("a read of one record", allocated)?;
        ensure!(
            step.bytes > 0,
            "a record that has arrived is to be read, met {step:?} after {filled} bytes"
        );
        filled += step.bytes;
    }
    check::same_bytes("the record", &received, data)
}

fn within(what: &str, allocated: u64) -> CaseResult {
    ensure!(
        allocated <= ENGINE_ALLOCATIONS,
        "{what}: at most {ENGINE_ALLOCATIONS} allocations are the engine's own, met {allocated}"
    );
    Ok(())
}

fn counted_write(endpoint: &mut Endpoint, data: &[u8]) -> CaseResult<(Step, u64)> {
    if endpoint.mode() == Mode::Socket {
        let session = endpoint.as_socket()?;
        let mut result = None;
        let allocated = measure(|| result = Some(session.write(data)));
        let progress = result.expect("measured once")?;
        let step = Step {
            status: progress.status,
            bytes: progress.consumed,
        };
        return Ok((step, allocated.count_total));
    }
    let mut output = vec![0; SEALED];
    let session = endpoint.as_buffer()?;
    let mut result = None;
    let allocated = measure(|| result = Some(session.write(data, &mut output)));
    let progress = result.expect("measured once")?;
    endpoint.send_ciphertext(&output[..progress.produced])?;
    let step = Step {
        status: progress.status,
        bytes: progress.consumed,
    };
    Ok((step, allocated.count_total))
}

fn counted_read(endpoint: &mut Endpoint, buffer: &mut [u8]) -> CaseResult<(Step, u64)> {
    let mut result = None;
    let allocated = if endpoint.mode() == Mode::Socket {
        let session = endpoint.as_socket()?;
        measure(|| result = Some(session.read(buffer)))
    } else {
        let mut input = endpoint.take_incoming()?;
        let session = endpoint.as_buffer()?;
        let allocated = measure(|| result = Some(session.read(&mut input, buffer)));
        let consumed = match &result {
            Some(Ok(progress)) => progress.consumed,
            _ => input.len(),
        };
        endpoint.put_back(&input[consumed..])?;
        allocated
    };
    let progress = result.expect("measured once")?;
    let step = Step {
        status: progress.status,
        bytes: progress.produced,
    };
    Ok((step, allocated.count_total))
}
