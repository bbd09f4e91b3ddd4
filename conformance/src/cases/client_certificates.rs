//! Client certificates: none, optional, required.

use tls_core::config::{ClientAuthentication, Identity, Roots};
use tls_core::iana::AlertDescription as A;
use tls_core::{AlertDirection, CertificateProblem as P, ConfigProblem, ErrorKind, Feature};

use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::pair::{End, Outcome, Pair};
use crate::scene::Scene;

const REQUIRES: &[Feature] = &[Feature::ClientAuthentication, Feature::ClientCertificate];

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 4.3.2, RFC 5246 7.4.4",
        clauses: &["K14", "K10"],
        items: &["behaviours 112"],
        requires: REQUIRES,
        ..Case::new("client_certificates.presented_is_verified", presented)
    },
    Case {
        rfc: "RFC 8446 4.4.2.4, RFC 5246 7.4.6",
        clauses: &["K14"],
        items: &["seed-api 28", "behaviours 87", "behaviours 113"],
        requires: REQUIRES,
        ..Case::new("client_certificates.required_and_missing", required_missing)
    },
    Case {
        rfc: "RFC 8446 4.4.2.4, RFC 5246 7.4.6",
        clauses: &["K14"],
        items: &["behaviours 114"],
        requires: REQUIRES,
        ..Case::new("client_certificates.optional_and_missing", optional_missing)
    },
    Case {
        rfc: "RFC 8446 4.4.2.4",
        clauses: &["K14"],
        items: &["seed-api 90", "behaviours 74", "behaviours 115"],
        requires: REQUIRES,
        ..Case::new("client_certificates.bad_ones_are_refused", bad_ones)
    },
    Case {
        rfc: "RFC 8446 4.4.2.4",
        clauses: &["K14", "K5"],
        items: &["seed-api 60", "behaviours 74"],
        requires: REQUIRES,
        versions: Versions::TLS13,
        ..Case::new(
            "client_certificates.refused_client_learns_it_late",
            learns_late,
        )
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14"],
        requires: REQUIRES,
        ..Case::new("client_certificates.need_roots_of_their_own", need_roots)
    },
    Case {
        rfc: "contract K10",
        clauses: &["K10"],
        requires: REQUIRES,
        ..Case::new("client_certificates.not_sent_unless_asked", not_asked)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15"],
        items: &["behaviours 120"],
        requires: REQUIRES,
        ..Case::new("client_certificates.two_clients_keep_apart", keep_apart)
    },
];

fn pair(
    scene: &Scene<'_>,
    authentication: ClientAuthentication,
    identity: Option<&Identity>,
) -> CaseResult<Pair> {
    let mut server = scene.server_config();
    server.client_authentication = authentication;
    let mut client = scene.client_config();
    client.identity = identity.cloned();
    scene.pair_with(client, server)
}

fn required(scene: &Scene<'_>) -> ClientAuthentication {
    ClientAuthentication::Required(scene.pki.roots())
}

fn optional(scene: &Scene<'_>) -> ClientAuthentication {
    ClientAuthentication::Optional(scene.pki.roots())
}

/// The server fails with this problem, the client receives one of these alerts.
fn server_refuses(outcome: &Outcome, problem: P, alerts: &[A]) -> CaseResult {
    let error = outcome.server.failure("the server")?;
    check::kind("the server", error, ErrorKind::Certificate(problem))?;
    check::alert_one_of("the server", error, alerts, AlertDirection::Sent)?;
    let error = outcome.client.failure("the client")?;
    check::kind("the client", error, ErrorKind::PeerAlert)?;
    check::alert_one_of("the client", error, alerts, AlertDirection::Received)
}

fn presented(scene: &Scene<'_>) -> CaseResult {
    for authentication in [required(scene), optional(scene)] {
        let mut pair = pair(scene, authentication, Some(&scene.pki.client))?;
        pair.handshake()?;
        check::equal(
            "the chain the server verified",
            pair.server.session().peer_certificates(),
            Some(scene.pki.client.chain()),
        )?;
        pair.ping_pong()?;
    }
    Ok(())
}

fn required_missing(scene: &Scene<'_>) -> CaseResult {
    let outcome = pair(scene, required(scene), None)?.settle()?;
    // TLS 1.2 has no alert of its own for this (RFC 5246 section 7.4.6).
    let alerts: &[A] = if scene.is_tls13() {
        &[A::CERTIFICATE_REQUIRED]
    } else {
        &[
            A::HANDSHAKE_FAILURE,
            A::CERTIFICATE_REQUIRED,
            A::BAD_CERTIFICATE,
        ]
    };
    server_refuses(&outcome, P::Missing, alerts)
}

fn optional_missing(scene: &Scene<'_>) -> CaseResult {
    let mut pair = pair(scene, optional(scene), None)?;
    pair.handshake()?;
    check::equal(
        "the chain of a client that presented none",
        pair.server.session().peer_certificates(),
        None,
    )?;
    pair.ping_pong()
}

fn bad_ones(scene: &Scene<'_>) -> CaseResult {
    for (identity, problem, alerts) in [
        (
            &scene.pki.untrusted_client,
            P::UnknownIssuer,
            &[A::UNKNOWN_CA][..],
        ),
        (
            &scene.pki.expired_client,
            P::Expired,
            &[A::CERTIFICATE_EXPIRED],
        ),
        (
            &scene.pki.wrong_usage_client,
            P::WrongPurpose,
            &[A::UNSUPPORTED_CERTIFICATE],
        ),
    ] {
        for authentication in [required(scene), optional(scene)] {
            let mut pair = pair(scene, authentication, Some(identity))?;
            let outcome = pair.settle()?;
            server_refuses(&outcome, problem, alerts)?;
            check::equal(
                "the chain of a client that was refused",
                pair.server.session().peer_certificates(),
                None,
            )?;
        }
    }
    Ok(())
}

fn learns_late(scene: &Scene<'_>) -> CaseResult {
    let mut pair = pair(scene, required(scene), None)?;
    let outcome = pair.handshake_outcome()?;
    check::equal(
        "the client's own handshake is complete",
        matches!(outcome.client, End::Open),
        true,
    )?;
    let mut buffer = [0; 64];
    let error = pair.until_error(
        crate::Side::Client,
        "read of the refused client",
        |client| client.read(&mut buffer),
    )?;
    check::kind("the client's read", &error, ErrorKind::PeerAlert)?;
    check::alert(
        "the client's read",
        &error,
        A::CERTIFICATE_REQUIRED,
        AlertDirection::Received,
    )
}

fn need_roots(scene: &Scene<'_>) -> CaseResult {
    for roots in [
        Roots::default(),
        Roots::system(),
        scene.pki.roots().and_system(),
    ] {
        let mut server = scene.server_config();
        server.client_authentication = ClientAuthentication::Required(roots);
        check::fails_with(
            "client certificates without roots of their own",
            scene.backend.server(server).map(drop),
            ErrorKind::Config(ConfigProblem::TrustRoots),
        )?;
    }
    Ok(())
}

fn not_asked(scene: &Scene<'_>) -> CaseResult {
    let mut pair = pair(scene, ClientAuthentication::None, Some(&scene.pki.client))?;
    pair.handshake()?;
    check::equal(
        "the chain of a client that was not asked",
        pair.server.session().peer_certificates(),
        None,
    )?;
    pair.ping_pong()
}

fn keep_apart(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.client_authentication = required(scene);
    let server = scene.backend.server(server)?;
    let connect = |identity: &Identity| -> CaseResult<Pair> {
        let mut client = scene.client_config();
        client.identity = Some(identity.clone());
        scene.build().client(client).server_context(&*server).pair()
    };
    let identities = [&scene.pki.client, &scene.pki.second_client];
    let mut pairs = [connect(identities[0])?, connect(identities[1])?];
    // Interleaved, so that a leak from one session into the other would show.
    for pair in &mut pairs {
        pair.client.handshake()?;
        pair.relay()?;
        pair.server.handshake()?;
    }
    for (pair, identity) in pairs.iter_mut().zip(identities) {
        pair.handshake()?;
        check::equal(
            "the chain of this client",
            pair.server.session().peer_certificates(),
            Some(identity.chain()),
        )?;
    }
    Ok(())
}
