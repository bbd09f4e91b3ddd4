//! Callbacks that ask in the middle of a handshake: whether the peer is good, which certificate to
//! present.

#[cfg(not(libressl))]
use std::ffi::c_long;
use std::ffi::{c_int, c_void};
use std::ptr;

#[cfg(not(libressl))]
use foreign_types_shared::ForeignType;
use foreign_types_shared::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef};
#[cfg(not(libressl))]
use openssl::stack::Stack;
use openssl::stack::StackRef;
#[cfg(not(libressl))]
use openssl::x509::X509Name;
use openssl::x509::{X509, X509Ref, X509StoreContext, X509StoreContextRef, X509VerifyResult};
use openssl_sys as sys;
use tls_core::CertificateProblem;
use tls_core::pki_types::CertificateDer;
use tls_libssl::{Lot, Ruling};

use super::observed_of;
use crate::verify;

unsafe extern "C" {
    fn SSL_CTX_set_cert_verify_callback(
        context: *mut sys::SSL_CTX,
        callback: Option<unsafe extern "C" fn(*mut sys::X509_STORE_CTX, *mut c_void) -> c_int>,
        argument: *mut c_void,
    );
    fn X509_STORE_CTX_get0_cert(peer: *const sys::X509_STORE_CTX) -> *mut sys::X509;
    fn X509_STORE_CTX_get0_untrusted(peer: *mut sys::X509_STORE_CTX) -> *mut sys::stack_st_X509;
}

#[cfg(not(libressl))]
unsafe extern "C" {
    fn SSL_set_cert_cb(
        ssl: *mut sys::SSL,
        callback: Option<unsafe extern "C" fn(*mut sys::SSL, *mut c_void) -> c_int>,
        argument: *mut c_void,
    );
    fn SSL_certs_clear(ssl: *mut sys::SSL);
    fn SSL_get0_peer_CA_list(ssl: *const sys::SSL) -> *const sys::stack_st_X509_NAME;
}

/// `SSL_CTRL_CHAIN`, `SSL_CTRL_SET_RETRY_VERIFY`: commands behind macros of `<openssl/ssl.h>`.
#[cfg(not(libressl))]
const CHAIN: c_int = 88;
#[cfg(not(libressl))]
const SET_RETRY_VERIFY: c_int = 136;

/// `SSL_CTX_set_cert_verify_callback`: whoever the session's configuration says decides about peers,
/// after the library's own verification.
pub(crate) fn put_to_the_verdict(context: &mut SslContextBuilder) {
    // SAFETY: the builder owns a valid SSL_CTX; the callback has the type that
    // SSL_CTX_set_cert_verify_callback(3) asks for, and is given no argument.
    unsafe {
        SSL_CTX_set_cert_verify_callback(context.as_ptr(), Some(on_chain), ptr::null_mut());
    }
}

/// It does not unwind, which would abort the process: of what it calls only the caller's verifier may
/// panic, and [`Questions::rule`](tls_libssl::Questions) catches that, and what dropping the panic
/// comes to.
unsafe extern "C" fn on_chain(peer: *mut sys::X509_STORE_CTX, _argument: *mut c_void) -> c_int {
    // SAFETY: SSL_CTX_set_cert_verify_callback(3): "the callback is called with the arguments
    // callback(X509_STORE_CTX *x509_store_ctx, void *arg)", valid meanwhile.
    let peer = unsafe { X509StoreContextRef::from_ptr_mut(peer) };
    let index = X509StoreContext::ssl_idx().ok();
    let ssl = index.and_then(|index| peer.ex_data(index));
    let Some(observed) = ssl.and_then(observed_of) else {
        return refuse(peer, verify::ABORT);
    };
    let chain = presented(peer);
    // No verdict changes who the peer is (K10).
    if !verify::shows_known_leaf(peer, chain.first().map(AsRef::as_ref)) {
        return 0;
    }
    let questions = observed.questions();
    let mut ruling = questions.rule(|| chain, || verify::outcome(peer));
    if ruling == Ruling::Wait && is_server(peer) {
        // Here and now: the caller's next call lets this one go on.
        ruling = match questions.lot().wait() {
            true => questions.rule(Vec::new, || Err(CertificateProblem::Other)),
            false => abandoned(peer, questions.lot()),
        };
    }
    // What verifying left in the queue would be taken for the reason of a failure.
    drop(ErrorStack::get());
    match ruling {
        Ruling::Accept => {
            peer.set_error(X509VerifyResult::OK);
            1
        }
        Ruling::Refuse(problem) => refuse(peer, verify::result_for(problem.alert())),
        Ruling::Abort => refuse(peer, verify::ABORT),
        Ruling::Wait => match waits(peer) {
            true => 1,
            false => refuse(peer, verify::ABORT),
        },
    }
}

fn is_server(peer: &X509StoreContextRef) -> bool {
    let index = X509StoreContext::ssl_idx().ok();
    let ssl = index.and_then(|index| peer.ex_data(index));
    ssl.is_some_and(SslRef::is_server)
}

/// Nobody will ever decide: the session is gone, or the client shows its certificate before it can
/// know that it is asked to, in a call that was not made where it may wait.
fn abandoned(peer: &mut X509StoreContextRef, lot: &Lot) -> Ruling {
    if !lot.is_abandoned() {
        return Ruling::Abort;
    }
    #[cfg(not(libressl))]
    if let Ok(index) = X509StoreContext::ssl_idx() {
        if let Some(ssl) = peer.ex_data(index) {
            super::elsewhere::mute(ssl);
        }
    }
    #[cfg(libressl)]
    let _ = peer;
    Ruling::Abort
}

fn refuse(peer: &mut X509StoreContextRef, result: c_int) -> c_int {
    // SAFETY: the number is that of an X509_V_ERR, which is all that the crate asks for.
    let result = unsafe { X509VerifyResult::from_raw(result) };
    peer.set_error(result);
    0
}

/// `SSL_set_retry_verify`, on clients alone: a server would take it for consent.
#[cfg(not(libressl))]
fn waits(peer: &X509StoreContextRef) -> bool {
    let index = X509StoreContext::ssl_idx().ok();
    let Some(ssl) = index.and_then(|index| peer.ex_data(index)) else {
        return false;
    };
    if ssl.is_server() {
        return false;
    }
    // SAFETY: the reference is to a valid SSL. SSL_set_retry_verify(3) is this command: "should be
    // called from the certificate verification callback [...] when the application wants to
    // indicate that the handshake should be suspended"; it takes no pointer.
    let set = unsafe { sys::SSL_ctrl(ssl.as_ptr(), SET_RETRY_VERIFY, 0, ptr::null_mut()) };
    set == 1
}

/// LibreSSL cannot wait.
#[cfg(libressl)]
fn waits(_: &X509StoreContextRef) -> bool {
    false
}

/// The chain as the peer sent it, leaf first.
fn presented(peer: &mut X509StoreContextRef) -> Vec<CertificateDer<'static>> {
    let raw = peer.as_ptr();
    // SAFETY: the context is valid. X509_STORE_CTX_get0_cert(3): "retrieves an internal pointer to
    // the certificate being verified".
    let leaf = unsafe { X509_STORE_CTX_get0_cert(raw) };
    // SAFETY: X509_STORE_CTX_get0_untrusted(3): "retrieves an internal pointer to the stack of
    // untrusted certificates".
    let others = unsafe { X509_STORE_CTX_get0_untrusted(raw) };
    let mut chain = Vec::new();
    if !leaf.is_null() {
        // SAFETY: the certificate is not null, and lives as long as the context that holds it.
        chain.extend(der(unsafe { X509Ref::from_ptr(leaf) }));
    }
    if !others.is_null() {
        // SAFETY: as above, for the stack.
        let others: &StackRef<X509> = unsafe { StackRef::from_ptr(others) };
        chain.extend(others.iter().filter_map(der));
    }
    // The leaf is among the others too.
    if chain.len() > 1 && chain[0] == chain[1] {
        chain.remove(0);
    }
    chain
}

fn der(certificate: &X509Ref) -> Option<CertificateDer<'static>> {
    certificate.to_der().ok().map(CertificateDer::from)
}

/// `SSL_set_cert_cb`: the session waits until it knows what to present.
#[cfg(not(libressl))]
pub(crate) fn ask_for_certificate(ssl: &mut SslRef) {
    // SAFETY: the reference is to a valid SSL; the callback has the type that SSL_CTX_set_cert_cb(3)
    // asks for, and is given no argument.
    unsafe { SSL_set_cert_cb(ssl.as_ptr(), Some(on_certificate), ptr::null_mut()) };
}

/// Not called: the configuration was refused.
#[cfg(libressl)]
pub(crate) fn ask_for_certificate(_: &mut SslRef) {}

/// It cannot panic: nothing may unwind into C.
#[cfg(not(libressl))]
unsafe extern "C" fn on_certificate(ssl: *mut sys::SSL, _argument: *mut c_void) -> c_int {
    // SAFETY: the library runs the callback with the handle it works on, valid meanwhile.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    observed_of(ssl).map_or(0, |observed| observed.questions().certificate())
}

/// `SSL_get0_peer_CA_list`: the names that the server sent, in DER.
#[cfg(not(libressl))]
pub(crate) fn acceptable_issuers(ssl: &SslRef) -> Vec<Vec<u8>> {
    // SAFETY: the reference is to a valid SSL. SSL_get0_peer_CA_list(3): "the client side [...]
    // returns the list of CA names sent by the server", or NULL; it stays the handle's.
    let names = unsafe { SSL_get0_peer_CA_list(ssl.as_ptr()) };
    if names.is_null() {
        return Vec::new();
    }
    // SAFETY: the stack is not null, lives as long as the handle, and is only read.
    let names: &StackRef<X509Name> = unsafe { StackRef::from_ptr(names.cast_mut()) };
    names.iter().filter_map(|name| name.to_der().ok()).collect()
}

/// `SSL_certs_clear`: the session presents nothing.
#[cfg(not(libressl))]
pub(crate) fn forget_certificates(ssl: &mut SslRef) {
    // SAFETY: the reference is to a valid SSL. SSL_CTX_set_cert_cb(3): "SSL_certs_clear() to delete
    // any certificates associated with the SSL object".
    unsafe { SSL_certs_clear(ssl.as_ptr()) };
}

/// `SSL_set1_chain`: the certificates that go with the leaf of this session alone.
#[cfg(not(libressl))]
pub(crate) fn set_chain(ssl: &mut SslRef, chain: &Stack<X509>) -> Result<(), ErrorStack> {
    let (copied, chain): (c_long, *mut c_void) = (1, chain.as_ptr().cast());
    // SAFETY: both are valid. SSL_CTX_set1_chain(3) is this command: "set1_chain(): the supplied
    // chain is copied", by reference counts.
    let set = unsafe { sys::SSL_ctrl(ssl.as_ptr(), CHAIN, copied, chain) };
    match set {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}
