//! What contexts refuse, and how they say so.

mod common;

use backend_openssl::OpenSsl;
use common::{Leaf, Pki, client_config, is_libressl, server_config, to};
use openssl::bn::BigNum;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use tls_core::config::{ClientAuthentication, Identity, Roots};
use tls_core::iana::ProtocolVersion;
use tls_core::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tls_core::{
    Backend, ConfigProblem, Context, Error, ErrorKind, Feature, Result, SessionOptions,
};

#[track_caller]
fn problem<T>(result: Result<T>) -> (ConfigProblem, Error) {
    let Err(error) = result else {
        panic!("the configuration was taken");
    };
    assert!(!error.detail().is_empty());
    let ErrorKind::Config(problem) = error.kind() else {
        panic!("{error}");
    };
    (problem, error)
}

fn server_of(leaf: Leaf) -> Result<backend_openssl::OpenSslContext> {
    OpenSsl::new().server(server_config(leaf))
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let pki = Pki::new();
    let other = pki.server();
    let rsa = Rsa::generate(2048).unwrap().private_key_to_der().unwrap();
    for key in [other.key, PrivateKeyDer::Pkcs1(rsa.into())] {
        let mixed = Leaf {
            key,
            ..pki.server()
        };
        let (problem, _) = problem(server_of(mixed.clone()));
        assert_eq!(problem, ConfigProblem::KeyMismatch);

        let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
        client.identity = Some(mixed.identity());
        let (problem, _) = self::problem(OpenSsl::new().client(client));
        assert_eq!(problem, ConfigProblem::KeyMismatch);
    }
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    let pki = Pki::new();
    let garbage = || CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);

    let mut leaf = pki.server();
    leaf.chain = vec![garbage()];
    assert_eq!(problem(server_of(leaf)).0, ConfigProblem::Certificate);

    let mut leaf = pki.server();
    leaf.chain.push(garbage());
    let (kind, error) = problem(server_of(leaf));
    assert_eq!(kind, ConfigProblem::Certificate);
    assert!(error.detail().contains("certificate 2"), "{error}");

    let mut leaf = pki.server();
    leaf.key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(vec![0x30, 0x01, 0]));
    assert_eq!(problem(server_of(leaf)).0, ConfigProblem::PrivateKey);

    let mut client = client_config(&pki, ProtocolVersion::TLS1_3);
    client.roots = Roots::given([garbage()]);
    let client = OpenSsl::new().client(client);
    assert_eq!(problem(client).0, ConfigProblem::TrustRoots);

    let mut server = server_config(pki.server());
    server.client_authentication = ClientAuthentication::Required(Roots::given([garbage()]));
    let server = OpenSsl::new().server(server);
    assert_eq!(problem(server).0, ConfigProblem::TrustRoots);
}

#[test]
fn an_encrypted_key_is_refused_without_a_prompt() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let encrypted = key
        .private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"secret")
        .unwrap();
    let encrypted = String::from_utf8(encrypted).unwrap();
    let base64: String = encrypted
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = openssl::base64::decode_block(&base64).unwrap();
    let leaf = Leaf {
        key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der)),
        ..Pki::new().server()
    };
    assert_eq!(problem(server_of(leaf)).0, ConfigProblem::PrivateKey);
}

#[test]
fn every_encoding_of_a_key_is_taken() {
    let pki = Pki::new();
    let leaf = pki.server();
    let ec = PKey::private_key_from_pkcs8(leaf.key.secret_der()).unwrap();
    let sec1 = ec.ec_key().unwrap().private_key_to_der().unwrap();
    let sec1 = Leaf {
        key: PrivateKeyDer::Sec1(sec1.into()),
        chain: leaf.chain,
    };
    server_of(sec1).expect("a server with a SEC1 key");

    let (certificate, rsa) = self_signed(2048);
    let pkcs1 = Leaf {
        key: PrivateKeyDer::Pkcs1(rsa.private_key_to_der().unwrap().into()),
        chain: vec![certificate],
    };
    server_of(pkcs1).expect("a server with a PKCS#1 key");
}

#[test]
fn a_weak_certificate_of_our_own_is_refused() {
    let (certificate, rsa) = self_signed(1024);
    let weak = Leaf {
        key: PrivateKeyDer::Pkcs1(rsa.private_key_to_der().unwrap().into()),
        chain: vec![certificate],
    };
    let (problem, error) = problem(server_of(weak));
    assert_eq!(problem, ConfigProblem::Certificate);
    assert!(error.detail().contains("too small"), "{error}");
}

fn self_signed(bits: u32) -> (CertificateDer<'static>, Rsa<openssl::pkey::Private>) {
    let rsa = Rsa::generate(bits).unwrap();
    let key = PKey::from_rsa(rsa.clone()).unwrap();
    let mut name = openssl::x509::X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "weak").unwrap();
    let name = name.build();
    let mut builder = openssl::x509::X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    let from = openssl::asn1::Asn1Time::days_from_now(0).unwrap();
    let until = openssl::asn1::Asn1Time::days_from_now(1).unwrap();
    builder.set_not_before(&from).unwrap();
    builder.set_not_after(&until).unwrap();
    let digest = openssl::hash::MessageDigest::sha256();
    builder.sign(&key, digest).unwrap();
    (builder.build().to_der().unwrap().into(), rsa)
}

#[test]
fn sessions_need_names_where_names_are_verified() {
    let pki = Pki::new();
    let client = OpenSsl::new()
        .client(client_config(&pki, ProtocolVersion::TLS1_3))
        .unwrap();
    let nameless = client.buffer_session(SessionOptions::new());
    assert_eq!(problem(nameless).0, ConfigProblem::ServerName);
    let server = server_of(pki.server()).unwrap();
    let named = server.buffer_session(to("server.example"));
    assert_eq!(problem(named).0, ConfigProblem::ServerName);
}

#[test]
fn the_systems_roots_are_taken_or_missed_aloud() {
    let mut config = client_config(&Pki::new(), ProtocolVersion::TLS1_3);
    config.roots = Roots::system();
    match OpenSsl::new().client(config) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Config(ConfigProblem::TrustRoots)),
    }
}

#[test]
fn nothing_is_left_in_the_librarys_error_queue() {
    let pki = Pki::new();
    let mut leaf = pki.server();
    leaf.chain = vec![CertificateDer::from(vec![0])];
    let identity = Identity::from_der(leaf.chain, leaf.key).unwrap();
    assert!(X509Junk::leave().is_some());
    let _ = OpenSsl::new().server(tls_core::ServerConfig::new(identity));
    assert!(openssl::error::ErrorStack::get().errors().is_empty());

    X509Junk::leave();
    server_of(pki.server()).expect("what others left does not matter");
    assert!(openssl::error::ErrorStack::get().errors().is_empty());
}

/// Puts an error into this thread's queue, as another user of the library may.
struct X509Junk;

impl X509Junk {
    fn leave() -> Option<()> {
        let error = openssl::x509::X509::from_der(&[0]).err()?;
        error.put();
        Some(())
    }
}

#[test]
fn groups_and_suites_the_library_lacks_are_unsupported() {
    let pki = Pki::new();
    let mut config = client_config(&pki, ProtocolVersion::TLS1_3);
    config.parameters.groups = Some(vec![tls_core::iana::Group(0xfefe)]);
    let error = OpenSsl::new().client(config).expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Unsupported(Feature::GroupsList));
    let mut config = client_config(&pki, ProtocolVersion::TLS1_3);
    config.parameters.cipher_suites = Some(vec![tls_core::iana::CipherSuite(0x13fe)]);
    let error = OpenSsl::new().client(config).expect_err("a refusal");
    assert_eq!(
        error.kind(),
        ErrorKind::Unsupported(Feature::Tls13CipherSuites)
    );
}

#[test]
fn a_key_that_carries_its_public_half_is_taken() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    // Version 1 in the sense of RFC 5958 section 2: two keys in one.
    assert_eq!(key.serialize_der()[2..5], [2, 1, 1]);
    let params = rcgen::CertificateParams::new(["server.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let leaf = Leaf {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    };
    let server = server_of(leaf);
    if !is_libressl() {
        server.expect("a server");
        return;
    }
    // LibreSSL reads the key, but has no certificates of this kind in TLS.
    let error = server.expect_err("a refusal");
    let problem = ErrorKind::Config(ConfigProblem::Certificate);
    assert_eq!(error.kind(), problem, "{error}");
}
