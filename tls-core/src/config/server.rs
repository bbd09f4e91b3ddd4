//! The configuration of servers.

use std::time::Duration;

use super::{Identity, Parameters, PeerVerification, Roots};

/// The configuration of a server context.
///
/// By default: TLS 1.2 and 1.3, no client certificates, sessions resumed by tickets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Protocol and transport parameters.
    pub parameters: Parameters,
    /// The certificate chain and key to present.
    pub identity: Identity,
    /// Whether clients are asked for a certificate.
    pub client_authentication: ClientAuthentication,
    /// Who decides about the certificates of clients; the library, by default. Nobody else can if
    /// clients are not asked for one.
    pub peer_verification: PeerVerification,
    /// Whether and how sessions are resumed.
    pub resumption: ServerResumption,
}

impl ServerConfig {
    /// A configuration that presents this identity.
    pub fn new(identity: Identity) -> Self {
        Self {
            parameters: Parameters::default(),
            identity,
            client_authentication: ClientAuthentication::None,
            peer_verification: PeerVerification::Default,
            resumption: ServerResumption::default(),
        }
    }
}

/// Whether clients are asked for a certificate. RFC 8446 section 4.3.2.
///
/// A certificate that is presented is always verified, against these roots only.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// Clients are not asked.
    None,
    /// Clients are asked and may present none.
    Optional(Roots),
    /// Clients that present none are refused.
    Required(Roots),
    /// Clients are not asked by the handshake, but may be afterwards, by
    /// [`request_client_certificate`](crate::Session::request_client_certificate). With TLS 1.2 that
    /// takes [`Parameters::allow_renegotiation`].
    OnRequest(Roots),
}

impl ClientAuthentication {
    /// The roots client certificates must lead to, if clients are or may be asked.
    pub fn roots(&self) -> Option<&Roots> {
        match self {
            Self::None => None,
            Self::Optional(roots) | Self::Required(roots) | Self::OnRequest(roots) => Some(roots),
        }
    }
}

/// Whether and how a server resumes sessions. RFC 8446 section 2.2, RFC 5077.
///
/// A session is resumed only in the context that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerResumption {
    /// Whether sessions are resumed; on by default.
    pub enabled: bool,
    /// Whether sessions travel in encrypted tickets, with keys that this context makes and never
    /// shares; on by default. Otherwise they are kept in a cache of this context.
    pub tickets: bool,
    /// How many sessions the cache keeps, the oldest going first; 1,024 by default.
    pub cache_size: usize,
    /// How old a session may be when it is resumed; 7,200 seconds by default. Whole seconds, from
    /// 1 second to 7 days (RFC 8446 section 4.6.1).
    pub timeout: Duration,
}

impl Default for ServerResumption {
    fn default() -> Self {
        Self {
            enabled: true,
            tickets: true,
            cache_size: 1_024,
            timeout: Duration::from_secs(7_200),
        }
    }
}
