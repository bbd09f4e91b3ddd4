//! PEM and files: chains, keys and roots.

use std::path::PathBuf;

use ::pem::Pem;
use rcgen::{CertifiedKey, KeyPair};
use tls_core::config::{Identity, Roots};
use tls_core::pki_types::PrivateKeyDer;
use tls_core::{ConfigProblem, ErrorKind};

use super::sentence;

const CERTIFICATE: ErrorKind = ErrorKind::Config(ConfigProblem::Certificate);
const PRIVATE_KEY: ErrorKind = ErrorKind::Config(ConfigProblem::PrivateKey);
const ENCRYPTED_KEY: ErrorKind = ErrorKind::Config(ConfigProblem::EncryptedKey);
const FILE: ErrorKind = ErrorKind::Config(ConfigProblem::File);

fn certified() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["test.example".to_owned()]).unwrap()
}

fn text(label: &str, der: &[u8]) -> String {
    let lines = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
    ::pem::encode_config(&Pem::new(label, der), lines)
}

/// The SEC1 key (RFC 5915) inside a PKCS#8 one (RFC 5208): the second element behind the version.
fn sec1(pkcs8: &[u8]) -> &[u8] {
    let (_, mut rest) = element(element(pkcs8).0);
    rest = element(rest).1;
    element(rest).0
}

/// The content of the first DER element, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match der[1] {
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        short => (2, usize::from(short)),
    };
    (&der[start..start + length], &der[start + length..])
}

#[test]
fn keys_are_read_in_every_format() {
    let CertifiedKey { cert, signing_key } = certified();
    let chain = cert.pem();
    let pkcs8 = signing_key.serialize_der();
    let sec1 = sec1(&pkcs8);
    assert_eq!(element(sec1).0[..3], [2, 1, 1], "version 1 of RFC 5915");
    // Only the label tells; nothing here looks into an RSA key.
    let pkcs1 = [0x30, 3, 2, 1, 0];
    for (label, der) in [
        ("PRIVATE KEY", &pkcs8[..]),
        ("EC PRIVATE KEY", sec1),
        ("RSA PRIVATE KEY", &pkcs1),
    ] {
        let identity = Identity::from_pem(chain.as_bytes(), text(label, der).as_bytes()).unwrap();
        assert_eq!(identity.chain(), [cert.der().clone()]);
        assert_eq!(identity.key().secret_der(), der);
        let read = match identity.key() {
            PrivateKeyDer::Pkcs8(_) => "PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            _ => "unknown",
        };
        assert_eq!(read, label);
    }
}

#[test]
fn the_chain_keeps_its_order_and_other_text_is_passed_over() {
    let (leaf, issuer) = (certified(), certified());
    let key = leaf.signing_key.serialize_pem();
    let all = format!(
        "subject=leaf\n{key}{}subject=issuer\n\n{}trailer",
        leaf.cert.pem(),
        issuer.cert.pem()
    );
    for all in [all.clone(), all.replace('\n', "\r\n")] {
        let identity = Identity::from_pem(all.as_bytes(), all.as_bytes()).unwrap();
        let expected = [leaf.cert.der().clone(), issuer.cert.der().clone()];
        assert_eq!(identity.chain(), expected);
        let roots = Roots::from_pem(all.as_bytes()).unwrap();
        assert_eq!(roots.given, expected);
        assert!(!roots.system);
    }
}

#[test]
fn torn_sections_are_named() {
    let CertifiedKey { cert, signing_key } = certified();
    let (chain, key) = (cert.pem(), signing_key.serialize_pem());
    let torn = |text: &str| text[..text.len() * 2 / 3].to_owned();
    let without_end = chain.replace("-----END CERTIFICATE-----", "");
    for bad in [
        torn(&chain),
        format!("{without_end}{chain}"),
        format!("{chain}{}", torn(&chain)),
    ] {
        let error = Identity::from_pem(bad.as_bytes(), key.as_bytes()).unwrap_err();
        let said = sentence(&error, CERTIFICATE);
        assert!(said.contains("the certificate chain"), "{said}");
        assert!(
            said.contains("-----END CERTIFICATE----- is missing"),
            "{said}"
        );
        let error = Roots::from_pem(bad.as_bytes()).unwrap_err();
        assert!(sentence(&error, CERTIFICATE).contains("the trust roots"));
    }
    for (bad, label) in [
        (torn(&key), "PRIVATE KEY"),
        (format!("{}\n{key}", torn(&key)), "PRIVATE KEY"),
        (format!("{without_end}{key}"), "CERTIFICATE"),
    ] {
        let error = Identity::from_pem(chain.as_bytes(), bad.as_bytes()).unwrap_err();
        let said = sentence(&error, PRIVATE_KEY);
        let missing = format!("-----END {label}----- is missing");
        assert!(said.contains(&missing), "{said}");
    }
    let bad = chain.replacen("CERTIFICATE-----", "CERTIFICATE---", 1);
    let error = Identity::from_pem(bad.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(sentence(&error, CERTIFICATE).contains("a BEGIN line is torn"));
}

#[test]
fn malformed_sections_are_refused() {
    let CertifiedKey { cert, signing_key } = certified();
    let (chain, key) = (cert.pem(), signing_key.serialize_pem());
    let bad = chain.replacen("MII", "M!!", 1);
    assert_ne!(bad, chain);
    let error = Identity::from_pem(bad.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(sentence(&error, CERTIFICATE).contains("malformed"));
    let bad = key.replacen("MIG", "M!!", 1);
    assert_ne!(bad, key);
    let error = Identity::from_pem(chain.as_bytes(), bad.as_bytes()).unwrap_err();
    assert!(sentence(&error, PRIVATE_KEY).contains("malformed"));
}

#[test]
fn missing_sections_are_named() {
    let CertifiedKey { cert, signing_key } = certified();
    let (chain, key) = (cert.pem(), signing_key.serialize_pem());
    for empty in ["", "no PEM at all", &key] {
        let error = Identity::from_pem(empty.as_bytes(), key.as_bytes()).unwrap_err();
        let said = sentence(&error, CERTIFICATE);
        assert!(
            said.contains("the certificate chain holds no certificate"),
            "{said}"
        );
    }
    for empty in ["", "no PEM at all", &chain] {
        let error = Identity::from_pem(chain.as_bytes(), empty.as_bytes()).unwrap_err();
        let said = sentence(&error, PRIVATE_KEY);
        assert!(
            said.contains("the private key holds no private key"),
            "{said}"
        );
    }
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let error = Identity::from_der(Vec::new(), key).unwrap_err();
    assert!(sentence(&error, CERTIFICATE).contains("empty"));
}

#[test]
fn encrypted_keys_are_refused_without_a_prompt() {
    let CertifiedKey { cert, signing_key } = certified();
    let der = signing_key.serialize_der();
    let pkcs8 = text("ENCRYPTED PRIVATE KEY", &der);
    let sec1 = text("EC PRIVATE KEY", sec1(&der)).replacen(
        "-----\n",
        "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
        1,
    );
    for key in [pkcs8, sec1.clone(), sec1.replace('\n', "\r\n")] {
        let error = Identity::from_pem(cert.pem().as_bytes(), key.as_bytes()).unwrap_err();
        assert!(sentence(&error, ENCRYPTED_KEY).contains("encrypted"));
    }
}

#[test]
fn errors_about_files_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let CertifiedKey { cert, signing_key } = certified();
    let chain = file("chain.pem", &cert.pem());
    let key = file("key.pem", &signing_key.serialize_pem());
    let empty = file("empty.pem", "");
    let missing = directory.path().join("missing.pem");
    let identity = Identity::from_pem_files(&chain, &key).unwrap();
    assert_eq!(
        identity.chain(),
        Roots::from_pem_file(&chain).unwrap().given
    );

    for (chain, key, kind, named) in [
        (&missing, &key, FILE, &missing),
        (&chain, &missing, FILE, &missing),
        (
            &directory.path().to_owned(),
            &key,
            FILE,
            &directory.path().to_owned(),
        ),
        (&empty, &key, CERTIFICATE, &empty),
        (&key, &key, CERTIFICATE, &key),
        (&chain, &empty, PRIVATE_KEY, &empty),
        (&chain, &chain, PRIVATE_KEY, &chain),
    ] {
        let error = Identity::from_pem_files(chain, key).unwrap_err();
        let said = sentence(&error, kind);
        assert!(said.contains(&named.display().to_string()), "{said}");
    }
    for (path, kind) in [(&missing, FILE), (&empty, CERTIFICATE)] {
        let said = sentence(&Roots::from_pem_file(path).unwrap_err(), kind);
        assert!(said.contains(&path.display().to_string()), "{said}");
    }
}

#[test]
fn a_key_is_not_printed() {
    let CertifiedKey { cert, signing_key } = certified();
    let key = signing_key.serialize_pem();
    let identity = Identity::from_pem(cert.pem().as_bytes(), key.as_bytes()).unwrap();
    let printed = format!("{:?}", identity.clone());
    assert!(!printed.contains("key"), "{printed}");
    assert!(printed.len() < 60, "{printed}");
}
