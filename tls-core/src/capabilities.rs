//! What a backend can do, said before a connection starts.

use std::fmt;

use crate::error::{Error, Result};
use crate::iana::{CipherSuite, Group};

/// How a backend provides a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Support {
    /// The engine does it.
    Native,
    /// This project does it around the engine, with the same contract.
    Emulated,
    /// It cannot be had, and why.
    Unsupported(&'static str),
}

impl Support {
    /// Whether the feature can be used, natively or emulated.
    pub const fn is_available(self) -> bool {
        !matches!(self, Self::Unsupported(_))
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.pad("native"),
            Self::Emulated => f.pad("emulated"),
            Self::Unsupported(_) => f.pad("unsupported"),
        }
    }
}

/// Declares the features once: the [`Feature`] enum and the fields of [`Capabilities`] come from
/// the same list, so that they cannot diverge.
macro_rules! features {
    ($( $(#[$doc:meta])* $field:ident $variant:ident; )*) => {
        /// A feature a backend may have or lack.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Feature {
            $( $(#[$doc])* $variant, )*
        }

        impl Feature {
            /// Every feature, in the order of the capability table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name of the feature, as the field of [`Capabilities`] has it.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => stringify!($field), )*
                }
            }
        }

        /// What a backend can do. Nothing, unless it says so: a backend starts from the default, so
        /// that a feature it has never heard of is one it lacks.
        ///
        /// ```compile_fail,E0639
        /// # use tls_core::{Capabilities, Support};
        /// let capabilities = Capabilities { alpn: Support::Native, ..Capabilities::default() };
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Capabilities {
            $( $(#[$doc])* pub $field: Support, )*
            /// The cipher suites the engine has, for both TLS 1.2 and 1.3, most wanted first.
            pub cipher_suites: Vec<CipherSuite>,
            /// The key-exchange groups the engine has, most wanted first.
            pub groups: Vec<Group>,
        }

        impl Default for Capabilities {
            fn default() -> Self {
                Self {
                    $( $field: Support::Unsupported("the backend does not provide it"), )*
                    cipher_suites: Vec::new(),
                    groups: Vec::new(),
                }
            }
        }

        impl Capabilities {
            /// How this feature is provided.
            pub const fn support(&self, feature: Feature) -> Support {
                match feature {
                    $( Feature::$variant => self.$field, )*
                }
            }
        }
    };
}

features! {
    /// Sessions that move no ciphertext themselves: the caller passes bytes in and out.
    buffer_mode BufferMode;
    /// Sessions that drive a non-blocking socket themselves.
    socket_mode SocketMode;
    /// Socket sessions in which the engine itself reads and writes the descriptor, record by
    /// record ([`SocketTransport::Plain`](crate::config::SocketTransport::Plain)).
    plain_socket_transport PlainSocketTransport;
    /// TLS 1.2 (RFC 5246).
    tls12 Tls12;
    /// TLS 1.3 (RFC 8446).
    tls13 Tls13;
    /// A list of TLS 1.2 cipher suites to choose from.
    tls12_cipher_suites Tls12CipherSuites;
    /// A list of TLS 1.3 cipher suites to choose from.
    tls13_cipher_suites Tls13CipherSuites;
    /// A list of key-exchange groups to choose from.
    groups_list GroupsList;
    /// Telling which key-exchange group was negotiated, TLS 1.2 and 1.3.
    negotiated_group NegotiatedGroup;
    /// Application-layer protocol negotiation (RFC 7301).
    alpn Alpn;
    /// The server name indication (RFC 6066 section 3), sent and read.
    sni Sni;
    /// Not sending the server name indication.
    sni_off SniOff;
    /// An IP address as the server name, matched against iPAddress entries only.
    ip_server_name IpServerName;
    /// A client that presents a certificate.
    client_certificate ClientCertificate;
    /// A server that asks for a certificate, optional or required.
    client_authentication ClientAuthentication;
    /// A verifier of the caller's that decides about peers, on either side.
    verifier Verifier;
    /// Clients that are suspended until the caller has decided about the server.
    suspended_verification_client SuspendedVerificationClient;
    /// Servers that are suspended until the caller has decided about the client.
    suspended_verification_server SuspendedVerificationServer;
    /// Clients that are suspended, when the server asks for a certificate, until they are given one.
    late_client_credentials LateClientCredentials;
    /// Servers that choose their context once they have read the ClientHello
    /// ([`Deferred`](crate::Deferred)). A context whose socket sessions leave the descriptor to the
    /// engine ([`SocketTransport::Plain`](crate::config::SocketTransport::Plain)) cannot be chosen
    /// for one.
    deferred_server_context DeferredServerContext;
    /// Socket sessions that take ciphertext which the caller has received itself
    /// ([`SocketSession::unread`](crate::SocketSession::unread)); not where the engine itself reads
    /// the descriptor.
    unread Unread;
    /// The trust roots of the system.
    system_roots SystemRoots;
    /// Resumption in TLS 1.2 (RFC 5246 section 7.4.1.2, RFC 5077).
    tls12_resumption Tls12Resumption;
    /// Resumption in TLS 1.3 (RFC 8446 section 2.2).
    tls13_resumption Tls13Resumption;
    /// A bound on the number of sessions a server or client keeps.
    session_cache_size SessionCacheSize;
    /// A limit, in seconds, to the age of a session that is resumed.
    session_timeout SessionTimeout;
    /// Servers whose sessions travel in encrypted tickets instead of a cache.
    stateless_tickets StatelessTickets;
    /// Shutting down without sending close_notify.
    quiet_shutdown QuietShutdown;
    /// A bound, in bytes, on the ciphertext a session holds for the peer.
    pending_output_bound PendingOutputBound;
    /// Changing the sending keys of a TLS 1.3 session and asking the peer to (RFC 8446 section 4.6.3).
    key_update KeyUpdate;
    /// Client certificates asked for after a TLS 1.3 handshake (RFC 8446 section 4.6.2): servers that
    /// ask, and clients that answer.
    post_handshake_auth PostHandshakeAuth;
    /// Clients that follow a TLS 1.2 renegotiation (RFC 5746) where the configuration allows it.
    renegotiation_client RenegotiationClient;
    /// Servers that start a TLS 1.2 renegotiation to ask for a certificate, and follow that of a
    /// client, where the configuration allows it (RFC 5746).
    renegotiation_server RenegotiationServer;
    /// Keying material exported from a session (RFC 5705, RFC 8446 section 7.5).
    exporter Exporter;
    /// TLS 1.2 handshakes with the extended master secret (RFC 7627), and telling whether one had it:
    /// bindings of TLS 1.2 connections need it.
    extended_master_secret ExtendedMasterSecret;
    /// The channel binding `tls-unique` of TLS 1.2 (RFC 5929 section 3).
    tls_unique TlsUnique;
    /// The channel binding `tls-server-end-point` (RFC 5929 section 4).
    tls_server_end_point TlsServerEndPoint;
    /// The channel binding `tls-exporter` (RFC 9266).
    tls_exporter TlsExporter;
}

impl Capabilities {
    /// Checks that a feature is available.
    ///
    /// # Errors
    ///
    /// `Unsupported(feature)`, with the backend's reason.
    pub fn require(&self, feature: Feature) -> Result<()> {
        match self.support(feature) {
            Support::Native | Support::Emulated => Ok(()),
            Support::Unsupported(reason) => Err(Error::unsupported(feature, reason)),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
