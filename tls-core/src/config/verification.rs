//! Who decides about the peer's certificate.

use std::fmt::Debug;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName};

use crate::error::CertificateProblem;

/// Who decides about the certificate that the peer presents.
///
/// Whoever does, the library's own verification under the configuration (roots, names, purpose,
/// validity) is made first, once for each full handshake in which the peer presents a certificate,
/// and its outcome is given to the one who decides. That one may accept what it refuses: a session
/// is then as safe as that decision. It may do without roots, in which case the outcome is never
/// `Ok`; and with [`Dangerous`](super::Dangerous) settings the outcome is what they leave to check,
/// so that a verdict which follows it gives up the same.
///
/// A resumed session is not verified again: it can be resumed only in the context whose verifier, or
/// caller, accepted it (K12). An optional client that presents nothing is not put to the verdict
/// either; to refuse it is what [`Required`](super::ClientAuthentication::Required) is for.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum PeerVerification {
    /// The library's own verification.
    #[default]
    Default,
    /// This verifier, called while the handshake runs.
    Verifier(Arc<dyn Verifier>),
    /// The caller, while the session is suspended: its calls give
    /// [`NeedsCertificateValidation`](crate::Status::NeedsCertificateValidation) until
    /// [`set_validation_result`](crate::Session::set_validation_result) or
    /// [`accept_with_default_validation`](crate::Session::accept_with_default_validation).
    ///
    /// On servers also about clients that are [asked after the
    /// handshake](crate::Session::request_client_certificate): a `read` is suspended then. Clients
    /// cannot be renegotiated.
    Suspended,
}

impl PeerVerification {
    /// Whether the session waits for its caller.
    pub fn is_suspended(&self) -> bool {
        matches!(self, Self::Suspended)
    }

    /// Whether somebody else than the library decides.
    pub fn is_custom(&self) -> bool {
        !matches!(self, Self::Default)
    }
}

/// Decides about the peers of all sessions of a context.
///
/// A panic ends the session with an error, and never accepts (K9).
pub trait Verifier: Debug + Send + Sync {
    /// Gives the verdict on a peer. Called exactly once for each full handshake in which the peer
    /// presents a certificate, never for a resumed session, and on the thread that drives the
    /// session, which it blocks for as long as it takes.
    fn verify(&self, peer: &UnverifiedPeer<'_>) -> Verdict;
}

/// A peer about whom nothing is known but what it has sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnverifiedPeer<'a> {
    /// The certificates as the peer sent them, leaf first; never empty.
    pub chain: &'a [CertificateDer<'static>],
    /// Clients: the name of the session's options.
    pub server_name: Option<&'a ServerName<'static>>,
    /// What the library's own verification came to.
    pub default: Result<(), CertificateProblem>,
}

impl<'a> UnverifiedPeer<'a> {
    /// A peer that presents this chain.
    pub fn new(
        chain: &'a [CertificateDer<'static>],
        server_name: Option<&'a ServerName<'static>>,
        default: Result<(), CertificateProblem>,
    ) -> Self {
        Self {
            chain,
            server_name,
            default,
        }
    }
}

/// What is decided about a peer's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a verdict decides nothing until it is given"]
pub enum Verdict {
    /// The handshake goes on.
    Accept,
    /// The session ends with this problem, and the peer gets
    /// [its alert](CertificateProblem::alert).
    Reject(CertificateProblem),
}

impl From<Result<(), CertificateProblem>> for Verdict {
    fn from(outcome: Result<(), CertificateProblem>) -> Self {
        match outcome {
            Ok(()) => Self::Accept,
            Err(problem) => Self::Reject(problem),
        }
    }
}

impl From<Verdict> for Result<(), CertificateProblem> {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accept => Ok(()),
            Verdict::Reject(problem) => Err(problem),
        }
    }
}
