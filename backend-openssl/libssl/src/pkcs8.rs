//! Private keys in PKCS#8, as the libraries take them.

use std::borrow::Cow;

/// The key as RFC 5208 has it, which is all that the libraries read. RFC 5958 lets the public key
/// follow, and some tools write it: then it is left out.
pub fn pkcs8_version_0(der: &[u8]) -> Cow<'_, [u8]> {
    without_public_key(der).map_or(Cow::Borrowed(der), Cow::Owned)
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
    Some([&[SEQUENCE], &*length(body.len())?, &body].concat())
}

/// A length as DER has it, in as few bytes as it takes: BoringSSL reads no other.
fn length(length: usize) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
    Some(match (high, low) {
        (0, 0..=0x7f) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    })
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
    fn a_public_key_is_left_out() {
        let public = [&[0x81, 0x21, 0x00][..], &[7; 32]].concat();
        for after in [&[][..], &public] {
            assert_eq!(*pkcs8_version_0(&key(1, after)), key(0, &[]));
        }
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_can() {
        for (of, bytes) in [
            (0x7f, &[0x7f][..]),
            (0x80, &[0x81, 0x80]),
            (0xff, &[0x81, 0xff]),
            (0x100, &[0x82, 1, 0]),
            (0xffff, &[0x82, 0xff, 0xff]),
        ] {
            assert_eq!(length(of).unwrap(), bytes);
        }
        assert_eq!(length(0x1_0000), None);
    }

    #[test]
    fn any_other_key_is_left_alone() {
        let whole = key(1, &[]);
        for end in 0..whole.len() {
            assert_eq!(*pkcs8_version_0(&whole[..end]), whole[..end]);
        }
        assert_eq!(*pkcs8_version_0(&key(0, &[])), key(0, &[]));
    }
}
