//! A stream of bytes as records.

use tls_core::support::RecordHeader;

/// The content type of alerts, ChangeCipherSpec and so on, as it stands on the wire.
pub(super) fn content_type(record: &[u8]) -> u8 {
    record.first().copied().unwrap_or_default()
}

/// What follows the header.
pub(super) fn body(record: &[u8]) -> &[u8] {
    record.get(HEADER..).unwrap_or_default()
}

/// The length of a record header, in bytes. RFC 8446 section 5.1.
pub(super) const HEADER: usize = 5;

/// Takes the whole records from the front of a stream.
pub(super) fn take_whole(stream: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(length) = whole(stream) {
        records.push(stream.drain(..length).collect());
    }
    records
}

fn whole(stream: &[u8]) -> Option<usize> {
    let length = RecordHeader::parse(stream)?.record();
    (stream.len() >= length).then_some(length)
}

/// The same record with another body, and a header that says so.
pub(super) fn with_body(record: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut made = record[..HEADER - 2].to_vec();
    made.extend(length);
    made.extend_from_slice(body);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_records_are_taken_and_the_rest_is_left() {
        let mut stream = vec![22, 3, 1, 0, 2, 7, 8, 23, 3, 3, 0, 1, 9, 21, 3, 3, 0, 2, 1];
        let records = take_whole(&mut stream);
        assert_eq!(records.len(), 2);
        assert_eq!(content_type(&records[0]), 22);
        assert_eq!(body(&records[1]), [9]);
        assert_eq!(stream, [21, 3, 3, 0, 2, 1]);
    }

    #[test]
    fn a_header_tells_the_new_length() {
        assert_eq!(
            with_body(&[22, 3, 1, 0, 1, 9], &[1, 2, 3]),
            [22, 3, 1, 0, 3, 1, 2, 3]
        );
    }
}
