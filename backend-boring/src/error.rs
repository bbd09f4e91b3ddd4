//! What the library's errors mean: one table from its reason codes to our kinds.

use std::ffi::{c_int, c_ulong};

use boring::error::ErrorStack;
use boring_sys as c;
use tls_core::iana::AlertDescription;
use tls_core::{ConfigProblem, Error, ErrorKind, Operation, Result, SharedParameter};
use tls_libssl::{Diagnose, Diagnosis, Meaning, Reason};

use crate::ffi::{self, BoringEngine};
use crate::verify;

impl Diagnose for BoringEngine {
    fn reason(&self, code: c_ulong) -> Reason {
        // Codes are of 32 bits, whatever type carries them.
        let code = u32::try_from(code).unwrap_or_default();
        Reason {
            of_ssl: u32::try_from(c::ERR_GET_LIB(code)) == Ok(c::ERR_LIB_SSL.0),
            number: c::ERR_GET_REASON(code),
        }
    }

    fn meaning(&self, reason: Reason) -> Option<Meaning> {
        meaning(reason)
    }

    fn words(&self, code: c_ulong) -> Option<&'static str> {
        ffi::reason(code)
    }

    fn refusal(&self) -> Diagnosis {
        verify::refusal(self.ssl())
    }

    /// `SSL_R_WRONG_CURVE` is the fault of a server that chooses what was not offered, or of nobody:
    /// in TLS 1.2 it is also what a server says without a common group. The alert tells which.
    fn meaning_here(
        &self,
        sent: Option<AlertDescription>,
        reason: Option<c_int>,
    ) -> Option<(ErrorKind, &'static str)> {
        let unshared = sent == Some(AlertDescription::HANDSHAKE_FAILURE)
            && reason == Some(c::SSL_R_WRONG_CURVE);
        unshared.then_some((
            ErrorKind::NoSharedParameters(SharedParameter::CipherSuite),
            "the client offers only groups that this server does not have",
        ))
    }
}

fn meaning(reason: Reason) -> Option<Meaning> {
    let Reason { of_ssl, number } = reason;
    if [c::ERR_R_MALLOC_FAILURE, c::ERR_R_INTERNAL_ERROR].contains(&number) {
        return Some(Meaning::Kind(ErrorKind::Backend));
    }
    if !of_ssl {
        return None;
    }
    Some(match number {
        c::SSL_R_CERTIFICATE_VERIFY_FAILED => Meaning::VerifyFailed,
        c::SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE => Meaning::NO_CERTIFICATE,
        c::SSL_R_CANNOT_PARSE_LEAF_CERT => Meaning::BAD_CERTIFICATE,
        c::SSL_R_NO_APPLICATION_PROTOCOL => Meaning::NO_PROTOCOL,
        c::SSL_R_UNSUPPORTED_PROTOCOL
        | c::SSL_R_UNKNOWN_SSL_VERSION
        | c::SSL_R_WRONG_SSL_VERSION => Meaning::NO_VERSION,
        c::SSL_R_NO_SHARED_CIPHER
        | c::SSL_R_NO_SHARED_GROUP
        | c::SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS => Meaning::NO_CIPHER_SUITE,
        c::SSL_R_HTTP_REQUEST | c::SSL_R_HTTPS_PROXY_REQUEST => Meaning::HTTP,
        // The version in a record header is none of TLS.
        c::SSL_R_WRONG_VERSION_NUMBER => Meaning::NOT_TLS,
        c::SSL_R_TOO_MANY_KEY_UPDATES => Meaning::TOO_MANY_KEY_UPDATES,
        _ => return None,
    })
}

/// Runs code that calls the library outside a session, with an empty error queue, and leaves an
/// empty one behind (contract K8).
pub(crate) fn isolated<T>(work: impl FnOnce() -> T) -> T {
    drop(ErrorStack::get());
    let result = work();
    drop(ErrorStack::get());
    result
}

/// A call of the library that only fails on the library's own account.
#[cold]
pub(crate) fn backend(operation: Operation) -> impl FnOnce(ErrorStack) -> Error {
    move |errors| Error::new(ErrorKind::Backend, operation).with_detail(reasons(&errors))
}

/// A part of the configuration that the library does not take; `what` names it.
#[cold]
pub(crate) fn config(problem: ConfigProblem, what: &str) -> impl FnOnce(ErrorStack) -> Error {
    move |errors| Error::config(problem, format!("{what}: {}", reasons(&errors)))
}

/// The library's own words for everything it put into the queue.
pub(crate) fn reasons(errors: &ErrorStack) -> String {
    let reasons: Vec<_> = errors
        .errors()
        .iter()
        .map(|error| error.reason().unwrap_or("an error without a name"))
        .collect();
    if reasons.is_empty() {
        return "the library does not say why".to_owned();
    }
    reasons.join(", ")
}

/// [`backend`], for calls made while a context is built.
pub(crate) fn configure<T>(result: std::result::Result<T, ErrorStack>) -> Result<T> {
    result.map_err(backend(Operation::Configure))
}
