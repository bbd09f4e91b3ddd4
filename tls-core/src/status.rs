//! What a step of a session came to.

/// The outcome of one step that did not fail.
///
/// The `Want*` values name the direction in which the *transport* must move next, which may be the
/// opposite of the call that returned them; none of them is an error (contract K1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The step is done. For `read`, the bytes produced are application data; zero bytes never
    /// mean that the peer closed (that is [`Status::Closed`]).
    Complete,
    /// The session needs bytes from the peer: feed more input, or wait until the descriptor is
    /// readable, then repeat the call.
    WantRead,
    /// The session holds ciphertext for the peer that must leave first: drain it, or wait until
    /// the descriptor is writable, then repeat the call.
    WantWrite,
    /// The peer's authenticated close_notify was seen (`read`), or both close_notify alerts were
    /// exchanged (`shutdown`). RFC 8446 section 6.1.
    Closed,
    /// The server asked for a client certificate and none was configured; the session is suspended
    /// until the caller answers.
    WantCredentials,
    /// The peer's certificate chain is there and the caller must give a verdict; the session is
    /// suspended until it does.
    NeedsCertificateValidation,
    /// The ClientHello is there and the caller must choose the server context; the session is
    /// suspended until it does.
    NeedsServerContext,
}

/// Where the last [`request_client_certificate`](crate::Session::request_client_certificate) of a
/// session stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostHandshakeAuth {
    /// Nothing was asked for.
    #[default]
    NotRequested,
    /// The answer is outstanding, whether the request has left the session yet or not.
    Pending,
    /// The client presented a certificate, which was verified.
    Received,
    /// The client presented none.
    Declined,
    /// Nothing was sent: the client did not offer to be asked after the handshake (RFC 8446 section
    /// 4.2.6), or knows no secure renegotiation (RFC 5746).
    PeerNotCapable,
}

/// A [`Status`] and the bytes that were moved to get there.
///
/// Both counts are in bytes and always true, whatever the status (contract K16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "bytes may have been consumed or produced, and the status says what to do next"]
pub struct Progress {
    /// What the step came to.
    pub status: Status,
    /// How many bytes of the caller's input were taken: ciphertext for `handshake` and `read` of a
    /// buffer session, plaintext for `write`.
    pub consumed: usize,
    /// How many bytes were placed in the caller's output: plaintext for `read`, ciphertext for
    /// the other calls of a buffer session.
    pub produced: usize,
}

impl Progress {
    /// Builds a progress value.
    #[inline]
    pub const fn new(status: Status, consumed: usize, produced: usize) -> Self {
        Self {
            status,
            consumed,
            produced,
        }
    }

    /// A status reached without moving a byte.
    #[inline]
    pub const fn idle(status: Status) -> Self {
        Self::new(status, 0, 0)
    }
}
