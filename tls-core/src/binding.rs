//! Channel bindings: what ties an authentication above TLS to the connection underneath.

use std::fmt;

use crate::capabilities::Feature;

/// A value that both sides of a connection derive alike, and nobody between them can bring about: a
/// protocol above TLS that authenticates it, as SCRAM does, finds out that the connection ends where
/// it believes (RFC 5056). See [`Session::channel_binding`](crate::Session::channel_binding).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelBinding {
    /// `tls-unique` (RFC 5929 section 3): the first Finished of the latest handshake, without the
    /// header of the message; 12 bytes in general. That is the client's in a full handshake, the
    /// server's in one that resumes.
    ///
    /// TLS 1.3 has none: it is not defined there. In TLS 1.2 it is refused without the extended
    /// master secret (RFC 7627): a server in between could bring about the same Finished on both of
    /// its connections, by resuming a session whose keys both know, and this binding with it.
    TlsUnique,
    /// `tls-server-end-point` (RFC 5929 section 4): the hash of the server's certificate, with the
    /// hash of the signature on it; SHA-256 in the place of MD5 and SHA-1.
    ///
    /// Not defined where that signature has no hash function (Ed25519 and Ed448), or several (an
    /// RSASSA-PSS whose mask is made with another than its own). A resumed session has that of the
    /// session it resumes. It names the server, not the connection.
    TlsServerEndPoint,
    /// `tls-exporter` (RFC 9266): 32 bytes of exported keying material, under the label
    /// `EXPORTER-Channel-Binding` and an empty context.
    ///
    /// In TLS 1.2 it is refused without the extended master secret (RFC 7627), for the same reason
    /// as `tls-unique` (RFC 9266 section 4.2). Where
    /// [renegotiation](crate::config::Parameters::allow_renegotiation) is allowed it is not defined
    /// (section 2).
    TlsExporter,
}

impl ChannelBinding {
    /// Every binding there is.
    pub const ALL: &'static [Self] = &[Self::TlsUnique, Self::TlsServerEndPoint, Self::TlsExporter];

    /// The registered name: `tls-unique`, and so on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsUnique => "tls-unique",
            Self::TlsServerEndPoint => "tls-server-end-point",
            Self::TlsExporter => "tls-exporter",
        }
    }

    /// The feature that a backend with this binding has.
    pub const fn feature(self) -> Feature {
        match self {
            Self::TlsUnique => Feature::TlsUnique,
            Self::TlsServerEndPoint => Feature::TlsServerEndPoint,
            Self::TlsExporter => Feature::TlsExporter,
        }
    }
}

impl fmt::Display for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
