//! Client certificates asked for after the handshake, which the client's caller chooses then: the
//! session is suspended by a `read`.

use std::thread;

use tls_core::config::{Identity, PeerVerification, SocketTransport};
use tls_core::{
    ClientConfig, ConfigProblem, ErrorKind, Feature, Misuse, PostHandshakeAuth as State, Status,
    Verdict,
};

use super::asked_later::{self, answer, connected, request, server};
use super::verification::until_waiting;
use crate::case::{Case, CaseResult, Modes, Versions};
use crate::check;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

const WANTS: Status = Status::WantCredentials;
const NOT_SUSPENDED: ErrorKind = ErrorKind::Misuse(Misuse::NotSuspended);

const CASE: Case = Case {
    rfc: "RFC 8446 4.6.2, 4.3.2",
    requires: &[Feature::PostHandshakeAuth, Feature::LateClientCredentials],
    versions: Versions::TLS13,
    ..Case::new("", chosen)
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "post_handshake.chosen_when_asked",
        clauses: &["K13", "K10"],
        items: &["seed-api 15", "seed-api 21", "seed-api 37"],
        ..CASE
    },
    Case {
        name: "post_handshake.chosen_anew_each_time",
        clauses: &["K13", "K14"],
        items: &["seed-api 22", "seed-api 39"],
        run: each_time,
        ..CASE
    },
    Case {
        name: "post_handshake.none_chosen",
        clauses: &["K13", "K14"],
        items: &["seed-api 22", "seed-api 39"],
        run: none_chosen,
        ..CASE
    },
    Case {
        name: "post_handshake.chosen_and_never_resumed",
        rfc: "RFC 8446 C.4",
        clauses: &["K12"],
        items: &["seed-api 24"],
        run: resumption,
        ..CASE
    },
    Case {
        name: "post_handshake.chosen_while_the_server_waits",
        clauses: &["K13", "K14"],
        requires: &[
            Feature::PostHandshakeAuth,
            Feature::LateClientCredentials,
            Feature::SuspendedVerificationServer,
            Feature::SuspendedVerificationClient,
        ],
        run: both_wait,
        ..CASE
    },
    Case {
        name: "post_handshake.chosen_over_plain_sockets",
        clauses: &["K13"],
        requires: &[
            Feature::PostHandshakeAuth,
            Feature::LateClientCredentials,
            Feature::PlainSocketTransport,
        ],
        modes: Modes::SocketOnly,
        run: plain,
        ..CASE
    },
    Case {
        name: "renegotiation.no_client_waits_in_one",
        rfc: "contract K11",
        clauses: &["K11"],
        requires: &[
            Feature::RenegotiationClient,
            Feature::LateClientCredentials,
            Feature::SuspendedVerificationClient,
        ],
        versions: Versions::TLS12,
        run: not_in_a_renegotiation,
        ..CASE
    },
];

/// A client that may be asked, and chooses then.
fn client(scene: &Scene<'_>) -> ClientConfig {
    let mut client = asked_later::client(scene);
    client.identity = None;
    client.late_credentials = true;
    client
}

/// Asks, and has both sides read until the client waits.
fn until_asked(pair: &mut Pair) -> CaseResult {
    request(pair)?;
    let mut buffer = vec![0; pair.read_size];
    pair.pump_until("the certificate is asked for", |pair| {
        pair.server.read(&mut buffer)?;
        let status = pair.client.read(&mut buffer)?.status;
        Ok((status == WANTS).then_some(()))
    })
}

fn waiting(scene: &Scene<'_>) -> CaseResult<Pair> {
    let mut pair = connected(scene, client(scene), server(scene))?;
    pair.ping_pong()?;
    until_asked(&mut pair)?;
    Ok(pair)
}

fn choose(pair: &mut Pair, identity: Option<&Identity>) -> CaseResult {
    let session = pair.client.session_mut();
    Ok(session.set_client_certificate(identity.cloned())?)
}

/// The answer is there, and is this chain.
fn is_answered(pair: &mut Pair, identity: Option<&Identity>) -> CaseResult {
    let expected = match identity {
        Some(_) => State::Received,
        None => State::Declined,
    };
    check::equal("the answer", answer(pair)?, expected)?;
    if let Some(identity) = identity {
        let seen = pair.server.session().peer_certificates();
        check::equal("the server was shown", seen, Some(identity.chain()))?;
    }
    pair.ping_pong()
}

fn chosen(scene: &Scene<'_>) -> CaseResult {
    let identity = &scene.pki.client;
    let mut pair = connected(scene, client(scene), server(scene))?;
    pair.ping_pong()?;
    let session = pair.client.session_mut();
    check::equal("issuers, unasked", session.acceptable_issuers(), None)?;
    let early = session.set_client_certificate(None);
    check::fails_with("a choice unasked", early, NOT_SUSPENDED)?;
    until_asked(&mut pair)?;
    pair.server.write(b"behind the request")?;
    pair.server.flush()?;
    let sent = pair.wire.from(Side::Client).sent();
    for _ in 0..3 {
        pair.deliver()?;
        waits_for_a_choice(scene, &mut pair)?;
        pair.client.flush()?;
    }
    pair.deliver()?;
    let now = pair.wire.from(Side::Client).sent();
    check::equal("bytes sent while waiting", now, sent)?;
    let session = pair.client.session_mut();
    let verdict = session.set_validation_result(Verdict::Accept);
    check::fails_with("another answer", verdict, NOT_SUSPENDED)?;
    let mismatched = session.set_client_certificate(Some(scene.pki.mismatched.clone()));
    let kind = ErrorKind::Config(ConfigProblem::KeyMismatch);
    check::fails_with("a key of another", mismatched, kind)?;
    // It is chosen on another thread.
    thread::scope(|scope| {
        let choose = scope.spawn(move || session.set_client_certificate(Some(identity.clone())));
        choose.join().expect("nothing panics")
    })?;
    let again = pair.client.session_mut().set_client_certificate(None);
    check::fails_with("a second answer", again, NOT_SUSPENDED)?;
    let data = pair.read_exact(Side::Client, 18)?;
    check::same_bytes("from the server", &data, b"behind the request")?;
    is_answered(&mut pair, Some(identity))
}

/// Every call says so, and the session is as it was.
fn waits_for_a_choice(scene: &Scene<'_>, pair: &mut Pair) -> CaseResult {
    let client = &mut pair.client;
    let read = client.read(&mut [0; 64])?;
    check::status("a read", read.status, WANTS)?;
    check::equal("bytes read", read.bytes, 0)?;
    let write = client.write(b"early")?;
    check::status("a write", write.status, WANTS)?;
    check::equal("bytes written", write.bytes, 0)?;
    check::status("a shutdown", client.shutdown()?, WANTS)?;
    if scene.has(Feature::KeyUpdate) {
        check::status("a KeyUpdate", client.request_key_update()?, WANTS)?;
    }
    check::status("the handshake", client.handshake()?, WANTS)?;
    let session = client.session();
    check::equal("pending output", session.pending_output(), 0)?;
    let issuers = session.acceptable_issuers().map(<[_]>::len);
    check::equal("the issuers named", issuers, Some(1))
}

/// What was chosen answers one request.
fn each_time(scene: &Scene<'_>) -> CaseResult {
    let identity = &scene.pki.client;
    let mut pair = waiting(scene)?;
    for (turn, choice) in [Some(identity), None, Some(identity), Some(identity)]
        .into_iter()
        .enumerate()
    {
        if turn > 0 {
            until_asked(&mut pair)?;
        }
        choose(&mut pair, choice)?;
        is_answered(&mut pair, choice)?;
    }
    Ok(())
}

fn none_chosen(scene: &Scene<'_>) -> CaseResult {
    let mut pair = waiting(scene)?;
    choose(&mut pair, None)?;
    is_answered(&mut pair, None)?;
    let nobody = pair.server.session().peer_certificates();
    check::equal("the chain of a client that has none", nobody, None)
}

/// A session for which a certificate was chosen leaves nothing to those that come after it.
fn resumption(scene: &Scene<'_>) -> CaseResult {
    let client = scene.backend.client(client(scene))?;
    let server = scene.backend.server(server(scene))?;
    let connect = || {
        let build = scene.build().client_context(&*client);
        let mut pair = build.server_context(&*server).connected()?;
        pair.write_may_read = true;
        Ok::<_, crate::case::Failure>(pair)
    };
    for _ in 0..2 {
        let mut pair = connect()?;
        let nobody = pair.server.session().peer_certificates();
        check::equal("a client that has not chosen", nobody, None)?;
        until_asked(&mut pair)?;
        choose(&mut pair, Some(&scene.pki.client))?;
        is_answered(&mut pair, Some(&scene.pki.client))?;
    }
    Ok(())
}

/// Both callers decide late, of the server too.
fn both_wait(scene: &Scene<'_>) -> CaseResult {
    let (mut client, mut server) = (client(scene), server(scene));
    client.peer_verification = PeerVerification::Suspended;
    server.peer_verification = PeerVerification::Suspended;
    let mut pair = scene.pair_with(client, server)?;
    pair.write_may_read = true;
    until_waiting(&mut pair, Side::Client)?;
    let session = pair.client.session_mut();
    session.set_validation_result(Verdict::Accept)?;
    pair.handshake()?;
    pair.ping_pong()?;
    until_asked(&mut pair)?;
    choose(&mut pair, Some(&scene.pki.client))?;
    let mut buffer = [0; 64];
    pair.pump_until("the verdict is asked for", |pair| {
        pair.client.read(&mut buffer)?;
        let status = pair.server.read(&mut buffer)?.status;
        let needs = Status::NeedsCertificateValidation;
        Ok((status == needs).then_some(()))
    })?;
    let session = pair.server.session_mut();
    session.set_validation_result(Verdict::Accept)?;
    is_answered(&mut pair, Some(&scene.pki.client))
}

fn plain(scene: &Scene<'_>) -> CaseResult {
    let mut client = client(scene);
    client.parameters.socket_transport = SocketTransport::Plain;
    let mut pair = connected(scene, client, server(scene))?;
    pair.ping_pong()?;
    until_asked(&mut pair)?;
    waits_for_a_choice(scene, &mut pair)?;
    choose(&mut pair, Some(&scene.pki.client))?;
    is_answered(&mut pair, Some(&scene.pki.client))
}

/// What is not built is refused when the context is.
fn not_in_a_renegotiation(scene: &Scene<'_>) -> CaseResult {
    let conflict = ErrorKind::Config(ConfigProblem::Conflict);
    let mut late = scene.client_config();
    late.late_credentials = true;
    let mut suspended = scene.client_config();
    suspended.peer_verification = PeerVerification::Suspended;
    for mut waits in [late, suspended] {
        waits.parameters.allow_renegotiation = true;
        let refused = scene.backend.client(waits.clone());
        check::fails_with("a client that waits", refused.map(drop), conflict)?;
        waits.parameters.allow_renegotiation = false;
        scene.backend.client(waits)?;
    }
    Ok(())
}
