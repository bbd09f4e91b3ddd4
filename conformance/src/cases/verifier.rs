//! A verifier of the caller's: what it is shown, what its verdict does, and when it is not asked.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use tls_core::config::{
    ClientAuthentication, Identity, PeerVerification, Roots, UnverifiedPeer, Verifier,
};
use tls_core::pki_types::CertificateDer;
use tls_core::{
    AlertDirection, CertificateProblem as P, ErrorKind, Feature, SessionOptions, Verdict,
};

use crate::case::{Case, CaseResult};
use crate::check;
use crate::ensure;
use crate::pair::{Outcome, Pair, Side};
use crate::pki::{OTHER_NAME, SERVER_NAME};
use crate::scene::Scene;

const REQUIRES: &[Feature] = &[
    Feature::Verifier,
    Feature::ClientAuthentication,
    Feature::ClientCertificate,
];

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K14",
        clauses: &["K14"],
        items: &["behaviours 102"],
        requires: REQUIRES,
        ..Case::new("verifier.accepts_what_would_be_refused", overrides)
    },
    Case {
        rfc: "RFC 8446 6.2, RFC 5246 7.2.2",
        clauses: &["K14", "K5"],
        items: &["seed-api 29", "behaviours 103"],
        requires: REQUIRES,
        ..Case::new("verifier.rejects_a_good_chain", rejects)
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14", "K12"],
        items: &["seed-api 30", "seed-api 36", "behaviours 104"],
        requires: REQUIRES,
        ..Case::new("verifier.is_asked_once", asked_once)
    },
    Case {
        rfc: "RFC 5280 6",
        clauses: &["K14"],
        items: &[
            "seed-api 31",
            "seed-api 35",
            "seed-api 90",
            "behaviours 104",
        ],
        requires: REQUIRES,
        ..Case::new("verifier.sees_chain_name_and_outcome", sees)
    },
    Case {
        rfc: "contract K9",
        clauses: &["K9", "K14"],
        items: &["seed-api 72", "behaviours 107"],
        requires: REQUIRES,
        ..Case::new("verifier.panics", panics)
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14"],
        requires: REQUIRES,
        ..Case::new("verifier.decides_without_roots", without_roots)
    },
];

/// What a verifier was shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) server_name: Option<String>,
    pub(super) default: Result<(), P>,
}

pub(super) type Rule = fn(&UnverifiedPeer<'_>) -> Verdict;

/// Notes what it is shown, and decides by this rule.
#[derive(Debug)]
pub(super) struct Witness {
    rule: Rule,
    seen: Mutex<Vec<Seen>>,
}

impl Witness {
    pub(super) fn new(rule: Rule) -> Arc<Self> {
        Arc::new(Self {
            rule,
            seen: Mutex::default(),
        })
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Verifier for Witness {
    fn verify(&self, peer: &UnverifiedPeer<'_>) -> Verdict {
        let seen = Seen {
            chain: peer.chain.to_vec(),
            server_name: peer.server_name.map(|name| name.to_str().into_owned()),
            default: peer.default,
        };
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(seen);
        drop(all);
        (self.rule)(peer)
    }
}

/// Rejects for this, whoever it is.
#[derive(Debug)]
struct Rejects(P);

impl Verifier for Rejects {
    fn verify(&self, _: &UnverifiedPeer<'_>) -> Verdict {
        Verdict::Reject(self.0)
    }
}

pub(super) fn accept(_: &UnverifiedPeer<'_>) -> Verdict {
    Verdict::Accept
}

pub(super) fn as_the_library(peer: &UnverifiedPeer<'_>) -> Verdict {
    peer.default.into()
}

/// A pair in which this side decides about what the other presents.
pub(super) fn pair(
    scene: &Scene<'_>,
    side: Side,
    verification: PeerVerification,
    presented: &Identity,
) -> CaseResult<Pair> {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    match side {
        Side::Client => {
            client.peer_verification = verification;
            server.identity = presented.clone();
        }
        Side::Server => {
            client.identity = Some(presented.clone());
            server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
            server.peer_verification = verification;
        }
    }
    scene.pair_with(client, server)
}

/// What a good peer of this side presents.
pub(super) fn good(scene: &Scene<'_>, side: Side) -> Identity {
    match side {
        Side::Client => scene.pki.server.clone(),
        Side::Server => scene.pki.client.clone(),
    }
}

/// What bad peers of this side present, and what is wrong with it.
pub(super) fn bad(scene: &Scene<'_>, side: Side) -> Vec<(Identity, P)> {
    let pki = scene.pki;
    match side {
        Side::Client => vec![
            (pki.untrusted_server.clone(), P::UnknownIssuer),
            (pki.expired.clone(), P::Expired),
            (pki.not_yet_valid.clone(), P::NotYetValid),
            (pki.wildcard.clone(), P::NameMismatch),
            (pki.wrong_usage.clone(), P::WrongPurpose),
        ],
        Side::Server => vec![
            (pki.untrusted_client.clone(), P::UnknownIssuer),
            (pki.expired_client.clone(), P::Expired),
            (pki.wrong_usage_client.clone(), P::WrongPurpose),
        ],
    }
}

/// This side has refused the other for a problem, whose alert the other has received.
pub(super) fn refused(outcome: &Outcome, side: Side, problem: P) -> CaseResult {
    let error = outcome.of(side).failure("the side that decides")?;
    check::kind(
        "the side that decides",
        error,
        ErrorKind::Certificate(problem),
    )?;
    check::alert(
        "the side that decides",
        error,
        problem.alert(),
        AlertDirection::Sent,
    )?;
    let error = outcome.of(side.other()).failure("its peer")?;
    check::kind("its peer", error, ErrorKind::PeerAlert)?;
    check::alert("its peer", error, problem.alert(), AlertDirection::Received)
}

fn overrides(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for (presented, _) in bad(scene, side) {
            let verification = PeerVerification::Verifier(Witness::new(accept));
            let mut pair = pair(scene, side, verification, &presented)?;
            pair.handshake()?;
            check::equal(
                "the chain that was accepted",
                pair.side(side).session().peer_certificates(),
                Some(presented.chain()),
            )?;
            pair.ping_pong()?;
        }
    }
    Ok(())
}

fn rejects(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for &problem in P::ALL {
            let verification = PeerVerification::Verifier(Arc::new(Rejects(problem)));
            let mut pair = pair(scene, side, verification, &good(scene, side))?;
            let outcome = pair.settle()?;
            refused(&outcome, side, problem)
                .map_err(|failure| failure.during(format_args!("rejected for {problem:?}")))?;
            let facts = pair.side(side).session().facts();
            ensure!(facts.is_none(), "facts after a rejection: {facts:?}");
        }
    }
    Ok(())
}

fn asked_once(scene: &Scene<'_>) -> CaseResult {
    let resumption = match scene.is_tls13() {
        true => Feature::Tls13Resumption,
        false => Feature::Tls12Resumption,
    };
    let witnesses = [Witness::new(as_the_library), Witness::new(as_the_library)];
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    client.identity = Some(scene.pki.client.clone());
    client.peer_verification = PeerVerification::Verifier(witnesses[0].clone());
    server.client_authentication = ClientAuthentication::Optional(scene.pki.roots());
    server.peer_verification = PeerVerification::Verifier(witnesses[1].clone());
    let asked = || witnesses.each_ref().map(|witness| witness.seen().len());

    let server = scene.backend.server(server)?;
    let mut anonymous = client.clone();
    anonymous.identity = None;
    let mut pair = scene
        .build()
        .client(anonymous)
        .server_context(&*server)
        .connected()?;
    pair.ping_pong()?;
    check::equal("calls without a client certificate", asked(), [1, 0])?;

    let client = scene.backend.client(client)?;
    let connect = || -> CaseResult<bool> {
        let build = scene.build().client_context(&*client);
        let mut pair = build.server_context(&*server).connected()?;
        pair.ping_pong()?;
        check::equal(
            "the client's chain",
            pair.server
                .session()
                .peer_certificates()
                .map(|chain| &chain[0]),
            Some(&scene.pki.client.chain()[0]),
        )?;
        Ok(pair.server.session().resumed() == Some(true))
    };
    connect()?;
    check::equal("calls for a full handshake", asked(), [2, 1])?;
    let resumed = connect()?;
    check::equal("resumed", resumed, scene.has(resumption))?;
    let expected = if resumed { [2, 1] } else { [3, 2] };
    check::equal("calls after a second handshake", asked(), expected)
}

fn sees(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut peers = bad(scene, side);
        peers.retain(|(_, problem)| *problem != P::NameMismatch);
        let peers = peers
            .into_iter()
            .map(|(peer, problem)| (peer, Err(problem)));
        for (presented, default) in peers.chain([(good(scene, side), Ok(()))]) {
            let witness = Witness::new(as_the_library);
            let verification = PeerVerification::Verifier(witness.clone());
            let mut pair = pair(scene, side, verification, &presented)?;
            let outcome = pair.settle()?;
            let expected = Seen {
                chain: presented.chain().to_vec(),
                server_name: (side == Side::Client).then(|| SERVER_NAME.to_owned()),
                default,
            };
            check::equal("what the verifier is shown", witness.seen(), vec![expected])?;
            match default {
                Ok(()) => pair.ping_pong()?,
                Err(problem) => refused(&outcome, side, problem)?,
            }
        }
    }
    // A name that is not the peer's is shown, and refused by the library.
    let witness = Witness::new(as_the_library);
    let mut client = scene.client_config();
    client.peer_verification = PeerVerification::Verifier(witness.clone());
    let options = SessionOptions::to_server(OTHER_NAME)?;
    let outcome = scene
        .build()
        .client(client)
        .options(options)
        .pair()?
        .settle()?;
    refused(&outcome, Side::Client, P::NameMismatch)?;
    let seen = witness.seen();
    check::equal(
        "the name",
        seen.first().and_then(|seen| seen.server_name.as_deref()),
        Some(OTHER_NAME),
    )
}

fn panics(scene: &Scene<'_>) -> CaseResult {
    // Without the message that a panic usually prints.
    let in_words: Rule = |_| resume_unwind(Box::new("out of order"));
    let again_and_again: Rule = |_| resume_unwind(Box::new(Again));
    for side in Side::BOTH {
        for (rule, words) in [(in_words, "out of order"), (again_and_again, "panicked")] {
            let verification = PeerVerification::Verifier(Witness::new(rule));
            let mut pair = pair(scene, side, verification, &good(scene, side))?;
            let outcome = pair.settle()?;
            let error = outcome.of(side).failure("the side that decides")?;
            check::kind("the side that decides", error, ErrorKind::Backend)?;
            ensure!(
                error.to_string().contains(words),
                "the cause is not told: {error}"
            );
            outcome.of(side.other()).failure("its peer")?;
            let again = pair.side(side).handshake();
            check::fails_with("the same again", again, ErrorKind::Backend)?;
            scene.connected()?.ping_pong()?;
        }
    }
    Ok(())
}

/// Left by a panic, panics when it is dropped, and leaves what does so once more. Whoever lets that go
/// loses no memory.
struct Again;

struct OnceMore;

impl Drop for Again {
    fn drop(&mut self) {
        resume_unwind(Box::new(OnceMore))
    }
}

impl Drop for OnceMore {
    fn drop(&mut self) {
        resume_unwind(Box::new(()))
    }
}

/// A key that is pinned needs no root. Without any, the library itself accepts nobody.
fn without_roots(scene: &Scene<'_>) -> CaseResult {
    let rules: [(Rule, bool); 2] = [(accept, true), (as_the_library, false)];
    for (rule, accepts) in rules {
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        client.roots = Roots::given([]);
        client.identity = Some(scene.pki.client.clone());
        client.peer_verification = PeerVerification::Verifier(Witness::new(rule));
        server.client_authentication = ClientAuthentication::Required(Roots::given([]));
        server.peer_verification = PeerVerification::Verifier(Witness::new(accept));
        let mut pair = scene.pair_with(client, server)?;
        if accepts {
            pair.handshake()?;
            pair.ping_pong()?;
            continue;
        }
        refused(&pair.settle()?, Side::Client, P::UnknownIssuer)?;
    }
    Ok(())
}
