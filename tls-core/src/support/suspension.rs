//! What a session waits for from its caller.

use rustls_pki_types::CertificateDer;

use super::lifecycle::Lifecycle;
use crate::error::{CertificateProblem, Error, Misuse, Operation, Result};
use crate::status::Status;

/// What a session waits for, and what it has to show for it.
#[derive(Debug, Default)]
pub(super) struct Suspension {
    waits_for: Option<WaitsFor>,
    issuers: Option<Vec<Vec<u8>>>,
}

#[derive(Debug)]
enum WaitsFor {
    Credentials,
    Verdict {
        chain: Vec<CertificateDer<'static>>,
        default: std::result::Result<(), CertificateProblem>,
    },
}

impl Suspension {
    pub(super) fn status(&self) -> Option<Status> {
        self.waits_for.as_ref().map(|waits_for| match waits_for {
            WaitsFor::Credentials => Status::WantCredentials,
            WaitsFor::Verdict { .. } => Status::NeedsCertificateValidation,
        })
    }
}

/// Suspensions, of which one lasts until it is resolved or the session has failed (K13).
impl Lifecycle {
    /// The peer has presented this chain, of which the library's own verification says `default`:
    /// until [`Self::resolve_validation`] every call of the session gives what this gives.
    pub fn suspend_for_validation(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        default: std::result::Result<(), CertificateProblem>,
        pending_output: usize,
    ) -> Status {
        self.suspend(WaitsFor::Verdict { chain, default }, pending_output)
    }

    /// The server asks for a certificate that one of these authorities has issued: until
    /// [`Self::resolve_credentials`] every call of the session gives what this gives.
    pub fn suspend_for_credentials(
        &mut self,
        issuers: Vec<Vec<u8>>,
        pending_output: usize,
    ) -> Status {
        let status = self.suspend(WaitsFor::Credentials, pending_output);
        self.suspension_mut().issuers = Some(issuers);
        status
    }

    fn suspend(&mut self, waits_for: WaitsFor, pending_output: usize) -> Status {
        let suspension = self.suspension_mut();
        debug_assert!(suspension.waits_for.is_none(), "one at a time");
        suspension.waits_for = Some(waits_for);
        self.suspended(pending_output).unwrap_or(Status::WantWrite)
    }

    /// What a suspended session gives: what is pending leaves first.
    pub(super) fn suspended(&self, pending_output: usize) -> Option<Status> {
        let status = self.suspension()?.status()?;
        Some(match pending_output {
            0 => status,
            _ => Status::WantWrite,
        })
    }

    /// The verdict is given: the session goes on with its next call.
    ///
    /// # Errors
    ///
    /// See [`Session::set_validation_result`](crate::Session::set_validation_result).
    pub fn resolve_validation(&mut self) -> Result<()> {
        self.check_waits(Operation::Validate, |waits_for| {
            matches!(waits_for, WaitsFor::Verdict { .. })
        })?;
        self.suspension_mut().waits_for = None;
        Ok(())
    }

    /// Whether the session waits to be given a certificate.
    ///
    /// # Errors
    ///
    /// See [`Session::set_client_certificate`](crate::Session::set_client_certificate).
    pub fn check_wants_credentials(&self) -> Result<()> {
        self.check_waits(Operation::Credentials, |waits_for| {
            matches!(waits_for, WaitsFor::Credentials)
        })
    }

    /// A certificate, or none, was taken: the session goes on with its next call.
    ///
    /// # Errors
    ///
    /// As [`Self::check_wants_credentials`].
    pub fn resolve_credentials(&mut self) -> Result<()> {
        self.check_wants_credentials()?;
        self.suspension_mut().waits_for = None;
        Ok(())
    }

    fn check_waits(&self, operation: Operation, for_this: fn(&WaitsFor) -> bool) -> Result<()> {
        if let Some(failure) = self.failure() {
            return Err(failure.clone());
        }
        let waits_for = self.suspension().and_then(|it| it.waits_for.as_ref());
        match waits_for.is_some_and(for_this) {
            true => Ok(()),
            false => Err(Error::misuse(Misuse::NotSuspended, operation)),
        }
    }

    /// See [`Session::unverified_peer_certificates`](crate::Session::unverified_peer_certificates).
    pub fn unverified_peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self.verdict_awaited()? {
            WaitsFor::Verdict { chain, .. } => Some(chain),
            WaitsFor::Credentials => None,
        }
    }

    /// See [`Session::default_validation`](crate::Session::default_validation).
    pub fn default_validation(&self) -> Option<std::result::Result<(), CertificateProblem>> {
        match self.verdict_awaited()? {
            WaitsFor::Verdict { default, .. } => Some(*default),
            WaitsFor::Credentials => None,
        }
    }

    fn verdict_awaited(&self) -> Option<&WaitsFor> {
        match self.failure() {
            None => self.suspension()?.waits_for.as_ref(),
            Some(_) => None,
        }
    }

    /// See [`Session::acceptable_issuers`](crate::Session::acceptable_issuers).
    pub fn acceptable_issuers(&self) -> Option<&[Vec<u8>]> {
        self.suspension()?.issuers.as_deref()
    }
}

/// Hands on what concerns suspensions to the session inside: `$inner`, which is `$waiting` as long as
/// it waits and is `None` once it does not, and `$inner_mut`, which may fail.
macro_rules! forward_suspensions {
    ($self:ident => $inner:expr, $inner_mut:expr) => {
        $crate::support::forward_suspensions!($self => $inner, $inner, $inner_mut);
    };
    ($self:ident => $inner:expr, $waiting:expr, $inner_mut:expr) => {
        fn unverified_peer_certificates(
            &$self,
        ) -> Option<&[rustls_pki_types::CertificateDer<'static>]> {
            $waiting.unverified_peer_certificates()
        }

        fn default_validation(
            &$self,
        ) -> Option<std::result::Result<(), $crate::CertificateProblem>> {
            $waiting.default_validation()
        }

        fn accept_with_default_validation(
            &mut $self,
        ) -> Result<std::result::Result<(), $crate::CertificateProblem>> {
            $inner_mut.accept_with_default_validation()
        }

        fn set_validation_result(&mut $self, verdict: $crate::Verdict) -> Result<()> {
            $inner_mut.set_validation_result(verdict)
        }

        fn acceptable_issuers(&$self) -> Option<&[Vec<u8>]> {
            $inner.acceptable_issuers()
        }

        fn set_client_certificate(
            &mut $self,
            identity: Option<$crate::config::Identity>,
        ) -> Result<()> {
            $inner_mut.set_client_certificate(identity)
        }
    };
}
pub(crate) use forward_suspensions;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Support;
    use crate::error::ErrorKind;
    use crate::facts::Facts;
    use crate::iana::{CipherSuite, ProtocolVersion};
    use crate::session::Role;
    use crate::support::Requests;

    const NOT_SUSPENDED: ErrorKind = ErrorKind::Misuse(Misuse::NotSuspended);
    const INCOMPLETE: ErrorKind = ErrorKind::Misuse(Misuse::HandshakeIncomplete);

    fn chain() -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from(vec![1]), CertificateDer::from(vec![2])]
    }

    fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn a_verdict_is_waited_for_until_it_is_given() {
        let mut lifecycle = Lifecycle::new();
        assert_eq!(kind(lifecycle.resolve_validation()), NOT_SUSPENDED);
        let problem = Err(CertificateProblem::UnknownIssuer);
        let first = lifecycle.suspend_for_validation(chain(), problem, 3);
        assert_eq!(first, Status::WantWrite, "what is pending leaves first");
        for _ in 0..3 {
            let status = lifecycle.gate_handshake(0).unwrap().unwrap();
            assert_eq!(status, Status::NeedsCertificateValidation);
            assert_eq!(kind(lifecycle.gate_read(1, 0).unwrap()), INCOMPLETE);
            assert_eq!(kind(lifecycle.gate_write(1, 0).unwrap()), INCOMPLETE);
            assert_eq!(kind(lifecycle.gate_shutdown(0).unwrap()), INCOMPLETE);
        }
        let shown = lifecycle.unverified_peer_certificates().map(<[_]>::len);
        assert_eq!(
            (shown, lifecycle.default_validation()),
            (Some(2), Some(problem))
        );
        assert_eq!(kind(lifecycle.resolve_credentials()), NOT_SUSPENDED);

        lifecycle.resolve_validation().unwrap();
        assert!(lifecycle.gate_handshake(0).is_none(), "it goes on");
        assert!(lifecycle.unverified_peer_certificates().is_none());
        assert!(lifecycle.default_validation().is_none());
        assert_eq!(kind(lifecycle.resolve_validation()), NOT_SUSPENDED);
    }

    #[test]
    fn credentials_are_waited_for_and_the_issuers_stay() {
        let mut lifecycle = Lifecycle::new();
        assert!(lifecycle.acceptable_issuers().is_none());
        lifecycle.suspend_for_credentials(vec![vec![7]], 0);
        for _ in 0..3 {
            lifecycle.check_wants_credentials().unwrap();
            let status = lifecycle.gate_handshake(0).unwrap().unwrap();
            assert_eq!(status, Status::WantCredentials);
        }
        let verdict = lifecycle.resolve_validation();
        assert_eq!(kind(verdict), NOT_SUSPENDED);
        lifecycle.resolve_credentials().unwrap();
        assert!(lifecycle.gate_handshake(0).is_none());
        assert_eq!(kind(lifecycle.resolve_credentials()), NOT_SUSPENDED);
        assert_eq!(lifecycle.acceptable_issuers(), Some(&[vec![7]][..]));
    }

    #[test]
    fn after_the_handshake_every_call_waits_and_takes_nothing() {
        let mut lifecycle = Lifecycle::new();
        lifecycle.complete_handshake(Facts::new(
            ProtocolVersion::TLS1_3,
            CipherSuite::TLS_AES_128_GCM_SHA256,
        ));
        lifecycle.suspend_for_validation(chain(), Ok(()), 0);
        for verdict in [
            lifecycle.gate_handshake(0),
            lifecycle.gate_read(0, 0),
            lifecycle.gate_write(9, 0),
            lifecycle.gate_shutdown(0),
        ] {
            let status = verdict.unwrap().unwrap();
            assert_eq!(status, Status::NeedsCertificateValidation);
        }
        let requests = Requests {
            role: Role::Server,
            tls13: Support::Native,
            tls12: Support::Native,
            has_roots: true,
        };
        for verdict in [
            lifecycle.gate_key_update(Support::Native, 0, 9),
            lifecycle.gate_client_certificate(requests, 0, 9),
        ] {
            let status = verdict.unwrap().unwrap();
            assert_eq!(status, Status::NeedsCertificateValidation);
        }
    }

    #[test]
    fn a_session_that_failed_waits_for_nothing() {
        let mut lifecycle = Lifecycle::new();
        lifecycle.suspend_for_validation(chain(), Ok(()), 0);
        let error = Error::new(ErrorKind::Reset, Operation::Handshake);
        assert!(lifecycle.fail(error, false, 0).is_err());
        let reset = ErrorKind::Reset;
        assert_eq!(kind(lifecycle.gate_handshake(0).unwrap()), reset);
        assert_eq!(kind(lifecycle.resolve_validation()), reset);
        assert!(lifecycle.unverified_peer_certificates().is_none());
    }
}
