//! Configuration as data: built by the caller, checked once, lowered once by each backend.

mod check;
mod client;
mod identity;
mod parameters;
mod pem;
mod roots;
mod server;
mod verification;

pub use check::Checked;
pub(crate) use check::check_server_session;
pub use client::{ClientConfig, ClientResumption, Dangerous};
pub use identity::Identity;
pub use parameters::{DEFAULT_PENDING_OUTPUT_BOUND, Parameters, SocketTransport};
pub use roots::Roots;
pub use server::{ClientAuthentication, ServerConfig, ServerResumption};
pub use verification::{PeerVerification, UnverifiedPeer, Verdict, Verifier};

use rustls_pki_types::ServerName;

/// What differs from one session of a context to the next.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Clients: the server to talk to. Sent as SNI if it is a DNS name (and SNI is on), and the
    /// name its certificate must be valid for. Required, unless
    /// [`Dangerous::accept_any_name`] or [`Dangerous::accept_any_certificate`] is set.
    /// Servers refuse it.
    pub server_name: Option<ServerName<'static>>,
    /// Clients: sessions are resumed only among connections with equal keys, for callers that
    /// must keep identities apart (RFC 8446 appendix C.4). Empty by default. Servers ignore it.
    pub resumption_key: Vec<u8>,
}

impl SessionOptions {
    /// Options for a server session, or for a client that needs no name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Options for a client session with this server.
    ///
    /// # Errors
    ///
    /// `Config(ServerName)` if the text is neither a DNS name nor an IP address.
    pub fn to_server(name: &str) -> crate::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            crate::Error::config(
                crate::ConfigProblem::ServerName,
                format!("{name:?} is neither a DNS name nor an IP address"),
            )
        })?;
        Ok(Self {
            server_name: Some(name),
            ..Self::default()
        })
    }
}
