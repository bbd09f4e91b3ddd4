//! What the results of verifying a chain mean.

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
