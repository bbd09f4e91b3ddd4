//! What client and server configurations have in common.

use crate::iana::{CipherSuite, Group, ProtocolVersion};

/// How many bytes of ciphertext a session holds for the peer before `write` goes short, unless
/// configured otherwise.
pub const DEFAULT_PENDING_OUTPUT_BOUND: usize = 64 * 1024;

/// Protocol and transport parameters, for either role.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Parameters {
    /// The lowest version to negotiate; TLS 1.2 by default.
    pub min_version: ProtocolVersion,
    /// The highest version to negotiate; TLS 1.3 by default.
    pub max_version: ProtocolVersion,
    /// The cipher suites to negotiate, of TLS 1.2 and 1.3 in one list, most wanted first within
    /// each version. `None`: the engine's own choice. A list that leaves a version of the range
    /// without a suite is refused.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// The key-exchange groups to negotiate, most wanted first. `None`: the engine's own choice.
    pub groups: Option<Vec<Group>>,
    /// Application protocols, most wanted first; none are negotiated if empty. Servers choose by
    /// their own order, and refuse a client that offers only others. RFC 7301.
    pub alpn: Vec<Vec<u8>>,
    /// Whether a TLS 1.2 session may be renegotiated (RFC 5246 section 7.4.1.1); off by default, when
    /// an attempt of the peer is refused. If on, `read` and `write` take the session through a
    /// handshake that the peer starts: what they give is as ever, save that `write` may give
    /// `WantRead`, for nothing can be written between the first message of that handshake and the
    /// last. Only with secure renegotiation (RFC 5746); the peer is verified again; a renegotiation
    /// that would change its certificate, or another of the session's facts, is a fatal error, save
    /// for the group, which stays told as the first handshake settled it; and after the eighth that
    /// the peer has started, any more are refused. TLS 1.3 has none.
    pub allow_renegotiation: bool,
    /// Whether `shutdown` sends no close_notify and does not wait for the peer's. The peer can
    /// then not tell the end of the data from a truncation.
    pub quiet_shutdown: bool,
    /// How many bytes of ciphertext a session holds for the peer before `write` goes short and
    /// then gives `WantWrite`; one record more may be held. From 1 byte to 16 MiB.
    pub pending_output_bound: usize,
    /// How socket sessions move ciphertext.
    pub socket_transport: SocketTransport,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            min_version: ProtocolVersion::TLS1_2,
            max_version: ProtocolVersion::TLS1_3,
            cipher_suites: None,
            groups: None,
            alpn: Vec::new(),
            allow_renegotiation: false,
            quiet_shutdown: false,
            pending_output_bound: DEFAULT_PENDING_OUTPUT_BOUND,
            socket_transport: SocketTransport::default(),
        }
    }
}

impl Parameters {
    /// Whether a version lies within the configured range.
    pub fn allows(&self, version: ProtocolVersion) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }
}

/// How a socket session moves ciphertext.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketTransport {
    /// Records are gathered and sent together, and large pieces are read ahead: few system calls.
    #[default]
    Gathered,
    /// The engine itself reads and writes the descriptor, record by record (`SSL_set_fd`).
    Plain,
}
