//! Configurations that are refused, before any connection.

use std::time::Duration;

use tls_core::config::{Identity, Parameters, Roots};
use tls_core::iana::{CipherSuite, Group, ProtocolVersion};
use tls_core::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tls_core::{
    Capabilities, ClientConfig, ConfigProblem as C, ErrorKind, Feature, Result, ServerConfig,
};

use crate::case::{Case, CaseResult};
use crate::check;
use crate::ensure;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        items: &["seed-api 84", "behaviours 125", "behaviours 160"],
        ..Case::new("config.parameters_out_of_range", parameters)
    },
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        items: &["seed-api 84"],
        ..Case::new("config.what_the_engine_lacks", lacking)
    },
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        items: &["seed-api 84", "behaviours 118"],
        ..Case::new("config.key_of_another_certificate", mismatch)
    },
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        items: &["seed-api 84", "behaviours 94"],
        ..Case::new("config.garbage_certificates_and_keys", garbage)
    },
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        items: &["seed-api 84"],
        ..Case::new("config.resumption_out_of_range", resumption)
    },
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        ..Case::new("config.unsupported_is_refused_and_the_rest_works", inverse)
    },
    Case {
        rfc: "RFC 8446 4.2.1",
        clauses: &["K10"],
        items: &["behaviours 159"],
        requires: &[Feature::Tls12, Feature::Tls13],
        ..Case::new(
            "config.highest_common_version_is_negotiated",
            highest_version,
        )
    },
    Case {
        rfc: "RFC 8446 4.1.1",
        clauses: &["K10", "K11"],
        items: &["behaviours 161"],
        requires: &[Feature::Tls12CipherSuites, Feature::Tls13CipherSuites],
        ..Case::new("config.every_suite_listed_is_negotiated", every_suite)
    },
    Case {
        rfc: "RFC 8446 4.2.7",
        clauses: &["K10", "K11"],
        items: &["behaviours 161", "behaviours 165"],
        requires: &[Feature::GroupsList],
        ..Case::new("config.every_group_listed_is_negotiated", every_group)
    },
];

/// Both a client and a server with changed parameters are refused with this error.
fn refused(
    scene: &Scene<'_>,
    what: &str,
    expected: ErrorKind,
    change: impl Fn(&mut Parameters),
) -> CaseResult {
    let mut client = scene.client_config();
    change(&mut client.parameters);
    says_why(what, scene.backend.client(client).map(drop), expected)?;
    let mut server = scene.server_config();
    change(&mut server.parameters);
    says_why(what, scene.backend.server(server).map(drop), expected)
}

fn says_why(what: &str, result: Result<()>, expected: ErrorKind) -> CaseResult {
    let error = check::fails_with(what, result, expected)?;
    ensure!(
        !error.detail().is_empty(),
        "{what}: the error does not say what is wrong"
    );
    Ok(())
}

fn parameters(scene: &Scene<'_>) -> CaseResult {
    let config = ErrorKind::Config;
    refused(scene, "no suites", config(C::EmptyList), |it| {
        it.cipher_suites = Some(Vec::new());
    })?;
    refused(scene, "no groups", config(C::EmptyList), |it| {
        it.groups = Some(Vec::new())
    })?;
    refused(
        scene,
        "versions upside down",
        config(C::VersionRange),
        |it| {
            it.min_version = ProtocolVersion::TLS1_3;
            it.max_version = ProtocolVersion::TLS1_2;
        },
    )?;
    for version in [
        ProtocolVersion::TLS1_1,
        ProtocolVersion(0x0305),
        ProtocolVersion(0),
    ] {
        refused(scene, "another version", config(C::VersionRange), |it| {
            it.min_version = version;
            it.max_version = version;
        })?;
    }
    refused(
        scene,
        "a version without a suite",
        config(C::VersionRange),
        |it| {
            it.min_version = ProtocolVersion::TLS1_2;
            it.max_version = ProtocolVersion::TLS1_3;
            it.cipher_suites = Some(vec![CipherSuite::TLS_AES_128_GCM_SHA256]);
        },
    )?;
    for name in [Vec::new(), vec![b'x'; 256]] {
        refused(scene, "a bad ALPN name", config(C::AlpnName), |it| {
            it.alpn = vec![b"good".to_vec(), name.clone()];
        })?;
    }
    refused(scene, "ALPN names without end", config(C::AlpnName), |it| {
        it.alpn = vec![vec![b'x'; 255]; 257];
    })?;
    for bound in [0, (16 << 20) + 1] {
        refused(scene, "a bound out of range", config(C::Limit), |it| {
            it.pending_output_bound = bound;
        })?;
    }
    Ok(())
}

fn lacking(scene: &Scene<'_>) -> CaseResult {
    let suite = CipherSuite(0x13fe);
    let error = ErrorKind::Unsupported(Feature::Tls13CipherSuites);
    refused(scene, "an unknown TLS 1.3 suite", error, |it| {
        it.cipher_suites = Some(vec![CipherSuite::TLS_AES_128_GCM_SHA256, suite]);
    })?;
    let suite = CipherSuite(0xfefe);
    let error = ErrorKind::Unsupported(Feature::Tls12CipherSuites);
    refused(scene, "an unknown TLS 1.2 suite", error, |it| {
        it.cipher_suites = Some(vec![suite]);
    })?;
    let capabilities = scene.backend.capabilities();
    for &group in [Group(0xfefe)].iter().chain(Group::REGISTERED) {
        if capabilities.groups.contains(&group) {
            continue;
        }
        let error = ErrorKind::Unsupported(Feature::GroupsList);
        refused(scene, &format!("the group {group}"), error, |it| {
            it.groups = Some(vec![Group::SECP256R1, group]);
        })?;
    }
    Ok(())
}

fn mismatch(scene: &Scene<'_>) -> CaseResult {
    let expected = ErrorKind::Config(C::KeyMismatch);
    for identity in [&scene.pki.mismatched, &mismatch_across_algorithms(scene)?] {
        let mut server = scene.server_config();
        server.identity = identity.clone();
        says_why(
            "a server's key",
            scene.backend.server(server).map(drop),
            expected,
        )?;
        let mut client = scene.client_config();
        client.identity = Some(identity.clone());
        says_why(
            "a client's key",
            scene.backend.client(client).map(drop),
            expected,
        )?;
    }
    Ok(())
}

/// An ECDSA certificate with an Ed25519 key: RFC 8410 section 7, any 32 bytes are a key.
fn mismatch_across_algorithms(scene: &Scene<'_>) -> CaseResult<Identity> {
    let mut key = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    key.extend([0x5a; 32]);
    let chain = scene.pki.server.chain().to_vec();
    Ok(Identity::from_der(
        chain,
        PrivatePkcs8KeyDer::from(key).into(),
    )?)
}

fn garbage(scene: &Scene<'_>) -> CaseResult {
    let bytes = || vec![0x30, 0x03, 0x02, 0x01, 0x2a];
    let key = || scene.pki.server.key().clone_key();
    let mut server = scene.server_config();
    server.identity = Identity::from_der(vec![CertificateDer::from(bytes())], key())?;
    says_why(
        "a garbage certificate",
        scene.backend.server(server).map(drop),
        ErrorKind::Config(C::Certificate),
    )?;
    let mut server = scene.server_config();
    let chain = scene.pki.server.chain().to_vec();
    server.identity = Identity::from_der(chain, PrivatePkcs8KeyDer::from(bytes()).into())?;
    says_why(
        "a garbage key",
        scene.backend.server(server).map(drop),
        ErrorKind::Config(C::PrivateKey),
    )?;
    let mut client = scene.client_config();
    client.roots = Roots::given([scene.pki.root.clone(), CertificateDer::from(bytes())]);
    let error = scene.backend.client(client).map(drop).err();
    let kind = error.map(|error| error.kind());
    ensure!(
        matches!(
            kind,
            Some(ErrorKind::Config(C::Certificate | C::TrustRoots))
        ),
        "a garbage root came to {kind:?}"
    );
    Ok(())
}

fn resumption(scene: &Scene<'_>) -> CaseResult {
    let expected = ErrorKind::Config(C::Limit);
    for timeout in [
        Duration::ZERO,
        Duration::from_millis(1_500),
        Duration::from_secs(8 * 24 * 60 * 60),
    ] {
        let mut server: ServerConfig = scene.server_config();
        server.resumption.timeout = timeout;
        says_why(
            "a session timeout",
            scene.backend.server(server).map(drop),
            expected,
        )?;
    }
    for size in [0, 1_000_001] {
        let mut server = scene.server_config();
        server.resumption.tickets = false;
        server.resumption.cache_size = size;
        says_why(
            "a cache size",
            scene.backend.server(server).map(drop),
            expected,
        )?;
        let mut client: ClientConfig = scene.client_config();
        client.resumption.store_size = size;
        says_why(
            "a store size",
            scene.backend.client(client).map(drop),
            expected,
        )?;
    }
    Ok(())
}

fn inverse(scene: &Scene<'_>) -> CaseResult {
    let capabilities: &Capabilities = scene.backend.capabilities();
    for &feature in Feature::ALL {
        if !capabilities.support(feature).is_available() {
            crate::ask::refused(scene, feature)?;
        }
    }
    scene.connected()?.ping_pong()
}

fn highest_version(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.parameters.min_version = ProtocolVersion::TLS1_2;
    client.parameters.max_version = ProtocolVersion::TLS1_3;
    let mut server = scene.server_config();
    server.parameters.min_version = ProtocolVersion::TLS1_2;
    let pair = scene.build().client(client).server(server).connected()?;
    for session in [pair.client.session(), pair.server.session()] {
        check::equal(
            "the version",
            session.protocol_version(),
            Some(scene.version),
        )?;
    }
    Ok(())
}

fn every_suite(scene: &Scene<'_>) -> CaseResult {
    let ecdsa = |suite: &CipherSuite| {
        suite.is_tls13() || suite.name().is_some_and(|name| name.contains("_ECDSA_"))
    };
    let mut tried = 0;
    for &suite in &scene.backend.capabilities().cipher_suites {
        // The certificates of the suite are ECDSA.
        if suite.is_tls13() != scene.is_tls13() || !ecdsa(&suite) {
            continue;
        }
        tried += 1;
        let mut server = scene.server_config();
        server.parameters.cipher_suites = Some(vec![suite]);
        let mut client = scene.client_config();
        client.parameters.cipher_suites = Some(vec![suite]);
        let mut pair = scene.build().client(client).server(server).connected()?;
        for session in [pair.client.session(), pair.server.session()] {
            check::equal("the suite", session.cipher_suite(), Some(suite))?;
        }
        pair.ping_pong()?;
    }
    ensure!(
        tried >= 2,
        "only {tried} suites of {} are listed",
        scene.version
    );
    Ok(())
}

fn every_group(scene: &Scene<'_>) -> CaseResult {
    let mut tried = 0;
    for &group in &scene.backend.capabilities().groups {
        let tls13_only = group.0 >= 256;
        if tls13_only && !scene.is_tls13() {
            continue;
        }
        tried += 1;
        // In TLS 1.2 the list also says which curves certificates may use (RFC 8422 section 5.1.1),
        // and those of the suite are on P-256.
        let groups = vec![group, Group::SECP256R1];
        let mut server = scene.server_config();
        server.parameters.groups = Some(groups.clone());
        let mut client = scene.client_config();
        client.parameters.groups = Some(groups);
        let builder = scene.build().client(client).server(server);
        let mut pair = builder
            .connected()
            .map_err(|failure| failure.during(group))?;
        if scene.has(Feature::NegotiatedGroup) {
            for session in [pair.client.session(), pair.server.session()] {
                check::equal("the group", session.group(), Some(group))?;
            }
        }
        pair.ping_pong()?;
    }
    ensure!(tried >= 2, "only {tried} groups are listed");
    Ok(())
}
