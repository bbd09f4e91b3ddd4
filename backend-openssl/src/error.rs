//! What the library's errors mean: one table from its reason codes to our kinds.

use std::ffi::{c_int, c_ulong};

use openssl::error::ErrorStack;
use openssl_sys::{ERR_GET_LIB, ERR_GET_REASON};
use tls_core::iana::AlertDescription;
use tls_core::{ConfigProblem, Error, ErrorKind, Operation, Result};
use tls_libssl::{Diagnose, Diagnosis, Meaning, Reason};

use crate::ffi::{self, OpenSslEngine};
use crate::library::{self, TRAITS};
use crate::verify;

/// `ERR_LIB_SSL`, in both libraries.
const LIB_SSL: c_int = 20;

impl Diagnose for OpenSslEngine {
    fn reason(&self, code: c_ulong) -> Reason {
        Reason {
            of_ssl: ERR_GET_LIB(code) == LIB_SSL,
            number: ERR_GET_REASON(code),
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

    fn meaning_here(
        &self,
        sent: Option<AlertDescription>,
        reason: Option<c_int>,
    ) -> Option<(ErrorKind, &'static str)> {
        library::meaning_here(self.ssl(), sent, reason)
    }
}

fn meaning(reason: Reason) -> Option<Meaning> {
    let Reason { of_ssl, number } = reason;
    if number == TRAITS.out_of_memory || number == TRAITS.internal_error {
        return Some(Meaning::Kind(ErrorKind::Backend));
    }
    if !of_ssl {
        return None;
    }
    if number == TRAITS.client_refused {
        return Some(Meaning::VerifyFailed);
    }
    if number == TRAITS.undecodable {
        // The only DER that the handshake itself decodes is that of certificates.
        return Some(Meaning::BAD_CERTIFICATE);
    }
    Some(match number {
        // SSL_R_CERTIFICATE_VERIFY_FAILED
        134 => Meaning::VerifyFailed,
        // SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE
        199 => Meaning::NO_CERTIFICATE,
        // SSL_R_CA_KEY_TOO_SMALL, SSL_R_CA_MD_TOO_WEAK, SSL_R_EE_KEY_TOO_SMALL
        397..=399 => Meaning::WEAK,
        // SSL_R_NO_APPLICATION_PROTOCOL
        235 => Meaning::NO_PROTOCOL,
        // SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_VERSION_TOO_HIGH,
        // SSL_R_UNSUPPORTED_SSL_VERSION, SSL_R_WRONG_SSL_VERSION, SSL_R_NO_PROTOCOLS_AVAILABLE
        258 | 396 | 166 | 259 | 266 | 191 => Meaning::NO_VERSION,
        // SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_GROUPS, SSL_R_NO_SUITABLE_KEY_SHARE,
        // SSL_R_NO_SHARED_GROUPS, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
        // SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS
        193 | 295 | 101 | 410 | 118 | 376 => Meaning::NO_CIPHER_SUITE,
        // SSL_R_UNEXPECTED_EOF_WHILE_READING
        294 => Meaning::Kind(ErrorKind::Truncated),
        // SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST
        156 | 155 => Meaning::HTTP,
        // SSL_R_WRONG_VERSION_NUMBER: the version in a record header is none of TLS.
        267 => Meaning::NOT_TLS,
        // SSL_R_TOO_MANY_KEY_UPDATES
        132 => Meaning::TOO_MANY_KEY_UPDATES,
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
    use openssl::ssl::{Ssl, SslContextBuilder, SslMethod};
    use openssl_sys::ERR_PACK;
    use tls_core::SharedParameter;
    use tls_libssl::Questions;

    use super::*;

    /// `SSL_AD_REASON_OFFSET`
    const ALERT_OFFSET: c_int = 1000;
    const LIB_EVP: c_int = 6;

    fn diagnosis(codes: &[(c_int, c_int)]) -> Diagnosis {
        after_sending(None, codes)
    }

    fn after_sending(sent: Option<AlertDescription>, codes: &[(c_int, c_int)]) -> Diagnosis {
        let context = SslContextBuilder::new(SslMethod::tls()).unwrap().build();
        let codes: Vec<_> = codes
            .iter()
            .map(|&(library, reason)| ERR_PACK(library, 0, reason))
            .collect();
        let engine = OpenSslEngine::new(Ssl::new(&context).unwrap(), Questions::default()).unwrap();
        engine.diagnose(sent, &codes)
    }

    #[test]
    fn the_peers_alerts_are_told_from_everything_else() {
        let alert = diagnosis(&[(LIB_SSL, ALERT_OFFSET + 48)]);
        assert_eq!(alert.kind, ErrorKind::PeerAlert);
        assert_eq!(alert.alert_received, Some(AlertDescription::UNKNOWN_CA));
        let unregistered = diagnosis(&[(LIB_SSL, ALERT_OFFSET + 255)]);
        assert_eq!(unregistered.alert_received, Some(AlertDescription(255)));
        for other in [
            (LIB_EVP, ALERT_OFFSET + 48),
            (LIB_SSL, ALERT_OFFSET + 256),
            (LIB_SSL, ALERT_OFFSET - 1),
        ] {
            assert_eq!(diagnosis(&[other]).alert_received, None, "{other:?}");
        }
    }

    #[test]
    fn an_alert_that_was_sent_is_not_the_peers() {
        let sent = AlertDescription::UNEXPECTED_MESSAGE;
        let queued = (LIB_SSL, ALERT_OFFSET + c_int::from(sent.0));
        for codes in [&[queued][..], &[]] {
            let refused = after_sending(Some(sent), codes);
            assert_eq!(refused.kind, ErrorKind::Protocol);
            assert_eq!(refused.alert_received, None);
            assert!(!refused.detail.is_empty());
        }
        let reason = (LIB_SSL, 235);
        let explained = after_sending(Some(sent), &[queued, reason]);
        let unshared = SharedParameter::ApplicationProtocol;
        assert_eq!(explained.kind, ErrorKind::NoSharedParameters(unshared));
        let other = after_sending(Some(AlertDescription::DECODE_ERROR), &[queued]);
        assert_eq!(other.alert_received, Some(sent));
    }

    #[test]
    fn the_first_code_that_says_something_decides() {
        let no_shared_cipher = (LIB_SSL, 193);
        let internal = (LIB_SSL, TRAITS.internal_error);
        let vague = (LIB_EVP, 100);
        let unshared = ErrorKind::NoSharedParameters(SharedParameter::CipherSuite);
        assert_eq!(diagnosis(&[no_shared_cipher, internal]).kind, unshared);
        assert_eq!(diagnosis(&[vague, no_shared_cipher]).kind, unshared);
        assert_eq!(
            diagnosis(&[internal, no_shared_cipher]).kind,
            ErrorKind::Backend
        );
        assert_eq!(diagnosis(&[vague]).kind, ErrorKind::Protocol);
    }

    #[test]
    fn what_the_library_does_to_itself_is_not_the_peers_fault() {
        assert_eq!(diagnosis(&[]).kind, ErrorKind::Backend);
        for library in [LIB_SSL, LIB_EVP] {
            let out_of_memory = (library, TRAITS.out_of_memory);
            assert_eq!(diagnosis(&[out_of_memory]).kind, ErrorKind::Backend);
        }
    }

    #[test]
    fn every_failure_has_words() {
        for reason in 0..1300 {
            let diagnosis = diagnosis(&[(LIB_SSL, reason)]);
            assert!(
                diagnosis.alert_received.is_some() || !diagnosis.detail.is_empty(),
                "{reason}"
            );
        }
    }
}
