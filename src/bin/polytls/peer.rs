//! What a certificate says, for people.

use std::fmt::Write;

use polytls::Facts;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The SHA-256 fingerprint of a certificate in DER, in upper-case hexadecimal.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex(&Sha256::digest(der))
}

/// Upper-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// Whether the certificate is valid today, and what is wrong if not. `None` if it is, or cannot be
/// parsed.
pub(crate) fn validity_problem(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let now = x509_parser::time::ASN1Time::now();
    if now > validity.not_after {
        return Some(format!("has expired: {}", validity.not_after));
    }
    if now < validity.not_before {
        return Some(format!("is not valid yet: from {}", validity.not_before));
    }
    None
}

/// What was negotiated and who the peer is, over several lines.
pub(crate) fn describe(facts: &Facts, verified: bool) -> String {
    let mut text = String::new();
    let group = facts
        .group
        .map_or_else(|| "unknown".to_owned(), |group| group.to_string());
    let alpn = facts.alpn.as_deref().map_or_else(
        || "none".into(),
        |name| printable(&String::from_utf8_lossy(name)),
    );
    let _ = writeln!(text, "version: {}", facts.protocol_version);
    let _ = writeln!(text, "cipher suite: {}", facts.cipher_suite);
    let _ = writeln!(text, "group: {group}");
    let _ = writeln!(text, "ALPN: {alpn}");
    let _ = writeln!(
        text,
        "resumed: {}",
        if facts.resumed { "yes" } else { "no" }
    );
    let trust = if verified { "verified" } else { "NOT verified" };
    let _ = writeln!(text, "peer certificates ({trust}):");
    for (depth, certificate) in facts.peer_certificates.iter().flatten().enumerate() {
        describe_certificate(&mut text, depth, certificate);
    }
    text
}

fn describe_certificate(text: &mut String, depth: usize, der: &[u8]) {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        let _ = writeln!(text, "  {depth}: {} bytes that cannot be parsed", der.len());
        return;
    };
    let subject = printable(&certificate.subject().to_string());
    let issuer = printable(&certificate.issuer().to_string());
    let validity = certificate.validity();
    let _ = writeln!(text, "  {depth}: subject: {subject}");
    let _ = writeln!(text, "     issuer: {issuer}");
    let _ = writeln!(
        text,
        "     valid: {} to {}",
        validity.not_before, validity.not_after
    );
    let names = alternative_names(&certificate);
    if !names.is_empty() {
        let _ = writeln!(text, "     names: {}", printable(&names.join(", ")));
    }
    let _ = writeln!(text, "     SHA-256: {}", fingerprint(der));
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::IPAddress(bytes) => format!("IP:{}", ip_address(bytes)),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(name) => format!("URI:{name}"),
        other => format!("{other}"),
    };
    extension.value.general_names.iter().map(name).collect()
}

fn ip_address(bytes: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(octets).to_string();
    }
    if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        return std::net::Ipv6Addr::from(octets).to_string();
    }
    hex(bytes)
}

/// Text from a peer must not drive the terminal it is shown on.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polytls::iana::{CipherSuite, ProtocolVersion};
    use rcgen::{CertificateParams, KeyPair};

    fn certificate(params: CertificateParams) -> rcgen::Certificate {
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate")
    }

    #[test]
    fn facts_name_the_peer() {
        let params = CertificateParams::new(["example.test".to_owned(), "::1".to_owned()]);
        let certificate = certificate(params.expect("names"));
        let mut facts = Facts::new(ProtocolVersion::TLS1_3, CipherSuite::TLS_AES_128_GCM_SHA256);
        facts.peer_certificates = Some(vec![certificate.der().clone()]);
        let text = describe(&facts, false);
        for part in [
            "NOT verified",
            "DNS:example.test",
            "IP:::1",
            "issuer:",
            "valid:",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn validity_is_judged_today() {
        let mut params = CertificateParams::default();
        assert_eq!(validity_problem(certificate(params.clone()).der()), None);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let problem = validity_problem(certificate(params.clone()).der());
        assert!(problem.expect("expired").contains("expired"));
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
        params.not_after = rcgen::date_time_ymd(4001, 1, 1);
        let problem = validity_problem(certificate(params).der());
        assert!(problem.expect("too young").contains("not valid yet"));
    }

    #[test]
    fn a_peer_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
