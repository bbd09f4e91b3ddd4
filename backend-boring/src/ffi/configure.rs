//! Calls for configuration and facts: what the safe crate lacks, or leaves to its caller.

use std::ffi::{CStr, CString, c_int, c_ulong};
use std::path::Path;
use std::time::Duration;
use std::{ptr, slice};

use boring::error::ErrorStack;
use boring::ssl::{SslContextBuilder, SslRef, SslSessionRef};
use boring::x509::store::X509StoreBuilderRef;
use boring::x509::{X509Ref, X509StoreContext, X509StoreContextRef};
use boring_sys as c;
use foreign_types::ForeignTypeRef;
use tls_core::pki_types::CertificateDer;

/// "a positive integer that increments as BoringSSL changes over time" (`<openssl/base.h>`).
pub(crate) const API_VERSION: i32 = c::BORINGSSL_API_VERSION;

/// Most calls answer 1 for success.
pub(super) fn check(answer: c_int) -> Result<(), ErrorStack> {
    match answer {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

/// `SSL_set_connect_state`.
pub(crate) fn set_connect_state(ssl: &mut SslRef) {
    // SAFETY: "SSL_set_connect_state configures ssl to be a client"; the reference is to a valid
    // SSL.
    unsafe { c::SSL_set_connect_state(ssl.as_ptr()) };
}

/// `SSL_set_accept_state`.
pub(crate) fn set_accept_state(ssl: &mut SslRef) {
    // SAFETY: "SSL_set_accept_state configures ssl to be a server"; as above.
    unsafe { c::SSL_set_accept_state(ssl.as_ptr()) };
}

/// `SSL_CTX_set_max_cert_list`: in bytes.
pub(crate) fn set_max_certificate_list(context: &mut SslContextBuilder, bytes: usize) {
    // SAFETY: the builder owns a valid SSL_CTX. "sets the maximum length, in bytes, of a peer
    // certificate chain".
    unsafe { c::SSL_CTX_set_max_cert_list(context.as_ptr(), bytes) };
}

/// `SSL_CTX_set_timeout` and `SSL_CTX_set_session_psk_dhe_timeout`: how long the sessions of a
/// server may be resumed, in TLS 1.2 and 1.3.
pub(crate) fn set_session_timeout(context: &mut SslContextBuilder, timeout: Duration) {
    let seconds = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
    // SAFETY: the builder owns a valid SSL_CTX. "sets the lifetime, in seconds, of TLS 1.2 (or
    // earlier) sessions created in ctx".
    unsafe { c::SSL_CTX_set_timeout(context.as_ptr(), seconds) };
    // SAFETY: as above, "of TLS 1.3 sessions created in ctx".
    unsafe { c::SSL_CTX_set_session_psk_dhe_timeout(context.as_ptr(), seconds) };
}

/// `SSL_CTX_set1_tls13_ciphers`: by their numbers, most wanted first.
pub(crate) fn set_tls13_cipher_suites(
    context: &mut SslContextBuilder,
    suites: &[u16],
) -> Result<(), ErrorStack> {
    // SAFETY: the builder owns a valid SSL_CTX. "cipher_ids and flags (if non-null) should both
    // have num_cipher_ids elements"; the library copies them.
    check(unsafe {
        c::SSL_CTX_set1_tls13_ciphers(context.as_ptr(), suites.as_ptr(), ptr::null(), suites.len())
    })
}

/// `SSL_CTX_set1_group_ids`: by their numbers, most wanted first.
pub(crate) fn set_groups(
    context: &mut SslContextBuilder,
    groups: &[u16],
) -> Result<(), ErrorStack> {
    // SAFETY: the builder owns a valid SSL_CTX. "sets the preferred groups for ctx to group_ids.
    // [...] group_ids should contain num_group_ids elements", which the library copies.
    check(unsafe { c::SSL_CTX_set1_group_ids(context.as_ptr(), groups.as_ptr(), groups.len()) })
}

/// `SSL_CTX_set_verify_algorithm_prefs` and `SSL_CTX_set_signing_algorithm_prefs`: the signatures
/// of handshakes, by their numbers.
pub(crate) fn set_signature_schemes(
    context: &mut SslContextBuilder,
    schemes: &[u16],
) -> Result<(), ErrorStack> {
    // SAFETY: the builder owns a valid SSL_CTX. "configures ctx to use prefs as the preference list
    // when verifying signatures"; the library copies them.
    check(unsafe {
        c::SSL_CTX_set_verify_algorithm_prefs(context.as_ptr(), schemes.as_ptr(), schemes.len())
    })?;
    // SAFETY: as above, "when signing with ctx's private key".
    check(unsafe {
        c::SSL_CTX_set_signing_algorithm_prefs(context.as_ptr(), schemes.as_ptr(), schemes.len())
    })
}

/// `X509_STORE_load_locations`: the roots in a file, or those that are looked up in a directory.
pub(crate) fn add_roots(
    store: &mut X509StoreBuilderRef,
    file: Option<&Path>,
    directory: Option<&Path>,
) -> Result<(), ErrorStack> {
    let name = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).ok();
    let (file, directory) = (file.and_then(name), directory.and_then(name));
    let pointer = |name: &Option<CString>| name.as_ref().map_or(ptr::null(), |name| name.as_ptr());
    // SAFETY: the store is valid, and both names are strings that end in NUL, or null.
    // `<openssl/x509.h>`: "X509_STORE_load_locations configures store to load data from file and
    // dir. Either may be NULL".
    check(unsafe {
        c::X509_STORE_load_locations(store.as_ptr(), pointer(&file), pointer(&directory))
    })
}

/// `SSL_set_session`, before the handshake. The session is one of the same context.
pub(crate) fn set_session(ssl: &mut SslRef, session: &SslSessionRef) -> Result<(), ErrorStack> {
    // SAFETY: the store is filled and asked by the sessions of one context alone, which is what the
    // crate asks for; the library takes its own reference.
    unsafe { ssl.set_session(session) }
}

/// `SSL_set_session_id_context`: only sessions of this context are resumed.
pub(crate) fn set_session_id_context(
    ssl: &mut SslRef,
    context: &[u8; 32],
) -> Result<(), ErrorStack> {
    // SAFETY: "sets ssl's session ID context to sid_ctx", which is copied; 32 bytes are the most
    // it takes.
    check(unsafe { c::SSL_set_session_id_context(ssl.as_ptr(), context.as_ptr(), context.len()) })
}

/// `SSL_get0_peer_certificates`: the peer's chain, leaf first, as it came.
pub(crate) fn peer_certificates(ssl: &SslRef) -> Option<Vec<CertificateDer<'static>>> {
    // SAFETY: "returns the peer's certificate chain, or NULL if unavailable or the peer did not use
    // certificates. [...] The caller does not take ownership of the result".
    let chain = unsafe { c::SSL_get0_peer_certificates(ssl.as_ptr()) };
    // SAFETY: as above: it stays the handle's.
    let chain = unsafe { buffers(chain) }?;
    Some(chain.into_iter().map(CertificateDer::from).collect())
}

/// What the buffers of a stack hold; `None` if there is no stack.
///
/// # Safety
///
/// The stack is null or valid, for as long as the call takes.
pub(super) unsafe fn buffers(stack: *const c::stack_st_CRYPTO_BUFFER) -> Option<Vec<Vec<u8>>> {
    if stack.is_null() {
        return None;
    }
    let stack: *const c::OPENSSL_STACK = stack.cast();
    // SAFETY: every STACK_OF(T) is an OPENSSL_STACK (`<openssl/stack.h>`).
    let length = unsafe { c::sk_num(stack) };
    Some((0..length).map(|place| entry(stack, place)).collect())
}

/// What a buffer in a stack holds that is longer than `place`.
fn entry(stack: *const c::OPENSSL_STACK, place: usize) -> Vec<u8> {
    // SAFETY: as above; `place` is within the stack.
    let buffer: *const c::CRYPTO_BUFFER = unsafe { c::sk_value(stack, place) }.cast();
    // SAFETY: `<openssl/pool.h>`: "returns a pointer to the data contained in buf", which is an
    // entry of the stack, and so below.
    let data = unsafe { c::CRYPTO_BUFFER_data(buffer) };
    // SAFETY: "returns the length, in bytes, of the data contained in buf".
    let length = unsafe { c::CRYPTO_BUFFER_len(buffer) };
    if length == 0 {
        return Vec::new();
    }
    // SAFETY: the pointer and length of one buffer, which lives while the stack does.
    unsafe { slice::from_raw_parts(data, length) }.to_vec()
}

/// `SSL_get_extms_support`: whether the connection has the extended master secret.
pub(crate) fn has_extended_master_secret(ssl: &SslRef) -> bool {
    // SAFETY: "returns one if the Extended Master Secret extension or TLS 1.3 was negotiated"; the
    // reference is to a valid SSL.
    unsafe { c::SSL_get_extms_support(ssl.as_ptr()) == 1 }
}

/// `SSL_get_tls_unique`.
pub(crate) fn tls_unique(ssl: &SslRef) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let mut length = 0;
    // SAFETY: "writes at most max_out bytes of the tls-unique value for ssl to out and sets *out_len
    // to the number of bytes written", to an array of as many and a number of ours.
    let found = unsafe {
        c::SSL_get_tls_unique(
            ssl.as_ptr(),
            value.as_mut_ptr(),
            &raw mut length,
            value.len(),
        )
    };
    (found == 1).then(|| value[..length].to_vec())
}

/// What a peer's certificate is shown for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// To be the client of a connection.
    Client,
    /// To be its server.
    Server,
}

/// `X509_check_purpose`: whether a certificate may be that of such a peer or, if it `issues`
/// others, of an authority over it.
pub(crate) fn has_purpose(certificate: &X509Ref, purpose: Purpose, issues: bool) -> bool {
    let purpose = match purpose {
        Purpose::Client => c::X509_PURPOSE_SSL_CLIENT,
        Purpose::Server => c::X509_PURPOSE_SSL_SERVER,
    };
    // SAFETY: the certificate is valid. `<openssl/x509.h>`: "checks if x509's basic constraints, key
    // usage, and extended key usage extensions allow it to be used for purpose".
    let allowed = unsafe { c::X509_check_purpose(certificate.as_ptr(), purpose, issues.into()) };
    allowed == 1
}

/// `X509_check_ca`: whether a certificate may issue others.
pub(crate) fn is_authority(certificate: &X509Ref) -> bool {
    // SAFETY: the certificate is valid. `<openssl/x509.h>`: "returns one if x509 may be considered
    // a CA certificate".
    unsafe { c::X509_check_ca(certificate.as_ptr()) == 1 }
}

/// `X509_get_pathlen`: how many authorities may stand between this one and a peer, if that is
/// limited.
pub(crate) fn path_length(certificate: &X509Ref) -> Option<usize> {
    // SAFETY: the certificate is valid. `<openssl/x509.h>`: "returns path length constraint from the
    // basic constraints extension in x509, or -1 if it is absent".
    usize::try_from(unsafe { c::X509_get_pathlen(certificate.as_ptr()) }).ok()
}

/// Whether an authority issued the certificate to itself: RFC 5280 section 6.1 counts it in no path
/// length.
pub(crate) fn is_self_issued(certificate: &X509Ref) -> bool {
    let (subject, issuer) = (certificate.subject_name(), certificate.issuer_name());
    // SAFETY: the names are those of a valid certificate. `<openssl/x509.h>`: "returns zero if a and
    // b are equal".
    unsafe { c::X509_NAME_cmp(subject.as_ptr(), issuer.as_ptr()) == 0 }
}

/// `SSL_set_options` with `SSL_OP_NO_TICKET`, in the handshake in which a client is verified: a
/// server of TLS 1.3 gives this client no tickets. Nothing happens outside of a handshake.
pub(crate) fn give_no_tickets(ssl: &mut SslRef) {
    const NO_TICKET: u32 = c::SSL_OP_NO_TICKET.unsigned_abs();
    // SAFETY: "enables all options set in options [...] in ssl"; the reference is to a valid SSL.
    unsafe { c::SSL_set_options(ssl.as_ptr(), NO_TICKET) };
}

/// [`give_no_tickets`], to the client whose chain is being verified.
pub(crate) fn give_no_tickets_to(client: &mut X509StoreContextRef) {
    let index = X509StoreContext::ssl_idx().ok();
    let Some(ssl) = index.and_then(|index| client.ex_data(index)) else {
        return;
    };
    // SAFETY: the handle is valid: the library alone puts one there, for as long as the verification
    // takes. No other reference to it is in use: it is reached only through the context, and that is
    // borrowed exclusively.
    give_no_tickets(unsafe { SslRef::from_ptr_mut(ssl.as_ptr()) });
}

/// `ERR_reason_error_string`.
pub(crate) fn reason(code: c_ulong) -> Option<&'static str> {
    let code = u32::try_from(code).ok()?;
    // SAFETY: any number may be asked for. `<openssl/err.h>`: "returns a string representation of
    // the reason for packed_error", or NULL.
    let text = unsafe { c::ERR_reason_error_string(code) };
    if text.is_null() {
        return None;
    }
    // SAFETY: the string is static and ends in NUL.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}
