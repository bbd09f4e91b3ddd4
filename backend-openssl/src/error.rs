//! What the library's errors mean: one table from its reason codes to our kinds.

use std::borrow::Cow;
use std::ffi::{c_int, c_ulong};

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use openssl_sys::{ERR_GET_LIB, ERR_GET_REASON};
use tls_core::iana::AlertDescription;
use tls_core::{
    CertificateProblem, ConfigProblem, Error, ErrorKind, Operation, Result, SharedParameter,
};
use tls_libssl::Diagnosis;

use crate::library::{self, TRAITS};
use crate::{ffi, verify};

/// `ERR_LIB_SSL`, in both libraries.
const LIB_SSL: c_int = 20;
/// `SSL_AD_REASON_OFFSET`: reasons from here on are alerts, of the peer or (in LibreSSL) our own.
const ALERT_OFFSET: c_int = 1000;

/// For a library that refuses something and says why by its alert alone.
const REFUSED: &str = "the library refuses what the peer has sent";

/// What a reason of the library `ERR_LIB_SSL` means.
enum Meaning {
    /// The peer's chain was refused; the verification result says why.
    VerifyFailed,
    /// This, and nothing else.
    Kind(ErrorKind),
    /// This, in a sentence clearer than the library's.
    Explained(ErrorKind, &'static str),
}

/// What a failure of a session means. `codes` is the error queue, oldest first; `sent` is the fatal
/// alert that was sent, if any.
///
/// The first code that says something decides: later ones only say where it was met.
pub(crate) fn diagnose(
    ssl: &SslRef,
    sent: Option<AlertDescription>,
    codes: &[c_ulong],
) -> Diagnosis {
    let received = |&alert: &AlertDescription| Some(alert) != sent;
    if let Some(alert) = codes.iter().copied().filter_map(alert).find(received) {
        let mut diagnosis = Diagnosis::new(ErrorKind::PeerAlert, "");
        diagnosis.alert_received = Some(alert);
        return diagnosis;
    }
    let reason = codes.iter().copied().find(|&code| alert(code).is_none());
    let here = library::meaning_here(ssl, sent, reason.map(ERR_GET_REASON));
    if let Some((kind, sentence)) = here {
        return Diagnosis::new(kind, sentence);
    }
    for &code in codes {
        match meaning(code) {
            None => {}
            Some(Meaning::VerifyFailed) => return verify::refusal(ssl),
            Some(Meaning::Kind(kind)) => return Diagnosis::new(kind, words(code)),
            Some(Meaning::Explained(kind, sentence)) => return Diagnosis::new(kind, sentence),
        }
    }
    match reason {
        // Whatever else the library objects to came from the peer: it was the peer's bytes that
        // it was working on.
        Some(reason) => Diagnosis::new(ErrorKind::Protocol, words(reason)),
        None if sent.is_some() => Diagnosis::new(ErrorKind::Protocol, REFUSED),
        None => Diagnosis::new(ErrorKind::Backend, "the library failed without saying why"),
    }
}

fn alert(code: c_ulong) -> Option<AlertDescription> {
    let alert = ERR_GET_REASON(code) - ALERT_OFFSET;
    if ERR_GET_LIB(code) != LIB_SSL {
        return None;
    }
    u8::try_from(alert).ok().map(AlertDescription)
}

fn meaning(code: c_ulong) -> Option<Meaning> {
    let reason = ERR_GET_REASON(code);
    if reason == TRAITS.out_of_memory || reason == TRAITS.internal_error {
        return Some(Meaning::Kind(ErrorKind::Backend));
    }
    if ERR_GET_LIB(code) != LIB_SSL {
        return None;
    }
    if reason == TRAITS.client_refused {
        return Some(Meaning::VerifyFailed);
    }
    if reason == TRAITS.undecodable {
        // The only DER that the handshake itself decodes is that of certificates.
        return Some(Meaning::Explained(
            ErrorKind::Certificate(CertificateProblem::BadEncoding),
            "the peer's certificate is not well-formed",
        ));
    }
    Some(match reason {
        // SSL_R_CERTIFICATE_VERIFY_FAILED
        134 => Meaning::VerifyFailed,
        // SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE
        199 => Meaning::Explained(
            ErrorKind::Certificate(CertificateProblem::Missing),
            "the peer presented no certificate",
        ),
        // SSL_R_CA_KEY_TOO_SMALL, SSL_R_CA_MD_TOO_WEAK, SSL_R_EE_KEY_TOO_SMALL
        397..=399 => Meaning::Kind(ErrorKind::Certificate(CertificateProblem::Weak)),
        // SSL_R_NO_APPLICATION_PROTOCOL
        235 => Meaning::Explained(
            ErrorKind::NoSharedParameters(SharedParameter::ApplicationProtocol),
            "the client offers only application protocols that this server does not have",
        ),
        // SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_VERSION_TOO_HIGH,
        // SSL_R_UNSUPPORTED_SSL_VERSION, SSL_R_WRONG_SSL_VERSION, SSL_R_NO_PROTOCOLS_AVAILABLE
        258 | 396 | 166 | 259 | 266 | 191 => {
            Meaning::Kind(ErrorKind::NoSharedParameters(SharedParameter::Version))
        }
        // SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_GROUPS, SSL_R_NO_SUITABLE_KEY_SHARE,
        // SSL_R_NO_SHARED_GROUPS, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
        // SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS
        193 | 295 | 101 | 410 | 118 | 376 => {
            Meaning::Kind(ErrorKind::NoSharedParameters(SharedParameter::CipherSuite))
        }
        // SSL_R_UNEXPECTED_EOF_WHILE_READING
        294 => Meaning::Kind(ErrorKind::Truncated),
        // SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST
        156 | 155 => Meaning::Explained(ErrorKind::Protocol, "the peer speaks plain HTTP, not TLS"),
        // SSL_R_WRONG_VERSION_NUMBER: the version in a record header is none of TLS.
        267 => Meaning::Explained(ErrorKind::Protocol, "the peer does not speak TLS"),
        // SSL_R_TOO_MANY_KEY_UPDATES
        132 => Meaning::Explained(ErrorKind::Protocol, "the peer sent too many KeyUpdates"),
        _ => return None,
    })
}

/// The library's own words for a code, such as "bad record type".
fn words(code: c_ulong) -> Cow<'static, str> {
    match ffi::reason(code) {
        Some(reason) => Cow::Borrowed(reason),
        None => Cow::Owned(format!("error {code:#x} of the library")),
    }
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

    use super::*;

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
        diagnose(&Ssl::new(&context).unwrap(), sent, &codes)
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
