//! Callbacks that ask in the middle of a handshake: whether the peer is good, which certificate to
//! present.

use std::ffi::{c_int, c_void};
use std::ptr;

use boring::error::ErrorStack;
use boring::ssl::SslRef;
use boring::stack::{Stack, StackRef};
use boring::x509::{X509, X509StoreContextRef};
use boring_sys as c;
use foreign_types::{ForeignType, ForeignTypeRef};

use super::configure::{Purpose, buffers, check};
use super::observed_of;

/// `SSL_get_peer_full_cert_chain`: the peer's chain, leaf first, as it came.
pub(crate) fn presented(ssl: &SslRef) -> Option<&StackRef<X509>> {
    // SAFETY: "returns the peer's certificate chain, or NULL if unavailable or the peer did not use
    // certificates. [...] The caller does not take ownership of the result".
    let chain = unsafe { c::SSL_get_peer_full_cert_chain(ssl.as_ptr()) };
    if chain.is_null() {
        return None;
    }
    // SAFETY: the stack is not null, and lives as long as the handle, which is borrowed.
    Some(unsafe { StackRef::from_ptr(chain) })
}

/// `X509_STORE_CTX_set_default` and `X509_VERIFY_PARAM_set1`: verifies a chain of the peer as the
/// library does when it is left to.
pub(crate) fn verify_as(
    peer: &mut X509StoreContextRef,
    ssl: &SslRef,
    purpose: Purpose,
) -> Result<(), ErrorStack> {
    let defaults = match purpose {
        Purpose::Client => c"ssl_client",
        Purpose::Server => c"ssl_server",
    };
    // SAFETY: the context is initialised, and the name is static. `<openssl/x509.h>`: "looks up the
    // set of default parameters named name and applies those default verification parameters".
    check(unsafe { c::X509_STORE_CTX_set_default(peer.as_ptr(), defaults.as_ptr()) })?;
    // SAFETY: "returns a pointer to the X509_VERIFY_PARAM associated with ctx", `<openssl/x509.h>`.
    let to = unsafe { c::X509_STORE_CTX_get0_param(peer.as_ptr()) };
    // SAFETY: "returns a pointer to the parameters used for certificate verification", which stay
    // the handle's.
    let from = unsafe { c::SSL_get0_param(ssl.as_ptr()) };
    // SAFETY: both are valid. "copies parameter values from from to to", `<openssl/x509.h>`.
    check(unsafe { c::X509_VERIFY_PARAM_set1(to, from) })
}

/// `SSL_set_cert_cb`: the session waits until it knows what to present.
pub(crate) fn ask_for_certificate(ssl: &mut SslRef) {
    // SAFETY: the reference is to a valid SSL. "sets a callback that is called to select a
    // certificate", of this type; it is given no argument.
    unsafe { c::SSL_set_cert_cb(ssl.as_ptr(), Some(on_certificate), ptr::null_mut()) };
}

/// It cannot panic: nothing may unwind into C.
unsafe extern "C" fn on_certificate(ssl: *mut c::SSL, _argument: *mut c_void) -> c_int {
    // SAFETY: the library runs the callback with the handle it works on, valid meanwhile.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    observed_of(ssl).map_or(0, |observed| observed.questions().certificate())
}

/// `SSL_get0_server_requested_CAs`: the names that the server sent, in DER. Only while the handshake
/// waits for a certificate.
pub(crate) fn acceptable_issuers(ssl: &SslRef) -> Vec<Vec<u8>> {
    // SAFETY: "returns the CAs sent by a server to guide a client in certificate selection. They are
    // a series of DER-encoded X.509 names. This function may only be called during a callback set by
    // SSL_CTX_set_cert_cb or when the handshake is paused because of it".
    let names = unsafe { c::SSL_get0_server_requested_CAs(ssl.as_ptr()) };
    // SAFETY: as above: "The returned stack is owned by ssl", or it is null.
    unsafe { buffers(names) }.unwrap_or_default()
}

/// `SSL_set1_chain`: the certificates that go with the leaf of this session alone.
pub(crate) fn set_chain(ssl: &mut SslRef, chain: &Stack<X509>) -> Result<(), ErrorStack> {
    // SAFETY: both are valid. "sets ssl's certificate chain, excluding the leaf, to chain [...]
    // they increment the reference counts".
    check(unsafe { c::SSL_set1_chain(ssl.as_ptr(), chain.as_ptr()) })
}
