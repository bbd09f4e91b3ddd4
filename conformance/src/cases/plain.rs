//! Socket sessions in which the engine itself drives the descriptor: the same contract holds.

use tls_core::config::SocketTransport;
use tls_core::iana::AlertDescription;
use tls_core::{AlertDirection, CertificateProblem, ErrorKind, Feature, ServerConfig, Status};

use crate::case::{Case, CaseResult, Modes};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::{Builder, Scene};

/// What all cases here have in common.
const PLAIN: Case = Case {
    requires: &[Feature::PlainSocketTransport],
    modes: Modes::SocketOnly,
    ..Case::new("", |_| Ok(()))
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "plain.one_byte_at_a_time",
        rfc: "RFC 8446 5.1",
        clauses: &["K1", "K16"],
        run: one_byte_at_a_time,
        ..PLAIN
    },
    Case {
        name: "plain.both_ways_through_small_windows",
        rfc: "RFC 8446 5.1",
        clauses: &["K1", "K3", "K4"],
        items: &["seed-api 14"],
        run: both_ways,
        ..PLAIN
    },
    Case {
        name: "plain.bytes_taken_need_not_come_again",
        rfc: "RFC 8446 5.1",
        clauses: &["K3"],
        items: &["seed-api 66", "behaviours 30"],
        run: moved_buffer,
        ..PLAIN
    },
    Case {
        name: "plain.endings_are_told_apart",
        rfc: "RFC 8446 6.1",
        clauses: &["K2", "K7"],
        items: &["seed-api 46", "seed-api 47", "seed-api 93"],
        run: endings,
        ..PLAIN
    },
    Case {
        name: "plain.alerts_go_both_ways",
        rfc: "RFC 8446 6.2",
        clauses: &["K5"],
        items: &["seed-api 50"],
        run: alerts,
        ..PLAIN
    },
    Case {
        name: "plain.failures_stay_in_their_session",
        rfc: "contract K8",
        clauses: &["K8", "K5"],
        items: &["seed-api 58"],
        run: isolation,
        ..PLAIN
    },
];

/// Builds a pair in which both sides drive their descriptors plainly.
fn build<'a>(scene: &Scene<'a>) -> Builder<'a> {
    build_with(scene, scene.server_config())
}

fn build_with<'a>(scene: &Scene<'a>, mut server: ServerConfig) -> Builder<'a> {
    let mut client = scene.client_config();
    client.parameters.socket_transport = SocketTransport::Plain;
    server.parameters.socket_transport = SocketTransport::Plain;
    scene.build().client(client).server(server)
}

fn one_byte_at_a_time(scene: &Scene<'_>) -> CaseResult {
    let mut pair = build(scene).pair()?;
    pair.one_byte_at_a_time();
    pair.handshake()?;
    pair.transfer_both(&super::pattern(500, 1), &super::pattern(500, 2))
}

fn both_ways(scene: &Scene<'_>) -> CaseResult {
    let mut pair = build(scene).window(4 * 1024).connected()?;
    pair.transfer_both(&super::pattern(600_000, 3), &super::pattern(500_000, 4))
}

fn moved_buffer(scene: &Scene<'_>) -> CaseResult {
    let mut pair = build(scene).window(4 * 1024).connected()?;
    let data = super::pattern(400_000, 5);
    let mut taken = 0;
    let mut received = Vec::new();
    let mut buffer = [0; 8_000];
    let mut attempt = 0_usize;
    pair.pump_until("a write that is repeated otherwise", |pair| {
        attempt += 1;
        // Each attempt offers another length from another place in memory.
        let rest = &data[taken..];
        let copy = rest[..rest.len().min(1 + attempt * 977 % 20_000)].to_vec();
        let step = pair.client.write(&copy)?;
        taken += step.bytes;
        drop(copy);
        let step = pair.server.read(&mut buffer)?;
        received.extend_from_slice(&buffer[..step.bytes]);
        Ok((received.len() >= data.len()).then_some(()))
    })?;
    check::same_bytes("what arrived", &received, &data)
}

fn endings(scene: &Scene<'_>) -> CaseResult {
    let mut closed = build(scene).connected()?;
    closed.write_all(Side::Client, b"last words")?;
    let status = closed.shutdown(Side::Client)?;
    check::status("shutdown before the peer's", status, Status::Complete)?;
    let (data, end) = closed.read_to_end(Side::Server)?;
    check::same_bytes("before the close_notify", &data, b"last words")?;
    end?;
    closed.transfer(Side::Server, b"still open this way")?;
    let status = closed.shutdown(Side::Server)?;
    check::status("shutdown after the peer's", status, Status::Closed)?;

    for torn in [0, 10] {
        let mut cut = build(scene).connected()?;
        cut.ping_pong()?;
        let lane = cut.wire.from(Side::Client);
        lane.truncate(lane.sent() + torn);
        cut.client.write(b"a record that is torn")?;
        let (data, end) = cut.read_to_end(Side::Server)?;
        check::same_bytes("of a torn record", &data, b"")?;
        check::fails_with("the end", end, ErrorKind::Truncated)?;
    }
    Ok(())
}

fn alerts(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.identity = scene.pki.untrusted_server.clone();
    let outcome = build_with(scene, server).pair()?.settle()?;
    let error = outcome.client.failure("the client")?;
    let refusal = ErrorKind::Certificate(CertificateProblem::UnknownIssuer);
    check::kind("the client", error, refusal)?;
    check::alert(
        "the client",
        error,
        AlertDescription::UNKNOWN_CA,
        AlertDirection::Sent,
    )?;
    let error = outcome.server.failure("the server")?;
    check::kind("the server", error, ErrorKind::PeerAlert)?;
    check::alert(
        "the server",
        error,
        AlertDescription::UNKNOWN_CA,
        AlertDirection::Received,
    )
}

fn isolation(scene: &Scene<'_>) -> CaseResult {
    let mut healthy = build(scene).connected()?;
    let mut failing: Pair = build(scene).connected()?;
    failing.ping_pong()?;
    let lane = failing.wire.from(Side::Client);
    lane.flip(lane.sent() + 20, 1);
    failing
        .client
        .write(b"a record that is changed on its way")?;
    failing.deliver()?;
    let mut buffer = [0; 64];
    let mut failed = false;
    for _ in 0..4 {
        failed |= failing.server.read(&mut buffer).is_err();
        healthy.ping_pong()?;
        failing.relay()?;
    }
    ensure!(failed, "a changed record was taken");
    for _ in 0..2 {
        let read = failing.server.read(&mut buffer);
        check::fails_with("the failed session", read, ErrorKind::Protocol)?;
    }
    Ok(())
}
