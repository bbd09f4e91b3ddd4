//! Versions, suites, groups and application protocols, agreed and not agreed.

mod common;

use common::{
    Mode, Outcome, Pki, SERVER_NAME, capabilities, client_config, connect, everywhere, is_libressl,
    server_config,
};
use tls_core::iana::{AlertDescription, CipherSuite, Group, ProtocolVersion};
use tls_core::{ErrorKind, SharedParameter};

#[test]
fn the_server_chooses_the_application_protocol() {
    let pki = Pki::new();
    let protocols = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let cases: [(&[&str], &[&str], Option<&str>); 5] = [
        (&["a", "b"], &["b", "a"], Some("b")),
        (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&[], &["h2"], None),
        (&["h2"], &[], None),
        (&["abc"], &["ab", "abc"], Some("abc")),
    ];
    for (offered, known, chosen) in cases {
        everywhere(|mode, version| {
            let mut client = client_config(&pki, version);
            client.parameters.alpn = protocols(offered);
            let mut server = server_config(pki.server());
            server.parameters.alpn = protocols(known);
            let (client, server) = connect(mode, client, server).succeeded();
            assert_eq!(client.alpn.as_deref(), chosen.map(str::as_bytes));
            assert_eq!(server.alpn, client.alpn);
        });
    }
}

#[test]
fn no_common_application_protocol_is_refused() {
    let pki = Pki::new();
    everywhere(|mode, version| {
        let mut client = client_config(&pki, version);
        client.parameters.alpn = vec![b"h2".to_vec()];
        let mut server = server_config(pki.server());
        server.parameters.alpn = vec![b"h3".to_vec()];
        refused(
            &connect(mode, client, server),
            SharedParameter::ApplicationProtocol,
            AlertDescription::NO_APPLICATION_PROTOCOL,
        );
    });
}

#[track_caller]
fn refused(outcome: &Outcome, what: SharedParameter, alert: AlertDescription) {
    let error = outcome.server.error();
    assert_eq!(error.kind(), ErrorKind::NoSharedParameters(what), "{error}");
    assert_eq!(error.alert().expect("an alert").description, alert);
    let error = outcome.client.error();
    assert_eq!(error.kind(), ErrorKind::PeerAlert, "{error}");
    assert_eq!(error.alert().expect("an alert").description, alert);
}

#[test]
fn no_common_version_is_refused() {
    let pki = Pki::new();
    for (ours, theirs) in [
        (ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3),
        (ProtocolVersion::TLS1_3, ProtocolVersion::TLS1_2),
    ] {
        for mode in [Mode::Buffer, Mode::Socket] {
            let mut server = server_config(pki.server());
            server.parameters.min_version = theirs;
            server.parameters.max_version = theirs;
            refused(
                &connect(mode, client_config(&pki, ours), server),
                SharedParameter::Version,
                AlertDescription::PROTOCOL_VERSION,
            );
        }
    }
}

#[test]
fn the_highest_common_version_is_chosen() {
    let pki = Pki::new();
    let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
    client.parameters.min_version = ProtocolVersion::TLS1_2;
    let (client, server) = connect(Mode::Socket, client, server_config(pki.server())).succeeded();
    assert_eq!(client.protocol_version, ProtocolVersion::TLS1_3);
    assert_eq!(server.protocol_version, ProtocolVersion::TLS1_3);
}

#[test]
fn each_suite_and_group_of_the_capabilities_is_negotiated_when_asked_for() {
    let pki = Pki::new();
    for &suite in &capabilities().cipher_suites {
        // These take an RSA certificate, which the authority here does not issue.
        if suite.to_string().contains("RSA_WITH") {
            continue;
        }
        let version = match suite.is_tls13() {
            true => ProtocolVersion::TLS1_3,
            false => ProtocolVersion::TLS1_2,
        };
        let mut client = client_config(&pki, version);
        client.parameters.cipher_suites = Some(vec![suite]);
        let outcome = connect(Mode::Buffer, client, server_with_every_suite(&pki, suite));
        let (client, server) = outcome.succeeded();
        assert_eq!((client.cipher_suite, server.cipher_suite), (suite, suite));
    }
    for &group in &capabilities().groups {
        let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
        client.parameters.groups = Some(vec![group]);
        let mut server = server_config(pki.server());
        server.parameters.groups = Some(capabilities().groups.clone());
        let (client, server) = connect(Mode::Buffer, client, server).succeeded();
        if capabilities().negotiated_group.is_available() {
            assert_eq!((client.group, server.group), (Some(group), Some(group)));
        }
    }
}

/// A server that has this suite, whether its own defaults include it or not.
fn server_with_every_suite(pki: &Pki, suite: CipherSuite) -> tls_core::ServerConfig {
    let mut server = server_config(pki.server());
    let mut suites = capabilities().cipher_suites.clone();
    assert!(suites.contains(&suite));
    suites.rotate_left(1);
    server.parameters.cipher_suites = Some(suites);
    server
}

#[test]
fn the_server_chooses_the_suite_by_its_own_order() {
    let pki = Pki::new();
    for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
        let mut suites: Vec<_> = [
            CipherSuite::TLS_AES_128_GCM_SHA256,
            CipherSuite::TLS_AES_256_GCM_SHA384,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ]
        .into();
        for _ in 0..2 {
            let mut server = server_config(pki.server());
            server.parameters.cipher_suites = Some(suites.clone());
            let mut client = client_config(&pki, version);
            suites.reverse();
            client.parameters.cipher_suites = Some(
                suites
                    .iter()
                    .copied()
                    .filter(|suite| suite.is_tls13() == (version == ProtocolVersion::TLS1_3))
                    .collect(),
            );
            let wanted = client.parameters.cipher_suites.as_ref().unwrap()[1];
            let (client, _) = connect(Mode::Buffer, client, server).succeeded();
            assert_eq!(client.cipher_suite, wanted, "the client wants it last");
        }
    }
}

#[test]
fn no_common_suite_or_group_is_refused() {
    let pki = Pki::new();
    for mode in [Mode::Buffer, Mode::Socket] {
        for (version, ours, theirs) in [
            (
                ProtocolVersion::TLS1_3,
                CipherSuite::TLS_AES_128_GCM_SHA256,
                CipherSuite::TLS_AES_256_GCM_SHA384,
            ),
            (
                ProtocolVersion::TLS1_2,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            ),
        ] {
            let mut client = client_config(&pki, version);
            client.parameters.cipher_suites = Some(vec![ours]);
            let mut server = server_config(pki.server());
            server.parameters.min_version = version;
            server.parameters.max_version = version;
            server.parameters.cipher_suites = Some(vec![theirs]);
            refused(
                &connect(mode, client, server),
                SharedParameter::CipherSuite,
                AlertDescription::HANDSHAKE_FAILURE,
            );
        }
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            let mut client = client_config(&pki, version);
            client.parameters.groups = Some(vec![Group::SECP256R1]);
            let mut server = server_config(pki.server());
            server.parameters.groups = Some(vec![Group::SECP384R1]);
            let outcome = connect(mode, client, server);
            if is_libressl() && version == ProtocolVersion::TLS1_3 {
                // No alert leaves: gaps.toml.
                let error = outcome.server.error();
                let unshared = ErrorKind::NoSharedParameters(SharedParameter::CipherSuite);
                assert_eq!((error.kind(), error.alert()), (unshared, None), "{error}");
                continue;
            }
            refused(
                &outcome,
                SharedParameter::CipherSuite,
                AlertDescription::HANDSHAKE_FAILURE,
            );
        }
    }
}

#[test]
fn a_retried_client_hello_is_as_good_as_the_first() {
    let pki = Pki::new();
    for mode in [Mode::Buffer, Mode::Socket] {
        let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
        client.parameters.groups = Some(vec![Group::X25519, Group::SECP384R1]);
        client.parameters.alpn = vec![b"h2".to_vec()];
        let mut server = server_config(pki.server());
        server.parameters.groups = Some(vec![Group::SECP384R1]);
        server.parameters.alpn = vec![b"h2".to_vec()];
        let (client, server) = connect(mode, client, server).succeeded();
        assert_eq!(client.alpn.as_deref(), Some(&b"h2"[..]));
        assert_eq!(server.server_name.as_deref(), Some(SERVER_NAME));
        if capabilities().negotiated_group.is_available() {
            assert_eq!(client.group, Some(Group::SECP384R1));
            assert_eq!(server.group, client.group);
        }
    }
}

#[test]
fn what_is_listed_twice_is_listed_once() {
    let pki = Pki::new();
    let suite = CipherSuite::TLS_AES_128_GCM_SHA256;
    let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
    client.parameters.groups = Some(vec![Group::SECP256R1, Group::X25519, Group::SECP256R1]);
    client.parameters.cipher_suites = Some(vec![suite, suite]);
    client.parameters.alpn = vec![b"h2".to_vec(), b"h2".to_vec()];
    let mut server = server_config(pki.server());
    server.parameters = client.parameters.clone();
    let (client, _) = connect(Mode::Buffer, client, server).succeeded();
    assert_eq!(client.cipher_suite, suite);
}
