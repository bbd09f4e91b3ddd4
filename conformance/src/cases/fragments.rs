//! Handshake messages in pieces: over several segments, over several records.

use crate::case::{Case, CaseResult};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// The length of a record header, in bytes.
const HEADER: usize = 5;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K16"],
        items: &["seed-api 11", "behaviours 6"],
        ..Case::new("fragments.hello_in_two_segments", two_segments)
    },
    Case {
        rfc: "RFC 8446 5.1, RFC 5246 6.2.1",
        clauses: &["K16", "K9"],
        items: &["seed-api 12", "behaviours 6", "behaviours 140"],
        ..Case::new("fragments.hello_over_two_records", two_records)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15", "K7"],
        items: &["seed-api 65"],
        ..Case::new(
            "fragments.many_connections_one_after_another",
            many_connections,
        )
    },
];

/// How many bytes the client's first flight has, its one record's header included.
fn first_flight(scene: &Scene<'_>) -> CaseResult<usize> {
    let mut pair = scene.pair()?;
    pair.client.handshake()?;
    pair.relay()?;
    let flight = pair.wire.to_server.recorded();
    ensure!(
        flight.len() > HEADER
            && usize::from(flight[3]) << 8 | usize::from(flight[4]) == flight.len() - HEADER,
        "the first flight is not one record"
    );
    Ok(flight.len())
}

fn two_segments(scene: &Scene<'_>) -> CaseResult {
    let length = first_flight(scene)?;
    for cut in [1, HEADER, HEADER + 1, HEADER + 4, length / 2, length - 1] {
        let mut pair = scene.pair()?;
        pair.client.handshake()?;
        pair.wire.to_server.set_quota(cut);
        pair.relay()?;
        pair.server.handshake()?;
        pair.wire.to_server.set_quota(length);
        pair.handshake()?;
        pair.ping_pong()?;
    }
    Ok(())
}

fn two_records(scene: &Scene<'_>) -> CaseResult {
    let length = first_flight(scene)?;
    let message = length - HEADER;
    // Within the message's own header, behind it, in the middle, and before the last byte.
    for first in [1, 3, 4, 5, message / 2, message - 1] {
        let mut pair = scene.pair()?;
        split_first_record(&mut pair, message, first);
        pair.handshake()?;
        ensure!(pair.wire.to_server.faults_done(), "the hello was not split");
        pair.ping_pong()?;
    }
    Ok(())
}

/// Makes two records of the client's first, the first with this many bytes.
pub(super) fn split_first_record(pair: &mut Pair, message: usize, first: usize) {
    let lane = &mut pair.wire.to_server;
    let [old, new, rest] = [message, first, message - first].map(|length| {
        let length = u16::try_from(length).expect("a record is shorter than 64 KiB");
        length.to_be_bytes()
    });
    lane.flip(3, old[0] ^ new[0]);
    lane.flip(4, old[1] ^ new[1]);
    lane.insert(HEADER + first, [22, 3, 1, rest[0], rest[1]]);
}

fn many_connections(scene: &Scene<'_>) -> CaseResult {
    let client = scene.backend.client(scene.client_config())?;
    let server = scene.backend.server(scene.server_config())?;
    for round in 0..40 {
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*server).connected()?;
        let first = [Side::Client, Side::Server][round % 2];
        pair.ping_pong()?;
        pair.shutdown(first)?;
        let (data, end) = pair.read_to_end(first.other())?;
        check::same_bytes("before the close_notify", &data, b"")?;
        end?;
        pair.shutdown(first.other())?;
    }
    Ok(())
}
