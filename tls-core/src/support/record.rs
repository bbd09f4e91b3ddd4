//! The record header: the one piece of the wire format that moving bytes needs.

/// The length of a record header, in bytes. RFC 8446 section 5.1.
pub const RECORD_HEADER: usize = 5;

/// The largest record on the wire, in bytes, header included: TLS 1.2 allows 2,048 bytes of
/// expansion (RFC 5246 section 6.2.3), TLS 1.3 only 256 (RFC 8446 section 5.2).
pub const MAX_RECORD: usize = RECORD_HEADER + (1 << 14) + 2048;

/// The most application data one record carries, in bytes. RFC 8446 section 5.1.
pub(crate) const MAX_FRAGMENT: usize = 1 << 14;

/// A record header as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// The content type; in TLS 1.3 the outer one.
    pub content_type: u8,
    /// How many bytes follow the header.
    pub payload: usize,
}

impl RecordHeader {
    /// Reads a header from the start of `bytes`; `None` if there are fewer than 5.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        Some(Self {
            content_type: header[0],
            payload: usize::from(u16::from_be_bytes([header[3], header[4]])),
        })
    }

    /// The length of the whole record, in bytes.
    pub const fn record(self) -> usize {
        RECORD_HEADER + self.payload
    }
}

/// Follows a stream of records through pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct RecordTracker {
    header: [u8; RECORD_HEADER],
    /// How much of the header was seen; all of it inside a payload.
    seen: usize,
    /// How much of the payload is still to come, in bytes.
    missing: usize,
}

impl RecordTracker {
    /// Follows the next bytes of the stream; returns how many of them lead up to the end of the
    /// last record that ends among them.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        let mut whole = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.seen < RECORD_HEADER {
                let piece = rest.len().min(RECORD_HEADER - self.seen);
                self.header[self.seen..self.seen + piece].copy_from_slice(&rest[..piece]);
                self.seen += piece;
                at += piece;
                self.missing = match RecordHeader::parse(&self.header) {
                    Some(header) if self.seen == RECORD_HEADER => header.payload,
                    _ => continue,
                };
            } else {
                let piece = rest.len().min(self.missing);
                self.missing -= piece;
                at += piece;
            }
            if self.missing == 0 {
                self.seen = 0;
                whole = at;
            }
        }
        whole
    }

    /// Whether the stream stands inside a record.
    pub(crate) fn is_inside(&self) -> bool {
        self.seen > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_followed_through_pieces_of_any_size() {
        let stream = [
            &[23, 3, 3, 0, 2, 9, 9][..],
            &[23, 3, 3, 0, 0],
            &[21, 3, 3, 0, 1, 0],
        ]
        .concat();
        let ends = [7, 12, 18];
        for size in 1..=stream.len() {
            let mut tracker = RecordTracker::default();
            let mut at = 0;
            for piece in stream.chunks(size) {
                let whole = tracker.follow(piece);
                let expected = ends
                    .iter()
                    .filter(|&&end| end > at && end <= at + piece.len())
                    .max();
                assert_eq!(
                    whole,
                    expected.map_or(0, |end| end - at),
                    "pieces of {size}"
                );
                at += piece.len();
                assert_eq!(tracker.is_inside(), !ends.contains(&at));
            }
        }
    }
}
