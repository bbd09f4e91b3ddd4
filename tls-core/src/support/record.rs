//! The record header: the one piece of the wire format that moving bytes needs.

/// The length of a record header, in bytes. RFC 8446 section 5.1.
pub const RECORD_HEADER: usize = 5;

/// The largest record on the wire, in bytes, header included: TLS 1.2 allows 2,048 bytes of
/// expansion (RFC 5246 section 6.2.3), TLS 1.3 only 256 (RFC 8446 section 5.2).
pub const MAX_RECORD: usize = RECORD_HEADER + (1 << 14) + 2048;

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
