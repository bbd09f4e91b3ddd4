//! What a handshake settled.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use crate::iana::{CipherSuite, Group, ProtocolVersion};

/// What the handshake settled: gathered once when it completes, constant from then on (contract
/// K10), save that a renegotiation or an authentication after the handshake may bring the
/// certificates of a peer that had presented none, and other ones above the same leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// The protocol version.
    pub protocol_version: ProtocolVersion,
    /// The cipher suite.
    pub cipher_suite: CipherSuite,
    /// The key-exchange group, of the first handshake where there were more; `None` if the key
    /// exchange used none (TLS 1.2 resumption, RSA key exchange) or the backend cannot tell
    /// ([`Feature::NegotiatedGroup`](crate::Feature::NegotiatedGroup)).
    pub group: Option<Group>,
    /// The application protocol, if one was negotiated.
    pub alpn: Option<Vec<u8>>,
    /// The server name indication: sent by this client, or received by this server, in lower case.
    pub server_name: Option<String>,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The chain the peer presented, leaf first; after a resumption the leaf that was
    /// authenticated then, with the rest of the chain if the engine keeps it. `None` if the peer
    /// presented none.
    pub peer_certificates: Option<Vec<CertificateDer<'static>>>,
    /// The chain of this side, leaf first. Of a server that of its identity, in a resumed session
    /// too, which is bound to it (K12). Of a client what it presented in this handshake: `None` if it
    /// was not asked, had nothing that fits, or resumed a session, in which nothing is presented.
    pub local_certificates: Option<Arc<[CertificateDer<'static>]>>,
}

impl Facts {
    /// Facts with only what every handshake has.
    pub fn new(protocol_version: ProtocolVersion, cipher_suite: CipherSuite) -> Self {
        Self {
            protocol_version,
            cipher_suite,
            group: None,
            alpn: None,
            server_name: None,
            resumed: false,
            peer_certificates: None,
            local_certificates: None,
        }
    }
}
