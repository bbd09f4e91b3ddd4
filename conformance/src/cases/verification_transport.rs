//! Sessions that wait for a verdict, and what happens to them and their transport meanwhile.

use tls_core::config::{ClientAuthentication, PeerVerification, SocketTransport};
use tls_core::{AlertDirection, CertificateProblem as P, ErrorKind, Feature, Status, Verdict};

use super::verification::{CLIENT, INCOMPLETE, NEEDS, SERVER, of_server, until_waiting, waiting};
use super::verifier::refused;
use crate::case::{Case, CaseResult, Modes};
use crate::check;
use crate::endpoint::Endpoint;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

const DROPPED: Case = Case {
    rfc: "contract K7",
    clauses: &["K13", "K7", "K14"],
    items: &["seed-api 67"],
    requires: CLIENT,
    ..Case::new("verification.client_dropped_while_it_waits", |scene| {
        dropped(scene, Side::Client)
    })
};

const END_OF_INPUT: Case = Case {
    rfc: "contract K13",
    clauses: &["K13", "K2"],
    requires: CLIENT,
    ..Case::new("verification.client_waits_past_the_end_of_input", |scene| {
        end_of_input(scene, Side::Client)
    })
};

pub(super) const CASES: &[Case] = &[
    DROPPED,
    of_server(
        "verification.server_dropped_while_it_waits",
        DROPPED,
        |scene| dropped(scene, Side::Server),
    ),
    END_OF_INPUT,
    of_server(
        "verification.server_waits_past_the_end_of_input",
        END_OF_INPUT,
        |scene| end_of_input(scene, Side::Server),
    ),
    Case {
        rfc: "contract K13",
        clauses: &["K13", "K2"],
        requires: CLIENT,
        modes: Modes::SocketOnly,
        ..Case::new("verification.client_waits_past_a_reset", |scene| {
            reset(scene, Side::Client)
        })
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13", "K2"],
        requires: SERVER,
        modes: Modes::SocketOnly,
        ..Case::new("verification.server_waits_past_a_reset", |scene| {
            reset(scene, Side::Server)
        })
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14", "K13"],
        items: &["seed-api 27"],
        requires: &[
            Feature::SuspendedVerificationClient,
            Feature::PlainSocketTransport,
        ],
        modes: Modes::SocketOnly,
        ..Case::new("verification.client_waits_over_plain_sockets", |scene| {
            plain(scene, Side::Client)
        })
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14", "K13"],
        items: &["seed-api 27"],
        requires: &[
            Feature::SuspendedVerificationServer,
            Feature::ClientAuthentication,
            Feature::ClientCertificate,
            Feature::PlainSocketTransport,
        ],
        modes: Modes::SocketOnly,
        ..Case::new("verification.server_waits_over_plain_sockets", |scene| {
            plain(scene, Side::Server)
        })
    },
];

/// It is dropped here or on another thread, before there is an answer, or before that was acted on.
fn dropped(scene: &Scene<'_>, side: Side) -> CaseResult {
    let answers = [
        None,
        Some(Verdict::Accept),
        Some(Verdict::Reject(P::Expired)),
    ];
    for answer in answers {
        for drops in DROPS {
            let mut pair = waiting(scene, side)?;
            if let Some(verdict) = answer {
                pair.side(side)
                    .session_mut()
                    .set_validation_result(verdict)?;
            }
            dropped_silently(&mut pair, side, drops)
                .map_err(|failure| failure.during(format_args!("the answer is {answer:?}")))?;
        }
    }
    Ok(())
}

/// How an endpoint is dropped.
pub(super) type Drops = fn(&mut Endpoint);

pub(super) const DROPS: [Drops; 2] = [Endpoint::close, Endpoint::close_on_another_thread];

/// Drops a side that waits: nothing is sent by that, and the other meets the end of the transport.
pub(super) fn dropped_silently(pair: &mut Pair, side: Side, drops: Drops) -> CaseResult {
    pair.deliver()?;
    let sent = pair.wire.from(side).sent();
    drops(pair.side(side));
    pair.deliver()?;
    let now = pair.wire.from(side).sent();
    check::equal("bytes sent by dropping the session", now, sent)?;
    let error = pair.until_error(side.other(), "the end", go_on)?;
    ensure!(
        matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Reset),
        "the peer of a dropped session met {error}"
    );
    Ok(())
}

fn end_of_input(scene: &Scene<'_>, side: Side) -> CaseResult {
    let mut pair = waiting(scene, side)?;
    pair.wire.to(side).cut();
    for _ in 0..3 {
        pair.deliver()?;
        check::status("after the end", pair.side(side).handshake()?, NEEDS)?;
    }
    let session = pair.side(side).session_mut();
    session.set_validation_result(Verdict::Accept)?;
    let error = pair.until_error(side, "the end", go_on)?;
    check::kind("the end, after the verdict", &error, ErrorKind::Truncated)?;

    // The verdict counts, whatever the transport does.
    let mut pair = waiting(scene, side)?;
    pair.wire.to(side).cut();
    pair.deliver()?;
    let session = pair.side(side).session_mut();
    session.set_validation_result(Verdict::Reject(P::Revoked))?;
    let error = pair.until_error(side, "the rejection", go_on)?;
    check::kind("after the end", &error, ErrorKind::Certificate(P::Revoked))?;
    check::alert(
        "after the end",
        &error,
        P::Revoked.alert(),
        AlertDirection::Sent,
    )
}

fn reset(scene: &Scene<'_>, side: Side) -> CaseResult {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    match side {
        Side::Client => client.peer_verification = PeerVerification::Suspended,
        Side::Server => {
            client.identity = Some(scene.pki.client.clone());
            server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
            server.peer_verification = PeerVerification::Suspended;
        }
    }
    let mut pair = scene.build().client(client).server(server).tcp().pair()?;
    until_waiting(&mut pair, side)?;
    pair.wire.to(side).reset_now();
    for _ in 0..3 {
        pair.deliver()?;
        check::status("after the reset", pair.side(side).handshake()?, NEEDS)?;
    }
    let session = pair.side(side).session_mut();
    session.set_validation_result(Verdict::Accept)?;
    let error = pair.until_error(side, "the reset", go_on)?;
    check::kind("the reset, after the verdict", &error, ErrorKind::Reset)?;
    Ok(())
}

/// Takes the handshake on, and then reads.
fn go_on(endpoint: &mut Endpoint) -> tls_core::Result<()> {
    match endpoint.handshake()? {
        Status::Complete => endpoint.read(&mut [0; 9]).map(drop),
        _ => Ok(()),
    }
}

fn plain(scene: &Scene<'_>, side: Side) -> CaseResult {
    let verdicts = [Verdict::Accept, Verdict::Reject(P::Expired)];
    for verdict in verdicts.map(Some).into_iter().chain([None]) {
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        client.identity = Some(scene.pki.client.clone());
        client.parameters.socket_transport = SocketTransport::Plain;
        server.parameters.socket_transport = SocketTransport::Plain;
        match side {
            Side::Client => client.peer_verification = PeerVerification::Suspended,
            Side::Server => {
                server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
                server.peer_verification = PeerVerification::Suspended;
            }
        }
        let mut pair = scene.pair_with(client, server)?;
        until_waiting(&mut pair, side)?;
        let sent = pair.wire.from(side).sent();
        for _ in 0..3 {
            check::status("asked again", pair.side(side).handshake()?, NEEDS)?;
            check::fails_with("a read", pair.side(side).read(&mut [0; 9]), INCOMPLETE)?;
            check::fails_with("a write", pair.side(side).write(b"early"), INCOMPLETE)?;
            pair.side(side).flush()?;
            pair.deliver()?;
        }
        let now = pair.wire.from(side).sent();
        check::equal("bytes sent before the verdict", now, sent)?;
        let Some(verdict) = verdict else {
            pair.side(side).close();
            pair.deliver()?;
            let now = pair.wire.from(side).sent();
            return check::equal("bytes sent by dropping the session", now, sent);
        };
        let session = pair.side(side).session_mut();
        session.set_validation_result(verdict)?;
        match verdict {
            Verdict::Accept => {
                pair.handshake()?;
                pair.ping_pong()?;
            }
            Verdict::Reject(problem) => refused(&pair.settle()?, side, problem)?,
        }
    }
    Ok(())
}
