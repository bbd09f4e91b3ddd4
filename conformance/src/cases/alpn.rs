//! Application-layer protocol negotiation. RFC 7301.

use tls_core::iana::AlertDescription;
use tls_core::{AlertDirection, ErrorKind, Feature, SharedParameter};

use crate::case::{Case, CaseResult};
use crate::check;
use crate::pair::Pair;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 7301 3.2",
        clauses: &["K10"],
        items: &["seed-api 89", "behaviours 122"],
        requires: &[Feature::Alpn],
        ..Case::new("alpn.the_servers_order_decides", servers_order)
    },
    Case {
        rfc: "RFC 7301 3.2",
        clauses: &["K5"],
        items: &["seed-api 89", "behaviours 123"],
        requires: &[Feature::Alpn],
        ..Case::new("alpn.nothing_in_common_is_refused", nothing_in_common)
    },
    Case {
        rfc: "RFC 7301 3.1",
        clauses: &["K10"],
        items: &["behaviours 124", "behaviours 126"],
        requires: &[Feature::Alpn],
        ..Case::new("alpn.one_side_alone_negotiates_none", one_side_alone)
    },
    Case {
        rfc: "RFC 7301 6",
        clauses: &["K10"],
        items: &["behaviours 129"],
        requires: &[Feature::Alpn],
        ..Case::new("alpn.names_are_bytes", names_are_bytes)
    },
];

fn pair(scene: &Scene<'_>, client: &[&[u8]], server: &[&[u8]]) -> CaseResult<Pair> {
    let list = |names: &[&[u8]]| names.iter().map(|name| name.to_vec()).collect();
    let mut client_config = scene.client_config();
    client_config.parameters.alpn = list(client);
    let mut server_config = scene.server_config();
    server_config.parameters.alpn = list(server);
    scene.pair_with(client_config, server_config)
}

fn negotiates(
    scene: &Scene<'_>,
    client: &[&[u8]],
    server: &[&[u8]],
    expected: Option<&[u8]>,
) -> CaseResult {
    let mut pair = pair(scene, client, server)?;
    for session in [pair.client.session(), pair.server.session()] {
        check::equal("before the handshake", session.alpn(), None)?;
    }
    pair.handshake()?;
    check::equal("the client's", pair.client.session().alpn(), expected)?;
    check::equal("the server's", pair.server.session().alpn(), expected)?;
    pair.ping_pong()
}

fn servers_order(scene: &Scene<'_>) -> CaseResult {
    negotiates(
        scene,
        &[b"one", b"two", b"three"],
        &[b"two", b"one"],
        Some(b"two"),
    )?;
    negotiates(scene, &[b"two", b"one"], &[b"one", b"two"], Some(b"one"))
}

fn nothing_in_common(scene: &Scene<'_>) -> CaseResult {
    let outcome = pair(scene, &[b"one"], &[b"two"])?.settle()?;
    let error = outcome.server.failure("the server")?;
    check::kind(
        "the server",
        error,
        ErrorKind::NoSharedParameters(SharedParameter::ApplicationProtocol),
    )?;
    let alert = AlertDescription::NO_APPLICATION_PROTOCOL;
    check::alert("the server", error, alert, AlertDirection::Sent)?;
    let error = outcome.client.failure("the client")?;
    check::kind("the client", error, ErrorKind::PeerAlert)?;
    check::alert("the client", error, alert, AlertDirection::Received)
}

fn one_side_alone(scene: &Scene<'_>) -> CaseResult {
    negotiates(scene, &[b"one"], &[], None)?;
    negotiates(scene, &[], &[b"one"], None)?;
    negotiates(scene, &[], &[], None)
}

fn names_are_bytes(scene: &Scene<'_>) -> CaseResult {
    let longest = [0xfe; 255];
    negotiates(
        scene,
        &[b"\x00\xff\x80", &longest],
        &[&longest],
        Some(&longest),
    )?;
    negotiates(
        scene,
        &[b"\x00\xff\x80"],
        &[b"\x00\xff\x80"],
        Some(b"\x00\xff\x80"),
    )
}
