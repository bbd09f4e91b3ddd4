//! Verification by the engine, on both sides (contract K14).

mod common;

use std::time::Duration;

use common::{
    Leaf, Mode, Outcome, Pki, SERVER_NAME, client_config, common_name, connect, connect_to,
    everywhere, name_mismatch, not_yet_valid, server_config, to,
};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use tls_core::config::{ClientAuthentication, Roots};
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::{AlertDirection, CertificateProblem, ErrorKind, SessionOptions};

#[test]
fn a_good_chain_is_accepted_and_told() {
    let pki = Pki::new();
    let below = pki.subordinate();
    let leaf = below.server().above(&below);
    everywhere(|mode, version| {
        let outcome = connect(
            mode,
            client_config(&pki, version),
            server_config(leaf.clone()),
        );
        let (client, server) = outcome.succeeded();
        assert_eq!(client.protocol_version, version);
        assert_eq!(client.peer_certificates.unwrap(), leaf.chain);
        assert_eq!(server.peer_certificates, None);
        assert_eq!(client.server_name.as_deref(), Some(SERVER_NAME));
        assert_eq!(server.server_name.as_deref(), Some(SERVER_NAME));
        assert_eq!(client.cipher_suite, server.cipher_suite);
        assert_eq!(client.group, server.group);
        assert!(!client.resumed && !server.resumed);
    });
}

#[test]
fn an_authority_below_is_a_root_as_good_as_any() {
    let pki = Pki::new();
    let below = pki.subordinate();
    everywhere(|mode, version| {
        connect(
            mode,
            client_config(&below, version),
            server_config(below.server()),
        )
        .succeeded();
    });
}

#[test]
fn servers_are_refused_for_what_is_wrong_with_them() {
    let pki = Pki::new();
    let year = |year| date_time_ymd(year, 1, 1);
    let cases = [
        (
            Pki::new().server(),
            CertificateProblem::UnknownIssuer,
            AlertDescription::UNKNOWN_CA,
        ),
        (
            pki.issue(&[SERVER_NAME], |params| {
                params.not_before = year(2001);
                params.not_after = year(2002);
            }),
            CertificateProblem::Expired,
            AlertDescription::CERTIFICATE_EXPIRED,
        ),
        (
            pki.issue(&[SERVER_NAME], |params| params.not_before = year(2049)),
            CertificateProblem::NotYetValid,
            not_yet_valid(),
        ),
        (
            pki.server_for(&["other.example"]),
            CertificateProblem::NameMismatch,
            name_mismatch(),
        ),
        (
            pki.issue(&[], |params| {
                params.distinguished_name = common_name(SERVER_NAME);
            }),
            CertificateProblem::NameMismatch,
            name_mismatch(),
        ),
        (
            pki.issue(&["serv*.example"], |_| {}),
            CertificateProblem::NameMismatch,
            name_mismatch(),
        ),
        (
            pki.issue(&[SERVER_NAME], |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            CertificateProblem::WrongPurpose,
            AlertDescription::UNSUPPORTED_CERTIFICATE,
        ),
    ];
    for (leaf, problem, alert) in cases {
        everywhere(|mode, version| {
            let outcome = connect(
                mode,
                client_config(&pki, version),
                server_config(leaf.clone()),
            );
            refused_by_client(&outcome, problem, alert);
        });
    }
}

#[track_caller]
fn refused_by_client(outcome: &Outcome, problem: CertificateProblem, alert: AlertDescription) {
    let error = outcome.client.error();
    assert_eq!(error.kind(), ErrorKind::Certificate(problem), "{error}");
    let sent = error.alert().expect("an alert");
    assert_eq!(
        (sent.description, sent.direction),
        (alert, AlertDirection::Sent)
    );
    assert_eq!(outcome.client.facts, None);
    let received = outcome.server.error();
    assert_eq!(received.kind(), ErrorKind::PeerAlert, "{received}");
    assert_eq!(received.alert().expect("an alert").description, alert);
    assert_eq!(outcome.server.facts, None);
    assert!(outcome.client.received.is_empty() && outcome.server.received.is_empty());
}

#[test]
fn a_wildcard_is_the_whole_left_most_label() {
    let pki = Pki::new();
    for (name, matches) in [
        ("a.example.com", true),
        ("A.Example.Com", true),
        ("a.b.example.com", false),
        ("example.com", false),
    ] {
        let outcome = connect_to(
            Mode::Buffer,
            client_config(&pki, ProtocolVersion::TLS1_3),
            server_config(pki.server_for(&["*.example.com"])),
            to(name),
        );
        if matches {
            let (client, server) = outcome.succeeded();
            assert_eq!(client.server_name.as_deref(), Some("a.example.com"));
            assert_eq!(server.server_name, client.server_name);
        } else {
            let mismatch = ErrorKind::Certificate(CertificateProblem::NameMismatch);
            assert_eq!(outcome.client.kind(), mismatch, "{name}");
        }
    }
}

#[test]
fn an_address_matches_addresses_only_and_is_never_sent() {
    let pki = Pki::new();
    for address in ["192.0.2.7", "2001:db8::7"] {
        everywhere(|mode, version| {
            let good = connect_to(
                mode,
                client_config(&pki, version),
                server_config(pki.server_for(&[address])),
                to(address),
            );
            let (client, server) = good.succeeded();
            assert_eq!((client.server_name, server.server_name), (None, None));
            for names in [["198.51.100.1"], [SERVER_NAME]] {
                let outcome = connect_to(
                    mode,
                    client_config(&pki, version),
                    server_config(pki.server_for(&names)),
                    to(address),
                );
                refused_by_client(&outcome, CertificateProblem::NameMismatch, name_mismatch());
            }
        });
    }
    // The same digits as a dNSName entry are not an address.
    let as_name = pki.issue(&[], |params| {
        let name = "192.0.2.7".try_into().expect("a name");
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    });
    let outcome = connect_to(
        Mode::Buffer,
        client_config(&pki, ProtocolVersion::TLS1_3),
        server_config(as_name),
        to("192.0.2.7"),
    );
    refused_by_client(&outcome, CertificateProblem::NameMismatch, name_mismatch());
}

#[test]
fn without_sni_the_name_is_still_verified() {
    let pki = Pki::new();
    everywhere(|mode, version| {
        let config = || {
            let mut config = client_config(&pki, version);
            config.send_sni = false;
            config
        };
        let (client, server) = connect(mode, config(), server_config(pki.server())).succeeded();
        assert_eq!((client.server_name, server.server_name), (None, None));
        let outcome = connect(
            mode,
            config(),
            server_config(pki.server_for(&["other.example"])),
        );
        refused_by_client(&outcome, CertificateProblem::NameMismatch, name_mismatch());
    });
}

#[test]
fn dangerous_settings_give_up_what_they_say_and_no_more() {
    let pki = Pki::new();
    everywhere(|mode, version| {
        let mut any_name = client_config(&pki, version);
        any_name.dangerous.accept_any_name = true;
        let other = pki.server_for(&["other.example"]);
        connect(mode, any_name.clone(), server_config(other.clone())).succeeded();
        connect_to(
            mode,
            any_name.clone(),
            server_config(other),
            SessionOptions::new(),
        )
        .succeeded();
        let stranger = connect(mode, any_name, server_config(Pki::new().server()));
        refused_by_client(
            &stranger,
            CertificateProblem::UnknownIssuer,
            AlertDescription::UNKNOWN_CA,
        );

        let mut anyone = client_config(&pki, version);
        anyone.roots = Roots::default();
        anyone.dangerous.accept_any_certificate = true;
        let expired = Pki::new().issue(&["other.example"], |params| {
            params.not_after = date_time_ymd(2002, 1, 1);
            params.not_before = params.not_after - Duration::from_secs(60);
        });
        connect(mode, anyone, server_config(expired)).succeeded();
    });
}

#[test]
fn clients_are_asked_and_verified_as_configured() {
    let (pki, own) = (Pki::new(), Pki::new());
    let wrong_purpose = own.server();
    let stranger = pki.client();
    let below = own.subordinate();
    let good = below.client().above(&below);
    everywhere(|mode, version| {
        let run = |authentication: ClientAuthentication, leaf: Option<&Leaf>| {
            let mut client = client_config(&pki, version);
            client.identity = leaf.map(|leaf| leaf.clone().identity());
            let mut server = server_config(pki.server());
            server.client_authentication = authentication;
            connect(mode, client, server)
        };
        let optional = || ClientAuthentication::Optional(own.roots());
        let required = || ClientAuthentication::Required(own.roots());

        let (_, server) = run(ClientAuthentication::None, Some(&good)).succeeded();
        assert_eq!(server.peer_certificates, None);
        let (_, server) = run(optional(), None).succeeded();
        assert_eq!(server.peer_certificates, None);
        for authentication in [optional(), required()] {
            let (_, server) = run(authentication, Some(&good)).succeeded();
            assert_eq!(server.peer_certificates.unwrap(), good.chain);
        }

        let missing = match version {
            ProtocolVersion::TLS1_2 => AlertDescription::HANDSHAKE_FAILURE,
            _ => AlertDescription::CERTIFICATE_REQUIRED,
        };
        refused_by_server(&run(required(), None), CertificateProblem::Missing, missing);
        for authentication in [optional(), required()] {
            refused_by_server(
                &run(authentication.clone(), Some(&stranger)),
                CertificateProblem::UnknownIssuer,
                AlertDescription::UNKNOWN_CA,
            );
            refused_by_server(
                &run(authentication, Some(&wrong_purpose)),
                CertificateProblem::WrongPurpose,
                AlertDescription::UNSUPPORTED_CERTIFICATE,
            );
        }
    });
}

#[track_caller]
fn refused_by_server(outcome: &Outcome, problem: CertificateProblem, alert: AlertDescription) {
    let error = outcome.server.error();
    assert_eq!(error.kind(), ErrorKind::Certificate(problem), "{error}");
    let sent = error.alert().expect("an alert");
    assert_eq!(
        (sent.description, sent.direction),
        (alert, AlertDirection::Sent)
    );
    assert_eq!(outcome.server.facts, None);
    assert!(outcome.server.received.is_empty());
    let received = outcome.client.error();
    assert_eq!(received.kind(), ErrorKind::PeerAlert, "{received}");
    assert_eq!(received.alert().expect("an alert").description, alert);
}
