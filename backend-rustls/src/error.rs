//! What rustls's errors mean: who is at fault, and which alert goes with them.

use std::sync::Arc;

use rustls::{
    AlertDescription as RustlsAlert, CertificateError, Error as RustlsError, InvalidMessage,
    PeerIncompatible, PeerMisbehaved,
};
use tls_core::iana::AlertDescription;
use tls_core::{
    Alert, AlertDirection, CertificateProblem, Error, ErrorKind, Operation, SharedParameter,
};

/// Builds the error of a session from rustls's, and the alert it queued for the peer, if any.
#[cold]
pub(crate) fn session_error(
    error: RustlsError,
    sent: Option<AlertDescription>,
    operation: Operation,
) -> Error {
    // Whatever rustls answers to the peer's alert, it was the peer that ended the session.
    if let RustlsError::AlertReceived(received) = &error {
        return Error::peer_alert(iana_alert(*received), operation);
    }
    let built = with_sent(Error::new(kind(&error), operation), sent);
    let built = built.with_detail(detail(&error));
    built.with_source(Arc::new(error))
}

/// What rustls's own words leave out: which limit the peer has overstepped (K4), of those that
/// rustls keeps and sends no alert for, and what it holds against an authority.
fn detail(error: &RustlsError) -> &'static str {
    match error {
        RustlsError::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
            "a handshake message has 64 KiB or more"
        }
        RustlsError::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments) => {
            "more than 32 empty records in a row"
        }
        RustlsError::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests) => {
            "more than 32 KeyUpdates without application data between them"
        }
        RustlsError::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests) => {
            "more than one renegotiation was asked for"
        }
        RustlsError::PeerMisbehaved(PeerMisbehaved::TooManyWarningAlertsReceived) => {
            "more than 4 warning alerts"
        }
        RustlsError::InvalidCertificate(error) if is_authority(error) => {
            "it is the certificate of an authority (CA:TRUE), which rustls takes from no peer"
        }
        _ => "",
    }
}

/// Notes the alert that was queued for the peer.
pub(crate) fn with_sent(error: Error, sent: Option<AlertDescription>) -> Error {
    match sent {
        None => error,
        Some(description) => error.with_alert(Alert {
            description,
            direction: AlertDirection::Sent,
        }),
    }
}

fn kind(error: &RustlsError) -> ErrorKind {
    match error {
        RustlsError::InvalidCertificate(error) => ErrorKind::Certificate(problem(error)),
        RustlsError::NoCertificatesPresented => ErrorKind::Certificate(CertificateProblem::Missing),
        RustlsError::NoApplicationProtocol => {
            ErrorKind::NoSharedParameters(SharedParameter::ApplicationProtocol)
        }
        RustlsError::PeerIncompatible(reason) => incompatible(reason),
        // What a server meets whose key fits none of the client's signature schemes.
        RustlsError::General(what) if what == "incompatible signing key" => {
            ErrorKind::NoSharedParameters(SharedParameter::CipherSuite)
        }
        // An alert that rustls answered with one of its own was not a proper alert.
        RustlsError::DecryptError
        | RustlsError::InappropriateHandshakeMessage { .. }
        | RustlsError::InappropriateMessage { .. }
        | RustlsError::InvalidMessage(_)
        | RustlsError::PeerMisbehaved(_)
        | RustlsError::PeerSentOversizedRecord => ErrorKind::Protocol,
        _ => ErrorKind::Backend,
    }
}

fn incompatible(reason: &PeerIncompatible) -> ErrorKind {
    match reason {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            ErrorKind::NoSharedParameters(SharedParameter::Version)
        }
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
        | PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon => {
            ErrorKind::NoSharedParameters(SharedParameter::CipherSuite)
        }
        _ => ErrorKind::Protocol,
    }
}

/// What rustls's verification has against a certificate.
pub(crate) fn certificate_problem(error: &RustlsError) -> CertificateProblem {
    match error {
        RustlsError::InvalidCertificate(error) => problem(error),
        _ => CertificateProblem::Other,
    }
}

fn problem(error: &CertificateError) -> CertificateProblem {
    use CertificateError as C;
    #[allow(
        deprecated,
        reason = "the older form of a variant is still one that may be met"
    )]
    match error {
        C::BadEncoding => CertificateProblem::BadEncoding,
        C::BadSignature => CertificateProblem::BadSignature,
        C::Expired | C::ExpiredContext { .. } => CertificateProblem::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => CertificateProblem::NotYetValid,
        C::Revoked => CertificateProblem::Revoked,
        C::UnknownIssuer => CertificateProblem::UnknownIssuer,
        C::NotValidForName | C::NotValidForNameContext { .. } => CertificateProblem::NameMismatch,
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => CertificateProblem::WrongPurpose,
        C::UnsupportedSignatureAlgorithm
        | C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => CertificateProblem::Weak,
        error if is_authority(error) => CertificateProblem::WrongPurpose,
        _ => CertificateProblem::Other,
    }
}

/// Whether the certificate presented is an authority's own, which rustls takes from no peer and
/// OpenSSL does: what `openssl req -x509` makes is one. The type inside is not rustls's to give, so
/// only its name can be asked.
fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity")
}

/// Which alert rustls sends with an error once it encrypts and the alert cannot be read off the
/// wire any more.
///
/// Its own table, as far as it is public; the rest follows its source. One error stands for two
/// alerts: a record that does not decrypt (`bad_record_mac`) and a Finished that does not verify
/// (`decrypt_error`) are told apart by nothing public; the first is what happens.
pub(crate) fn encrypted_alert(error: &RustlsError) -> AlertDescription {
    iana_alert(match error {
        RustlsError::InvalidCertificate(error) => error.clone().into(),
        RustlsError::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => {
            RustlsAlert::IllegalParameter
        }
        RustlsError::InvalidMessage(error) => (*error).into(),
        RustlsError::DecryptError => RustlsAlert::BadRecordMac,
        RustlsError::PeerSentOversizedRecord => RustlsAlert::RecordOverflow,
        RustlsError::InappropriateMessage { .. }
        | RustlsError::InappropriateHandshakeMessage { .. } => RustlsAlert::UnexpectedMessage,
        RustlsError::NoApplicationProtocol => RustlsAlert::NoApplicationProtocol,
        RustlsError::NoCertificatesPresented => RustlsAlert::CertificateRequired,
        RustlsError::PeerMisbehaved(how) => misbehaviour_alert(how),
        RustlsError::PeerIncompatible(_) => RustlsAlert::HandshakeFailure,
        _ => RustlsAlert::HandshakeFailure,
    })
}

fn misbehaviour_alert(how: &PeerMisbehaved) -> RustlsAlert {
    use PeerMisbehaved as P;
    match how {
        P::IllegalMiddleboxChangeCipherSpec
        | P::KeyEpochWithPendingFragment
        | P::KeyUpdateReceivedInQuicConnection
        | P::TooMuchEarlyDataReceived => RustlsAlert::UnexpectedMessage,
        P::DisallowedEncryptedExtension
        | P::UnexpectedCleartextExtension
        | P::UnsolicitedEchExtension
        | P::UnsolicitedEncryptedExtension => RustlsAlert::UnsupportedExtension,
        P::InvalidCertCompression | P::SelectedUnofferedCertCompression => {
            RustlsAlert::BadCertificate
        }
        P::MissingKeyShare => RustlsAlert::MissingExtension,
        P::IncorrectBinder => RustlsAlert::DecryptError,
        _ => RustlsAlert::IllegalParameter,
    }
}

fn iana_alert(alert: RustlsAlert) -> AlertDescription {
    AlertDescription(u8::from(alert))
}

/// Says what kind of peer starts a connection with these bytes, which are no TLS record.
pub(crate) fn not_tls(start: &[u8]) -> &'static str {
    const HTTP: [&[u8]; 9] = [
        b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"CONN", b"PATC", b"HTTP",
    ];
    if HTTP.iter().any(|method| start.starts_with(method)) {
        return "the peer speaks plain HTTP, not TLS";
    }
    "the peer's first bytes are not a TLS record"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_s_alert_is_its_own_kind() {
        let error = RustlsError::AlertReceived(RustlsAlert::UnknownCA);
        let error = session_error(error, None, Operation::Handshake);
        assert_eq!(error.kind(), ErrorKind::PeerAlert);
        let alert = error.alert().unwrap();
        assert_eq!(alert.description, AlertDescription::UNKNOWN_CA);
        assert_eq!(alert.direction, AlertDirection::Received);
    }

    #[test]
    fn both_forms_of_a_certificate_error_are_one_problem() {
        for (error, problem) in [
            (
                CertificateError::NotValidForName,
                CertificateProblem::NameMismatch,
            ),
            (CertificateError::Expired, CertificateProblem::Expired),
            (
                CertificateError::UnknownIssuer,
                CertificateProblem::UnknownIssuer,
            ),
        ] {
            assert_eq!(
                kind(&RustlsError::InvalidCertificate(error)),
                ErrorKind::Certificate(problem)
            );
        }
    }

    #[test]
    fn plain_http_is_named() {
        assert!(not_tls(b"GET /").contains("plain HTTP"));
        assert!(!not_tls(b"\x80\x2e\x01\x00\x02").contains("HTTP"));
    }
}
