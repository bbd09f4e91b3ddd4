//! Client certificates asked for after the handshake: with TLS 1.3 by a CertificateRequest, with
//! TLS 1.2 by a renegotiation.

use tls_core::config::{ClientAuthentication, SocketTransport};
use tls_core::iana::AlertDescription as A;
use tls_core::{
    AlertDirection, CertificateProblem as P, ClientConfig, DynContext, ErrorKind, Feature, Misuse,
    PostHandshakeAuth as State, ServerConfig, Status,
};

use super::asked_later::{answer, client, connected, per_version, request, server, state};
use super::pattern;
use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = PER_VERSION.as_flattened();

const PER_VERSION: &[[Case; 2]] = &[
    per_version!(
        "post_handshake.received",
        received,
        &["K10", "K11", "K14"],
        &["seed-api 36", "seed-api 37", "behaviours 121"]
    ),
    per_version!(
        "post_handshake.received_again",
        received_again,
        &["K10"],
        &["seed-api 37"]
    ),
    per_version!(
        "post_handshake.received_in_plain_mode",
        received_in_plain_mode,
        &["K10", "K11"],
        &["seed-api 37"],
        PlainSocketTransport
    ),
    per_version!(
        "post_handshake.one_byte_at_a_time",
        one_byte,
        &["K16"],
        &["seed-api 37", "behaviours 121"]
    ),
    per_version!(
        "post_handshake.flushed_is_not_answered",
        flushed,
        &["K4", "K10"],
        &["seed-api 40"]
    ),
    per_version!(
        "post_handshake.data_while_pending",
        data_while_pending,
        &["K3", "K16"],
        &["seed-api 42"]
    ),
    per_version!(
        "post_handshake.within_a_transfer",
        within_a_transfer,
        &["K1", "K3"],
        &["seed-api 41", "seed-api 42", "behaviours 170"]
    ),
    per_version!(
        "post_handshake.declined",
        declined,
        &["K10", "K14"],
        &["seed-api 39", "seed-api 43"]
    ),
    per_version!(
        "post_handshake.bad_ones_are_refused",
        bad_ones,
        &["K14", "K5"],
        &["seed-api 36"]
    ),
    per_version!(
        "post_handshake.waits_for_room",
        waits_for_room,
        &["K4"],
        &["seed-api 41"]
    ),
    per_version!(
        "post_handshake.guards",
        guards,
        &["K17", "K7"],
        &["seed-api 42"]
    ),
    per_version!(
        "post_handshake.after_a_failure",
        after_a_failure,
        &["K5"],
        &[]
    ),
    per_version!(
        "post_handshake.shutdown_while_pending",
        shutdown_while_pending,
        &["K7"],
        &["behaviours 67"]
    ),
    per_version!(
        "post_handshake.resumed_as_it_was_authenticated",
        resumed,
        &["K12", "K10"],
        &["seed-api 36"]
    ),
    [
        Case {
            rfc: "RFC 8446 4.2.6",
            clauses: &["K11"],
            items: &["seed-api 38"],
            requires: &[Feature::PostHandshakeAuth],
            versions: Versions::TLS13,
            ..Case::new("post_handshake.not_offered", not_offered)
        },
        Case {
            rfc: "RFC 5246 7.4.1.1",
            clauses: &["K11"],
            items: &["seed-api 44"],
            requires: &[Feature::RenegotiationServer],
            versions: Versions::TLS12,
            ..Case::new("post_handshake.not_allowed", not_allowed)
        },
    ],
];

fn received(scene: &Scene<'_>) -> CaseResult {
    check_received(scene, client(scene), server(scene))
}

fn check_received(scene: &Scene<'_>, client: ClientConfig, server: ServerConfig) -> CaseResult {
    let mut pair = connected(scene, client, server)?;
    let nobody = pair.server.session().peer_certificates();
    check::equal("the chain of a client that was not asked", nobody, None)?;
    check::equal("the state before", state(&pair), State::NotRequested)?;
    pair.ping_pong()?;
    request(&mut pair)?;
    pair.transfer_both(&pattern(40_000, 1), &pattern(50_000, 2))?;
    check::equal("the answer", answer(&mut pair)?, State::Received)?;
    check::equal(
        "the chain the server verified",
        pair.server.session().peer_certificates(),
        Some(scene.pki.client.chain()),
    )?;
    let asked = pair.client.session().post_handshake_auth();
    check::equal("the state of the client", asked, State::NotRequested)?;
    let known = pair.client.session().peer_certificates();
    check::equal("the server's chain", known, Some(scene.pki.server.chain()))?;
    pair.transfer_both(&pattern(60_000, 3), &pattern(30_000, 4))?;
    check::equal("the state after", state(&pair), State::Received)
}

fn received_again(scene: &Scene<'_>) -> CaseResult {
    for authentication in [
        ClientAuthentication::OnRequest(scene.pki.roots()),
        ClientAuthentication::Optional(scene.pki.roots()),
        ClientAuthentication::Required(scene.pki.roots()),
    ] {
        let mut server = server(scene);
        server.client_authentication = authentication;
        let mut pair = connected(scene, client(scene), server)?;
        let before = pair.server.session().facts().cloned();
        for _ in 0..3 {
            request(&mut pair)?;
            check::equal("the answer", answer(&mut pair)?, State::Received)?;
            pair.ping_pong()?;
        }
        let mut after = pair.server.session().facts().cloned();
        let chain = after
            .as_mut()
            .and_then(|facts| facts.peer_certificates.take());
        check::equal(
            "the chain",
            chain.as_deref(),
            Some(scene.pki.client.chain()),
        )?;
        let before = before.map(|mut facts| {
            facts.peer_certificates = None;
            facts
        });
        check::equal("the other facts", after, before)?;
    }
    Ok(())
}

fn received_in_plain_mode(scene: &Scene<'_>) -> CaseResult {
    let (mut client, mut server) = (client(scene), server(scene));
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.socket_transport = SocketTransport::Plain;
    }
    check_received(scene, client, server)
}

fn one_byte(scene: &Scene<'_>) -> CaseResult {
    let mut pair = connected(scene, client(scene), server(scene))?;
    pair.one_byte_at_a_time();
    request(&mut pair)?;
    check::equal("the answer", answer(&mut pair)?, State::Received)?;
    pair.ping_pong()
}

/// The request leaves with `flush`, not by the call; and being sent is not being answered.
fn flushed(scene: &Scene<'_>) -> CaseResult {
    let mut pair = connected(scene, client(scene), server(scene))?;
    pair.ping_pong()?;
    let before = pair.wire.from(Side::Server).sent();
    request(&mut pair)?;
    let held = pair.server.session().pending_output();
    ensure!(held > 0, "the request must be pending output");
    pair.relay()?;
    let early = pair.wire.from(Side::Server).sent() - before;
    check::equal("what the call itself has sent", early, 0)?;
    pair.server.flush()?;
    pair.deliver()?;
    ensure!(
        pair.wire.from(Side::Server).sent() > before,
        "flush must send the request"
    );
    let step = pair.server.read(&mut [0; 64])?;
    check::status("a read without an answer", step.status, Status::WantRead)?;
    check::equal("the state", state(&pair), State::Pending)?;
    check::equal("the answer", answer(&mut pair)?, State::Received)
}

/// Data that was under way when the request left arrives, and what is written until it is answered.
fn data_while_pending(scene: &Scene<'_>) -> CaseResult {
    let mut pair = connected(scene, client(scene), server(scene))?;
    let (sent, more) = (pattern(20_000, 1), pattern(10_000, 2));
    pair.write_all(Side::Client, &sent)?;
    request(&mut pair)?;
    pair.write_all(Side::Server, &more)?;
    let got = pair.read_exact(Side::Server, sent.len())?;
    check::same_bytes("from before the request", &got, &sent)?;
    check::equal("the state", state(&pair), State::Pending)?;
    pair.write_all(Side::Client, &more)?;
    let got = pair.read_exact(Side::Server, more.len())?;
    check::same_bytes("while the request is pending", &got, &more)?;
    check::equal("the state", state(&pair), State::Pending)?;
    let got = pair.read_exact(Side::Client, more.len())?;
    check::same_bytes("behind the request", &got, &more)?;
    check::equal("the answer", answer(&mut pair)?, State::Received)?;
    pair.ping_pong()
}

/// A megabyte each way over a transport that takes little at once, with requests again and again.
fn within_a_transfer(scene: &Scene<'_>) -> CaseResult {
    const TOTAL: usize = 1024 * 1024;
    const EVERY: usize = 250_000;

    let builder = scene.build().client(client(scene)).server(server(scene));
    let mut pair = builder.window(8 * 1024).connected()?;
    let data = pattern(TOTAL, 3);
    let (mut taken, mut received, mut asked) = ([0; 2], [Vec::new(), Vec::new()], 0);
    let mut buffer = vec![0; 16 * 1024];
    pair.pump_until("a transfer with requests", |pair| {
        let mut due = taken[1] / EVERY > asked && state(pair) != State::Pending;
        if due && pair.server.request_client_certificate()? == Status::Complete {
            asked += 1;
            due = false;
        }
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            let endpoint = pair.side(side);
            let rest = &data[taken[index]..];
            // A writer that never stops would leave no room for the request.
            let waits = due && side == Side::Server;
            if !rest.is_empty() && !waits {
                taken[index] += endpoint.write(rest)?.bytes;
            }
            let read = endpoint.read(&mut buffer)?.bytes;
            received[index].extend_from_slice(&buffer[..read]);
        }
        let done = received.iter().all(|bytes| bytes.len() >= TOTAL);
        Ok(done.then_some(()))
    })?;
    for (bytes, side) in received.iter().zip(Side::BOTH) {
        check::same_bytes(&format!("what the {} read", side.name()), bytes, &data)?;
    }
    ensure!(asked > 2, "only {asked} requests within the transfer");
    if state(&pair) == State::Pending {
        answer(&mut pair)?;
    }
    check::equal("the state", state(&pair), State::Received)?;
    pair.write_may_read = true;
    pair.ping_pong()
}

fn declined(scene: &Scene<'_>) -> CaseResult {
    for authentication in [
        ClientAuthentication::OnRequest(scene.pki.roots()),
        ClientAuthentication::Optional(scene.pki.roots()),
    ] {
        let (mut client, mut server) = (client(scene), server(scene));
        client.identity = None;
        server.client_authentication = authentication;
        let mut pair = connected(scene, client, server)?;
        request(&mut pair)?;
        check::equal("the answer", answer(&mut pair)?, State::Declined)?;
        let nobody = pair.server.session().peer_certificates();
        check::equal("the chain of a client that declined", nobody, None)?;
        pair.ping_pong()?;
        request(&mut pair)?;
        check::equal("the second answer", answer(&mut pair)?, State::Declined)?;
        pair.ping_pong()?;
    }
    Ok(())
}

fn bad_ones(scene: &Scene<'_>) -> CaseResult {
    for (identity, problem, alert) in [
        (&scene.pki.untrusted_client, P::UnknownIssuer, A::UNKNOWN_CA),
        (
            &scene.pki.expired_client,
            P::Expired,
            A::CERTIFICATE_EXPIRED,
        ),
        (
            &scene.pki.wrong_usage_client,
            P::WrongPurpose,
            A::UNSUPPORTED_CERTIFICATE,
        ),
    ] {
        let mut client = client(scene);
        client.identity = Some(identity.clone());
        let mut pair = connected(scene, client, server(scene))?;
        pair.ping_pong()?;
        request(&mut pair)?;
        let outcome = pair.settle()?;
        let error = outcome.server.failure("the server")?;
        check::kind("the server", error, ErrorKind::Certificate(problem))?;
        check::alert("the server", error, alert, AlertDirection::Sent)?;
        let error = outcome.client.failure("the client")?;
        check::kind("the client", error, ErrorKind::PeerAlert)?;
        check::alert("the client", error, alert, AlertDirection::Received)?;
        let nobody = pair.server.session().peer_certificates();
        check::equal("the chain of a client that was refused", nobody, None)?;
        ensure!(
            state(&pair) != State::Received,
            "a client that was refused is not received"
        );
    }
    Ok(())
}

/// A server that cannot send takes no request, and does not wait for the client to send first.
fn waits_for_room(scene: &Scene<'_>) -> CaseResult {
    let mut server = server(scene);
    if scene.has(Feature::PendingOutputBound) {
        server.parameters.pending_output_bound = 8 * 1024;
    }
    let builder = scene.build().client(client(scene)).server(server);
    let mut pair = builder.window(4 * 1024).connected()?;
    pair.write_may_read = true;
    let data = pattern(64 * 1024, 5);
    let mut sent = 0;
    loop {
        let step = pair.server.write(&data)?;
        sent += step.bytes;
        if step.status == Status::WantWrite {
            break;
        }
        ensure!(sent < 16 * 1024 * 1024, "the transport never fills");
    }
    let status = pair.server.request_client_certificate()?;
    check::status("a request at the bound", status, Status::WantWrite)?;
    check::equal("the state", state(&pair), State::NotRequested)?;

    let mut buffer = vec![0; 16 * 1024];
    let mut got = 0;
    pair.pump_until("a request behind the data", |pair| {
        got += pair.client.read(&mut buffer)?.bytes;
        pair.server.read(&mut [0; 64])?;
        if state(pair) == State::NotRequested {
            pair.server.request_client_certificate()?;
        }
        let done = got == sent && state(pair) != State::Pending;
        Ok(done.then_some(()))
    })?;
    check::equal("the answer", state(&pair), State::Received)?;
    pair.ping_pong()
}

fn guards(scene: &Scene<'_>) -> CaseResult {
    let misuse = ErrorKind::Misuse;
    let mut pair = scene.pair_with(client(scene), server(scene))?;
    pair.write_may_read = true;
    let early = pair.server.request_client_certificate();
    check::fails_with("before", early, misuse(Misuse::HandshakeIncomplete))?;
    pair.handshake()?;
    let wrong = pair.client.request_client_certificate();
    check::fails_with("on a client", wrong, misuse(Misuse::WrongRole))?;
    request(&mut pair)?;
    let second = pair.server.request_client_certificate();
    check::fails_with("while pending", second, misuse(Misuse::RequestPending))?;
    check::equal("the answer", answer(&mut pair)?, State::Received)?;
    pair.ping_pong()?;
    pair.shutdown(Side::Server)?;
    let late = pair.server.request_client_certificate();
    check::fails_with("after shutdown", late, misuse(Misuse::WriteAfterShutdown))?;

    let mut nobody = server(scene);
    nobody.client_authentication = ClientAuthentication::None;
    let mut pair = connected(scene, client(scene), nobody)?;
    let rootless = pair.server.request_client_certificate();
    check::fails_with("without roots", rootless, misuse(Misuse::NoClientRoots))?;
    check::equal("the state", state(&pair), State::NotRequested)?;
    pair.ping_pong()
}

fn after_a_failure(scene: &Scene<'_>) -> CaseResult {
    let mut pair = connected(scene, client(scene), server(scene))?;
    pair.ping_pong()?;
    pair.wire.from(Side::Client).cut();
    let mut buffer = [0; 64];
    let error = pair.until_error(Side::Server, "a cut", |server| server.read(&mut buffer))?;
    check::kind("a cut", &error, ErrorKind::Truncated)?;
    let late = pair.server.request_client_certificate();
    check::fails_with("a request after it", late, ErrorKind::Truncated).map(drop)
}

/// A server that closes its side does not wait for the answer, and nobody fails for it.
fn shutdown_while_pending(scene: &Scene<'_>) -> CaseResult {
    let mut pair = connected(scene, client(scene), server(scene))?;
    pair.ping_pong()?;
    request(&mut pair)?;
    pair.shutdown(Side::Server)?;
    pair.deliver()?;
    let closed = pair.wire.from(Side::Server).sent();
    let (data, end) = pair.read_to_end(Side::Client)?;
    check::same_bytes("behind the request", &data, b"")?;
    end?;
    let status = pair.shutdown(Side::Client)?;
    check::status("the client's shutdown", status, Status::Closed)?;
    pair.client.close();
    let (data, end) = pair.read_to_end(Side::Server)?;
    check::same_bytes("from the client", &data, b"")?;
    // In the middle of a renegotiation a client has no way to say that it closes.
    match end {
        Err(error) if !scene.is_tls13() => {
            check::kind("the server's end", &error, ErrorKind::Truncated)?;
        }
        end => end?,
    }
    let after = pair.wire.from(Side::Server).sent() - closed;
    check::equal("what followed the close_notify", after, 0)
}

fn not_offered(scene: &Scene<'_>) -> CaseResult {
    let mut client = client(scene);
    client.post_handshake_auth = false;
    let mut pair = connected(scene, client, server(scene))?;
    pair.ping_pong()?;
    let before = pair.wire.from(Side::Server).sent();
    for _ in 0..2 {
        let status = pair.server.request_client_certificate()?;
        check::status("a request to nobody", status, Status::Complete)?;
        check::equal("the answer", state(&pair), State::PeerNotCapable)?;
        pair.server.flush()?;
        pair.deliver()?;
        let sent = pair.wire.from(Side::Server).sent() - before;
        check::equal("what was sent to a client that did not offer", sent, 0)?;
    }
    pair.ping_pong()
}

fn not_allowed(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::Optional(scene.pki.roots());
    let mut pair = scene.pair_with(scene.client_config(), server)?;
    pair.handshake()?;
    check::fails_with(
        "a request without renegotiation",
        pair.server.request_client_certificate(),
        ErrorKind::Unsupported(Feature::RenegotiationServer),
    )?;
    check::equal("the state", state(&pair), State::NotRequested)?;
    pair.ping_pong()
}

/// Connects anew with the same contexts, and says as whom the server has resumed the client.
fn reconnect<'a>(
    scene: &Scene<'_>,
    client: &'a dyn DynContext,
    server: &'a dyn DynContext,
) -> CaseResult<Pair> {
    let builder = scene.build().client_context(client);
    let mut pair = builder.server_context(server).connected()?;
    pair.write_may_read = true;
    pair.ping_pong()?;
    Ok(pair)
}

/// A ticket is no more than what was known when it was issued.
fn resumed(scene: &Scene<'_>) -> CaseResult {
    let feature = match scene.is_tls13() {
        true => Feature::Tls13Resumption,
        false => Feature::Tls12Resumption,
    };
    let resumes = scene.has(feature);
    let client = scene.backend.client(client(scene))?;
    let server = scene.backend.server(server(scene))?;
    let chain = |pair: &Pair| {
        let chain = pair.server.session().peer_certificates();
        chain.map(<[_]>::to_vec)
    };
    reconnect(scene, &*client, &*server)?;
    let mut pair = reconnect(scene, &*client, &*server)?;
    let again = pair.server.session().resumed();
    check::equal("the second connection", again, Some(resumes))?;
    check::equal("a client that was never asked", chain(&pair), None)?;

    request(&mut pair)?;
    check::equal("the answer", answer(&mut pair)?, State::Received)?;
    pair.ping_pong()?;
    let pair = reconnect(scene, &*client, &*server)?;
    let again = pair.server.session().resumed();
    check::equal("the third connection", again, Some(resumes))?;
    let authenticated = resumes.then(|| scene.pki.client.chain()[0].clone());
    let leaf = chain(&pair).and_then(|chain| chain.first().cloned());
    // With TLS 1.2 a server may leave it at the ticket from before.
    if scene.is_tls13() || leaf.is_some() {
        check::equal("the client that has authenticated", leaf, authenticated)?;
    }
    check::equal("the state", state(&pair), State::NotRequested)
}
