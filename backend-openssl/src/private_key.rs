//! Private keys out of DER, each encoding by its own decoder: none of them ever asks for a password.

use openssl::ec::EcKey;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use tls_core::pki_types::PrivateKeyDer;

/// Decodes a key.
pub(crate) fn decode(key: &PrivateKeyDer<'_>) -> Result<PKey<Private>, ErrorStack> {
    match key {
        PrivateKeyDer::Pkcs1(der) => {
            PKey::from_rsa(Rsa::private_key_from_der(der.secret_pkcs1_der())?)
        }
        PrivateKeyDer::Sec1(der) => {
            PKey::from_ec_key(EcKey::private_key_from_der(der.secret_sec1_der())?)
        }
        other => decode_pkcs8(other.secret_der()),
    }
}

/// The library reads PKCS#8 as RFC 5208 has it. RFC 5958 lets the public key follow, and some tools
/// write it: such a key is read without.
fn decode_pkcs8(der: &[u8]) -> Result<PKey<Private>, ErrorStack> {
    match without_public_key(der) {
        Some(shorter) => PKey::private_key_from_pkcs8(&shorter),
        None => PKey::private_key_from_pkcs8(der),
    }
}

/// A key of version 1 as one of version 0: a sequence of the version, the algorithm and the private
/// key, without what may follow them. `None` if it is not a key of version 1.
fn without_public_key(der: &[u8]) -> Option<Vec<u8>> {
    const SEQUENCE: u8 = 0x30;
    const VERSION_0: &[u8] = &[0x02, 0x01, 0x00];
    const VERSION_1: &[u8] = &[0x02, 0x01, 0x01];

    let outer = Element::first(der)?;
    let fields = outer.content.strip_prefix(VERSION_1)?;
    let algorithm = Element::first(fields)?;
    let private_key = Element::first(algorithm.rest)?;
    if outer.tag != SEQUENCE || !outer.rest.is_empty() {
        return None;
    }
    let kept = fields.len() - private_key.rest.len();
    let body = [VERSION_0, &fields[..kept]].concat();
    let length = u16::try_from(body.len()).ok()?.to_be_bytes();
    Some([&[SEQUENCE, 0x82], &length[..], &body].concat())
}

/// One element of DER (X.690), and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn first(der: &'a [u8]) -> Option<Self> {
        let (&tag, der) = der.split_first()?;
        let (&short, der) = der.split_first()?;
        let (length, der) = match short {
            0..=0x7f => (usize::from(short), der),
            0x81 => {
                let (&length, der) = der.split_first()?;
                (usize::from(length), der)
            }
            0x82 => {
                let (&length, der) = der.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(length)), der)
            }
            _ => return None,
        };
        let (content, rest) = der.split_at_checked(length)?;
        Some(Self { tag, content, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04];

    /// A key of this version with this after it.
    fn key(version: u8, after: &[u8]) -> Vec<u8> {
        let fields = [&ED25519, &[0x20][..], &[0x5a; 32], after].concat();
        let length = u8::try_from(fields.len() + 3).unwrap();
        [&[0x30, length, 0x02, 0x01, version], &fields[..]].concat()
    }

    #[test]
    fn both_versions_are_the_same_key() {
        let public = [&[0x81, 0x21, 0x00][..], &[7; 32]].concat();
        let plain = decode_pkcs8(&key(0, &[])).unwrap();
        for after in [&[][..], &public] {
            let other = decode_pkcs8(&key(1, after)).unwrap();
            assert!(plain.public_eq(&other));
        }
    }

    #[test]
    fn torn_keys_are_refused() {
        for version in [0, 1] {
            let whole = key(version, &[]);
            for end in 0..whole.len() {
                assert!(decode_pkcs8(&whole[..end]).is_err(), "{end} bytes");
            }
        }
    }
}
