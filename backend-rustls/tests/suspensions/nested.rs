//! A verifier that asks somebody else, over connections of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conformance::Pki;
use tls_core::config::{ClientAuthentication, PeerVerification, UnverifiedPeer, Verifier};
use tls_core::iana::ProtocolVersion;
use tls_core::{CertificateProblem, ClientConfig, ServerConfig, Verdict};

use crate::pair::{Pair, VERSIONS, asking, backends};

/// Gives one verdict, and counts how often.
#[derive(Debug)]
struct Fixed(Verdict, Arc<AtomicUsize>);

impl Verifier for Fixed {
    fn verify(&self, _peer: &UnverifiedPeer<'_>) -> Verdict {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0
    }
}

/// Connects twice before it accepts: to a peer that is accepted, and to one that is not.
#[derive(Debug, Default)]
struct Asking {
    calls: Arc<AtomicUsize>,
    /// Whether each of those connections came about.
    came: Arc<[AtomicUsize; 2]>,
}

impl Verifier for Asking {
    fn verify(&self, _peer: &UnverifiedPeer<'_>) -> Verdict {
        let pki = Pki::shared();
        let verdicts = [
            Verdict::Accept,
            Verdict::Reject(CertificateProblem::Revoked),
        ];
        for backend in backends() {
            for (verdict, came) in verdicts.into_iter().zip(&*self.came) {
                let mut client = ClientConfig::new(pki.roots());
                let fixed = Fixed(verdict, self.calls.clone());
                client.peer_verification = PeerVerification::Verifier(Arc::new(fixed));
                let server = ServerConfig::new(pki.server.clone());
                let mut pair = Pair::of(&*backend, (client, server));
                pair.shake_hands();
                let complete = pair.client.session.is_handshake_complete();
                came.fetch_add(usize::from(complete), Ordering::Relaxed);
            }
        }
        Verdict::Accept
    }
}

/// A session that may have to be repeated records what it is told; what other sessions are told in
/// the meantime is not for it, and what it was told is not for them.
#[test]
fn a_connection_within_a_verifier_is_verified() {
    for version in VERSIONS {
        for backend in backends() {
            let (mut client, mut server) = asking(version);
            let verifier = Asking::default();
            let (calls, came) = (verifier.calls.clone(), verifier.came.clone());
            client.peer_verification = PeerVerification::Verifier(Arc::new(verifier));
            server.peer_verification = PeerVerification::Default;
            let mut pair = Pair::of(&*backend, (client, server));
            pair.shake_hands();
            assert!(pair.client.session.is_handshake_complete());
            let inner = backends().len();
            assert_eq!(calls.load(Ordering::Relaxed), 2 * inner);
            let came = came.each_ref().map(|count| count.load(Ordering::Relaxed));
            assert_eq!(came, [inner, 0]);
        }
    }
}

/// Two configurations of which the client has a certificate, and the server asks for it or not.
fn with_identity(version: ProtocolVersion, asks: bool) -> (ClientConfig, ServerConfig) {
    let pki = Pki::shared();
    let mut client = ClientConfig::new(pki.roots());
    client.identity = Some(pki.client.clone());
    let mut server = ServerConfig::new(pki.server.clone());
    if asks {
        server.client_authentication = ClientAuthentication::Required(pki.roots());
    }
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.min_version = version;
        parameters.max_version = version;
    }
    (client, server)
}

/// Whether a client with a certificate says that it has presented it.
fn has_presented(pair: &Pair) -> bool {
    let facts = pair.client.session.facts().expect("a handshake");
    facts.local_certificates.is_some()
}

/// Connects to a server that asks for a certificate, or to one that does not.
#[derive(Debug)]
struct Presenting {
    version: ProtocolVersion,
    asks: bool,
}

impl Verifier for Presenting {
    fn verify(&self, _peer: &UnverifiedPeer<'_>) -> Verdict {
        for backend in backends() {
            let mut pair = Pair::of(&*backend, with_identity(self.version, self.asks));
            pair.shake_hands();
            assert_eq!(has_presented(&pair), self.asks);
        }
        Verdict::Accept
    }
}

#[test]
fn a_connection_within_a_verifier_presents_for_itself() {
    for version in VERSIONS {
        for backend in backends() {
            for asks in [true, false] {
                let (mut client, server) = with_identity(version, asks);
                let verifier = Presenting {
                    version,
                    asks: !asks,
                };
                client.peer_verification = PeerVerification::Verifier(Arc::new(verifier));
                let mut pair = Pair::of(&*backend, (client, server));
                pair.shake_hands();
                assert_eq!(has_presented(&pair), asks, "{version}");
            }
        }
    }
}
