//! Sealing and opening records with AES-128-GCM, for both versions.
//!
//! Only as much as a hostile peer needs: it may seal what no engine would.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use tls_core::iana::ProtocolVersion;
use tls_core::support::{RECORD_HEADER, RecordHeader};

use crate::case::{CaseResult, Failure};

/// The length of an AES-GCM tag, in bytes.
const TAG: usize = 16;
/// The part of the nonce that TLS 1.2 records carry (RFC 5288 section 3), in bytes.
const EXPLICIT_NONCE: usize = 8;
/// The content type that TLS 1.3 shows outside.
const APPLICATION_DATA: u8 = 23;

/// A record, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The content type; in TLS 1.3 the inner one.
    pub content_type: u8,
    /// What was sealed.
    pub payload: Vec<u8>,
}

/// The keys of one direction.
pub(super) struct Keys {
    version: ProtocolVersion,
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
    /// TLS 1.3: what the next keys are derived from.
    traffic_secret: Vec<u8>,
}

impl Keys {
    /// TLS 1.2: the key and nonce as the handshake left them.
    pub(super) fn tls12(key: &[u8], iv: &[u8], sequence: u64) -> CaseResult<Self> {
        Ok(Self {
            version: ProtocolVersion::TLS1_2,
            key: aead_key(key)?,
            iv: iv.try_into().map_err(|_| broken("a nonce of 12 bytes"))?,
            sequence,
            traffic_secret: Vec::new(),
        })
    }

    /// TLS 1.3: from a traffic secret. RFC 8446 section 7.3.
    pub(super) fn tls13(traffic_secret: Vec<u8>, sequence: u64) -> CaseResult<Self> {
        let key = expand_label(&traffic_secret, b"key", 16)?;
        let iv = expand_label(&traffic_secret, b"iv", 12)?;
        Ok(Self {
            version: ProtocolVersion::TLS1_3,
            key: aead_key(&key)?,
            iv: iv.try_into().map_err(|_| broken("a nonce of 12 bytes"))?,
            sequence,
            traffic_secret,
        })
    }

    /// The keys after a KeyUpdate. RFC 8446 section 7.2.
    pub(super) fn update(&mut self) -> CaseResult {
        let next = expand_label(&self.traffic_secret, b"traffic upd", 32)?;
        *self = Self::tls13(next, 0)?;
        Ok(())
    }

    /// Seals a record, of any type and length.
    pub(super) fn seal(&mut self, content_type: u8, payload: &[u8]) -> CaseResult<Vec<u8>> {
        let sequence = self.next_sequence();
        let mut body = payload.to_vec();
        let (outer, explicit) = if self.version == ProtocolVersion::TLS1_3 {
            body.push(content_type);
            (APPLICATION_DATA, Vec::new())
        } else {
            (content_type, sequence.to_be_bytes().to_vec())
        };
        let sealed = body.len() + TAG + explicit.len();
        let header = header(outer, sealed);
        let nonce = self.nonce(sequence, &explicit);
        let aad = self.associated_data(sequence, header, payload.len());
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(aad), &mut body)
            .map_err(|_| broken("sealing"))?;
        Ok([&header[..], &explicit, &body].concat())
    }

    /// Opens a whole record, header included.
    pub(super) fn open(&mut self, record: &[u8]) -> CaseResult<Record> {
        let header = RecordHeader::parse(record).ok_or_else(|| broken("a record header"))?;
        let body = &record[RECORD_HEADER..];
        let explicit_length = if self.version == ProtocolVersion::TLS1_3 {
            0
        } else {
            EXPLICIT_NONCE
        };
        if body.len() < explicit_length + TAG {
            return Err(broken("a sealed record"));
        }
        let sequence = self.next_sequence();
        let (explicit, sealed) = body.split_at(explicit_length);
        let mut sealed = sealed.to_vec();
        let plain_length = sealed.len() - TAG;
        let nonce = self.nonce(sequence, explicit);
        let aad = self.associated_data(
            sequence,
            self::header(header.content_type, body.len()),
            plain_length,
        );
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(aad), &mut sealed)
            .map_err(|_| broken("a record that opens"))?;
        let mut payload = opened.to_vec();
        let mut content_type = header.content_type;
        if self.version == ProtocolVersion::TLS1_3 {
            while payload.last() == Some(&0) {
                payload.pop();
            }
            content_type = payload.pop().ok_or_else(|| broken("a content type"))?;
        }
        Ok(Record {
            content_type,
            payload,
        })
    }

    fn next_sequence(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        sequence
    }

    fn nonce(&self, sequence: u64, explicit: &[u8]) -> Nonce {
        let mut nonce = self.iv;
        if self.version == ProtocolVersion::TLS1_3 {
            for (byte, mask) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
                *byte ^= mask;
            }
        } else {
            nonce[4..].copy_from_slice(explicit);
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// RFC 5246 section 6.2.3.3, RFC 8446 section 5.2.
    fn associated_data(&self, sequence: u64, header: [u8; 5], plain: usize) -> Vec<u8> {
        if self.version == ProtocolVersion::TLS1_3 {
            return header.to_vec();
        }
        let mut data = sequence.to_be_bytes().to_vec();
        data.extend_from_slice(&self::header(header[0], plain));
        data
    }
}

/// A record header of TLS 1.2, which TLS 1.3 shows too.
pub(super) fn header(content_type: u8, length: usize) -> [u8; RECORD_HEADER] {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [content_type, 3, 3, high, low]
}

fn aead_key(key: &[u8]) -> CaseResult<LessSafeKey> {
    UnboundKey::new(&AES_128_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| broken("a key of 16 bytes"))
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// RFC 8446 section 7.1, with an empty context.
fn expand_label(secret: &[u8], label: &[u8], length: usize) -> CaseResult<Vec<u8>> {
    expand_label_with(secret, label, &[], length)
}

/// RFC 8446 section 7.1.
pub(super) fn expand_label_with(
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    length: usize,
) -> CaseResult<Vec<u8>> {
    let full = [b"tls13 ", label].concat();
    let length_bytes = u16::try_from(length).map_err(|_| broken("a length"))?;
    let mut output = vec![0; length];
    let info = [
        &length_bytes.to_be_bytes()[..],
        &[full.len() as u8],
        &full,
        &[context.len() as u8],
        context,
    ];
    Prk::new_less_safe(HKDF_SHA256, secret)
        .expand(&info, Length(length))
        .and_then(|okm| okm.fill(&mut output))
        .map_err(|_| broken("deriving a key"))?;
    Ok(output)
}

pub(super) fn broken(what: &str) -> Failure {
    Failure::new("harness", format!("the forging peer failed: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_in_both_versions() {
        let make = |tls13: bool| {
            if tls13 {
                Keys::tls13(vec![7; 32], 5).unwrap()
            } else {
                Keys::tls12(&[1; 16], &[2; 12], 1).unwrap()
            }
        };
        for tls13 in [false, true] {
            let (mut seal, mut open) = (make(tls13), make(tls13));
            for payload in [&b"hello"[..], b"", &[0; 100]] {
                let record = seal.seal(21, payload).unwrap();
                assert_eq!(RecordHeader::parse(&record).unwrap().record(), record.len());
                let opened = open.open(&record).unwrap();
                assert_eq!((opened.content_type, &*opened.payload), (21, payload));
            }
        }
    }

    /// RFC 8448 section 3: the server's application traffic secret, key and nonce.
    #[test]
    fn keys_are_derived_as_the_rfc_shows() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2)
                .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
                .collect()
        };
        let secret = hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
        assert_eq!(
            expand_label(&secret, b"key", 16).unwrap(),
            hex("9f02283b6c9c07efc26bb9f2ac92e356")
        );
        assert_eq!(
            expand_label(&secret, b"iv", 12).unwrap(),
            hex("cf782b88dd83549aadf1e984")
        );
    }
}
