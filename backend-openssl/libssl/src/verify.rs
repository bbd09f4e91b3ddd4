//! What the results of verifying a chain mean, and what not every library looks at in one.

use std::ffi::c_int;

use tls_core::CertificateProblem;

/// What a result of `SSL_get_verify_result` means, of those that the three libraries have under the
/// same number.
pub fn certificate_problem(result: c_int) -> CertificateProblem {
    match result {
        // X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD,
        // X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, X509_V_ERR_INVALID_EXTENSION
        6 | 13 | 14 | 41 => CertificateProblem::BadEncoding,
        // X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, X509_V_ERR_CERT_SIGNATURE_FAILURE
        4 | 7 => CertificateProblem::BadSignature,
        // X509_V_ERR_CERT_NOT_YET_VALID
        9 => CertificateProblem::NotYetValid,
        // X509_V_ERR_CERT_HAS_EXPIRED
        10 => CertificateProblem::Expired,
        // X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        // X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        // X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED
        2 | 18 | 19 | 20 | 21 | 27 => CertificateProblem::UnknownIssuer,
        // X509_V_ERR_CERT_REVOKED
        23 => CertificateProblem::Revoked,
        // X509_V_ERR_INVALID_PURPOSE, X509_V_ERR_CERT_REJECTED,
        // X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE
        26 | 28 | 39 => CertificateProblem::WrongPurpose,
        // X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        62 | 64 => CertificateProblem::NameMismatch,
        _ => CertificateProblem::Other,
    }
}

/// A certificate of a chain, and what its library says of it.
pub trait Certificate {
    /// `X509_check_ca`: whether it may issue others.
    fn is_authority(&self) -> bool;
    /// `X509_check_purpose`: whether it may be shown by the peer or, if it `issues` others, be that
    /// of an authority over it.
    fn has_purpose(&self, issues: bool) -> bool;
    /// Whether an authority issued it to itself: RFC 5280 section 6.1 counts it in no path length.
    fn is_self_issued(&self) -> bool;
    /// How many authorities may stand between this one and a peer, if that is limited.
    fn path_length(&self) -> Option<usize>;
}

/// What is wrong with a chain; each is the `X509_V_ERR` of that number in all three libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFault {
    /// `X509_V_ERR_INVALID_CA`
    NoAuthority = 24,
    /// `X509_V_ERR_PATH_LENGTH_EXCEEDED`
    PathTooLong = 25,
    /// `X509_V_ERR_INVALID_PURPOSE`
    WrongPurpose = 26,
}

/// The first fault of a chain that goes from the peer to its trust anchor, for libraries that look
/// at nothing in the anchor: as in OpenSSL, a certificate that is trusted itself is no good for
/// another purpose than its own, and issues others only if it is an authority's, down to the depth
/// that it allows.
pub fn chain_fault(chain: &[impl Certificate]) -> Option<ChainFault> {
    (0..chain.len()).find_map(|place| fault(&chain[place], &chain[..place]))
}

fn fault<C: Certificate>(certificate: &C, below: &[C]) -> Option<ChainFault> {
    let issues = !below.is_empty();
    if issues && !certificate.is_authority() {
        return Some(ChainFault::NoAuthority);
    }
    if !certificate.has_purpose(issues) {
        return Some(ChainFault::WrongPurpose);
    }
    let between = below.iter().skip(1);
    let depth = between.filter(|it| !it.is_self_issued()).count();
    certificate
        .path_length()
        .is_some_and(|allowed| depth > allowed)
        .then_some(ChainFault::PathTooLong)
}
