//! What BoringSSL does not look at, and OpenSSL does: what is too weak, and what is wrong with a
//! trust anchor. OpenSSL has security levels; this is level 2 (112 bits), so RSA keys of 2,048 bits
//! or more and no SHA-1 signatures.

use boring::error::ErrorStack;
use boring::nid::Nid;
use boring::pkey::Id;
use boring::ssl::{SslContextBuilder, SslRef};
use boring::stack::StackRef;
use boring::x509::{X509, X509Ref, X509StoreContext, X509StoreContextRef, X509VerifyError};
use tls_core::CertificateProblem;
use tls_core::iana::SignatureScheme;
use tls_libssl::{Certificate, ChainFault, Verified, certificate_problem, chain_fault};

use crate::ffi::{self, Purpose};

const MIN_RSA_BITS: u32 = 2_048;
const MIN_CURVE_BITS: u32 = 224;

/// The signatures of handshakes that are made and taken, most wanted first. The library's own list
/// has SHA-1 and lacks Ed25519.
const SIGNATURE_SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_SECP256R1_SHA256,
    SignatureScheme::RSA_PSS_RSAE_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_SECP384R1_SHA384,
    SignatureScheme::RSA_PSS_RSAE_SHA384,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::ECDSA_SECP521R1_SHA512,
    SignatureScheme::RSA_PSS_RSAE_SHA512,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Keeps weak signatures out of handshakes.
pub(crate) fn restrict_signatures(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    ffi::set_signature_schemes(context, &SIGNATURE_SCHEMES.map(|scheme| scheme.0))
}

/// The result for a chain that the library accepts and we do not. It has none of its own for that.
pub(crate) const WEAK: X509VerifyError = X509VerifyError::APPLICATION_VERIFICATION;

/// Has the library verify the peer's chain, and refuses one that is weak, or that the library takes
/// because it looks at nothing in the trust anchor.
pub(crate) fn verify(peer: &mut X509StoreContextRef, purpose: Purpose) -> bool {
    if !peer.verify_cert().unwrap_or(false) {
        return false;
    }
    let fault = peer.chain().map_or(Some(WEAK), |chain| {
        fault(chain, purpose).or_else(|| is_weak_chain(chain).then_some(WEAK))
    });
    if let Some(fault) = fault {
        peer.set_error(Err(fault));
    }
    fault.is_none()
}

/// What the same comes to for a peer that others are to decide about.
pub(crate) fn outcome(ssl: &SslRef, purpose: Purpose) -> Verified {
    let failed = |_: ErrorStack| CertificateProblem::Other;
    let chain = ffi::presented(ssl).ok_or(CertificateProblem::Other)?;
    let leaf = chain.get(0).ok_or(CertificateProblem::Other)?;
    let roots = ssl.ssl_context().cert_store();
    let mut context = X509StoreContext::new().map_err(failed)?;
    let result = context.init(roots, leaf, chain, |peer| {
        ffi::verify_as(peer, ssl, purpose)?;
        Ok(match verify(peer, purpose) {
            true => Ok(()),
            false => Err(peer.verify_result()),
        })
    });
    match result.map_err(failed)? {
        Ok(()) => Ok(()),
        Err(Err(error)) => Err(problem(error)),
        Err(Ok(())) => Err(CertificateProblem::Other),
    }
}

/// What the result of a verification means.
pub(crate) fn problem(error: X509VerifyError) -> CertificateProblem {
    match error {
        WEAK => CertificateProblem::Weak,
        error => certificate_problem(error.as_raw()),
    }
}

/// What else is wrong with the chain.
fn fault(chain: &StackRef<X509>, purpose: Purpose) -> Option<X509VerifyError> {
    let shown = |certificate| Shown {
        certificate,
        purpose,
    };
    let chain: Vec<_> = chain.iter().map(shown).collect();
    chain_fault(&chain).map(|fault| match fault {
        ChainFault::NoAuthority => X509VerifyError::INVALID_CA,
        ChainFault::PathTooLong => X509VerifyError::PATH_LENGTH_EXCEEDED,
        ChainFault::WrongPurpose => X509VerifyError::INVALID_PURPOSE,
    })
}

/// A certificate, and what the chain it is in is shown for.
struct Shown<'a> {
    certificate: &'a X509Ref,
    purpose: Purpose,
}

impl Certificate for Shown<'_> {
    fn is_authority(&self) -> bool {
        ffi::is_authority(self.certificate)
    }

    fn has_purpose(&self, issues: bool) -> bool {
        ffi::has_purpose(self.certificate, self.purpose, issues)
    }

    fn is_self_issued(&self) -> bool {
        ffi::is_self_issued(self.certificate)
    }

    fn path_length(&self) -> Option<usize> {
        ffi::path_length(self.certificate)
    }
}

fn is_weak_chain(chain: &StackRef<X509>) -> bool {
    let anchor = chain.len().saturating_sub(1);
    let mut chain = chain.iter().enumerate();
    chain.any(|(place, certificate)| is_weak(certificate, place == anchor))
}

/// Nobody relies on the signature of a trust anchor.
fn is_weak(certificate: &X509Ref, anchor: bool) -> bool {
    has_weak_key(certificate) || !anchor && has_weak_signature(certificate)
}

/// Why a certificate of our own may not be presented.
pub(crate) fn weakness(certificate: &X509) -> Option<&'static str> {
    if has_weak_key(certificate) {
        return Some("its key is too small");
    }
    let self_signed = certificate.issued(certificate).is_ok();
    (!self_signed && has_weak_signature(certificate)).then_some("its signature is too weak")
}

/// A key that does not decode is not weak: the library has refused it, or will.
fn has_weak_key(certificate: &X509Ref) -> bool {
    certificate.public_key().is_ok_and(|key| match key.id() {
        Id::RSA | Id::RSAPSS => key.bits() < MIN_RSA_BITS,
        _ => key.bits() < MIN_CURVE_BITS,
    })
}

fn has_weak_signature(certificate: &X509Ref) -> bool {
    let algorithm = certificate.signature_algorithm().object().nid();
    let digest = algorithm.signature_algorithms().map(|parts| parts.digest);
    digest.is_some_and(|digest| [Nid::MD5, Nid::SHA1].contains(&digest))
}

#[cfg(test)]
mod tests {
    use boring::asn1::Asn1Time;
    use boring::ec::{EcGroup, EcKey};
    use boring::hash::MessageDigest;
    use boring::pkey::{PKey, Private};
    use boring::rsa::Rsa;
    use boring::x509::X509Name;

    use super::*;

    /// A certificate for this key, signed by that one, with this digest.
    fn certificate(
        key: &PKey<Private>,
        (issuer, by): (&str, &PKey<Private>),
        digest: MessageDigest,
    ) -> X509 {
        let name = |text: &str| {
            let mut name = X509Name::builder().unwrap();
            name.append_entry_by_nid(Nid::COMMONNAME, text).unwrap();
            name.build()
        };
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name("subject")).unwrap();
        builder.set_issuer_name(&name(issuer)).unwrap();
        builder.set_pubkey(key).unwrap();
        let (from, until) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
        builder.set_not_before(&from.unwrap()).unwrap();
        builder.set_not_after(&until.unwrap()).unwrap();
        builder.sign(by, digest).unwrap();
        builder.build()
    }

    fn rsa(bits: u32) -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
    }

    #[test]
    fn keys_below_112_bits_are_weak() {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let curve = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
        for (key, weak) in [(rsa(1_024), true), (rsa(2_048), false), (curve, false)] {
            let certificate = certificate(&key, ("subject", &key), MessageDigest::sha256());
            assert_eq!(weakness(&certificate).is_some(), weak, "{key:?}");
            assert_eq!(is_weak(&certificate, true), weak, "{key:?}");
        }
    }

    #[test]
    fn signatures_with_sha1_are_weak_but_on_anchors() {
        let key = rsa(2_048);
        let anchor = certificate(&key, ("subject", &key), MessageDigest::sha1());
        assert!(!is_weak(&anchor, true));
        assert_eq!(weakness(&anchor), None);
        let below = certificate(&key, ("issuer", &key), MessageDigest::sha1());
        assert!(is_weak(&below, false));
        assert!(weakness(&below).is_some());
        let strong = certificate(&key, ("issuer", &key), MessageDigest::sha256());
        assert!(!is_weak(&strong, false));
    }
}
