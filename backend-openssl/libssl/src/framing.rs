//! Where the engine stands in the stream of records.

use tls_core::support::{RECORD_HEADER, RecordHeader};

/// Follows the bytes handed to the engine, so that none beyond the current record are.
///
/// That makes `consumed` exact, leaves what follows a close_notify with the caller, and lets the
/// work of one call be bounded in records.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    header: [u8; RECORD_HEADER],
    /// How many bytes of the header the engine has.
    held: usize,
    /// How many bytes of the payload it does not have yet.
    payload_left: usize,
    /// How many records it has been given whole.
    finished: u64,
    seals: Seals,
}

/// Knows records that are too short to have been sealed. They are the peer's fault; OpenSSL calls
/// them an internal error of its own in TLS 1.2.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seals {
    /// The peer has sent a ChangeCipherSpec: what follows is sealed.
    begun: bool,
    too_short: bool,
}

impl Seals {
    /// The content type of ChangeCipherSpec: RFC 5246 section 6.2.1.
    const CHANGE_CIPHER_SPEC: u8 = 20;
    /// The explicit nonce and the tag of AES-GCM, in bytes: RFC 5288 section 3. Other suites have no
    /// shorter records than an alert, which OpenSSL does not call an error.
    const SEAL: usize = 8 + 16;

    pub(crate) fn new(begun: bool) -> Self {
        Self {
            begun,
            too_short: false,
        }
    }

    /// Whether what comes next is sealed.
    pub(crate) fn begun(self) -> bool {
        self.begun
    }

    /// A record begins, with this header.
    pub(crate) fn see(&mut self, header: &[u8; RECORD_HEADER]) {
        self.too_short = self.begun && payload(header) < Self::SEAL;
        self.begun |= header[0] == Self::CHANGE_CIPHER_SPEC;
    }

    /// Whether the record that began last is too short.
    pub(crate) fn too_short(self) -> bool {
        self.too_short
    }
}

impl Framing {
    /// Whether the engine has a part of a record.
    pub(crate) fn in_record(&self) -> bool {
        self.held > 0
    }

    /// Whether the current record, or else the last, is too short to have been sealed.
    pub(crate) fn too_short(&self) -> bool {
        self.seals.too_short()
    }

    /// How many records the engine has been given whole.
    pub(crate) fn finished(&self) -> u64 {
        self.finished
    }

    /// How many bytes are left of the header, or else of the payload, of the current record.
    pub(crate) fn piece(&self) -> usize {
        match self.held {
            RECORD_HEADER => self.payload_left,
            held => RECORD_HEADER - held,
        }
    }

    /// The engine was given these bytes, at most [`Self::piece`] of them. If they belong to the
    /// payload, the content type on the wire is given.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Option<u8> {
        debug_assert!(bytes.len() <= self.piece());
        let mut content_type = None;
        if self.held < RECORD_HEADER {
            self.header[self.held..][..bytes.len()].copy_from_slice(bytes);
            self.held += bytes.len();
            if self.held < RECORD_HEADER {
                return None;
            }
            self.payload_left = payload(&self.header);
            self.seals.see(&self.header);
        } else {
            self.payload_left -= bytes.len();
            content_type = Some(self.header[0]);
        }
        if self.payload_left == 0 {
            self.held = 0;
            self.finished += 1;
        }
        content_type
    }

    /// Whether `bytes`, which come next, complete the current record.
    pub(crate) fn completes(&self, bytes: &[u8]) -> bool {
        self.end_of_current(bytes)
            .is_some_and(|end| end <= bytes.len())
    }

    /// How many of `bytes`, which come next, complete the current record and whole records after
    /// it.
    pub(crate) fn complete_prefix(&self, bytes: &[u8]) -> usize {
        let mut complete = 0;
        let mut end = self.end_of_current(bytes);
        while let Some(reached) = end.filter(|&end| end <= bytes.len()) {
            complete = reached;
            end = RecordHeader::parse(&bytes[reached..]).map(|header| reached + header.record());
        }
        complete
    }

    /// Where the current record ends within `bytes` and beyond; `None` if its header is not
    /// complete even with them.
    fn end_of_current(&self, bytes: &[u8]) -> Option<usize> {
        if self.held == RECORD_HEADER {
            return Some(self.payload_left);
        }
        let missing = RECORD_HEADER - self.held;
        let mut header = self.header;
        header[self.held..].copy_from_slice(bytes.get(..missing)?);
        Some(missing + payload(&header))
    }
}

fn payload(header: &[u8; RECORD_HEADER]) -> usize {
    usize::from(u16::from_be_bytes([header[3], header[4]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content_type: u8, payload: usize) -> Vec<u8> {
        let mut record = vec![content_type, 3, 3];
        record.extend(u16::try_from(payload).unwrap().to_be_bytes());
        record.resize(RECORD_HEADER + payload, 0xaa);
        record
    }

    /// Hands over everything in pieces of at most `step` bytes, as an engine would ask for it.
    fn feed(framing: &mut Framing, mut bytes: &[u8], step: usize) -> Vec<Option<u8>> {
        let mut seen = Vec::new();
        while !bytes.is_empty() {
            let length = framing.piece().min(step).min(bytes.len());
            seen.push(framing.advance(&bytes[..length]));
            bytes = &bytes[length..];
        }
        seen
    }

    #[test]
    fn records_end_where_their_headers_say() {
        let stream = [record(22, 7), record(20, 0), record(23, 300)].concat();
        for step in [1, 2, 5, 6, 64, 1000] {
            let mut framing = Framing::default();
            let seen = feed(&mut framing, &stream, step);
            assert_eq!(framing.finished(), 3, "step {step}");
            assert!(!framing.in_record());
            assert_eq!(seen.iter().flatten().filter(|&&kind| kind == 20).count(), 0);
        }
    }

    #[test]
    fn the_payload_has_the_type_of_its_header() {
        let mut framing = Framing::default();
        let seen = feed(&mut framing, &record(22, 3), 2);
        assert_eq!(seen, [None, None, None, Some(22), Some(22)]);
    }

    #[test]
    fn a_record_of_no_bytes_ends_with_its_header() {
        let mut framing = Framing::default();
        feed(&mut framing, &record(23, 0), 5);
        assert_eq!((framing.finished(), framing.piece()), (1, RECORD_HEADER));
    }

    #[test]
    fn records_without_room_for_a_seal_are_known_once_sealing_has_begun() {
        let mut framing = Framing::default();
        for (next, too_short) in [
            (record(22, 4), false),
            (record(20, 1), false),
            (record(22, 40), false),
            (record(23, 23), true),
            (record(23, 24), false),
            (record(20, 1), true),
        ] {
            feed(&mut framing, &next, 3);
            assert_eq!(framing.too_short(), too_short, "{next:?}");
        }
    }

    #[test]
    fn the_complete_prefix_ends_on_a_record() {
        let stream = [record(23, 10), record(23, 0), record(23, 4)].concat();
        let ends = [15, 20, 29];
        for given in 0..stream.len() {
            let mut framing = Framing::default();
            feed(&mut framing, &stream[..given], 100);
            for length in 0..=stream.len() - given {
                let complete = framing.complete_prefix(&stream[given..given + length]);
                let expected = ends
                    .into_iter()
                    .rfind(|&end| end > given && end <= given + length);
                assert_eq!(complete, expected.map_or(0, |end| end - given));
                let completes = framing.completes(&stream[given..given + length]);
                assert_eq!(completes, complete > 0);
            }
        }
    }
}
