//! Resumption: what is resumed, by whom, and under which policy.

use std::time::Duration;

use tls_core::config::ClientAuthentication;
use tls_core::iana::ProtocolVersion;
use tls_core::{
    CertificateProblem, ClientConfig, DynContext, ErrorKind, Feature, ServerConfig, SessionOptions,
};

use super::deferred::suspend;
use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::ensure;
use crate::hello;
use crate::pair::{Pair, Side};
use crate::pki::SECOND_NAME;
use crate::scene::Scene;

/// Declares a case once for TLS 1.2 and once for TLS 1.3, each requiring resumption in its own
/// version.
macro_rules! per_version {
    ($name:literal, $run:ident, rfc $rfc:literal, $clauses:expr, $items:expr $(, $feature:ident)*) => {
        [
            Case {
                rfc: $rfc,
                clauses: $clauses,
                items: $items,
                requires: &[Feature::Tls12Resumption $(, Feature::$feature)*],
                versions: Versions::TLS12,
                ..Case::new(concat!("resumption.", $name, "_tls12"), $run)
            },
            Case {
                rfc: $rfc,
                clauses: $clauses,
                items: $items,
                requires: &[Feature::Tls13Resumption $(, Feature::$feature)*],
                versions: Versions::TLS13,
                ..Case::new(concat!("resumption.", $name, "_tls13"), $run)
            },
        ]
    };
}

pub(super) const CASES: &[Case] = PER_VERSION.as_flattened();

const PER_VERSION: &[[Case; 2]] = &[
    per_version!(
        "second_connection_resumes", second_connection,
        rfc "RFC 8446 2.2, RFC 5246 7.3", &["K12", "K10"],
        &["seed-api 74", "behaviours 143", "behaviours 109"], StatelessTickets
    ),
    per_version!(
        "by_a_cache", by_cache,
        rfc "RFC 8446 2.2, RFC 5246 7.3", &["K12"],
        &["seed-api 74", "behaviours 143"], SessionCacheSize
    ),
    per_version!(
        "off_on_either_side", off,
        rfc "RFC 8446 2.2", &["K12"], &["seed-api 74", "behaviours 145"]
    ),
    per_version!(
        "another_server_context_starts_anew", other_server_context,
        rfc "RFC 8446 4.2.11", &["K12"], &["behaviours 144"]
    ),
    per_version!(
        "another_client_context_starts_anew", other_client_context,
        rfc "RFC 8446 C.4", &["K12"], &[]
    ),
    per_version!(
        "another_name_or_key_starts_anew", other_name_or_key,
        rfc "RFC 8446 4.2.11, C.4", &["K12"], &["behaviours 146"]
    ),
    per_version!(
        "another_version_starts_anew", other_version,
        rfc "RFC 8446 2.2, 4.1.2, D.1", &["K12", "K10"], &["behaviours 146"], Tls12, Tls13
    ),
    per_version!(
        "client_authentication_is_not_bypassed", no_bypass,
        rfc "RFC 8446 4.2.11", &["K12", "K14"], &["behaviours 146"],
        ClientAuthentication, ClientCertificate
    ),
    per_version!(
        "identity_of_the_client_is_kept", client_identity,
        rfc "RFC 8446 2.2", &["K12", "K10"], &["seed-api 76"],
        ClientAuthentication, ClientCertificate
    ),
    per_version!(
        "bounded_cache_forgets_the_oldest", bounded_cache,
        rfc "RFC 5246 F.1.4", &["K12"], &["seed-api 75", "behaviours 151"], SessionCacheSize
    ),
    per_version!(
        "old_sessions_start_anew", timeout,
        rfc "RFC 8446 4.6.1", &["K12"], &["seed-api 75", "behaviours 150"], SessionTimeout,
        SessionCacheSize, StatelessTickets
    ),
    per_version!(
        "alpn_is_negotiated_each_time", alpn_each_time,
        rfc "RFC 7301 3.1", &["K12", "K10"], &["behaviours 130"], Alpn
    ),
    per_version!(
        "same_chosen_context_resumes", chosen_again,
        rfc "RFC 8446 2.2, RFC 5246 7.3", &["K12", "K13"], &["behaviours 142"],
        DeferredServerContext
    ),
    per_version!(
        "another_chosen_context_starts_anew", chosen_other,
        rfc "RFC 8446 4.2.11", &["K12", "K13"], &["behaviours 144"], DeferredServerContext
    ),
    per_version!(
        "choosing_bypasses_no_client_authentication", chosen_no_bypass,
        rfc "RFC 8446 4.2.11", &["K12", "K13", "K14"], &["behaviours 146"],
        DeferredServerContext, ClientAuthentication, ClientCertificate
    ),
    [
        Case {
            rfc: "RFC 8446 C.4, 4.6.1",
            clauses: &["K12"],
            items: &["behaviours 147"],
            requires: &[Feature::Tls13Resumption],
            versions: Versions::TLS13,
            ..Case::new("resumption.tickets_are_used_once", used_once)
        },
        Case {
            rfc: "RFC 8446 4.6.1",
            clauses: &["K12", "K18"],
            items: &["seed-api 4"],
            requires: &[Feature::Tls13Resumption],
            versions: Versions::TLS13,
            ..Case::new("resumption.tickets_read_late_are_kept", read_late)
        },
    ],
];

/// A client and a server context that several connections share.
struct Contexts {
    client: Box<dyn DynContext>,
    server: Box<dyn DynContext>,
    /// From which `server` is chosen, if it is.
    bootstrap: Option<Box<dyn DynContext>>,
}

impl Contexts {
    fn new(scene: &Scene<'_>) -> CaseResult<Self> {
        Self::with(scene, scene.client_config(), scene.server_config())
    }

    fn with(scene: &Scene<'_>, client: ClientConfig, server: ServerConfig) -> CaseResult<Self> {
        Ok(Self {
            client: scene.backend.client(client)?,
            server: scene.backend.server(server)?,
            bootstrap: None,
        })
    }

    /// The same, with a server that is chosen by the ClientHello.
    fn chosen(scene: &Scene<'_>, client: ClientConfig, server: ServerConfig) -> CaseResult<Self> {
        Ok(Self {
            bootstrap: Some(scene.backend.deferred_server()?),
            ..Self::with(scene, client, server)?
        })
    }

    fn pair(&self, scene: &Scene<'_>, options: SessionOptions) -> CaseResult<Pair> {
        let builder = scene.build().client_context(&*self.client).options(options);
        let Some(bootstrap) = &self.bootstrap else {
            return builder.server_context(&*self.server).pair();
        };
        let mut pair = builder.server_context(&**bootstrap).pair()?;
        suspend(&mut pair)?;
        pair.server.session_mut().set_context(&*self.server)?;
        Ok(pair)
    }

    /// Connects, moves data both ways so that tickets arrive, and closes cleanly: the connection,
    /// of which both sides say the same about resumption.
    fn connect_as(&self, scene: &Scene<'_>, options: SessionOptions) -> CaseResult<(Pair, bool)> {
        let mut pair = self.pair(scene, options)?;
        pair.handshake()?;
        let resumed = pair.client.session().resumed();
        check::equal(
            "what the server says",
            pair.server.session().resumed(),
            resumed,
        )?;
        pair.ping_pong()?;
        pair.shutdown(Side::Client)?;
        pair.read_to_end(Side::Server)?.1?;
        pair.shutdown(Side::Server)?;
        pair.read_to_end(Side::Client)?.1?;
        Ok((pair, resumed == Some(true)))
    }

    fn connect(&self, scene: &Scene<'_>) -> CaseResult<bool> {
        Ok(self.connect_as(scene, scene.options())?.1)
    }

    /// Connects twice: the second is resumed, or not.
    fn twice(&self, scene: &Scene<'_>, what: &str, expected: bool) -> CaseResult {
        check::equal("the first is resumed", self.connect(scene)?, false)?;
        check::equal(what, self.connect(scene)?, expected)
    }
}

fn second_connection(scene: &Scene<'_>) -> CaseResult {
    let contexts = Contexts::new(scene)?;
    let (first, resumed) = contexts.connect_as(scene, scene.options())?;
    check::equal("the first is resumed", resumed, false)?;
    for what in ["the second", "the third"] {
        let (next, resumed) = contexts.connect_as(scene, scene.options())?;
        check::equal(what, resumed, true)?;
        check::equal(
            "the leaf of a resumed server",
            next.client
                .session()
                .peer_certificates()
                .and_then(<[_]>::first),
            scene.pki.server.chain().first(),
        )?;
        let (full, short) = (first.wire.to_client.sent(), next.wire.to_client.sent());
        ensure!(
            short * 4 < full * 3,
            "{what}: the server sent {short} bytes, not much fewer than the {full} of the first"
        );
    }
    Ok(())
}

fn by_cache(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.resumption.tickets = false;
    Contexts::with(scene, scene.client_config(), server)?.twice(scene, "with a cache", true)
}

fn off(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.resumption.enabled = false;
    let contexts = Contexts::with(scene, client, scene.server_config())?;
    let (first, _) = contexts.connect_as(scene, scene.options())?;
    let (second, resumed) = contexts.connect_as(scene, scene.options())?;
    check::equal("with a client that does not", resumed, false)?;
    let (full, again) = (first.wire.to_client.sent(), second.wire.to_client.sent());
    ensure!(
        full.abs_diff(again) * 4 < full,
        "a full handshake again: the server sent {again} bytes, {full} at first"
    );
    let mut server = scene.server_config();
    server.resumption.enabled = false;
    let contexts = Contexts::with(scene, scene.client_config(), server)?;
    contexts.twice(scene, "with a server that does not", false)
}

fn other_server_context(scene: &Scene<'_>) -> CaseResult {
    let mut contexts = Contexts::new(scene)?;
    contexts.connect(scene)?;
    contexts.server = scene.backend.server(scene.server_config())?;
    check::equal(
        "with a ticket of another context",
        contexts.connect(scene)?,
        false,
    )
}

fn other_client_context(scene: &Scene<'_>) -> CaseResult {
    let mut contexts = Contexts::new(scene)?;
    contexts.connect(scene)?;
    contexts.client = scene.backend.client(scene.client_config())?;
    check::equal(
        "with another client context",
        contexts.connect(scene)?,
        false,
    )
}

fn other_name_or_key(scene: &Scene<'_>) -> CaseResult {
    let contexts = Contexts::new(scene)?;
    contexts.connect(scene)?;
    let named = SessionOptions::to_server(SECOND_NAME)?;
    let (_, resumed) = contexts.connect_as(scene, named)?;
    check::equal("towards another name", resumed, false)?;
    let mut keyed = scene.options();
    keyed.resumption_key = b"tenant".to_vec();
    let (_, resumed) = contexts.connect_as(scene, keyed.clone())?;
    check::equal("with another key", resumed, false)?;
    let (_, resumed) = contexts.connect_as(scene, keyed)?;
    check::equal("with the same key again", resumed, true)?;
    check::equal("without a key again", contexts.connect(scene)?, true)
}

/// A name behind which not every server speaks the newest version.
fn other_version(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.parameters.min_version = ProtocolVersion::TLS1_2;
    client.parameters.max_version = ProtocolVersion::TLS1_3;
    let mut contexts = Contexts::with(scene, client, scene.server_config())?;
    // Of an engine that resumes in one version alone, such clients may resume in none.
    let resumes = scene.has(Feature::Tls13Resumption);
    contexts.twice(scene, "with the same version", resumes)?;
    let other = if scene.is_tls13() {
        ProtocolVersion::TLS1_2
    } else {
        ProtocolVersion::TLS1_3
    };
    let mut server = scene.server_config();
    server.parameters.min_version = other;
    server.parameters.max_version = other;
    contexts.server = scene.backend.server(server)?;
    let (pair, resumed) = contexts.connect_as(scene, scene.options())?;
    let facts = pair.client.session().facts();
    check::equal(
        "the version",
        facts.map(|facts| facts.protocol_version),
        Some(other),
    )?;
    check::equal("with another version", resumed, false)
}

fn no_bypass(scene: &Scene<'_>) -> CaseResult {
    let mut contexts = Contexts::new(scene)?;
    contexts.connect(scene)?;
    let mut strict = scene.server_config();
    strict.client_authentication = ClientAuthentication::Required(scene.pki.roots());
    contexts.server = scene.backend.server(strict)?;
    let outcome = contexts.pair(scene, scene.options())?.settle()?;
    let error = outcome
        .server
        .failure("the server that requires a certificate")?;
    check::kind(
        "the server that requires a certificate",
        error,
        ErrorKind::Certificate(CertificateProblem::Missing),
    )
}

/// Servers by tickets and by a cache, as far as the backend has both.
fn each_way(scene: &Scene<'_>) -> impl Iterator<Item = ServerConfig> + use<> {
    let ways = [
        (true, scene.has(Feature::StatelessTickets)),
        (false, scene.has(Feature::SessionCacheSize)),
    ];
    let config = scene.server_config();
    let possible = ways.into_iter().filter(|(_, possible)| *possible);
    possible.map(move |(tickets, _)| {
        let mut config = config.clone();
        config.resumption.tickets = tickets;
        config
    })
}

fn chosen_again(scene: &Scene<'_>) -> CaseResult {
    for server in each_way(scene) {
        let contexts = Contexts::chosen(scene, scene.client_config(), server)?;
        contexts.twice(scene, "the same context chosen again", true)?;
    }
    Ok(())
}

fn chosen_other(scene: &Scene<'_>) -> CaseResult {
    for server in each_way(scene) {
        let mut contexts = Contexts::chosen(scene, scene.client_config(), server.clone())?;
        contexts.connect(scene)?;
        let first = std::mem::replace(&mut contexts.server, scene.backend.server(server)?);
        let resumed = contexts.connect(scene)?;
        check::equal("with a ticket of another context", resumed, false)?;
        contexts.server = first;
        contexts.connect(scene)?;
        let resumed = contexts.connect(scene)?;
        check::equal("back with the first", resumed, true)?;
    }
    Ok(())
}

fn chosen_no_bypass(scene: &Scene<'_>) -> CaseResult {
    for server in each_way(scene) {
        let mut strict = server.clone();
        strict.client_authentication = ClientAuthentication::Required(scene.pki.roots());
        let mut contexts = Contexts::chosen(scene, scene.client_config(), server.clone())?;
        contexts.connect(scene)?;
        contexts.server = scene.backend.server(strict.clone())?;
        let outcome = contexts.pair(scene, scene.options())?.settle()?;
        let error = outcome
            .server
            .failure("the context that requires a certificate")?;
        let missing = ErrorKind::Certificate(CertificateProblem::Missing);
        check::kind("the context that requires a certificate", error, missing)?;

        // A client that has a certificate shows it: what it kept from before is not taken for one.
        let mut client = scene.client_config();
        client.identity = Some(scene.pki.client.clone());
        let mut contexts = Contexts::chosen(scene, client, server)?;
        contexts.connect(scene)?;
        contexts.server = scene.backend.server(strict)?;
        let (pair, resumed) = contexts.connect_as(scene, scene.options())?;
        check::equal("towards the strict context", resumed, false)?;
        let leaf = pair.server.session().peer_certificates();
        let leaf = leaf.and_then(<[_]>::first);
        check::equal("the client's leaf", leaf, scene.pki.client.chain().first())?;
        let resumed = contexts.connect(scene)?;
        check::equal("towards the strict context again", resumed, true)?;
    }
    Ok(())
}

fn client_identity(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.identity = Some(scene.pki.client.clone());
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
    let contexts = Contexts::with(scene, client, server)?;
    contexts.connect(scene)?;
    let (pair, resumed) = contexts.connect_as(scene, scene.options())?;
    check::equal("with client certificates", resumed, true)?;
    check::equal(
        "the leaf of a resumed client",
        pair.server
            .session()
            .peer_certificates()
            .and_then(<[_]>::first),
        scene.pki.client.chain().first(),
    )
}

fn bounded_cache(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.resumption.tickets = false;
    // Room for what one TLS 1.3 connection leaves behind, and not for what several do.
    server.resumption.cache_size = 2;
    let contexts = Contexts::with(scene, scene.client_config(), server)?;
    let mut first = scene.options();
    first.resumption_key = b"first".to_vec();
    contexts.connect_as(scene, first.clone())?;
    for tenant in 0..4_u8 {
        let mut options = scene.options();
        options.resumption_key = vec![tenant];
        contexts.connect_as(scene, options)?;
    }
    let (_, resumed) = contexts.connect_as(scene, first)?;
    check::equal("after the cache was filled by others", resumed, false)
}

fn timeout(scene: &Scene<'_>) -> CaseResult {
    let connected = |tickets| -> CaseResult<Contexts> {
        let mut server = scene.server_config();
        server.resumption.tickets = tickets;
        server.resumption.timeout = Duration::from_secs(1);
        let contexts = Contexts::with(scene, scene.client_config(), server)?;
        contexts.connect(scene)?;
        Ok(contexts)
    };
    let both = [connected(true)?, connected(false)?];
    // Engines count whole seconds.
    std::thread::sleep(Duration::from_millis(2_100));
    for contexts in both {
        check::equal("after its time", contexts.connect(scene)?, false)?;
    }
    Ok(())
}

fn alpn_each_time(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.parameters.alpn = vec![b"one".to_vec(), b"two".to_vec()];
    let mut server = scene.server_config();
    server.parameters.alpn = vec![b"two".to_vec()];
    let contexts = Contexts::with(scene, client, server)?;
    contexts.connect(scene)?;
    let (pair, resumed) = contexts.connect_as(scene, scene.options())?;
    check::equal("with ALPN", resumed, true)?;
    for session in [pair.client.session(), pair.server.session()] {
        check::equal("after a resumption", session.alpn(), Some(&b"two"[..]))?;
    }
    Ok(())
}

fn used_once(scene: &Scene<'_>) -> CaseResult {
    let contexts = Contexts::new(scene)?;
    contexts.connect(scene)?;
    let mut seen = Vec::new();
    // None of these gets an answer, so each could be tempted to offer the same ticket again.
    for _ in 0..20 {
        let mut pair = contexts.pair(scene, scene.options())?;
        pair.client.handshake()?;
        pair.relay()?;
        seen.extend(hello::psk_identity(pair.wire.to_server.recorded())?);
    }
    ensure!(!seen.is_empty(), "no ClientHello offers a ticket at all");
    ensure!(
        seen.len() <= 16,
        "{} tickets were kept, not at most 16",
        seen.len()
    );
    let offered = seen.len();
    seen.sort();
    seen.dedup();
    check::equal("different tickets among those offered", seen.len(), offered)
}

fn read_late(scene: &Scene<'_>) -> CaseResult {
    let contexts = Contexts::new(scene)?;
    let mut pair = contexts.pair(scene, scene.options())?;
    pair.handshake()?;
    // The client writes first, and meets the tickets in a read much later.
    pair.write_all(Side::Client, b"request")?;
    check::same_bytes(
        "the request",
        &pair.read_exact(Side::Server, 7)?,
        b"request",
    )?;
    pair.transfer(Side::Server, b"response")?;
    check::equal("the next", contexts.connect(scene)?, true)
}
