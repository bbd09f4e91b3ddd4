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
    ///
    /// A handshake message where a ChangeCipherSpec is due, behind another in one record, is an
    /// internal error to the library, which it says to the peer too (`tls_can_accept_handshake_data`).
    fn meaning_here(
        &self,
        sent: Option<AlertDescription>,
        reason: Option<c_int>,
    ) -> Option<(ErrorKind, &'static str)> {
        let state = self.ssl().state_string_long();
        let awaited = state.ends_with("process_change_cipher_spec");
        if awaited && reason == Some(c::ERR_R_INTERNAL_ERROR) {
            let sentence = "a handshake message came in place of a ChangeCipherSpec";
            return Some((ErrorKind::Protocol, sentence));
        }
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

#[cfg(test)]
mod tests {
    use boring::ssl::{Ssl, SslContextBuilder, SslMethod};
    use tls_libssl::Questions;

    use super::*;

    /// `SSL_AD_REASON_OFFSET`
    const ALERT_OFFSET: c_int = 1000;
    const LIB_SSL: c_int = c::ERR_LIB_SSL.0 as c_int;
    const LIB_EVP: c_int = c::ERR_LIB_EVP.0 as c_int;

    fn after_sending(sent: Option<AlertDescription>, codes: &[(c_int, c_int)]) -> Diagnosis {
        let context = SslContextBuilder::new(SslMethod::tls()).unwrap().build();
        // `ERR_PACK`, a macro of `<openssl/err.h>`.
        let pack = |&(library, reason): &(c_int, c_int)| ((library << 24) | reason) as c_ulong;
        let codes: Vec<_> = codes.iter().map(pack).collect();
        let engine = BoringEngine::new(Ssl::new(&context).unwrap(), Questions::default()).unwrap();
        Diagnose::diagnose(&engine, sent, &codes)
    }

    #[test]
    fn the_peers_alerts_are_told_from_everything_else() {
        let alert = after_sending(None, &[(LIB_SSL, ALERT_OFFSET + 48)]);
        assert_eq!(alert.kind, ErrorKind::PeerAlert);
        assert_eq!(alert.alert_received, Some(AlertDescription::UNKNOWN_CA));
        let other = after_sending(None, &[(LIB_EVP, ALERT_OFFSET + 48)]);
        assert_eq!(other.alert_received, None);
    }

    #[test]
    fn a_group_nobody_shares_is_told_from_one_that_was_not_offered() {
        let wrong_curve = [(LIB_SSL, c::SSL_R_WRONG_CURVE)];
        let server = after_sending(Some(AlertDescription::HANDSHAKE_FAILURE), &wrong_curve);
        let unshared = ErrorKind::NoSharedParameters(SharedParameter::CipherSuite);
        assert_eq!(server.kind, unshared);
        let client = after_sending(Some(AlertDescription::ILLEGAL_PARAMETER), &wrong_curve);
        assert_eq!(client.kind, ErrorKind::Protocol);
    }

    #[test]
    fn what_the_library_does_to_itself_is_not_the_peers_fault() {
        assert_eq!(after_sending(None, &[]).kind, ErrorKind::Backend);
        for library in [LIB_SSL, LIB_EVP] {
            let out_of_memory = (library, c::ERR_R_MALLOC_FAILURE);
            assert_eq!(
                after_sending(None, &[out_of_memory]).kind,
                ErrorKind::Backend
            );
        }
    }

    #[test]
    fn every_failure_has_words() {
        for reason in 1..1300 {
            let diagnosis = after_sending(None, &[(LIB_SSL, reason)]);
            assert!(
                diagnosis.alert_received.is_some() || !diagnosis.detail.is_empty(),
                "{reason}"
            );
        }
    }
}
