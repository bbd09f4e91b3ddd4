//! The hash of a server's certificate that names it: `tls-server-end-point`, RFC 5929 section 4.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, TagMode, TagNumber};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use spki::{AlgorithmIdentifier, AlgorithmIdentifierRef};

/// What names the end point.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EndPoint {
    Hash(Vec<u8>),
    /// The signature has no hash function, or several.
    Undefined,
    /// It is not known what hash the signature has, and why.
    Unknown(&'static str),
}

/// Names the server whose leaf this is.
pub(super) fn end_point(leaf: &CertificateDer<'_>) -> EndPoint {
    let Ok(algorithm) = signature_algorithm(leaf) else {
        return EndPoint::Unknown("the server's certificate cannot be decoded");
    };
    if NO_HASH.contains(&algorithm.oid) {
        return EndPoint::Undefined;
    }
    let hash = match algorithm.oid {
        RSASSA_PSS => match pss_hash(&algorithm) {
            Some(Pss::One(hash)) => hash_of(hash),
            Some(Pss::Several) => return EndPoint::Undefined,
            None => None,
        },
        signature => hash_of_signature(signature),
    };
    match hash {
        Some(hash) => EndPoint::Hash(hash.digest(leaf)),
        None => EndPoint::Unknown("the server's certificate is signed with a hash unknown here"),
    }
}

/// What a certificate says outside of its signed part. RFC 5280 section 4.1.
fn signature_algorithm(certificate: &[u8]) -> der::Result<AlgorithmIdentifierRef<'_>> {
    SliceReader::new(certificate)?.sequence(|fields| {
        let _signed = AnyRef::decode(fields)?;
        let algorithm = AlgorithmIdentifierRef::decode(fields)?;
        let _signature = AnyRef::decode(fields)?;
        Ok(algorithm)
    })
}

/// The hashes that take part in an RSASSA-PSS. RFC 4055 section 3.1.
enum Pss {
    One(ObjectIdentifier),
    Several,
}

fn pss_hash(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Pss> {
    type Mask<'a> = AlgorithmIdentifier<AlgorithmIdentifierRef<'a>>;

    let hashes = |fields: &mut SliceReader<'_>| {
        let hash: Option<AlgorithmIdentifierRef<'_>> =
            fields.context_specific(TagNumber(0), TagMode::Explicit)?;
        let mask: Option<Mask<'_>> = fields.context_specific(TagNumber(1), TagMode::Explicit)?;
        while !fields.is_finished() {
            AnyRef::decode(fields)?;
        }
        let mask = mask.map(|mask| mask.parameters.map(|hash| hash.oid));
        Ok::<_, der::Error>((hash.map(|hash| hash.oid), mask))
    };
    let (hash, mask) = match algorithm.parameters {
        Some(parameters) => parameters.sequence(hashes).ok()?,
        None => (None, None),
    };
    let hash = hash.unwrap_or(SHA1);
    Some(match mask.unwrap_or(Some(SHA1))? == hash {
        true => Pss::One(hash),
        false => Pss::Several,
    })
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha224 => Sha224::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const RSASSA_PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");
/// What RSASSA-PSS has where it names no hash.
const SHA1: ObjectIdentifier = oid("1.3.14.3.2.26");

/// Ed25519 and Ed448, which sign the message itself. RFC 8410 section 3.
const NO_HASH: [ObjectIdentifier; 2] = [oid("1.3.101.112"), oid("1.3.101.113")];

/// The hash of a signature that names it. MD5 and SHA-1 give way to SHA-256: RFC 5929 section 4.1.
fn hash_of_signature(signature: ObjectIdentifier) -> Option<Hash> {
    const MD5_RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.4");
    const SHA1_RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.5");
    const SHA1_ECDSA: ObjectIdentifier = oid("1.2.840.10045.4.1");
    const SHA1_DSA: ObjectIdentifier = oid("1.2.840.10040.4.3");
    const SHA224_RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.14");
    const SHA224_ECDSA: ObjectIdentifier = oid("1.2.840.10045.4.3.1");
    const SHA224_DSA: ObjectIdentifier = oid("2.16.840.1.101.3.4.3.1");
    const SHA256_RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
    const SHA256_ECDSA: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
    const SHA256_DSA: ObjectIdentifier = oid("2.16.840.1.101.3.4.3.2");
    const SHA384_RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
    const SHA384_ECDSA: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
    const SHA512_RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
    const SHA512_ECDSA: ObjectIdentifier = oid("1.2.840.10045.4.3.4");

    Some(match signature {
        MD5_RSA | SHA1_RSA | SHA1_ECDSA | SHA1_DSA => Hash::Sha256,
        SHA224_RSA | SHA224_ECDSA | SHA224_DSA => Hash::Sha224,
        SHA256_RSA | SHA256_ECDSA | SHA256_DSA => Hash::Sha256,
        SHA384_RSA | SHA384_ECDSA => Hash::Sha384,
        SHA512_RSA | SHA512_ECDSA => Hash::Sha512,
        _ => return None,
    })
}

/// The hash of this number, as RSASSA-PSS names it.
fn hash_of(hash: ObjectIdentifier) -> Option<Hash> {
    const SHA224: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.4");
    const SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
    const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
    const SHA512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");

    Some(match hash {
        SHA1 | SHA256 => Hash::Sha256,
        SHA224 => Hash::Sha224,
        SHA384 => Hash::Sha384,
        SHA512 => Hash::Sha512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DER of a tag and its content, up to 255 bytes.
    fn value(tag: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        let length = u8::try_from(content.len()).unwrap();
        let mut der = vec![tag];
        if length >= 0x80 {
            der.push(0x81);
        }
        der.push(length);
        der.extend(content);
        der
    }

    fn sequence(content: &[&[u8]]) -> Vec<u8> {
        value(0x30, content)
    }

    fn number(oid: ObjectIdentifier) -> Vec<u8> {
        value(6, &[oid.as_bytes()])
    }

    /// What looks like a certificate with this signature.
    fn certificate(algorithm: &[u8]) -> CertificateDer<'static> {
        let (signed, signature) = (sequence(&[]), value(3, &[&[0, 1, 2]]));
        sequence(&[&signed, algorithm, &signature]).into()
    }

    fn name(algorithm: &[u8]) -> (EndPoint, CertificateDer<'static>) {
        let certificate = certificate(algorithm);
        (end_point(&certificate), certificate)
    }

    #[test]
    fn the_hash_is_that_of_the_signature_but_for_weak_ones() {
        let length = |text| match name(&sequence(&[&number(oid(text)), &[5, 0]])) {
            (EndPoint::Hash(hash), _) => Ok(hash.len()),
            (other, _) => Err(other),
        };
        for (signature, expected) in [
            ("1.2.840.113549.1.1.4", 32),
            ("1.2.840.113549.1.1.5", 32),
            ("1.2.840.10045.4.1", 32),
            ("1.2.840.113549.1.1.14", 28),
            ("1.2.840.113549.1.1.11", 32),
            ("1.2.840.10045.4.3.2", 32),
            ("1.2.840.10045.4.3.3", 48),
            ("1.2.840.113549.1.1.13", 64),
        ] {
            assert_eq!(length(signature), Ok(expected), "{signature}");
        }
        assert_eq!(length("1.3.101.112"), Err(EndPoint::Undefined));
        assert!(matches!(length("1.2.3.4"), Err(EndPoint::Unknown(_))));
    }

    #[test]
    fn the_whole_certificate_is_hashed() {
        let (found, certificate) = name(&sequence(&[&number(oid("1.2.840.10045.4.3.2"))]));
        assert_eq!(found, EndPoint::Hash(Sha256::digest(&certificate).to_vec()));
    }

    #[test]
    fn pss_has_one_hash_or_none_that_counts() {
        const MGF1: &str = "1.2.840.113549.1.1.8";
        const SHA256: &str = "2.16.840.1.101.3.4.2.1";
        const SHA512: &str = "2.16.840.1.101.3.4.2.3";
        let algorithm = |text: &str| sequence(&[&number(oid(text)), &[5, 0]]);
        let pss = |hash: &str, mask: &str| {
            let mask = sequence(&[&number(oid(MGF1)), &algorithm(mask)]);
            let parameters = sequence(&[
                &value(0xa0, &[&algorithm(hash)]),
                &value(0xa1, &[&mask]),
                &value(0xa2, &[&[2, 1, 32]]),
            ]);
            name(&sequence(&[&number(RSASSA_PSS), &parameters])).0
        };
        let long = |found| matches!(found, EndPoint::Hash(hash) if hash.len() == 64);
        assert!(long(pss(SHA512, SHA512)));
        assert_eq!(pss(SHA256, SHA512), EndPoint::Undefined);
        assert!(matches!(pss("1.2.3", "1.2.3"), EndPoint::Unknown(_)));
        // The default is SHA-1, for both.
        let (found, certificate) = name(&sequence(&[&number(RSASSA_PSS), &sequence(&[])]));
        assert_eq!(found, EndPoint::Hash(Sha256::digest(&certificate).to_vec()));
        let (found, _) = name(&sequence(&[&number(RSASSA_PSS), &[5, 0]]));
        assert!(matches!(found, EndPoint::Unknown(_)));
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        for bytes in [&b""[..], b"\x30", b"\x30\x03\x30\x00\x30", &[0xff; 40]] {
            let found = end_point(&bytes.into());
            assert!(matches!(found, EndPoint::Unknown(_)), "{bytes:?}");
        }
    }
}
