//! The configuration of clients.

use super::{Identity, Parameters, PeerVerification, Roots};

/// The configuration of a client context.
///
/// By default: TLS 1.2 and 1.3, the peer's certificate and name verified against the roots given,
/// SNI sent, sessions resumed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Protocol and transport parameters.
    pub parameters: Parameters,
    /// The roots that server certificates must lead to.
    pub roots: Roots,
    /// Who decides about the server's certificate; the library, by default.
    pub peer_verification: PeerVerification,
    /// The certificate to present if the server asks for one.
    pub identity: Option<Identity>,
    /// Whether a session whose server asks for a certificate is suspended with
    /// [`WantCredentials`](crate::Status::WantCredentials) until
    /// [`set_client_certificate`](crate::Session::set_client_certificate) names one, or none; off
    /// by default, and only without an `identity`.
    ///
    /// What a session presents stays with it. A handshake in which the server asked leaves nothing
    /// to be resumed, so that no later session takes over what was chosen for this one. A server that
    /// asks after the handshake ([`post_handshake_auth`](Self::post_handshake_auth)) is answered the
    /// same way: the `read` that meets its request waits. Not together with
    /// [`Parameters::allow_renegotiation`].
    pub late_credentials: bool,
    /// Whether to offer TLS 1.3 servers to be asked for a certificate after the handshake (RFC 8446
    /// section 4.2.6); off by default. A `read` then answers such a request with
    /// [`identity`](Self::identity), or declines.
    pub post_handshake_auth: bool,
    /// Whether to send the server name indication (RFC 6066 section 3); on by default. IP
    /// addresses are never sent.
    pub send_sni: bool,
    /// Whether and how sessions are resumed.
    pub resumption: ClientResumption,
    /// What gives up security.
    pub dangerous: Dangerous,
}

impl ClientConfig {
    /// A configuration that trusts these roots.
    pub fn new(roots: Roots) -> Self {
        Self {
            parameters: Parameters::default(),
            roots,
            peer_verification: PeerVerification::Default,
            identity: None,
            late_credentials: false,
            post_handshake_auth: false,
            send_sni: true,
            resumption: ClientResumption::default(),
            dangerous: Dangerous::default(),
        }
    }
}

/// Whether and how a client resumes sessions. RFC 8446 section 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientResumption {
    /// Whether sessions are kept and resumed; on by default.
    pub enabled: bool,
    /// How many servers sessions are kept for, the oldest going first; 256 by default. For each,
    /// up to 16 TLS 1.3 tickets are kept, and used once.
    pub store_size: usize,
}

impl Default for ClientResumption {
    fn default() -> Self {
        Self {
            enabled: true,
            store_size: 256,
        }
    }
}

/// What gives up security. Everything is off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dangerous {
    /// Accepts any certificate, from anyone: encryption without knowing with whom.
    pub accept_any_certificate: bool,
    /// Accepts a certificate for any name that leads to a trusted root; sessions may then go
    /// without a server name.
    pub accept_any_name: bool,
}
