//! What a session's library asks in the middle of its handshake, and who answers.

use std::borrow::Cow;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tls_core::config::{PeerVerification, UnverifiedPeer};
use tls_core::pki_types::{CertificateDer, ServerName};
use tls_core::support::guarded;
use tls_core::{CertificateProblem, ClientConfig, ServerConfig, Verdict};

use crate::parking::Lot;

/// What a verification comes to.
pub type Verified = Result<(), CertificateProblem>;

/// The questions of one session's callbacks, and the answers. Callbacks and session share it, and
/// never hold it at the same time.
#[derive(Debug, Default)]
pub struct Questions {
    verification: PeerVerification,
    server_name: Option<ServerName<'static>>,
    accepts_anyone: bool,
    state: Mutex<State>,
    lot: Arc<Lot>,
}

#[derive(Debug, Default)]
struct State {
    /// A chain on which the caller is to decide, until the session has it.
    presented: Option<(Vec<CertificateDer<'static>>, Verified)>,
    /// The library was told to wait for a verdict and has not acted on one since.
    undecided: bool,
    /// The caller's verdict, until the library asks for it.
    verdict: Option<Verdict>,
    rejected: Option<CertificateProblem>,
    panic: Option<String>,
    certificate_asked: bool,
    certificate_chosen: bool,
}

/// What the library is told about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The handshake goes on.
    Accept,
    /// The peer is refused, with the alert of this problem.
    Refuse(CertificateProblem),
    /// The session ends on our own account, with `internal_error`: the verifier panicked.
    Abort,
    /// The handshake waits.
    Wait,
}

impl Questions {
    /// Those of a client with this configuration, for a session with this server.
    pub fn of_client(config: &ClientConfig, server_name: Option<ServerName<'static>>) -> Self {
        Self {
            verification: config.peer_verification.clone(),
            server_name,
            accepts_anyone: config.dangerous.accept_any_certificate,
            ..Self::default()
        }
    }

    /// Those of a server with this configuration.
    pub fn of_server(config: &ServerConfig) -> Self {
        Self {
            verification: config.peer_verification.clone(),
            ..Self::default()
        }
    }

    /// Asks about the peer's chain, leaf first, which `verify` looks at as the configuration has it.
    /// Called whenever the library wants to know, with the same chain again after [`Ruling::Wait`].
    /// Does not unwind, as long as its arguments do not.
    pub fn rule(
        &self,
        chain: impl FnOnce() -> Vec<CertificateDer<'static>>,
        verify: impl FnOnce() -> Verified,
    ) -> Ruling {
        if let Some(verdict) = self.take_verdict() {
            return self.settle(verdict);
        }
        let default = match self.accepts_anyone {
            true => Ok(()),
            false => verify(),
        };
        match &self.verification {
            PeerVerification::Default => self.settle(default.into()),
            PeerVerification::Verifier(verifier) => {
                let chain = chain();
                let peer = UnverifiedPeer::new(&chain, self.server_name.as_ref(), default);
                match guarded(|| verifier.verify(&peer)) {
                    Ok(verdict) => self.settle(verdict),
                    Err(panic) => {
                        self.state().panic = Some(format!("the verifier {panic}"));
                        Ruling::Abort
                    }
                }
            }
            PeerVerification::Suspended => {
                let mut state = self.state();
                state.presented = Some((chain(), default));
                state.undecided = true;
                Ruling::Wait
            }
            // One that was added, and that this place was not taught, accepts nobody.
            _ => Ruling::Abort,
        }
    }

    /// Where a call of the library waits for the verdict, if the library cannot.
    pub fn lot(&self) -> &Arc<Lot> {
        &self.lot
    }

    fn settle(&self, verdict: Verdict) -> Ruling {
        match verdict {
            Verdict::Accept => Ruling::Accept,
            Verdict::Reject(problem) => {
                self.state().rejected = Some(problem);
                Ruling::Refuse(problem)
            }
        }
    }

    fn take_verdict(&self) -> Option<Verdict> {
        let mut state = self.state();
        let verdict = state.verdict.take()?;
        state.undecided = false;
        Some(verdict)
    }

    /// The caller has decided about the chain presented last.
    pub(crate) fn decide(&self, verdict: Verdict) {
        self.state().verdict = Some(verdict);
    }

    /// What the library waits to be told about, once.
    pub(crate) fn take_presented(&self) -> Option<(Vec<CertificateDer<'static>>, Verified)> {
        self.state().presented.take()
    }

    /// Whether the library has not asked again after it was told to wait.
    pub(crate) fn is_undecided(&self) -> bool {
        self.state().undecided
    }

    /// Why the peer was refused, if that was decided here.
    pub(crate) fn rejected(&self) -> Option<CertificateProblem> {
        self.state().rejected
    }

    /// The panic of a verifier, once, as a sentence.
    pub fn take_panic(&self) -> Option<Cow<'static, str>> {
        self.state().panic.take().map(Cow::Owned)
    }

    /// Asks for the certificate of a client, in the terms of `SSL_set_cert_cb`: 1 to go on, and a
    /// negative number to wait. What was chosen is the answer to one request: the next asks anew.
    pub fn certificate(&self) -> c_int {
        let mut state = self.state();
        state.certificate_asked = true;
        match std::mem::take(&mut state.certificate_chosen) {
            true => 1,
            false => -1,
        }
    }

    /// Whether the certificate was asked for, and not chosen.
    pub(crate) fn wants_certificate(&self) -> bool {
        let state = self.state();
        state.certificate_asked && !state.certificate_chosen
    }

    /// The certificate was chosen, or none.
    pub(crate) fn certificate_chosen(&self) {
        self.state().certificate_chosen = true;
    }

    /// Whether the session may be resumed by others of its context: not if it was asked for a
    /// certificate that was chosen for it alone.
    pub fn may_be_resumed(&self) -> bool {
        !self.state().certificate_asked
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tls_core::config::{Roots, Verifier};

    use super::*;

    #[derive(Debug)]
    struct Panics;

    impl Verifier for Panics {
        fn verify(&self, _: &UnverifiedPeer<'_>) -> Verdict {
            panic!("over the edge")
        }
    }

    fn questions(verification: PeerVerification) -> Questions {
        let mut config = ClientConfig::new(Roots::default());
        config.peer_verification = verification;
        Questions::of_client(&config, None)
    }

    fn chain() -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from(vec![1])]
    }

    #[test]
    fn a_verifier_that_panics_accepts_nobody_and_is_told_of() {
        let questions = questions(PeerVerification::Verifier(Arc::new(Panics)));
        assert_eq!(questions.rule(chain, || Ok(())), Ruling::Abort);
        let told = questions.take_panic().unwrap();
        assert!(told.contains("over the edge"), "{told}");
        assert_eq!(questions.take_panic(), None);
    }

    #[test]
    fn the_library_waits_until_the_caller_has_decided() {
        let questions = questions(PeerVerification::Suspended);
        let problem = CertificateProblem::Expired;
        let first = questions.rule(chain, || Err(problem));
        assert_eq!((first, questions.is_undecided()), (Ruling::Wait, true));
        assert_eq!(questions.take_presented(), Some((chain(), Err(problem))));
        questions.decide(Verdict::Reject(CertificateProblem::Revoked));
        assert!(questions.is_undecided(), "the library has not asked again");
        let again = questions.rule(chain, || unreachable!("it was verified"));
        assert_eq!(again, Ruling::Refuse(CertificateProblem::Revoked));
        assert_eq!(questions.rejected(), Some(CertificateProblem::Revoked));
        assert!(!questions.is_undecided());
        // Another handshake asks anew.
        assert_eq!(questions.rule(chain, || Ok(())), Ruling::Wait);
    }

    #[test]
    fn a_certificate_is_asked_for_until_it_is_chosen() {
        let questions = Questions::default();
        assert!(questions.may_be_resumed());
        assert_eq!((questions.certificate(), questions.certificate()), (-1, -1));
        questions.certificate_chosen();
        assert_eq!(questions.certificate(), 1);
        assert!(!questions.may_be_resumed());
        assert_eq!(questions.certificate(), -1, "another request asks anew");
    }
}
