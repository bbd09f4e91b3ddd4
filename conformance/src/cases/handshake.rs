//! Handshakes: completion, order, facts, and input in any pieces.

use crate::case::{Case, CaseResult};
use crate::check;
use crate::ensure;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 2, RFC 5246 7.3",
        clauses: &["K10", "K14"],
        items: &["seed-api 1"],
        ..Case::new("handshake.completes", completes)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K16", "K1"],
        items: &["seed-api 7", "seed-api 10"],
        ..Case::new("handshake.one_byte_at_a_time", one_byte_at_a_time)
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
