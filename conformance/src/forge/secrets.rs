//! What both sides derive of the secrets of a connection, worked out by hand.

use ring::digest::{SHA256, digest};
use ring::hmac;
use tls_core::support::{RECORD_HEADER, RecordHeader};

use super::content_type::{CHANGE_CIPHER_SPEC, HANDSHAKE};
use super::crypto::{broken, expand_label_with};
use crate::case::CaseResult;

/// The secrets of a connection with SHA-256.
pub(super) enum Secrets {
    Tls12 {
        master: Vec<u8>,
        /// The messages up to the first Finished.
        messages: Vec<u8>,
    },
    Tls13 {
        exporter: Vec<u8>,
    },
}

impl Secrets {
    /// RFC 5705 section 4; RFC 8446 section 7.5.
    pub(super) fn export(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        length: usize,
    ) -> CaseResult<Vec<u8>> {
        match self {
            Self::Tls12 { master, messages } => {
                let (client, server) = randoms(messages)?;
                let mut seed = [client, server].concat();
                if let Some(context) = context {
                    let length = u16::try_from(context.len()).map_err(|_| broken("a context"))?;
                    seed.extend(length.to_be_bytes());
                    seed.extend(context);
                }
                Ok(prf(master, label, &seed, length))
            }
            Self::Tls13 { exporter } => {
                let hash = |bytes| digest(&SHA256, bytes);
                let secret = expand_label_with(exporter, label, hash(b"").as_ref(), 32)?;
                let context = hash(context.unwrap_or_default());
                expand_label_with(&secret, b"exporter", context.as_ref(), length)
            }
        }
    }

    /// The client's Finished of a full handshake with TLS 1.2. RFC 5246 section 7.4.9.
    pub(super) fn first_finished(&self) -> CaseResult<Vec<u8>> {
        match self {
            Self::Tls12 { master, messages } => {
                let hash = digest(&SHA256, messages);
                Ok(prf(master, b"client finished", hash.as_ref(), 12))
            }
            Self::Tls13 { .. } => Err(broken("TLS 1.3 has no such Finished")),
        }
    }
}

/// The messages of a handshake as long as they are not encrypted, which is up to the first Finished.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) messages: Vec<u8>,
    over: bool,
}

impl Transcript {
    /// Adds the messages of whole records.
    pub(super) fn add(&mut self, mut records: &[u8]) {
        while let Some(header) = RecordHeader::parse(records) {
            let (record, rest) = records.split_at(header.record().min(records.len()));
            records = rest;
            self.over |= header.content_type == CHANGE_CIPHER_SPEC;
            if !self.over && header.content_type == HANDSHAKE {
                self.messages.extend(&record[RECORD_HEADER..]);
            }
        }
    }
}

/// The randoms of both hellos, with which a handshake begins.
fn randoms(messages: &[u8]) -> CaseResult<(&[u8], &[u8])> {
    /// A message header, and the version.
    const BEFORE: usize = 4 + 2;

    let random = |message: &[u8]| -> Option<std::ops::Range<usize>> {
        (message.len() >= BEFORE + 32).then_some(BEFORE..BEFORE + 32)
    };
    let cut = || broken("both hellos");
    let client = random(messages).ok_or_else(cut)?;
    let length = u32::from_be_bytes([0, messages[1], messages[2], messages[3]]) as usize;
    let hello = messages.get(4 + length..).ok_or_else(cut)?;
    let server = random(hello).ok_or_else(cut)?;
    Ok((&messages[client], &hello[server]))
}

/// RFC 5246 section 5, with SHA-256.
fn prf(secret: &[u8], label: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let seed = [label, seed].concat();
    let mut output = Vec::new();
    let mut step = hmac::sign(&key, &seed);
    while output.len() < length {
        let block = hmac::sign(&key, &[step.as_ref(), &seed].concat());
        output.extend(block.as_ref());
        step = hmac::sign(&key, step.as_ref());
    }
    output.truncate(length);
    output
}
