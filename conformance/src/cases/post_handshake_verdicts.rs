//! Client certificates asked for after the handshake, about which the server's caller decides: the
//! session is suspended by a `read`.

use std::thread;

use tls_core::config::{ClientAuthentication, Identity, PeerVerification, SocketTransport};
use tls_core::{
    AlertDirection, CertificateProblem as P, ClientConfig, ErrorKind, Feature, Misuse,
    PostHandshakeAuth as State, ServerConfig, Status, Verdict,
};

use super::asked_later::{self, answer, client, per_version, request, state};
use super::pattern;
use super::verification::NEEDS;
use crate::case::{Case, CaseResult, Mode, Versions};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = PER_VERSION.as_flattened();

const PER_VERSION: &[[Case; 2]] = &[
    per_version!(
        "post_handshake.waits_and_accepts",
        accepts,
        &["K13", "K14", "K10"],
        &["seed-api 15", "seed-api 25", "seed-api 35", "seed-api 37"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.waits_and_rejects",
        rejects,
        &["K14", "K5", "K10"],
        &["seed-api 25", "seed-api 34"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.follows_or_overrules_the_default",
        default_validation,
        &["K14"],
        &["seed-api 31"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.does_not_wait_for_nothing",
        declined,
        &["K14"],
        &["seed-api 39"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.waits_each_time",
        each_time,
        &["K13", "K10"],
        &["seed-api 37"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.decides_within_data",
        within_data,
        &["K3", "K13"],
        &["seed-api 42"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.decides_on_another_thread",
        on_another_thread,
        &["K13"],
        &["seed-api 73"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.dropped_while_it_waits",
        dropped,
        &["K7", "K13"],
        &["seed-api 67"],
        SuspendedVerificationServer
    ),
    per_version!(
        "post_handshake.waits_in_plain_mode",
        in_plain_mode,
        &["K13", "K14"],
        &["seed-api 27"],
        SuspendedVerificationServer,
        PlainSocketTransport
    ),
];

/// A server that may ask, later, and whose caller decides.
fn server(scene: &Scene<'_>) -> ServerConfig {
    let mut server = asked_later::server(scene);
    server.peer_verification = PeerVerification::Suspended;
    server
}

/// A client that may be asked, and answers with this.
fn presenting(scene: &Scene<'_>, identity: &Identity) -> ClientConfig {
    let mut client = client(scene);
    client.identity = Some(identity.clone());
    client
}

fn connected(scene: &Scene<'_>, client: ClientConfig) -> CaseResult<Pair> {
    asked_later::connected(scene, client, server(scene))
}

/// A pair whose server has asked, and waits for the verdict about this client.
fn waiting(scene: &Scene<'_>, identity: &Identity) -> CaseResult<Pair> {
    let mut pair = connected(scene, presenting(scene, identity))?;
    pair.ping_pong()?;
    request(&mut pair)?;
    until_waiting(&mut pair)?;
    Ok(pair)
}

/// Has both sides read until the server waits, and everything that is under way has arrived.
fn until_waiting(pair: &mut Pair) -> CaseResult {
    let mut buffer = vec![0; pair.read_size];
    pair.pump_until("the verdict is asked for", |pair| {
        pair.client.read(&mut buffer)?;
        let status = pair.server.read(&mut buffer)?.status;
        Ok((status == NEEDS).then_some(()))
    })?;
    pair.deliver()
}

fn decide(pair: &mut Pair, verdict: Verdict) -> CaseResult {
    Ok(pair.server.session_mut().set_validation_result(verdict)?)
}

/// The answer is there, and the server knows the client by this chain.
fn is_received(pair: &mut Pair, identity: &Identity) -> CaseResult {
    check::equal("the answer", answer(pair)?, State::Received)?;
    check::equal(
        "the chain that was accepted",
        pair.server.session().peer_certificates(),
        Some(identity.chain()),
    )?;
    pair.ping_pong()
}

/// The server has refused the client for this, and the client knows.
fn is_refused(pair: &mut Pair, problem: P) -> CaseResult {
    let outcome = pair.settle()?;
    let error = outcome.server.failure("the server")?;
    check::kind("the server", error, ErrorKind::Certificate(problem))?;
    check::alert("the server", error, problem.alert(), AlertDirection::Sent)?;
    let error = outcome.client.failure("the client")?;
    check::kind("the client", error, ErrorKind::PeerAlert)?;
    let received = AlertDirection::Received;
    check::alert("the client", error, problem.alert(), received)?;
    let session = pair.server.session();
    let nobody = session.peer_certificates();
    check::equal("the chain of a client that was refused", nobody, None)?;
    let shown = session.unverified_peer_certificates();
    check::equal("the chain to decide about", shown, None)?;
    ensure!(
        state(pair) != State::Received,
        "a client that was refused is not received"
    );
    Ok(())
}

fn accepts(scene: &Scene<'_>) -> CaseResult {
    let identity = &scene.pki.client;
    let mut pair = waiting(scene, identity)?;
    let sent = pair.wire.from(Side::Server).sent();
    for _ in 0..3 {
        waits_for_verdict(scene, &mut pair)?;
        pair.server.flush()?;
        pair.deliver()?;
        let now = pair.wire.from(Side::Server).sent();
        check::equal("bytes sent before the verdict", now, sent)?;
    }
    if scene.mode == Mode::Buffer {
        untouched(&mut pair)?;
    }
    decide(&mut pair, Verdict::Accept)?;
    let session = pair.server.session_mut();
    let shown = session.unverified_peer_certificates();
    check::equal("the chain afterwards", shown, None)?;
    let again = session.set_validation_result(Verdict::Accept);
    let unasked = ErrorKind::Misuse(Misuse::NotSuspended);
    check::fails_with("a second verdict", again, unasked)?;
    is_received(&mut pair, identity)?;
    pair.transfer_both(&pattern(60_000, 3), &pattern(30_000, 4))
}

/// Every call says so, and the session is as it was.
fn waits_for_verdict(scene: &Scene<'_>, pair: &mut Pair) -> CaseResult {
    let server = &mut pair.server;
    let read = server.read(&mut [0; 64])?;
    check::status("a read", read.status, NEEDS)?;
    check::equal("bytes read", read.bytes, 0)?;
    let write = server.write(b"early")?;
    check::status("a write", write.status, NEEDS)?;
    check::equal("bytes written", write.bytes, 0)?;
    check::status("a shutdown", server.shutdown()?, NEEDS)?;
    let another = server.request_client_certificate()?;
    check::status("another request", another, NEEDS)?;
    if scene.is_tls13() && scene.has(Feature::KeyUpdate) {
        check::status("a KeyUpdate", server.request_key_update()?, NEEDS)?;
    }
    check::status("the handshake", server.handshake()?, NEEDS)?;
    let session = server.session();
    check::equal("pending output", session.pending_output(), 0)?;
    check::equal(
        "the chain to decide about",
        session.unverified_peer_certificates(),
        Some(scene.pki.client.chain()),
    )?;
    let default = session.default_validation();
    check::equal("the library's own verification", default, Some(Ok(())))?;
    let nobody = session.peer_certificates();
    check::equal("the chain nobody has accepted", nobody, None)?;
    check::equal("the answer", state(pair), State::Pending)
}

/// A session that waits consumes nothing it is given, and places nothing.
fn untouched(pair: &mut Pair) -> CaseResult {
    let (mut input, mut plaintext) = ([22; 64], [7; 64]);
    let session = pair.server.as_buffer()?;
    let read = session.read(&mut input, &mut plaintext)?;
    check::status("a read with more input", read.status, NEEDS)?;
    check::equal("moved by it", (read.consumed, read.produced), (0, 0))?;
    let write = session.write(&input, &mut plaintext)?;
    check::status("a write with room", write.status, NEEDS)?;
    check::equal("moved by it", (write.consumed, write.produced), (0, 0))?;
    ensure!(
        input == [22; 64] && plaintext == [7; 64],
        "the buffers were touched"
    );
    Ok(())
}

fn rejects(scene: &Scene<'_>) -> CaseResult {
    for &problem in P::ALL {
        let mut pair = waiting(scene, &scene.pki.client)?;
        decide(&mut pair, Verdict::Reject(problem))?;
        is_refused(&mut pair, problem)
            .map_err(|failure| failure.during(format_args!("rejected for {problem:?}")))?;
        let kind = ErrorKind::Certificate(problem);
        check::fails_with("a write", pair.server.write(b"late"), kind)?;
        let session = pair.server.session_mut();
        let changed = session.set_validation_result(Verdict::Accept);
        check::fails_with("another verdict", changed, kind)?;
    }
    Ok(())
}

fn default_validation(scene: &Scene<'_>) -> CaseResult {
    for (identity, expected) in [
        (&scene.pki.client, Ok(())),
        (&scene.pki.untrusted_client, Err(P::UnknownIssuer)),
        (&scene.pki.expired_client, Err(P::Expired)),
        (&scene.pki.wrong_usage_client, Err(P::WrongPurpose)),
    ] {
        let mut pair = waiting(scene, identity)?;
        let followed = pair.server.session_mut().accept_with_default_validation()?;
        check::equal("the library's own verification", followed, expected)?;
        match expected {
            Ok(()) => is_received(&mut pair, identity)?,
            Err(problem) => is_refused(&mut pair, problem)?,
        }
        let mut pair = waiting(scene, identity)?;
        decide(&mut pair, Verdict::Accept)?;
        is_received(&mut pair, identity)?;
    }
    Ok(())
}

fn declined(scene: &Scene<'_>) -> CaseResult {
    let mut client = client(scene);
    client.identity = None;
    let mut pair = connected(scene, client)?;
    for _ in 0..2 {
        request(&mut pair)?;
        check::equal("the answer", answer(&mut pair)?, State::Declined)?;
        pair.ping_pong()?;
    }
    let unasked = ErrorKind::Misuse(Misuse::NotSuspended);
    let verdict = pair.server.session_mut().accept_with_default_validation();
    check::fails_with("a verdict unasked", verdict, unasked).map(drop)
}

/// Also where the handshake itself has asked, and waited.
fn each_time(scene: &Scene<'_>) -> CaseResult {
    let identity = &scene.pki.client;
    let roots = scene.pki.roots();
    for authentication in [
        ClientAuthentication::OnRequest(roots.clone()),
        ClientAuthentication::Required(roots),
    ] {
        let mut server = server(scene);
        let at_once = matches!(authentication, ClientAuthentication::Required(_));
        server.client_authentication = authentication;
        let mut pair = scene.pair_with(client(scene), server)?;
        pair.write_may_read = true;
        if at_once {
            super::verification::until_waiting(&mut pair, Side::Server)?;
            decide(&mut pair, Verdict::Accept)?;
        }
        pair.handshake()?;
        for _ in 0..3 {
            pair.ping_pong()?;
            pair.one_byte_at_a_time();
            request(&mut pair)?;
            until_waiting(&mut pair)?;
            decide(&mut pair, Verdict::Accept)?;
            is_received(&mut pair, identity)?;
        }
    }
    Ok(())
}

/// What the client writes behind its answer waits for the verdict, and is neither lost nor doubled,
/// whichever call comes first after it.
fn within_data(scene: &Scene<'_>) -> CaseResult {
    let (before, behind) = (pattern(20_000, 1), pattern(10_000, 2));
    for writes_first in [false, true] {
        let mut pair = connected(scene, client(scene))?;
        pair.ping_pong()?;
        request(&mut pair)?;
        pair.server.flush()?;
        pair.write_all(Side::Client, &before)?;
        let got = pair.read_exact(Side::Server, before.len())?;
        check::same_bytes("what was written before the answer", &got, &before)?;
        until_waiting(&mut pair)?;
        if scene.is_tls13() {
            pair.client.write(&behind)?;
            pair.client.flush()?;
            pair.deliver()?;
        }
        let read = pair.server.read(&mut [0; 64])?;
        check::status("a read before the verdict", read.status, NEEDS)?;
        decide(&mut pair, Verdict::Accept)?;
        if writes_first {
            // Within the answer a write may have to wait for the rest of it.
            let step = pair.server.write(b"first")?;
            let waits = (step.status, step.bytes) == (Status::WantRead, 0);
            let written = (step.status, step.bytes) == (Status::Complete, 5);
            ensure!(waits || written, "a write behind the verdict: {step:?}");
            if written {
                pair.server.flush()?;
                pair.deliver()?;
                let got = pair.read_exact(Side::Client, 5)?;
                check::same_bytes("what the server wrote first", &got, b"first")?;
            }
        }
        if scene.is_tls13() {
            let got = pair.read_exact(Side::Server, behind.len())?;
            check::same_bytes("what was written behind the answer", &got, &behind)?;
        }
        is_received(&mut pair, &scene.pki.client)?;
    }
    Ok(())
}

fn on_another_thread(scene: &Scene<'_>) -> CaseResult {
    for verdict in [Verdict::Accept, Verdict::Reject(P::Revoked)] {
        let mut pair = waiting(scene, &scene.pki.client)?;
        let session = pair.server.session_mut();
        let decided = thread::scope(|scope| {
            let decide = scope.spawn(move || session.set_validation_result(verdict));
            decide.join().expect("nothing panics")
        });
        decided?;
        match verdict {
            Verdict::Accept => is_received(&mut pair, &scene.pki.client)?,
            Verdict::Reject(problem) => is_refused(&mut pair, problem)?,
        }
    }
    Ok(())
}

fn dropped(scene: &Scene<'_>) -> CaseResult {
    let mut pair = waiting(scene, &scene.pki.client)?;
    let sent = pair.wire.from(Side::Server).sent();
    pair.server.close();
    pair.deliver()?;
    let now = pair.wire.from(Side::Server).sent();
    check::equal("bytes sent by dropping a session that waits", now, sent)
}

fn in_plain_mode(scene: &Scene<'_>) -> CaseResult {
    for verdict in [Verdict::Accept, Verdict::Reject(P::Revoked)] {
        let (mut client, mut server) = (client(scene), server(scene));
        for parameters in [&mut client.parameters, &mut server.parameters] {
            parameters.socket_transport = SocketTransport::Plain;
        }
        let mut pair = asked_later::connected(scene, client, server)?;
        pair.ping_pong()?;
        request(&mut pair)?;
        until_waiting(&mut pair)?;
        waits_for_verdict(scene, &mut pair)?;
        decide(&mut pair, verdict)?;
        match verdict {
            Verdict::Accept => is_received(&mut pair, &scene.pki.client)?,
            Verdict::Reject(problem) => is_refused(&mut pair, problem)?,
        }
    }
    Ok(())
}
