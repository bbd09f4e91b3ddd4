//! The message taken apart, and everything in it that breaks the rules of its encoding.

use std::ops::Range;

use rustls_pki_types::{DnsName, ServerName};

use super::Parts;
use super::reader::refused;
use crate::error::Result;
use crate::iana::{AlertDescription, ExtensionType, ProtocolVersion};

/// Message type and length. RFC 8446 section 4.
pub(super) const MESSAGE_HEADER: usize = 4;

/// Where `random` stands: behind the legacy version.
pub(super) const RANDOM: Range<usize> = MESSAGE_HEADER + 2..MESSAGE_HEADER + 2 + 32;

/// Parses a whole message.
pub(super) fn parts(message: &[u8]) -> Result<Parts> {
    let mut hello = Cursor {
        message,
        at: MESSAGE_HEADER,
        end: message.len(),
    };
    let legacy_version = ProtocolVersion(hello.number()?);
    hello.skip(RANDOM.len())?;
    let session_id = hello.short_vector()?.rest();
    if session_id.len() > 32 {
        return Err(malformed("a session id of more than 32 bytes"));
    }
    let cipher_suites = hello.vector()?.list_of_numbers()?;
    let compression_methods = hello.short_vector()?.rest();
    if compression_methods.is_empty() {
        return Err(malformed("no compression method"));
    }
    let mut parts = Parts {
        legacy_version,
        session_id,
        cipher_suites,
        compression_methods,
        extensions: 0..0,
        server_name: None,
        versions: None,
        alpn: 0..0,
        groups: 0..0,
        signature_schemes: 0..0,
    };
    // Before TLS 1.3 a client may send no extensions at all.
    if !hello.is_empty() {
        let extensions = hello.vector()?;
        hello.end()?;
        parts.add_extensions(extensions)?;
    }
    Ok(parts)
}

impl Parts {
    fn add_extensions(&mut self, mut extensions: Cursor<'_>) -> Result<()> {
        self.extensions = extensions.rest();
        let mut kinds = Vec::new();
        while !extensions.is_empty() {
            if kinds.last() == Some(&ExtensionType::PRE_SHARED_KEY) {
                return Err(illegal("an extension behind pre_shared_key"));
            }
            let kind = ExtensionType(extensions.number()?);
            self.add_extension(kind, extensions.vector()?)?;
            kinds.push(kind);
        }
        kinds.sort_unstable();
        match kinds.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(illegal("an extension twice")),
            false => Ok(()),
        }
    }

    /// Those that have an accessor of their own; the others are the engine's to read.
    fn add_extension(&mut self, kind: ExtensionType, mut body: Cursor<'_>) -> Result<()> {
        match kind {
            ExtensionType::SERVER_NAME => self.server_name = server_name(body)?,
            ExtensionType::SUPPORTED_VERSIONS => {
                let list = body.short_vector()?;
                body.end()?;
                self.versions = Some(list.list_of_numbers()?);
            }
            ExtensionType::SUPPORTED_GROUPS => self.groups = only_list_of_numbers(body)?,
            ExtensionType::SIGNATURE_ALGORITHMS => {
                self.signature_schemes = only_list_of_numbers(body)?;
            }
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => {
                let mut list = body.vector()?;
                body.end()?;
                self.alpn = list.rest();
                if list.is_empty() {
                    return Err(malformed("an empty list"));
                }
                while !list.is_empty() {
                    if list.short_vector()?.is_empty() {
                        return Err(malformed("an application protocol without a name"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn only_list_of_numbers(mut body: Cursor<'_>) -> Result<Range<usize>> {
    let list = body.vector()?;
    body.end()?;
    list.list_of_numbers()
}

/// A list of names by type, of which only host_name is defined, and no type may come twice. RFC
/// 6066 section 3.
fn server_name(mut body: Cursor<'_>) -> Result<Option<String>> {
    const HOST_NAME: u8 = 0;

    let mut list = body.vector()?;
    body.end()?;
    if list.byte()? != HOST_NAME {
        return Err(illegal("a server name of an unknown type"));
    }
    let name = list.vector()?;
    if !list.is_empty() {
        return Err(illegal("more than one server name"));
    }
    let name = std::str::from_utf8(&name.message[name.rest()])
        .map_err(|_| illegal("a server name that is not ASCII"))?;
    let name = name.strip_suffix('.').unwrap_or(name);
    match ServerName::try_from(name) {
        Ok(ServerName::DnsName(name)) => Ok(Some(lower_case(&name))),
        Ok(_) => Ok(None),
        Err(_) => Err(illegal("a server name that is no host name")),
    }
}

fn lower_case(name: &DnsName<'_>) -> String {
    name.as_ref().to_ascii_lowercase()
}

/// The 16-bit numbers of a list whose length is even.
pub(super) fn numbers(list: &[u8]) -> impl Iterator<Item = u16> {
    list.chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The names of a list that was checked, each behind a byte that gives its length.
pub(super) struct Names<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some(name)
    }
}

/// The extensions of a message that was checked.
pub(super) struct Extensions<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Extensions<'a> {
    type Item = (ExtensionType, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([kind_high, kind_low, high, low], rest) = self.0.split_first_chunk()?;
        let kind = ExtensionType(u16::from_be_bytes([*kind_high, *kind_low]));
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (body, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((kind, body))
    }
}

/// A part of the message, and how far it was read.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn is_empty(&self) -> bool {
        self.at == self.end
    }

    fn rest(&self) -> Range<usize> {
        self.at..self.end
    }

    fn skip(&mut self, length: usize) -> Result<usize> {
        if length > self.end - self.at {
            return Err(malformed("a length beyond the end"));
        }
        let from = self.at;
        self.at += length;
        Ok(from)
    }

    fn byte(&mut self) -> Result<u8> {
        let at = self.skip(1)?;
        Ok(self.message[at])
    }

    fn number(&mut self) -> Result<u16> {
        let at = self.skip(2)?;
        Ok(u16::from_be_bytes([self.message[at], self.message[at + 1]]))
    }

    /// What stands behind a length of one byte.
    fn short_vector(&mut self) -> Result<Self> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// What stands behind a length of two bytes.
    fn vector(&mut self) -> Result<Self> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    fn take(&mut self, length: usize) -> Result<Self> {
        let at = self.skip(length)?;
        Ok(Self {
            at,
            end: self.at,
            ..*self
        })
    }

    /// The whole of a list of 16-bit numbers, of which there is at least one.
    fn list_of_numbers(self) -> Result<Range<usize>> {
        let list = self.rest();
        if list.is_empty() {
            return Err(malformed("an empty list"));
        }
        if list.len() % 2 != 0 {
            return Err(malformed("half a number"));
        }
        Ok(list)
    }

    fn end(self) -> Result<()> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(malformed("bytes behind the end")),
        }
    }
}

#[cold]
fn malformed(what: &'static str) -> crate::Error {
    refused(AlertDescription::DECODE_ERROR, what)
}

#[cold]
fn illegal(what: &'static str) -> crate::Error {
    refused(AlertDescription::ILLEGAL_PARAMETER, what)
}
