//! Whether a TLS 1.2 handshake has the extended master secret: rustls uses it whenever both sides
//! have it, and tells nobody. The ServerHello, which is not encrypted, says so (RFC 7627 section 5.1),
//! and that nobody changed it is what Finished proves.

use tls_core::support::{RECORD_HEADER, RecordHeader};

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: usize = 2;
const EXTENDED_MASTER_SECRET: usize = 23;
/// The version, and the random.
const FIXED: usize = 2 + 32;
/// The cipher suite, and the compression.
const CHOICES: usize = 2 + 1;

/// What was seen of the first record that a server sends.
#[derive(Debug)]
pub(crate) enum ServerHello {
    /// The beginning of the record.
    Coming(Vec<u8>),
    /// Whether it is a ServerHello with the extension.
    Seen(bool),
}

impl ServerHello {
    pub(crate) const fn new() -> Self {
        Self::Coming(Vec::new())
    }

    /// The server has sent these bytes. Only the first record is looked at: in a ServerHello that
    /// is spread over several the extension is not found.
    #[inline]
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        if let Self::Coming(_) = self {
            self.take(bytes);
        }
    }

    #[cold]
    fn take(&mut self, bytes: &[u8]) {
        let Self::Coming(begun) = self else { return };
        begun.extend_from_slice(bytes);
        let Some(header) = RecordHeader::parse(begun) else {
            return;
        };
        if header.content_type != HANDSHAKE {
            *self = Self::Seen(false);
        } else if let Some(record) = begun.get(..header.record()) {
            *self = Self::Seen(has_extension(record));
        }
    }

    /// Whether the extended master secret is known to be used.
    pub(crate) fn has_extended_master_secret(&self) -> bool {
        matches!(self, Self::Seen(true))
    }
}

/// Whether a record begins with a ServerHello that has the extension. RFC 5246 section 7.4.1.3.
fn has_extension(record: &[u8]) -> bool {
    extensions(record).is_some_and(|mut extensions| {
        while let (Some(number), Some(length)) = (extensions.number(2), extensions.number(2)) {
            if extensions.skip(length).is_some() && number == EXTENDED_MASTER_SECRET {
                return true;
            }
        }
        false
    })
}

fn extensions(record: &[u8]) -> Option<Rest<'_>> {
    let mut rest = Rest(record.get(RECORD_HEADER..)?);
    if rest.number(1)? != SERVER_HELLO {
        return None;
    }
    let mut hello = rest.vector(3)?;
    hello.skip(FIXED)?;
    hello.vector(1)?;
    hello.skip(CHOICES)?;
    hello.vector(2)
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let (skipped, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(skipped)
    }

    /// What a length of so many bytes stands in front of.
    fn vector(&mut self, bytes: usize) -> Option<Self> {
        let length = self.number(bytes)?;
        self.skip(length).map(Self)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.skip(bytes)?.iter();
        Some(bytes.fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, extensions: &[u8]) -> Vec<u8> {
        let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        hello.extend([4, 1, 2, 3, 4, 0xc0, 0x2b, 0]);
        hello.extend(length(extensions.len()));
        hello.extend(extensions);
        let mut message = vec![kind, 0];
        message.extend(length(hello.len()));
        message.extend(hello);
        let mut record = vec![HANDSHAKE, 3, 3];
        record.extend(length(message.len()));
        record.extend(message);
        record
    }

    fn seen(pieces: &[&[u8]]) -> bool {
        let mut hello = ServerHello::new();
        for piece in pieces {
            hello.see(piece);
        }
        hello.has_extended_master_secret()
    }

    #[test]
    fn the_extension_is_found_among_others_and_in_pieces() {
        let found = record(2, &[0xff, 1, 0, 1, 0, 0, 23, 0, 0]);
        assert!(seen(&[&found]));
        let pieces: Vec<&[u8]> = found.chunks(1).collect();
        assert!(seen(&pieces));
        assert!(!seen(&pieces[..pieces.len() - 1]), "the end is missing");
        assert!(seen(&[&[&found[..], b"and more"].concat()]));
    }

    #[test]
    fn what_is_no_server_hello_with_it_has_not() {
        assert!(!seen(&[]));
        assert!(!seen(&[&record(2, &[])]));
        assert!(!seen(&[&record(2, &[0xff, 1, 0, 3, 0, 23, 0])]));
        assert!(!seen(&[&record(1, &[0, 23, 0, 0])]));
        assert!(!seen(&[&[21, 3, 3, 0, 2, 2, 40]]));
        // The lengths within are larger than what is there.
        let mut torn = record(2, &[0, 23, 0, 0]);
        torn[8] += 1;
        assert!(!seen(&[&torn]));
    }

    #[test]
    fn only_the_first_record_counts() {
        let (without, with) = (record(2, &[]), record(2, &[0, 23, 0, 0]));
        assert!(!seen(&[&without, &with]));
    }
}
