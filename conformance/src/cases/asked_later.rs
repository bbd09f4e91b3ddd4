//! What the cases about client certificates that are asked for after the handshake have in common.

use tls_core::config::ClientAuthentication;
use tls_core::{ClientConfig, PostHandshakeAuth as State, ServerConfig, Status};

use crate::case::{CaseResult, Failure};
use crate::check;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// Declares a case once for the request of TLS 1.3 and once for the renegotiation of TLS 1.2, each
/// requiring what its version takes.
macro_rules! per_version {
    ($name:literal, $run:expr, $clauses:expr, $items:expr $(, $feature:ident)*) => {
        [
            Case {
                rfc: "RFC 5246 7.4.1.1, RFC 5746",
                clauses: $clauses,
                items: $items,
                requires: &[
                    Feature::RenegotiationServer,
                    Feature::RenegotiationClient
                    $(, Feature::$feature)*
                ],
                versions: Versions::TLS12,
                ..Case::new(concat!($name, "_tls12"), $run)
            },
            Case {
                rfc: "RFC 8446 4.6.2",
                clauses: $clauses,
                items: $items,
                requires: &[Feature::PostHandshakeAuth $(, Feature::$feature)*],
                versions: Versions::TLS13,
                ..Case::new(concat!($name, "_tls13"), $run)
            },
        ]
    };
}

pub(super) use per_version;

/// A server that may ask, later.
pub(super) fn server(scene: &Scene<'_>) -> ServerConfig {
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::OnRequest(scene.pki.roots());
    server.parameters.allow_renegotiation = !scene.is_tls13();
    server
}

/// A client that may be asked, and has an answer.
pub(super) fn client(scene: &Scene<'_>) -> ClientConfig {
    let mut client = scene.client_config();
    client.identity = Some(scene.pki.client.clone());
    client.post_handshake_auth = scene.is_tls13();
    client.parameters.allow_renegotiation = !scene.is_tls13();
    client
}

pub(super) fn connected(
    scene: &Scene<'_>,
    client: ClientConfig,
    server: ServerConfig,
) -> CaseResult<Pair> {
    let mut pair = scene.pair_with(client, server)?;
    pair.write_may_read = true;
    pair.handshake()?;
    Ok(pair)
}

pub(super) fn state(pair: &Pair) -> State {
    pair.server.session().post_handshake_auth()
}

/// Asks, and expects that to be queued.
pub(super) fn request(pair: &mut Pair) -> CaseResult {
    let status = pair.server.request_client_certificate()?;
    check::equal("a request", status, Status::Complete)?;
    check::equal("the answer to it", state(pair), State::Pending)
}

/// Has both sides read until the answer is there. What they read is dropped.
pub(super) fn answer(pair: &mut Pair) -> CaseResult<State> {
    let mut buffer = vec![0; pair.read_size];
    pair.pump_until("the answer", |pair| {
        for side in Side::BOTH {
            pair.side(side).read(&mut buffer).map_err(|error| {
                Failure::from(error).during(format_args!("read of the {}", side.name()))
            })?;
        }
        Ok(Some(state(pair)).filter(|state| *state != State::Pending))
    })
}
