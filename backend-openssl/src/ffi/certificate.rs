//! What LibreSSL says of a certificate in a chain, where the safe crate does not ask.

use std::cmp::Ordering;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use foreign_types_shared::ForeignTypeRef;
use openssl::x509::{X509PurposeId, X509Ref, X509StoreContextRef, X509VerifyResult};
use openssl_sys as sys;
use tls_libssl::{Certificate, ChainFault};

/// `BASIC_CONSTRAINTS` of `<openssl/x509v3.h>`.
#[repr(C)]
struct BasicConstraints {
    ca: c_int,
    pathlen: *const sys::ASN1_INTEGER,
}

unsafe extern "C" {
    fn X509_check_ca(certificate: *mut sys::X509) -> c_int;
    fn X509_check_purpose(certificate: *mut sys::X509, purpose: c_int, ca: c_int) -> c_int;
    fn BASIC_CONSTRAINTS_free(constraints: *mut BasicConstraints);
}

/// A certificate, and what the chain it is in is shown for.
pub(crate) struct Shown<'a> {
    pub(crate) certificate: &'a X509Ref,
    pub(crate) purpose: X509PurposeId,
}

impl Certificate for Shown<'_> {
    fn is_authority(&self) -> bool {
        // SAFETY: the certificate is valid, and its verification has cached its extensions.
        // X509_check_ca(3): "If cert is a CA certificate, a non-zero value is returned".
        unsafe { X509_check_ca(self.certificate.as_ptr()) != 0 }
    }

    /// It is 2 or more of an authority that does not say so in the way of today.
    fn has_purpose(&self, issues: bool) -> bool {
        let (certificate, purpose) = (self.certificate.as_ptr(), self.purpose.as_raw());
        // SAFETY: the certificate is valid. X509_check_purpose(3): "checks whether the public key
        // contained in the certificate is intended to be used for the given purpose".
        let answer = unsafe { X509_check_purpose(certificate, purpose, issues.into()) };
        answer > 0
    }

    fn is_self_issued(&self) -> bool {
        let (subject, issuer) = (
            self.certificate.subject_name(),
            self.certificate.issuer_name(),
        );
        subject.try_cmp(issuer).is_ok_and(Ordering::is_eq)
    }

    fn path_length(&self) -> Option<usize> {
        let constraints = Constraints::of(self.certificate)?;
        // SAFETY: BASIC_CONSTRAINTS_new(3): "This object contains two fields", which are plain.
        let limit = unsafe { constraints.0.as_ref() }.pathlen;
        if limit.is_null() {
            return None;
        }
        // SAFETY: the limit lives as long as the constraints. ASN1_INTEGER_get(3): "return the
        // converted value, [...] or -1 on error", which is one that no chain comes near, as those
        // below 0 are refused with the certificate.
        usize::try_from(unsafe { sys::ASN1_INTEGER_get(limit) }).ok()
    }
}

/// The basic constraints of a certificate.
struct Constraints(NonNull<BasicConstraints>);

impl Constraints {
    fn of(certificate: &X509Ref) -> Option<Self> {
        let (certificate, extension) = (certificate.as_ptr(), sys::NID_basic_constraints);
        let (critical, place) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the certificate is valid. X509_get_ext_d2i(3): "A pointer to an extension
        // specific structure or NULL is returned"; both other pointers may be null.
        let found: *mut c_void =
            unsafe { sys::X509_get_ext_d2i(certificate, extension, critical, place) };
        NonNull::new(found.cast()).map(Self)
    }
}

impl Drop for Constraints {
    fn drop(&mut self) {
        // SAFETY: "BASIC_CONSTRAINTS_free() frees bc", which is ours, once.
        unsafe { BASIC_CONSTRAINTS_free(self.0.as_ptr()) };
    }
}

/// `X509_STORE_CTX_set_error`: makes a fault the result of a verification.
pub(crate) fn fail(peer: &mut X509StoreContextRef, fault: ChainFault) {
    // SAFETY: the number is that of an X509_V_ERR, which is all that the crate asks for.
    let result = unsafe { X509VerifyResult::from_raw(fault as c_int) };
    peer.set_error(result);
}
