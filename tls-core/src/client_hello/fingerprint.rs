//! Fingerprints of clients: JA3 and JA4, by what their ClientHellos offer.

use std::fmt::Write as _;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::ClientHello;
use crate::iana::{ExtensionType, ProtocolVersion};

/// How many hexadecimal digits of a digest JA4 keeps.
const JA4_DIGITS: usize = 12;

impl ClientHello {
    /// JA3: version, cipher suites, extensions, groups and point formats in decimal, in the
    /// client's order, without GREASE. Its MD5 digest is [`Self::ja3`].
    pub fn ja3_text(&self) -> String {
        let point_formats = self
            .extension(ExtensionType::EC_POINT_FORMATS)
            .and_then(|body| body.split_first())
            .map_or(&[][..], |(_, formats)| formats);
        let fields = [
            decimal(self.cipher_suites().map(|suite| suite.0)),
            decimal(self.extensions().map(|(kind, _)| kind.0)),
            decimal(self.groups().map(|group| group.0)),
            decimal(point_formats.iter().map(|format| u16::from(*format))),
        ];
        format!("{},{}", self.legacy_version().0, fields.join(","))
    }

    /// The JA3 fingerprint: 32 hexadecimal digits.
    pub fn ja3(&self) -> String {
        hexadecimal(&Md5::digest(self.ja3_text()))
    }

    /// The JA4 fingerprint of a client over TCP, such as
    /// `t13d1516h2_8daaf6152771_e5627efa2ab1`: what is offered in short, a digest of the cipher
    /// suites in numerical order, and one of the extensions in numerical order and the signature
    /// schemes in the client's.
    pub fn ja4(&self) -> String {
        let suites: Vec<_> = meaningful(self.cipher_suites().map(|suite| suite.0)).collect();
        let extensions: Vec<_> = meaningful(self.extensions().map(|(kind, _)| kind.0)).collect();
        let name = match self.extension(ExtensionType::SERVER_NAME) {
            Some(_) => 'd',
            None => 'i',
        };
        format!(
            "t{}{name}{:02}{:02}{}_{}_{}",
            self.ja4_version(),
            suites.len().min(99),
            extensions.len().min(99),
            self.ja4_protocol(),
            ja4_digest(&sorted(suites)),
            ja4_digest(&self.ja4_extensions(extensions)),
        )
    }

    fn ja4_version(&self) -> &'static str {
        let versions = self.versions().map(|version| version.0);
        match meaningful(versions).max().map(ProtocolVersion) {
            Some(ProtocolVersion::TLS1_3) => "13",
            Some(ProtocolVersion::TLS1_2) => "12",
            Some(ProtocolVersion::TLS1_1) => "11",
            Some(ProtocolVersion::TLS1_0) => "10",
            Some(ProtocolVersion(0x0300)) => "s3",
            _ => "00",
        }
    }

    /// The first and the last character of the first application protocol, or the first and the
    /// last digit of its bytes if those are no letters and digits.
    fn ja4_protocol(&self) -> String {
        let Some(protocol) = self.alpn().next() else {
            return "00".to_owned();
        };
        let ends = [protocol.first(), protocol.last()];
        let mut text = String::new();
        for byte in ends.into_iter().flatten() {
            text.push(char::from(*byte));
        }
        if text.chars().all(|end| end.is_ascii_alphanumeric()) {
            return text;
        }
        let digits = hexadecimal(protocol);
        format!("{}{}", &digits[..1], &digits[digits.len() - 1..])
    }

    fn ja4_extensions(&self, mut extensions: Vec<u16>) -> String {
        const COUNTED_ONLY: [ExtensionType; 2] = [
            ExtensionType::SERVER_NAME,
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
        ];
        extensions.retain(|kind| !COUNTED_ONLY.contains(&ExtensionType(*kind)));
        let mut text = sorted(extensions);
        let schemes: Vec<_> = meaningful(self.signature_schemes().map(|scheme| scheme.0)).collect();
        if !schemes.is_empty() {
            let _ = write!(text, "_{}", comma_separated(&schemes));
        }
        text
    }
}

/// Without the values that clients send to keep servers tolerant. RFC 8701.
fn meaningful(values: impl Iterator<Item = u16>) -> impl Iterator<Item = u16> {
    values.filter(|value| {
        let [high, low] = value.to_be_bytes();
        high != low || low & 0x0f != 0x0a
    })
}

fn decimal(values: impl Iterator<Item = u16>) -> String {
    let values: Vec<_> = meaningful(values).map(|value| value.to_string()).collect();
    values.join("-")
}

fn sorted(mut values: Vec<u16>) -> String {
    values.sort_unstable();
    comma_separated(&values)
}

fn comma_separated(values: &[u16]) -> String {
    let values: Vec<_> = values.iter().map(|value| format!("{value:04x}")).collect();
    values.join(",")
}

fn ja4_digest(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(JA4_DIGITS);
    }
    let mut digest = hexadecimal(&Sha256::digest(text));
    digest.truncate(JA4_DIGITS);
    digest
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
