//! Who the peer is: server names, chains, and client certificates.

use tls_core::config::Identity;
use tls_core::iana::AlertDescription as A;
use tls_core::pki_types::ServerName;
use tls_core::{
    AlertDirection, CertificateProblem as P, ClientConfig, ConfigProblem, ErrorKind, Feature,
    SessionOptions,
};

use crate::case::{Case, CaseResult};
use crate::check;
use crate::pair::{End, Outcome, Side};
use crate::pki::{OTHER_NAME, SECOND_NAME, SERVER_IP, SERVER_NAME};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 9525 6.3",
        clauses: &["K14"],
        items: &["behaviours 89"],
        ..Case::new("names.any_of_several_names_matches", any_of_several_names)
    },
    Case {
        rfc: "RFC 9525 6.3",
        clauses: &["K14"],
        items: &["seed-api 31", "behaviours 72", "behaviours 90"],
        ..Case::new("names.wrong_name_is_refused", wrong_name)
    },
    Case {
        rfc: "RFC 9525 1.4.2",
        clauses: &["K14"],
        items: &["behaviours 97"],
        ..Case::new("names.common_name_never_matches", common_name)
    },
    Case {
        rfc: "RFC 9525 6.3",
        clauses: &["K14"],
        items: &["behaviours 96"],
        ..Case::new("names.wildcard_is_the_left_most_label", wildcard)
    },
    Case {
        rfc: "RFC 9525 6.5, RFC 6066 3",
        clauses: &["K14"],
        items: &["behaviours 95", "behaviours 131"],
        requires: &[Feature::IpServerName],
        ..Case::new("names.ip_matches_ip_entries_only", ip_names)
    },
    Case {
        rfc: "RFC 5280 6.1.3",
        clauses: &["K14"],
        items: &["behaviours 73", "behaviours 100"],
        ..Case::new("names.outside_its_validity_is_refused", outside_validity)
    },
    Case {
        rfc: "RFC 5280 6.1",
        clauses: &["K14"],
        items: &[
            "behaviours 72",
            "behaviours 73",
            "behaviours 87",
            "behaviours 98",
        ],
        ..Case::new("names.untrusted_chain_is_refused", untrusted)
    },
    Case {
        rfc: "RFC 5280 4.2.1.12",
        clauses: &["K14"],
        ..Case::new("names.wrong_extended_key_usage_is_refused", wrong_usage)
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14"],
        items: &["behaviours 91"],
        ..Case::new("names.any_name_still_needs_a_trusted_chain", any_name)
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14", "K10"],
        items: &["behaviours 92"],
        ..Case::new("names.any_certificate_is_a_choice", any_certificate)
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14"],
        items: &["behaviours 93"],
        ..Case::new("names.clients_need_a_name_and_roots", needs_name_and_roots)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15", "K14"],
        items: &["seed-api 64"],
        ..Case::new("names.sessions_of_a_context_keep_apart", keep_apart)
    },
];

/// How a handshake between this client configuration and a server of this identity ends.
fn outcome(
    scene: &Scene<'_>,
    client: ClientConfig,
    identity: &Identity,
    name: &str,
) -> CaseResult<Outcome> {
    let mut server = scene.server_config();
    server.identity = identity.clone();
    scene
        .build()
        .client(client)
        .server(server)
        .options(SessionOptions::to_server(name)?)
        .pair()?
        .settle()
}

fn accepted(scene: &Scene<'_>, identity: &Identity, name: &str) -> CaseResult {
    let outcome = outcome(scene, scene.client_config(), identity, name)?;
    for side in Side::BOTH {
        if let End::Failed(error) = outcome.of(side) {
            return Err(crate::Failure::from(error.clone())
                .during(format_args!("{name} on the {}", side.name())));
        }
    }
    check::equal(
        "both sides are open",
        matches!(outcome.client, End::Open),
        true,
    )
}

/// The client refuses with this problem and sends one of these alerts, and the server receives it.
fn refused(
    scene: &Scene<'_>,
    client: ClientConfig,
    (identity, name): (&Identity, &str),
    problem: P,
    alerts: &[A],
) -> CaseResult {
    let outcome = outcome(scene, client, identity, name)?;
    let error = outcome.client.failure("the client")?;
    check::kind("the client", error, ErrorKind::Certificate(problem))?;
    check::alert_one_of("the client", error, alerts, AlertDirection::Sent)?;
    let error = outcome.server.failure("the server")?;
    check::kind("the server", error, ErrorKind::PeerAlert)?;
    check::alert_one_of("the server", error, alerts, AlertDirection::Received)
}

fn any_of_several_names(scene: &Scene<'_>) -> CaseResult {
    accepted(scene, &scene.pki.server, SERVER_NAME)?;
    accepted(scene, &scene.pki.server, SECOND_NAME)?;
    accepted(scene, &scene.pki.server, &SECOND_NAME.to_ascii_uppercase())
}

fn wrong_name(scene: &Scene<'_>) -> CaseResult {
    refused(
        scene,
        scene.client_config(),
        (&scene.pki.server, OTHER_NAME),
        P::NameMismatch,
        &[A::BAD_CERTIFICATE, A::CERTIFICATE_UNKNOWN],
    )
}

fn common_name(scene: &Scene<'_>) -> CaseResult {
    refused(
        scene,
        scene.client_config(),
        (&scene.pki.common_name_only, SERVER_NAME),
        P::NameMismatch,
        &[A::BAD_CERTIFICATE, A::CERTIFICATE_UNKNOWN],
    )
}

fn wildcard(scene: &Scene<'_>) -> CaseResult {
    accepted(scene, &scene.pki.wildcard, "one.wild.polytls.test")?;
    for name in ["wild.polytls.test", "one.two.wild.polytls.test"] {
        refused(
            scene,
            scene.client_config(),
            (&scene.pki.wildcard, name),
            P::NameMismatch,
            &[A::BAD_CERTIFICATE, A::CERTIFICATE_UNKNOWN],
        )?;
    }
    Ok(())
}

fn ip_names(scene: &Scene<'_>) -> CaseResult {
    let ip = SERVER_IP.to_string();
    let mut server = scene.server_config();
    server.identity = scene.pki.ip_only.clone();
    let mut pair = scene
        .build()
        .server(server)
        .options(SessionOptions::to_server(&ip)?)
        .connected()?;
    for side in Side::BOTH {
        let sni = pair.side(side).session().server_name().map(str::to_owned);
        check::equal("an IP address is never sent as SNI", sni, None)?;
    }
    for (identity, name) in [
        (&scene.pki.ip_as_name, &*ip),
        (&scene.pki.ip_only, "127.0.0.2"),
        (&scene.pki.ip_only, "::1"),
    ] {
        refused(
            scene,
            scene.client_config(),
            (identity, name),
            P::NameMismatch,
            &[A::BAD_CERTIFICATE, A::CERTIFICATE_UNKNOWN],
        )?;
    }
    Ok(())
}

fn outside_validity(scene: &Scene<'_>) -> CaseResult {
    // RFC 8446 section 6.2: certificate_expired also means "not currently valid".
    refused(
        scene,
        scene.client_config(),
        (&scene.pki.expired, SERVER_NAME),
        P::Expired,
        &[A::CERTIFICATE_EXPIRED],
    )?;
    refused(
        scene,
        scene.client_config(),
        (&scene.pki.not_yet_valid, SERVER_NAME),
        P::NotYetValid,
        &[A::CERTIFICATE_EXPIRED, A::BAD_CERTIFICATE],
    )
}

fn untrusted(scene: &Scene<'_>) -> CaseResult {
    for identity in [
        &scene.pki.untrusted_server,
        &scene.pki.server_without_intermediate,
    ] {
        refused(
            scene,
            scene.client_config(),
            (identity, SERVER_NAME),
            P::UnknownIssuer,
            &[A::UNKNOWN_CA],
        )?;
    }
    Ok(())
}

fn wrong_usage(scene: &Scene<'_>) -> CaseResult {
    refused(
        scene,
        scene.client_config(),
        (&scene.pki.wrong_usage, SERVER_NAME),
        P::WrongPurpose,
        &[A::UNSUPPORTED_CERTIFICATE],
    )
}

fn any_name(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.dangerous.accept_any_name = true;
    let end = outcome(scene, client.clone(), &scene.pki.server, OTHER_NAME)?;
    check::equal("any name", matches!(end.client, End::Open), true)?;
    scene
        .build()
        .client(client.clone())
        .options(SessionOptions::new())
        .connected()?
        .ping_pong()?;
    refused(
        scene,
        client,
        (&scene.pki.untrusted_server, SERVER_NAME),
        P::UnknownIssuer,
        &[A::UNKNOWN_CA],
    )
}

fn any_certificate(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.dangerous.accept_any_certificate = true;
    for identity in [&scene.pki.untrusted_server, &scene.pki.expired] {
        let mut server = scene.server_config();
        server.identity = identity.clone();
        let mut pair = scene
            .build()
            .client(client.clone())
            .server(server)
            .options(SessionOptions::to_server(OTHER_NAME)?)
            .connected()?;
        check::equal(
            "the chain of a server that was not verified",
            pair.client.session().peer_certificates(),
            Some(identity.chain()),
        )?;
        pair.ping_pong()?;
    }
    Ok(())
}

fn needs_name_and_roots(scene: &Scene<'_>) -> CaseResult {
    let mut rootless = scene.client_config();
    rootless.roots = tls_core::config::Roots::default();
    check::fails_with(
        "a client without roots",
        scene.backend.client(rootless).map(drop),
        ErrorKind::Config(ConfigProblem::TrustRoots),
    )?;
    let client = scene.backend.client(scene.client_config())?;
    check::fails_with(
        "a client session without a server name",
        client.buffer_session(SessionOptions::new()),
        ErrorKind::Config(ConfigProblem::ServerName),
    )?;
    let (fd, _peer) = scene.sockets()?;
    check::fails_with(
        "a client socket session without a server name",
        client.socket_session(fd, SessionOptions::new()),
        ErrorKind::Config(ConfigProblem::ServerName),
    )?;
    let server = scene.backend.server(scene.server_config())?;
    check::fails_with(
        "a server session with a server name",
        server.buffer_session(scene.options()),
        ErrorKind::Config(ConfigProblem::ServerName),
    )?;
    Ok(())
}

fn keep_apart(scene: &Scene<'_>) -> CaseResult {
    let client = scene.backend.client(scene.client_config())?;
    let server = scene.backend.server(scene.server_config())?;
    let pair = |name: &str| -> CaseResult<_> {
        let mut options = SessionOptions::new();
        options.server_name = ServerName::try_from(name.to_owned()).ok();
        let builder = scene.build().client_context(&*client);
        builder.server_context(&*server).options(options).pair()
    };
    let (mut good, mut wrong, mut second) =
        (pair(SERVER_NAME)?, pair(OTHER_NAME)?, pair(SECOND_NAME)?);
    let refusal = wrong.settle()?;
    let error = refusal.client.failure("the session with another name")?;
    check::kind(
        "another name",
        error,
        ErrorKind::Certificate(P::NameMismatch),
    )?;
    good.handshake()?;
    second.handshake()?;
    check::equal(
        "the first name",
        good.server.session().server_name(),
        Some(SERVER_NAME),
    )?;
    check::equal(
        "the second name",
        second.server.session().server_name(),
        Some(SECOND_NAME),
    )?;
    good.ping_pong()?;
    second.ping_pong()
}
