//! The check of a configuration against capabilities: each refusal, and its words.

use std::sync::Arc;
use std::time::Duration;

use tls_core::config::{
    ClientAuthentication, Identity, PeerVerification, Roots, SocketTransport, UnverifiedPeer,
    Verifier,
};
use tls_core::iana::{CipherSuite, Group, ProtocolVersion};
use tls_core::pki_types::CertificateDer;
use tls_core::{
    Capabilities, ClientConfig, ConfigProblem, Error, ErrorKind, Feature, ServerConfig,
    SessionOptions, Support, Verdict,
};

use super::sentence;

const SUITE12: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
const SUITE13: CipherSuite = CipherSuite::TLS_AES_128_GCM_SHA256;

/// Everything, for as long as a test does not take it away.
fn all() -> Capabilities {
    let mut all = Capabilities::default();
    for &feature in Feature::ALL {
        *slot(&mut all, feature) = Support::Native;
    }
    all.cipher_suites = vec![SUITE12, SUITE13];
    all.groups = vec![Group::X25519];
    all
}

fn without(feature: Feature) -> Capabilities {
    let mut capabilities = all();
    *slot(&mut capabilities, feature) = Support::Unsupported("the engine is a toy");
    capabilities
}

fn slot(capabilities: &mut Capabilities, feature: Feature) -> &mut Support {
    match feature {
        Feature::BufferMode => &mut capabilities.buffer_mode,
        Feature::SocketMode => &mut capabilities.socket_mode,
        Feature::PlainSocketTransport => &mut capabilities.plain_socket_transport,
        Feature::Tls12 => &mut capabilities.tls12,
        Feature::Tls13 => &mut capabilities.tls13,
        Feature::Tls12CipherSuites => &mut capabilities.tls12_cipher_suites,
        Feature::Tls13CipherSuites => &mut capabilities.tls13_cipher_suites,
        Feature::GroupsList => &mut capabilities.groups_list,
        Feature::NegotiatedGroup => &mut capabilities.negotiated_group,
        Feature::Alpn => &mut capabilities.alpn,
        Feature::Sni => &mut capabilities.sni,
        Feature::SniOff => &mut capabilities.sni_off,
        Feature::IpServerName => &mut capabilities.ip_server_name,
        Feature::ClientCertificate => &mut capabilities.client_certificate,
        Feature::ClientAuthentication => &mut capabilities.client_authentication,
        Feature::DeferredServerContext => &mut capabilities.deferred_server_context,
        Feature::Unread => &mut capabilities.unread,
        Feature::SystemRoots => &mut capabilities.system_roots,
        Feature::Tls12Resumption => &mut capabilities.tls12_resumption,
        Feature::Tls13Resumption => &mut capabilities.tls13_resumption,
        Feature::SessionCacheSize => &mut capabilities.session_cache_size,
        Feature::SessionTimeout => &mut capabilities.session_timeout,
        Feature::StatelessTickets => &mut capabilities.stateless_tickets,
        Feature::QuietShutdown => &mut capabilities.quiet_shutdown,
        Feature::PendingOutputBound => &mut capabilities.pending_output_bound,
        Feature::KeyUpdate => &mut capabilities.key_update,
        Feature::Verifier => &mut capabilities.verifier,
        Feature::SuspendedVerificationClient => &mut capabilities.suspended_verification_client,
        Feature::SuspendedVerificationServer => &mut capabilities.suspended_verification_server,
        Feature::LateClientCredentials => &mut capabilities.late_client_credentials,
        Feature::PostHandshakeAuth => &mut capabilities.post_handshake_auth,
        Feature::RenegotiationClient => &mut capabilities.renegotiation_client,
        Feature::RenegotiationServer => &mut capabilities.renegotiation_server,
        Feature::Exporter => &mut capabilities.exporter,
        Feature::ExtendedMasterSecret => &mut capabilities.extended_master_secret,
        Feature::TlsUnique => &mut capabilities.tls_unique,
        Feature::TlsServerEndPoint => &mut capabilities.tls_server_end_point,
        Feature::TlsExporter => &mut capabilities.tls_exporter,
        other => panic!("{other} is new: add it here"),
    }
}

fn root() -> CertificateDer<'static> {
    CertificateDer::from(vec![0x30, 0])
}

fn identity() -> Identity {
    let certified = rcgen::generate_simple_self_signed(["test.example".to_owned()]).unwrap();
    let key = certified.signing_key.serialize_pem();
    Identity::from_pem(certified.cert.pem().as_bytes(), key.as_bytes()).unwrap()
}

fn client() -> ClientConfig {
    ClientConfig::new(Roots::given([root()]))
}

fn server() -> ServerConfig {
    ServerConfig::new(identity())
}

/// Takes everybody.
#[derive(Debug)]
struct Careless;

impl Verifier for Careless {
    fn verify(&self, _: &UnverifiedPeer<'_>) -> Verdict {
        Verdict::Accept
    }
}

fn verifier() -> PeerVerification {
    PeerVerification::Verifier(Arc::new(Careless))
}

/// The refusal of the configuration after this change, for both roles where it concerns both.
fn refusals(change: impl Fn(&mut tls_core::config::Parameters), of: &Capabilities) -> [Error; 2] {
    let (mut client, mut server) = (client(), server());
    change(&mut client.parameters);
    change(&mut server.parameters);
    [client.check(of).unwrap_err(), server.check(of).unwrap_err()]
}

fn config(problem: ConfigProblem) -> ErrorKind {
    ErrorKind::Config(problem)
}

#[test]
fn the_defaults_pass() {
    client().check(&all()).unwrap();
    server().check(&all()).unwrap();
    let unused = [
        Feature::SniOff,
        Feature::QuietShutdown,
        Feature::PendingOutputBound,
        Feature::Alpn,
        Feature::GroupsList,
        Feature::SystemRoots,
        Feature::PlainSocketTransport,
        Feature::ClientCertificate,
        Feature::ClientAuthentication,
        Feature::SessionTimeout,
        Feature::PostHandshakeAuth,
        Feature::RenegotiationClient,
        Feature::RenegotiationServer,
        Feature::Tls12CipherSuites,
        Feature::Tls13CipherSuites,
        Feature::Verifier,
        Feature::SuspendedVerificationClient,
        Feature::SuspendedVerificationServer,
        Feature::LateClientCredentials,
    ];
    for feature in unused {
        client().check(&without(feature)).unwrap();
        server().check(&without(feature)).unwrap();
    }
}

#[test]
fn a_parameter_the_backend_lacks_is_refused_by_name() {
    type Change = fn(&mut tls_core::config::Parameters);
    let changes: &[(Feature, Change)] = &[
        (Feature::Tls12, |_| {}),
        (Feature::Tls13, |_| {}),
        (Feature::Tls12CipherSuites, |p| {
            p.cipher_suites = Some(vec![SUITE13, SUITE12]);
        }),
        (Feature::Tls13CipherSuites, |p| {
            p.cipher_suites = Some(vec![SUITE13, SUITE12]);
        }),
        (Feature::GroupsList, |p| {
            p.groups = Some(vec![Group::X25519])
        }),
        (Feature::Alpn, |p| p.alpn = vec![b"h2".to_vec()]),
        (Feature::QuietShutdown, |p| p.quiet_shutdown = true),
        (Feature::PendingOutputBound, |p| p.pending_output_bound = 1),
        (Feature::PlainSocketTransport, |p| {
            p.socket_transport = SocketTransport::Plain;
        }),
    ];
    for &(feature, change) in changes {
        for error in refusals(change, &without(feature)) {
            let said = sentence(&error, ErrorKind::Unsupported(feature));
            assert!(said.contains(feature.name()), "{said}");
            assert!(said.contains("the engine is a toy"), "{said}");
        }
        let mut allowed = client();
        change(&mut allowed.parameters);
        allowed.check(&all()).unwrap();
    }
}

#[test]
fn a_client_setting_the_backend_lacks_is_refused_by_name() {
    type Change = fn(&mut ClientConfig);
    let changes: &[(Feature, Change)] = &[
        (Feature::Sni, |_| {}),
        (Feature::SniOff, |c| c.send_sni = false),
        (Feature::SystemRoots, |c| c.roots.system = true),
        (Feature::ClientCertificate, |c| {
            c.identity = Some(identity())
        }),
        (Feature::PostHandshakeAuth, |c| c.post_handshake_auth = true),
        (Feature::RenegotiationClient, |c| {
            c.parameters.allow_renegotiation = true;
        }),
        (Feature::SessionCacheSize, |_| {}),
        (Feature::Verifier, |c| c.peer_verification = verifier()),
        (Feature::SuspendedVerificationClient, |c| {
            c.peer_verification = PeerVerification::Suspended;
        }),
        (Feature::LateClientCredentials, |c| {
            c.late_credentials = true
        }),
        (Feature::ClientCertificate, |c| c.late_credentials = true),
    ];
    for &(feature, change) in changes {
        let mut changed = client();
        change(&mut changed);
        let error = changed.clone().check(&without(feature)).unwrap_err();
        sentence(&error, ErrorKind::Unsupported(feature));
        changed.check(&all()).unwrap();
    }
}

#[test]
fn a_server_setting_the_backend_lacks_is_refused_by_name() {
    type Change = fn(&mut ServerConfig);
    let changes: &[(Feature, Change)] = &[
        (Feature::PostHandshakeAuth, |c| {
            c.client_authentication = ClientAuthentication::OnRequest(Roots::given([root()]));
        }),
        (Feature::RenegotiationServer, |c| {
            c.parameters.allow_renegotiation = true;
        }),
        (Feature::RenegotiationServer, |c| {
            c.client_authentication = ClientAuthentication::OnRequest(Roots::given([root()]));
            c.parameters.max_version = ProtocolVersion::TLS1_2;
            c.parameters.allow_renegotiation = true;
        }),
        (Feature::ClientAuthentication, |c| {
            c.client_authentication = ClientAuthentication::Optional(Roots::given([root()]));
        }),
        (Feature::ClientAuthentication, |c| {
            c.client_authentication = ClientAuthentication::Required(Roots::given([root()]));
        }),
        (Feature::SessionTimeout, |c| {
            c.resumption.timeout = Duration::from_secs(1);
        }),
        (Feature::StatelessTickets, |_| {}),
        (Feature::SessionCacheSize, |c| c.resumption.tickets = false),
        (Feature::Verifier, |c| {
            c.client_authentication = ClientAuthentication::Optional(Roots::given([root()]));
            c.peer_verification = verifier();
        }),
        (Feature::SuspendedVerificationServer, |c| {
            c.client_authentication = ClientAuthentication::Required(Roots::given([root()]));
            c.peer_verification = PeerVerification::Suspended;
        }),
    ];
    for &(feature, change) in changes {
        let mut changed = server();
        change(&mut changed);
        let error = changed.clone().check(&without(feature)).unwrap_err();
        sentence(&error, ErrorKind::Unsupported(feature));
        changed.check(&all()).unwrap();
    }
}

#[test]
fn resumption_that_is_off_needs_nothing() {
    let mut quiet = client();
    quiet.resumption.enabled = false;
    quiet.resumption.store_size = 0;
    quiet.check(&without(Feature::SessionCacheSize)).unwrap();
    let mut quiet = server();
    quiet.resumption.enabled = false;
    quiet.resumption.timeout = Duration::ZERO;
    quiet.check(&without(Feature::StatelessTickets)).unwrap();
}

#[test]
fn parameters_no_backend_could_use_are_refused() {
    type Change = fn(&mut tls_core::config::Parameters);
    let changes: &[(ConfigProblem, &str, Change)] = &[
        (ConfigProblem::VersionRange, "TLSv1.3 is above", |p| {
            p.min_version = ProtocolVersion::TLS1_3;
            p.max_version = ProtocolVersion::TLS1_2;
        }),
        (ConfigProblem::VersionRange, "TLSv1.1", |p| {
            p.min_version = ProtocolVersion::TLS1_1;
        }),
        (ConfigProblem::VersionRange, "0x0305", |p| {
            p.max_version = ProtocolVersion(0x0305);
        }),
        (ConfigProblem::VersionRange, "none of TLSv1.2", |p| {
            p.cipher_suites = Some(vec![SUITE13]);
        }),
        (ConfigProblem::VersionRange, "none of TLSv1.3", |p| {
            p.cipher_suites = Some(vec![SUITE12]);
        }),
        (ConfigProblem::EmptyList, "cipher suites", |p| {
            p.cipher_suites = Some(Vec::new());
        }),
        (ConfigProblem::EmptyList, "groups", |p| {
            p.groups = Some(Vec::new())
        }),
        (ConfigProblem::AlpnName, "1 to 255", |p| {
            p.alpn = vec![Vec::new()]
        }),
        (ConfigProblem::AlpnName, "1 to 255", |p| {
            p.alpn = vec![vec![b'a'; 256]]
        }),
        (ConfigProblem::AlpnName, "65,535", |p| {
            p.alpn = vec![vec![b'a'; 255]; 256]
        }),
        (ConfigProblem::Limit, "0 bytes", |p| {
            p.pending_output_bound = 0
        }),
        (ConfigProblem::Limit, "16777217 bytes", |p| {
            p.pending_output_bound = 16 * 1024 * 1024 + 1;
        }),
    ];
    for &(problem, words, change) in changes {
        for error in refusals(change, &all()) {
            let said = sentence(&error, config(problem));
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn one_version_alone_needs_no_suite_of_the_other() {
    let mut only13 = client();
    only13.parameters.min_version = ProtocolVersion::TLS1_3;
    only13.parameters.cipher_suites = Some(vec![SUITE13]);
    only13.check(&without(Feature::Tls12)).unwrap();
    let mut only12 = server();
    only12.parameters.max_version = ProtocolVersion::TLS1_2;
    only12.parameters.cipher_suites = Some(vec![SUITE12]);
    only12.check(&without(Feature::Tls13)).unwrap();
}

#[test]
fn suites_and_groups_the_engine_lacks_are_named() {
    let lacking = CipherSuite::TLS_CHACHA20_POLY1305_SHA256;
    for error in refusals(
        |p| p.cipher_suites = Some(vec![SUITE12, SUITE13, lacking]),
        &all(),
    ) {
        let said = sentence(&error, ErrorKind::Unsupported(Feature::Tls13CipherSuites));
        assert!(said.contains("TLS_CHACHA20_POLY1305_SHA256"), "{said}");
    }
    for error in refusals(
        |p| p.groups = Some(vec![Group::X25519, Group::X448]),
        &all(),
    ) {
        let said = sentence(&error, ErrorKind::Unsupported(Feature::GroupsList));
        assert!(said.contains("x448"), "{said}");
    }
}

#[test]
fn trust_must_come_from_somewhere() {
    let error = ClientConfig::new(Roots::default())
        .check(&all())
        .unwrap_err();
    assert!(sentence(&error, config(ConfigProblem::TrustRoots)).contains("a client needs"));
    let mut dangerous = ClientConfig::new(Roots::default());
    dangerous.dangerous.accept_any_name = true;
    let error = dangerous.clone().check(&all()).unwrap_err();
    sentence(&error, config(ConfigProblem::TrustRoots));
    dangerous.dangerous.accept_any_certificate = true;
    dangerous.check(&all()).unwrap();

    for roots in [
        Roots::default(),
        Roots::system(),
        Roots::given([root()]).and_system(),
    ] {
        for asks in [
            ClientAuthentication::Optional,
            ClientAuthentication::Required,
            ClientAuthentication::OnRequest,
        ] {
            let mut server = server();
            server.client_authentication = asks(roots.clone());
            let error = server.check(&all()).unwrap_err();
            let said = sentence(&error, config(ConfigProblem::TrustRoots));
            assert!(said.contains("never the system's"), "{said}");
        }
    }
}

/// With TLS 1.2 alone a request is a renegotiation; with TLS 1.3 it may come to that.
#[test]
fn a_certificate_on_request_can_be_asked_for() {
    let mut config = server();
    config.client_authentication = ClientAuthentication::OnRequest(Roots::given([root()]));
    config.clone().check(&all()).unwrap();
    config.parameters.max_version = ProtocolVersion::TLS1_2;
    let refused = config.clone().check(&all()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config(ConfigProblem::Conflict));
    config.parameters.allow_renegotiation = true;
    config.check(&all()).unwrap();
}

#[test]
fn whoever_decides_may_do_without_roots_but_never_with_those_of_the_system() {
    for decides in [verifier(), PeerVerification::Suspended] {
        let mut pinned = ClientConfig::new(Roots::given([]));
        pinned.peer_verification = decides.clone();
        pinned.check(&all()).unwrap();

        let mut pinned = server();
        pinned.client_authentication = ClientAuthentication::Required(Roots::given([]));
        pinned.peer_verification = decides.clone();
        pinned.clone().check(&all()).unwrap();
        pinned.client_authentication = ClientAuthentication::Required(Roots::system());
        let error = pinned.check(&all()).unwrap_err();
        sentence(&error, config(ConfigProblem::TrustRoots));
    }
}

#[test]
fn settings_that_exclude_each_other_are_refused() {
    let mut twice = client();
    twice.identity = Some(identity());
    twice.late_credentials = true;
    let error = twice.check(&all()).unwrap_err();
    sentence(&error, config(ConfigProblem::Conflict));
    for decides in [verifier(), PeerVerification::Suspended] {
        let mut nobody = server();
        nobody.peer_verification = decides;
        let error = nobody.check(&all()).unwrap_err();
        sentence(&error, config(ConfigProblem::Conflict));
    }
}

/// Answers of the caller are waited for after the handshake too, but by no client in a renegotiation.
#[test]
fn what_waits_after_the_handshake() {
    let (mut late, mut suspended, mut server) = (client(), client(), server());
    late.late_credentials = true;
    suspended.peer_verification = PeerVerification::Suspended;
    server.peer_verification = PeerVerification::Suspended;
    for asked in [late, suspended] {
        let mut offers = asked.clone();
        offers.post_handshake_auth = true;
        offers.check(&all()).unwrap();
        let mut renegotiates = asked;
        renegotiates.parameters.allow_renegotiation = true;
        let error = renegotiates.check(&all()).unwrap_err();
        sentence(&error, config(ConfigProblem::Conflict));
    }
    let roots = || Roots::given([root()]);
    for authentication in [
        ClientAuthentication::Optional(roots()),
        ClientAuthentication::Required(roots()),
        ClientAuthentication::OnRequest(roots()),
    ] {
        server.client_authentication = authentication;
        for renegotiates in [false, true] {
            let mut server = server.clone();
            server.parameters.allow_renegotiation = renegotiates;
            server.check(&all()).unwrap();
        }
    }
}

#[test]
fn limits_have_two_ends() {
    for size in [0, 1_000_001] {
        let mut changed = client();
        changed.resumption.store_size = size;
        let error = changed.check(&all()).unwrap_err();
        let said = sentence(&error, config(ConfigProblem::Limit));
        assert!(said.contains(&size.to_string()), "{said}");
        let mut changed = server();
        changed.resumption.tickets = false;
        changed.resumption.cache_size = size;
        let error = changed.check(&all()).unwrap_err();
        sentence(&error, config(ConfigProblem::Limit));
    }
    for timeout in [
        Duration::ZERO,
        Duration::from_millis(1_500),
        Duration::from_secs(7 * 24 * 60 * 60 + 1),
    ] {
        let mut changed = server();
        changed.resumption.timeout = timeout;
        let error = changed.check(&all()).unwrap_err();
        sentence(&error, config(ConfigProblem::Limit));
    }
}

#[test]
fn a_client_session_needs_a_name() {
    let checked = client().check(&all()).unwrap();
    let options = SessionOptions::new();
    let error = checked.server_name(&options, &all()).unwrap_err();
    sentence(&error, config(ConfigProblem::ServerName));
    for (name, feature) in [
        ("test.example", None),
        ("192.0.2.1", Some(Feature::IpServerName)),
        ("2001:db8::1", Some(Feature::IpServerName)),
    ] {
        let options = SessionOptions::to_server(name).unwrap();
        let named = checked.server_name(&options, &all()).unwrap();
        assert_eq!(named.unwrap().to_str(), name);
        let lacking = checked.server_name(&options, &without(Feature::IpServerName));
        match feature {
            None => assert!(lacking.is_ok()),
            Some(feature) => {
                let error = lacking.unwrap_err();
                sentence(&error, ErrorKind::Unsupported(feature));
            }
        }
    }
    for name in [
        "",
        "a b",
        "-",
        "test..example",
        "999.0.0.1.",
        "[::1]",
        "a:443",
    ] {
        let error = SessionOptions::to_server(name).unwrap_err();
        let said = sentence(&error, config(ConfigProblem::ServerName));
        assert!(said.contains(&format!("{name:?}")), "{said}");
    }
    for dangerous in [true, false] {
        let mut config = client();
        config.dangerous.accept_any_certificate = dangerous;
        config.dangerous.accept_any_name = !dangerous;
        let checked = config.check(&all()).unwrap();
        let options = SessionOptions::new();
        assert!(checked.server_name(&options, &all()).unwrap().is_none());
    }
}

#[test]
fn a_server_session_takes_no_name() {
    let checked = server().check(&all()).unwrap();
    checked.check_session(&SessionOptions::new()).unwrap();
    let options = SessionOptions::to_server("test.example").unwrap();
    let error = checked.check_session(&options).unwrap_err();
    sentence(&error, config(ConfigProblem::ServerName));
}

#[test]
fn nothing_is_provided_until_it_is_said() {
    let nothing = Capabilities::default();
    assert!(nothing.cipher_suites.is_empty() && nothing.groups.is_empty());
    for &feature in Feature::ALL {
        assert!(!nothing.support(feature).is_available());
        let error = nothing.require(feature).unwrap_err();
        let said = sentence(&error, ErrorKind::Unsupported(feature));
        assert!(said.contains(feature.name()), "{said}");
        let mut only = Capabilities::default();
        *slot(&mut only, feature) = Support::Emulated;
        only.require(feature).unwrap();
        let others = Feature::ALL.iter().filter(|&&other| other != feature);
        assert!(
            others
                .into_iter()
                .all(|&other| only.require(other).is_err())
        );
    }
}
