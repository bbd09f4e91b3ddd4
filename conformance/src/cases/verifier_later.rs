//! A verifier of the caller's, about certificates that come after the first handshake.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tls_core::config::{PeerVerification, UnverifiedPeer, Verifier};
use tls_core::{CertificateProblem as P, ErrorKind, Feature, PostHandshakeAuth as State, Verdict};

use super::asked_later::{answer, client, connected, per_version, request, server, state};
use super::verifier::{Rule, Seen, Witness, accept, as_the_library, refused};
use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::ensure;
use crate::pair::{Outcome, Pair, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = PER_VERSION.as_flattened();

const PER_VERSION: &[[Case; 2]] = &[
    per_version!(
        "verifier.asked_about_later_certificates",
        asked,
        &["K14", "K10"],
        &["seed-api 36", "behaviours 104", "behaviours 121"],
        Verifier
    ),
    per_version!(
        "verifier.rejects_later_certificates",
        rejects,
        &["K14", "K5"],
        &["seed-api 29", "seed-api 36"],
        Verifier
    ),
    per_version!(
        "verifier.panics_over_later_certificates",
        panics,
        &["K9", "K14"],
        &["seed-api 72", "behaviours 107"],
        Verifier
    ),
];

fn by(verifier: Arc<dyn Verifier>) -> PeerVerification {
    PeerVerification::Verifier(verifier)
}

/// Each certificate is shown to the verifier, which accepts what the library would refuse.
fn asked(scene: &Scene<'_>) -> CaseResult {
    let (of_server, of_client) = (Witness::new(accept), Witness::new(as_the_library));
    let (mut client, mut server) = (client(scene), server(scene));
    let identity = &scene.pki.untrusted_client;
    client.identity = Some(identity.clone());
    client.peer_verification = by(of_client.clone());
    server.peer_verification = by(of_server.clone());
    let mut pair = connected(scene, client, server)?;
    check::equal("shown before any was asked for", of_server.seen(), vec![])?;
    let seen = Seen {
        chain: identity.chain().to_vec(),
        server_name: None,
        default: Err(P::UnknownIssuer),
    };
    for round in 1..=3 {
        request(&mut pair)?;
        check::equal("the answer", answer(&mut pair)?, State::Received)?;
        let expected = vec![seen.clone(); round];
        check::equal("what the verifier is shown", of_server.seen(), expected)?;
        let known = pair.server.session().peer_certificates();
        check::equal("the chain that was accepted", known, Some(identity.chain()))?;
        pair.ping_pong()?;
    }
    // Another handshake shows the server's certificate again, and a request does not.
    let asked = of_client.seen().len();
    check::equal(
        "chains of the server that were shown",
        asked,
        if scene.is_tls13() { 1 } else { 4 },
    )
}

/// Accepts what it is shown first, and rules like this about all that follows.
#[derive(Debug)]
struct OnceMore {
    then: Rule,
    asked: AtomicBool,
}

impl OnceMore {
    fn verification(then: Rule) -> PeerVerification {
        let asked = AtomicBool::new(false);
        by(Arc::new(Self { then, asked }))
    }
}

impl Verifier for OnceMore {
    fn verify(&self, peer: &UnverifiedPeer<'_>) -> Verdict {
        match self.asked.swap(true, Ordering::Relaxed) {
            false => Verdict::Accept,
            true => (self.then)(peer),
        }
    }
}

/// A session whose verifier on this side accepts once, and meets the next certificate.
fn once_more(scene: &Scene<'_>, side: Side, then: Rule) -> CaseResult<(Pair, Outcome)> {
    let (mut client, mut server) = (client(scene), server(scene));
    match side {
        Side::Client => client.peer_verification = OnceMore::verification(then),
        Side::Server => server.peer_verification = OnceMore::verification(then),
    }
    let mut pair = connected(scene, client, server)?;
    if side == Side::Server {
        request(&mut pair)?;
        check::equal("the answer", answer(&mut pair)?, State::Received)?;
    }
    pair.ping_pong()?;
    request(&mut pair)?;
    let outcome = pair.settle()?;
    ensure!(
        state(&pair) != State::Received,
        "who was refused is not received"
    );
    Ok((pair, outcome))
}

/// Which sides meet a certificate after the handshake.
fn sides(scene: &Scene<'_>) -> &'static [Side] {
    match scene.is_tls13() {
        true => &[Side::Server],
        false => &Side::BOTH,
    }
}

fn rejects(scene: &Scene<'_>) -> CaseResult {
    for &side in sides(scene) {
        let (_, outcome) = once_more(scene, side, |_| Verdict::Reject(P::Revoked))?;
        refused(&outcome, side, P::Revoked)?;
    }
    Ok(())
}

fn panics(scene: &Scene<'_>) -> CaseResult {
    for &side in sides(scene) {
        // Without the message that a panic usually prints.
        let rule: Rule = |_| resume_unwind(Box::new("out of order"));
        let (mut pair, outcome) = once_more(scene, side, rule)?;
        let error = outcome.of(side).failure("the side that decides")?;
        check::kind("the side that decides", error, ErrorKind::Backend)?;
        ensure!(
            error.to_string().contains("out of order"),
            "the cause is not told: {error}"
        );
        outcome.of(side.other()).failure("its peer")?;
        let again = pair.side(side).read(&mut [0; 9]);
        check::fails_with("the same again", again, ErrorKind::Backend)?;
    }
    Ok(())
}
