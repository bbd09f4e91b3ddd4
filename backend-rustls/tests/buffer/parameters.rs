//! What contexts make of their configuration, and refuse.

use backend_rustls::Rustls;
use tls_core::config::{Identity, Roots};
use tls_core::iana::{AlertDescription, CipherSuite, Group, ProtocolVersion};
use tls_core::pki_types::PrivateKeyDer;
use tls_core::{
    Backend, ClientConfig, ConfigProblem, Context, ErrorKind, Feature, ServerConfig, Session,
    SessionOptions, SharedParameter,
};

use crate::pair::{Pair, VERSIONS, configured, to_server};
use crate::pki::Authority;

type Change = fn(&mut ClientConfig, &mut ServerConfig);

fn refused(server: ServerConfig) -> ErrorKind {
    let context = Backend::server(&Rustls::new(), server);
    context.expect_err("the context is refused").kind()
}

#[test]
fn identities_are_checked_when_the_context_is_built() {
    let authority = Authority::new();
    let (one, other) = (authority.server(), authority.server());
    let mismatched = Identity::from_der(one.chain().to_vec(), other.key().clone_key()).unwrap();
    assert_eq!(
        refused(ServerConfig::new(mismatched)),
        ErrorKind::Config(ConfigProblem::KeyMismatch)
    );
    let no_key = PrivateKeyDer::Pkcs8(vec![0x30, 0].into());
    let no_key = Identity::from_der(one.chain().to_vec(), no_key).unwrap();
    assert_eq!(
        refused(ServerConfig::new(no_key)),
        ErrorKind::Config(ConfigProblem::PrivateKey)
    );
    let no_certificate = Identity::from_der(vec![vec![1, 2, 3].into()], one.key().clone_key());
    assert_eq!(
        refused(ServerConfig::new(no_certificate.unwrap())),
        ErrorKind::Config(ConfigProblem::Certificate)
    );
}

#[test]
fn a_root_that_cannot_be_used_is_refused() {
    let client = ClientConfig::new(Roots::given([vec![1, 2, 3].into()]));
    let error = Backend::client(&Rustls::new(), client).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config(ConfigProblem::TrustRoots));
}

#[test]
fn capabilities_are_those_of_the_provider() {
    let backend = Rustls::new();
    let capabilities = Backend::capabilities(&backend);
    assert!(capabilities.groups.contains(&Group::X25519_MLKEM768));
    assert!(capabilities.tls13.is_available());
    assert!(
        capabilities
            .cipher_suites
            .contains(&CipherSuite::TLS_AES_256_GCM_SHA384)
    );
    let transport = capabilities.require(Feature::PlainSocketTransport);
    assert_eq!(
        transport.unwrap_err().kind(),
        ErrorKind::Unsupported(Feature::PlainSocketTransport)
    );
    let info = Backend::build_info(&backend);
    assert!(info.version.starts_with("0.23."), "{info}");
    #[cfg(feature = "ring")]
    {
        let ring = backend_rustls::RustlsRing::new();
        let groups = &Backend::capabilities(&ring).groups;
        assert!(!groups.contains(&Group::X25519_MLKEM768));
    }
}

#[test]
fn lists_choose_suite_and_group() {
    for (version, suite) in [
        (
            ProtocolVersion::TLS1_2,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
        (
            ProtocolVersion::TLS1_3,
            CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        ),
    ] {
        let authority = Authority::new();
        let (client, server) = configured(version, &authority, |_, server| {
            let second = match version {
                ProtocolVersion::TLS1_2 => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                _ => CipherSuite::TLS_AES_128_GCM_SHA256,
            };
            server.parameters.cipher_suites = Some(vec![suite, second]);
        });
        let mut pair = Pair::new(&client, &server);
        pair.handshake().unwrap();
        assert_eq!(pair.client.session.cipher_suite(), Some(suite));
    }
}

#[test]
fn nothing_in_common_is_named() {
    let no = ErrorKind::NoSharedParameters;
    let authority = Authority::new();
    let cases: [(Change, ErrorKind, _); 4] = [
        (
            |client, _| {
                client.parameters.min_version = ProtocolVersion::TLS1_2;
                client.parameters.max_version = ProtocolVersion::TLS1_2;
            },
            no(SharedParameter::Version),
            AlertDescription::PROTOCOL_VERSION,
        ),
        (
            |client, server| {
                client.parameters.cipher_suites = Some(vec![CipherSuite::TLS_AES_128_GCM_SHA256]);
                server.parameters.cipher_suites = Some(vec![CipherSuite::TLS_AES_256_GCM_SHA384]);
            },
            no(SharedParameter::CipherSuite),
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |client, server| {
                client.parameters.groups = Some(vec![Group::X25519]);
                server.parameters.groups = Some(vec![Group::SECP256R1]);
            },
            no(SharedParameter::CipherSuite),
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |client, server| {
                client.parameters.alpn = vec![b"a".to_vec()];
                server.parameters.alpn = vec![b"b".to_vec()];
            },
            no(SharedParameter::ApplicationProtocol),
            AlertDescription::NO_APPLICATION_PROTOCOL,
        ),
    ];
    for (change, kind, alert) in cases {
        let (client, server) = configured(ProtocolVersion::TLS1_3, &authority, change);
        let mut pair = Pair::new(&client, &server);
        let (client, server) = pair.outcomes(16_384, 16_384);
        let (client, server) = (client.unwrap_err(), server.unwrap_err());
        assert_eq!(server.kind(), kind, "{server}");
        assert_eq!(server.alert().unwrap().description, alert);
        assert_eq!(client.kind(), ErrorKind::PeerAlert, "{client}");
        assert_eq!(client.alert().unwrap().description, alert);
    }
}

#[test]
fn names_are_sent_only_if_they_may_be() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (client, server) = configured(version, &authority, |client, _| {
            client.send_sni = false;
        });
        let mut pair = Pair::new(&client, &server);
        pair.handshake().unwrap();
        assert_eq!(pair.client.session.server_name(), None);
        assert_eq!(pair.server.session.server_name(), None);

        let (client, server) = configured(version, &authority, |_, _| {});
        let address = SessionOptions::to_server("127.0.0.1").unwrap();
        let mut pair = Pair::with_options(&client, &server, address);
        pair.handshake().unwrap();
        assert_eq!(pair.client.session.server_name(), None);
        assert_eq!(pair.server.session.server_name(), None);

        let upper = SessionOptions::to_server("SERVER.test").unwrap();
        let mut pair = Pair::with_options(&client, &server, upper);
        pair.handshake().unwrap();
        assert_eq!(pair.client.session.server_name(), Some("server.test"));
        assert_eq!(pair.server.session.server_name(), Some("server.test"));
    }
}

#[test]
fn names_are_for_clients_and_clients_need_one() {
    let authority = Authority::new();
    let (client, server) = configured(ProtocolVersion::TLS1_3, &authority, |_, _| {});
    for (context, options) in [(client, SessionOptions::new()), (server, to_server())] {
        let error = context.buffer_session(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config(ConfigProblem::ServerName));
    }
}
