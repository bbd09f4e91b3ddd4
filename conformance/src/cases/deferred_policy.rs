//! Servers that choose their context by the ClientHello: the chosen context's settings hold, and
//! no other's.

use tls_core::config::{ClientAuthentication, Identity, PeerVerification};
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::pki_types::CertificateDer;
use tls_core::{
    AlertDirection, CertificateProblem, DynContext, ErrorKind, Feature, ServerConfig,
    SessionOptions, SharedParameter, Verdict,
};

use super::deferred::{go_on, suspend, suspended};
use super::verification::until_waiting;
use crate::case::{Case, CaseResult, Failure};
use crate::check;
use crate::pair::{Pair, Side};
use crate::pki::{SECOND_NAME, SERVER_NAME};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &[
            "seed-api 17",
            "behaviours 136",
            "behaviours 142",
            "behaviours 127",
        ],
        requires: &[Feature::DeferredServerContext, Feature::Alpn],
        ..Case::new("deferred.settings_of_the_chosen_context_hold", settings)
    },
    Case {
        rfc: "contract K13, K14",
        clauses: &["K13", "K14"],
        items: &["seed-api 17", "behaviours 142"],
        requires: &[
            Feature::DeferredServerContext,
            Feature::ClientAuthentication,
        ],
        ..Case::new(
            "deferred.client_authentication_of_the_chosen_context",
            authentication,
        )
    },
    Case {
        rfc: "contract K13, K14",
        clauses: &["K13", "K14"],
        requires: &[
            Feature::DeferredServerContext,
            Feature::SuspendedVerificationServer,
            Feature::ClientAuthentication,
            Feature::ClientCertificate,
        ],
        ..Case::new("deferred.chosen_context_waits_for_a_verdict", verdict)
    },
    Case {
        rfc: "RFC 8446 4.2.1, 6.2",
        clauses: &["K13", "K5"],
        items: &["seed-api 17", "behaviours 137"],
        requires: &[
            Feature::DeferredServerContext,
            Feature::Tls12,
            Feature::Tls13,
        ],
        ..Case::new("deferred.no_version_in_common_with_the_choice", no_version)
    },
    Case {
        rfc: "RFC 6066 3",
        clauses: &["K13", "K15"],
        items: &["seed-api 18", "behaviours 133", "behaviours 141"],
        requires: &[Feature::DeferredServerContext, Feature::Sni],
        ..Case::new("deferred.certificate_by_name_and_no_other", by_name)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K13", "K15"],
        items: &["seed-api 20"],
        requires: &[Feature::DeferredServerContext],
        ..Case::new("deferred.contexts_are_set_in_parallel", parallel)
    },
];

fn leaf(pair: &Pair) -> Option<CertificateDer<'static>> {
    let chain = pair.client.session().peer_certificates();
    chain.and_then(<[_]>::first).cloned()
}

/// A server of the scene with another certificate.
fn server(scene: &Scene<'_>, identity: &Identity) -> CaseResult<Box<dyn DynContext>> {
    let mut config = ServerConfig::new(identity.clone());
    config.parameters = scene.server_config().parameters;
    Ok(scene.backend.server(config)?)
}

fn settings(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.parameters.alpn = vec![b"one".to_vec(), b"two".to_vec()];
    let client = scene.backend.client(client)?;
    let bootstrap = scene.backend.deferred_server()?;
    let tenants = [
        (&b"two"[..], &scene.pki.second_server),
        (b"one", &scene.pki.server),
        (b"two", &scene.pki.server),
    ];
    for (protocol, identity) in tenants {
        let mut config = ServerConfig::new(identity.clone());
        config.parameters = scene.server_config().parameters;
        config.parameters.alpn = vec![protocol.to_vec()];
        let context = scene.backend.server(config)?;
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*bootstrap).pair()?;
        suspend(&mut pair)?;
        go_on(&mut pair, &*context)?;
        check::equal(
            "the certificate",
            leaf(&pair).as_ref(),
            identity.chain().first(),
        )?;
        for session in [pair.client.session(), pair.server.session()] {
            check::equal("the protocol", session.alpn(), Some(protocol))?;
            let version = session.protocol_version();
            check::equal("the version", version, Some(scene.version))?;
        }
        pair.ping_pong()?;
    }
    Ok(())
}

fn authentication(scene: &Scene<'_>) -> CaseResult {
    let mut strict = scene.server_config();
    strict.client_authentication = ClientAuthentication::Required(scene.pki.roots());
    let strict = scene.backend.server(strict)?;
    let mut pair = suspended(scene)?;
    pair.server.session_mut().set_context(&*strict)?;
    let outcome = pair.settle()?;
    let error = outcome.server.failure("a client without a certificate")?;
    let missing = ErrorKind::Certificate(CertificateProblem::Missing);
    check::kind("a client without a certificate", error, missing)
}

/// One suspension after the other: for the context, and by the context's settings for a verdict.
fn verdict(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.identity = Some(scene.pki.client.clone());
    // A session that is resumed waits for no verdict.
    client.resumption.enabled = false;
    let client = scene.backend.client(client)?;
    let mut config = scene.server_config();
    config.client_authentication = ClientAuthentication::Required(scene.pki.roots());
    config.peer_verification = PeerVerification::Suspended;
    let context = scene.backend.server(config)?;
    let bootstrap = scene.backend.deferred_server()?;
    let presented = scene.pki.client.chain();
    let waiting = || -> CaseResult<Pair> {
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*bootstrap).pair()?;
        suspend(&mut pair)?;
        pair.server.session_mut().set_context(&*context)?;
        until_waiting(&mut pair, Side::Server)?;
        let session = pair.server.session();
        let shown = session.unverified_peer_certificates();
        check::equal(
            "what waits",
            shown.and_then(<[_]>::first),
            presented.first(),
        )?;
        Ok(pair)
    };
    let mut pair = waiting()?;
    pair.server
        .session_mut()
        .set_validation_result(Verdict::Accept)?;
    pair.handshake()?;
    let accepted = pair.server.session().peer_certificates();
    check::equal(
        "what was accepted",
        accepted.and_then(<[_]>::first),
        presented.first(),
    )?;
    pair.ping_pong()?;

    let mut pair = waiting()?;
    let revoked = CertificateProblem::Revoked;
    let session = pair.server.session_mut();
    session.set_validation_result(Verdict::Reject(revoked))?;
    let outcome = pair.settle()?;
    let error = outcome.server.failure("the server that rejects")?;
    check::kind(
        "the server that rejects",
        error,
        ErrorKind::Certificate(revoked),
    )?;
    outcome.client.failure("the rejected client").map(drop)
}

fn no_version(scene: &Scene<'_>) -> CaseResult {
    let other = match scene.is_tls13() {
        true => ProtocolVersion::TLS1_2,
        false => ProtocolVersion::TLS1_3,
    };
    let mut config = scene.server_config();
    config.parameters.min_version = other;
    config.parameters.max_version = other;
    let context = scene.backend.server(config)?;
    let mut pair = suspended(scene)?;
    pair.server.session_mut().set_context(&*context)?;
    let outcome = pair.settle()?;
    let error = outcome.server.failure("the server")?;
    let nothing = ErrorKind::NoSharedParameters(SharedParameter::Version);
    check::kind("the server", error, nothing)?;
    let error = outcome.client.failure("the client")?;
    let alert = AlertDescription::PROTOCOL_VERSION;
    check::alert("the client", error, alert, AlertDirection::Received)
}

/// Two tenants whose connections are under way at the same time, answered in the other order.
fn by_name(scene: &Scene<'_>) -> CaseResult {
    let bootstrap = scene.backend.deferred_server()?;
    let client = scene.backend.client(scene.client_config())?;
    let tenants = [
        (SERVER_NAME, &scene.pki.second_server),
        (SECOND_NAME, &scene.pki.server),
    ];
    let mut contexts = Vec::new();
    for (name, identity) in tenants {
        contexts.push((name, server(scene, identity)?, identity));
    }
    let mut pairs = Vec::new();
    for (name, _) in tenants {
        let builder = scene.build().client_context(&*client);
        let builder = builder.options(SessionOptions::to_server(name)?);
        let mut pair = builder.server_context(&*bootstrap).pair()?;
        suspend(&mut pair)?;
        pairs.push(pair);
    }
    for (pair, (expected, _)) in pairs.iter_mut().zip(tenants).rev() {
        let hello = pair.server.session().client_hello();
        let name = hello.and_then(|hello| hello.server_name());
        check::equal("the name in the hello", name, Some(expected))?;
        let chosen = contexts.iter().find(|(tenant, ..)| Some(*tenant) == name);
        let (_, context, _) = chosen.expect("it is one of them");
        pair.server.session_mut().set_context(&**context)?;
    }
    for (mut pair, (_, identity)) in pairs.into_iter().zip(tenants) {
        pair.handshake()?;
        check::equal(
            "the certificate",
            leaf(&pair).as_ref(),
            identity.chain().first(),
        )?;
        pair.ping_pong()?;
    }
    Ok(())
}

/// Connections of several tenants at once, with one bootstrap context for all.
fn parallel(scene: &Scene<'_>) -> CaseResult {
    const ROUNDS: usize = 5;

    let bootstrap = scene.backend.deferred_server()?;
    let client = scene.backend.client(scene.client_config())?;
    let (pki, copy) = (scene.pki, *scene);
    let identities = [
        &pki.server,
        &pki.second_server,
        &pki.server,
        &pki.second_server,
    ];
    let connect = |identity: &Identity| -> CaseResult {
        let context = server(&copy, identity)?;
        for _ in 0..ROUNDS {
            let builder = copy.build().client_context(&*client);
            let mut pair = builder.server_context(&*bootstrap).pair()?;
            suspend(&mut pair)?;
            go_on(&mut pair, &*context)?;
            check::equal(
                "the certificate",
                leaf(&pair).as_ref(),
                identity.chain().first(),
            )?;
            pair.ping_pong()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = identities
            .into_iter()
            .map(|identity| scope.spawn(move || connect(identity)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let done = thread.join();
            done.map_err(|_| Failure::new("panic", "a tenant's thread has panicked"))?
        })
    })
}
