//! The ClientHello: what a client offers, read before any engine sees it. RFC 8446 section 4.1.2,
//! RFC 5246 section 7.4.1.2.

#[cfg(feature = "fingerprint")]
mod fingerprint;
mod parse;
mod reader;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::ops::Range;

use crate::iana::{CipherSuite, ExtensionType, Group, ProtocolVersion, SignatureScheme};
use crate::support::RECORD_HEADER;

pub use reader::ClientHelloReader;

/// What a client offers: parsed, checked, and with the bytes it came in.
///
/// Every list stands in the client's order, with the values that mean nothing (RFC 8701, GREASE)
/// among them.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientHello {
    records: Vec<u8>,
    /// The message, if it came in several records.
    joined: Option<Box<[u8]>>,
    parts: Parts,
}

/// Where the parts stand in the message.
#[derive(Clone, PartialEq, Eq)]
struct Parts {
    legacy_version: ProtocolVersion,
    session_id: Range<usize>,
    cipher_suites: Range<usize>,
    compression_methods: Range<usize>,
    extensions: Range<usize>,
    server_name: Option<String>,
    /// The lists themselves, without their lengths.
    versions: Option<Range<usize>>,
    alpn: Range<usize>,
    groups: Range<usize>,
    signature_schemes: Range<usize>,
}

impl ClientHello {
    /// The records as they were received, headers included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.records
    }

    /// The handshake message, its header of 4 bytes included.
    pub fn message(&self) -> &[u8] {
        match &self.joined {
            Some(message) => message,
            None => &self.records[RECORD_HEADER..],
        }
    }

    /// `legacy_version`: TLS 1.2 where the client has TLS 1.3 too.
    pub fn legacy_version(&self) -> ProtocolVersion {
        self.parts.legacy_version
    }

    /// The 32 bytes of `random`.
    pub fn random(&self) -> &[u8] {
        &self.message()[parse::RANDOM]
    }

    /// `legacy_session_id`.
    pub fn session_id(&self) -> &[u8] {
        &self.message()[self.parts.session_id.clone()]
    }

    /// `legacy_compression_methods`.
    pub fn compression_methods(&self) -> &[u8] {
        &self.message()[self.parts.compression_methods.clone()]
    }

    /// The versions the client names: those of the extension supported_versions, or without it the
    /// legacy version alone, which then stands for all before it too.
    pub fn versions(&self) -> impl Iterator<Item = ProtocolVersion> {
        let named = self.parts.versions.clone();
        let legacy = match named {
            Some(_) => None,
            None => Some(self.parts.legacy_version),
        };
        self.numbers(named.unwrap_or_default())
            .map(ProtocolVersion)
            .chain(legacy)
    }

    /// The cipher suites.
    pub fn cipher_suites(&self) -> impl Iterator<Item = CipherSuite> {
        self.numbers(self.parts.cipher_suites.clone())
            .map(CipherSuite)
    }

    /// The key-exchange groups; empty if the client names none.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        self.numbers(self.parts.groups.clone()).map(Group)
    }

    /// The signature schemes for handshakes (signature_algorithms); empty if the client names none.
    pub fn signature_schemes(&self) -> impl Iterator<Item = SignatureScheme> {
        self.numbers(self.parts.signature_schemes.clone())
            .map(SignatureScheme)
    }

    /// The application protocols; empty if the client names none. RFC 7301.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        parse::Names(&self.message()[self.parts.alpn.clone()])
    }

    /// The server name indication, in lower case, without a dot at its end; `None` if there is
    /// none, or an IP address in its place, which RFC 6066 section 3 does not allow.
    pub fn server_name(&self) -> Option<&str> {
        self.parts.server_name.as_deref()
    }

    /// The extensions, each with its body.
    pub fn extensions(&self) -> impl Iterator<Item = (ExtensionType, &[u8])> {
        parse::Extensions(&self.message()[self.parts.extensions.clone()])
    }

    /// The body of an extension, if the client sent it.
    pub fn extension(&self, wanted: ExtensionType) -> Option<&[u8]> {
        let (_, body) = self.extensions().find(|(kind, _)| *kind == wanted)?;
        Some(body)
    }

    fn numbers(&self, list: Range<usize>) -> impl Iterator<Item = u16> {
        parse::numbers(&self.message()[list])
    }
}

impl fmt::Debug for ClientHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHello")
            .field("server_name", &self.server_name())
            .field("versions", &self.versions().collect::<Vec<_>>())
            .field("length", &self.message().len())
            .finish_non_exhaustive()
    }
}
