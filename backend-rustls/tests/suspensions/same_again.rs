//! A handshake done again is the same one, whatever is negotiated.

use conformance::Pki;
use tls_core::config::Identity;
use tls_core::iana::{CipherSuite, Group, ProtocolVersion};
use tls_core::pki_types::PrivateKeyDer;
use tls_core::{ClientConfig, ServerConfig, Status};

use crate::pair::{Pair, VERSIONS, asking, backends};

#[test]
fn with_every_cipher_suite() {
    for backend in backends() {
        for &suite in &backend.capabilities().cipher_suites {
            for (key, identity) in identities() {
                if key != "RSA" && format!("{suite}").contains("_RSA_")
                    || key == "RSA" && format!("{suite}").contains("_ECDSA_")
                {
                    continue;
                }
                let version = match suite.is_tls13() {
                    true => ProtocolVersion::TLS1_3,
                    false => ProtocolVersion::TLS1_2,
                };
                let configs = limited(version, &identity, Some(suite), None);
                let mut pair = Pair::of(&*backend, configs);
                complete(&mut pair, &format!("{suite} with {key}"));
                assert_eq!(pair.client.session.cipher_suite(), Some(suite));
            }
        }
    }
}

#[test]
fn with_every_group() {
    for backend in backends() {
        for &group in &backend.capabilities().groups {
            for version in VERSIONS {
                let identity = &Pki::shared().server;
                let (client, server) = limited(version, identity, None, Some(group));
                let Ok(client) = backend.client(client) else {
                    assert_eq!(version, ProtocolVersion::TLS1_2, "only of TLS 1.3: {group}");
                    continue;
                };
                let server = backend.server(server).unwrap();
                let mut pair = Pair::new(&*client, &*server);
                complete(&mut pair, &format!("{group}, {version}"));
                assert_eq!(pair.client.session.group(), Some(group));
            }
        }
    }
}

/// The client offers a share of its first group, the server takes only another: HelloRetryRequest.
#[test]
fn with_a_second_hello() {
    for backend in backends() {
        for &first in &backend.capabilities().groups {
            for &second in &backend.capabilities().groups {
                if first == second {
                    continue;
                }
                let (mut client, mut server) = asking(ProtocolVersion::TLS1_3);
                client.parameters.groups = Some(vec![first, second]);
                server.parameters.groups = Some(vec![second]);
                let mut pair = Pair::of(&*backend, (client, server));
                complete(&mut pair, &format!("{first}, then {second}"));
                assert_eq!(pair.client.session.group(), Some(second));
            }
        }
    }
}

/// A hybrid offers its classical half too, and the server may take only that.
#[test]
fn with_half_of_a_hybrid() {
    for backend in backends() {
        let (hybrid, half) = (Group::X25519_MLKEM768, Group::X25519);
        if !backend.capabilities().groups.contains(&hybrid) {
            continue;
        }
        let (mut client, mut server) = asking(ProtocolVersion::TLS1_3);
        client.parameters.groups = Some(vec![hybrid, half]);
        server.parameters.groups = Some(vec![half]);
        let mut pair = Pair::of(&*backend, (client, server));
        complete(&mut pair, "half of a hybrid");
        assert_eq!(pair.client.session.group(), Some(half));
    }
}

fn complete(pair: &mut Pair, what: &str) {
    pair.shake_hands();
    for (end, outcome) in [
        ("client", &pair.client.outcome),
        ("server", &pair.server.outcome),
    ] {
        assert!(matches!(outcome, Some(Ok(()))), "{what}: {end} {outcome:?}");
    }
    pair.complete();
    assert_eq!(pair.client.asked.len(), 2, "{what}");
    assert_eq!(pair.server.asked, [Status::NeedsCertificateValidation]);
}

fn limited(
    version: ProtocolVersion,
    identity: &Identity,
    suite: Option<CipherSuite>,
    group: Option<Group>,
) -> (ClientConfig, ServerConfig) {
    let (mut client, mut server) = asking(version);
    server.identity = identity.clone();
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.cipher_suites = suite.map(|suite| vec![suite]);
        parameters.groups = group.map(|group| vec![group]);
    }
    (client, server)
}

/// Server certificates with each type of key. Those of the suite lead to its root; nobody asks
/// whether these do.
fn identities() -> Vec<(&'static str, Identity)> {
    let mut identities = vec![("P-256", Pki::shared().server.clone())];
    for (name, algorithm) in [
        ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("Ed25519", &rcgen::PKCS_ED25519),
    ] {
        identities.push((name, own(rcgen::KeyPair::generate_for(algorithm).unwrap())));
    }
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let rsa = aws_lc_rs::encoding::AsDer::as_der(&rsa).unwrap();
    let rsa = rustls::pki_types::PrivatePkcs8KeyDer::from(rsa.as_ref());
    let rsa = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&rsa, &rcgen::PKCS_RSA_SHA256);
    identities.push(("RSA", own(rsa.unwrap())));
    identities
}

fn own(key: rcgen::KeyPair) -> Identity {
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Identity::from_der(vec![certificate.der().clone()], key).unwrap()
}
