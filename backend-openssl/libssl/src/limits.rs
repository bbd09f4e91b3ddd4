//! What a peer may make a session do (K4).

use std::ffi::c_int;

use tls_core::iana::ProtocolVersion;

/// How many records without application data may follow each other once the handshake is
/// complete. KeyUpdates and tickets come one or more to a record, so that this bounds them too.
const MAX_RECORDS_WITHOUT_DATA: u64 = 32;

/// How many warning alerts a peer may send.
const MAX_WARNINGS: u32 = 4;

/// The longest ClientHello, in bytes, its message header not counted.
const MAX_CLIENT_HELLO: usize = 64 * 1024;

/// The largest list of certificates a peer may send, in bytes: the largest handshake message the
/// contract allows (K4). Each backend sets it on its `SSL_CTX`.
pub const MAX_CERTIFICATE_LIST: usize = 128 * 1024;

/// How much a peer may send in a handshake, in bytes. The libraries bound each message; nothing
/// bounds how many they skip.
const MAX_HANDSHAKE: u64 = 256 * 1024;

/// A limit that the peer has overstepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    Records,
    Warnings,
    ClientHello,
    Handshake,
}

impl Excess {
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Records => "more than 32 records in a row without application data",
            Self::Warnings => "more than 4 warning alerts",
            Self::ClientHello => "a ClientHello of more than 64 KiB",
            Self::Handshake => "a handshake of more than 256 KiB",
        }
    }
}

/// Counts what one session's peer sends.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    records: u64,
    handshake: u64,
}

impl Limits {
    /// Application data came.
    #[inline]
    pub(crate) fn application_data(&mut self) {
        self.records = 0;
    }

    /// A call processed this many records without application data, and the peer has sent this
    /// many warning alerts in all.
    pub(crate) fn without_data(&mut self, records: u64, warnings: u32) -> Result<(), Excess> {
        self.records += records;
        if self.records > MAX_RECORDS_WITHOUT_DATA {
            return Err(Excess::Records);
        }
        warnings_within(warnings)
    }

    /// The peer sent this many bytes more of its handshake, and this many warning alerts in all.
    pub(crate) fn handshake(&mut self, bytes: usize, warnings: u32) -> Result<(), Excess> {
        self.handshake += bytes as u64;
        if self.handshake > MAX_HANDSHAKE {
            return Err(Excess::Handshake);
        }
        warnings_within(warnings)
    }
}

const fn warnings_within(warnings: u32) -> Result<(), Excess> {
    if warnings > MAX_WARNINGS {
        return Err(Excess::Warnings);
    }
    Ok(())
}

/// Reads the length of a ClientHello off the first records, before the engine has all of it.
#[derive(Debug, Default)]
pub(crate) struct HelloWatch {
    header: [u8; 4],
    held: usize,
}

impl HelloWatch {
    const CONTENT_HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;

    /// The payload of a record, or a part of it.
    pub(crate) fn see(&mut self, content_type: u8, payload: &[u8]) {
        if content_type != Self::CONTENT_HANDSHAKE {
            return;
        }
        let length = payload.len().min(self.header.len() - self.held);
        self.header[self.held..][..length].copy_from_slice(&payload[..length]);
        self.held += length;
    }

    /// Whether the ClientHello is longer than it may be.
    pub(crate) fn excess(&self) -> bool {
        let [message, high, middle, low] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.held == self.header.len() && message == Self::CLIENT_HELLO && length > MAX_CLIENT_HELLO
    }
}

/// A record header that makes the engine end the session with a fatal alert of its own: the
/// libraries have no common call to send one.
///
/// In TLS 1.3 a content type that does not exist is answered with unexpected_message; before that,
/// and during a handshake, a length beyond every limit with record_overflow.
pub(crate) const fn poison(version: Option<ProtocolVersion>) -> [u8; 5] {
    match version {
        Some(ProtocolVersion::TLS1_3) => [0x7f, 3, 3, 0, 32],
        _ => [22, 3, 3, 0xff, 0xff],
    }
}

/// A record header that the engine takes for something else than TLS.
pub(crate) const NOT_TLS: [u8; 5] = [0xff; 5];

/// The largest slice the libraries' `int` lengths can name.
pub(crate) const MAX_LENGTH: usize = c_int::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_after_the_last_allowed_is_too_many() {
        let mut limits = Limits::default();
        for _ in 0..32 {
            assert_eq!(limits.without_data(1, 0), Ok(()));
        }
        assert_eq!(limits.without_data(1, 0), Err(Excess::Records));
        limits.application_data();
        assert_eq!(limits.without_data(32, 0), Ok(()));
    }

    #[test]
    fn the_fifth_warning_is_too_many() {
        let mut limits = Limits::default();
        assert_eq!(limits.without_data(0, 4), Ok(()));
        assert_eq!(limits.without_data(0, 5), Err(Excess::Warnings));
        assert_eq!(limits.handshake(0, 5), Err(Excess::Warnings));
    }

    #[test]
    fn a_handshake_is_bounded() {
        let mut limits = Limits::default();
        assert_eq!(limits.handshake(256 * 1024, 0), Ok(()));
        assert_eq!(limits.handshake(1, 0), Err(Excess::Handshake));
    }

    #[test]
    fn the_length_of_a_hello_is_read_byte_by_byte() {
        for (header, excess) in [
            ([1, 1, 0, 0], false),
            ([1, 1, 0, 1], true),
            ([1, 0xff, 0xff, 0xff], true),
            ([2, 0xff, 0xff, 0xff], false),
        ] {
            let mut watch = HelloWatch::default();
            watch.see(20, &[1, 1, 1, 1]);
            for byte in header {
                assert!(!watch.excess());
                watch.see(22, &[byte]);
            }
            watch.see(22, &[9; 100]);
            assert_eq!(watch.excess(), excess, "{header:?}");
        }
    }
}
