//! What a case needs to see in a recorded ClientHello.

use crate::case::{CaseResult, Failure};

/// The type of the extension that offers tickets. RFC 8446 section 4.2.11.
const PRE_SHARED_KEY: u16 = 41;

/// The first ticket that the ClientHello in this recorded flight offers, if any. RFC 8446 sections
/// 4.1.2 and 4.2.11.
///
/// # Errors
///
/// `harness` if the flight does not begin with a whole ClientHello in one record.
pub(crate) fn psk_identity(flight: &[u8]) -> CaseResult<Option<Vec<u8>>> {
    parse(flight).ok_or_else(|| Failure::new("harness", "the flight is no ClientHello"))
}

/// Whether a server's recorded flight begins with a HelloRetryRequest: a ServerHello with the random
/// that says so, of which the beginning will do. RFC 8446 section 4.1.3.
pub(crate) fn is_retry(flight: &[u8]) -> bool {
    const RANDOM: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];
    // Record header, handshake header, legacy version.
    flight
        .get(5 + 4 + 2..)
        .is_some_and(|rest| rest.starts_with(&RANDOM))
}

fn parse(flight: &[u8]) -> Option<Option<Vec<u8>>> {
    // Record header, handshake header, legacy version and random.
    let mut rest = Reader(flight.get(5 + 4 + 2 + 32..)?);
    rest.vector(1)?; // session id
    rest.vector(2)?; // cipher suites
    rest.vector(1)?; // compression methods
    let mut extensions = Reader(rest.vector(2)?);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let body = extensions.vector(2)?;
        if kind == usize::from(PRE_SHARED_KEY) {
            let mut identities = Reader(Reader(body).vector(2)?);
            return Some(Some(identities.vector(2)?.to_vec()));
        }
    }
    Some(None)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self, width: usize) -> Option<usize> {
        let (bytes, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }

    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}
