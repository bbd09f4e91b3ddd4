//! Handshakes of servers whose caller decides about the client: made on a thread that may wait, as
//! OpenSSL itself does not.
//!
//! `ASYNC_pause_job` would do without threads, but a job that is paused may be resumed only on the
//! thread it was started on, and is never freed if it is not resumed.

use std::ffi::c_int;
use std::io;
use std::ptr::NonNull;

use foreign_types_shared::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use openssl_sys as sys;
use tls_libssl::{LibSsl, Parking, set_errno};

use super::OpenSslEngine;

unsafe extern "C" {
    fn SSL_set0_wbio(ssl: *mut sys::SSL, bio: *mut sys::BIO);
    fn BIO_s_null() -> *const sys::BIO_METHOD;
}

/// `SSL_ERROR_SYSCALL`.
const SYSCALL: c_int = 5;
/// `SSL_ERROR_WANT_RETRY_VERIFY`.
const WANT_RETRY_VERIFY: c_int = 12;

/// Makes the calls that may wait; `None` where none does.
pub(super) type Elsewhere = Option<Parking<Came>>;

/// What a call came to on another thread: its answer, the error queue, and errno.
type Came = (c_int, ErrorStack, i32);

/// A handle on its way to the thread that works on it.
struct Handle(NonNull<sys::SSL>);

// SAFETY: libssl ties no handle to a thread; two threads must not use one at the same time
// (openssl-threads(7)), and of the two here one always waits for the other.
unsafe impl Send for Handle {}

impl OpenSslEngine {
    /// Has the handshake made where it may wait for a verdict.
    pub(crate) fn wait_for_verdicts(&mut self) {
        let lot = self.observed().questions().lot().clone();
        self.elsewhere = Some(Parking::new(lot));
    }

    #[inline]
    pub(super) fn shake_hands(&mut self) -> c_int {
        match &mut self.elsewhere {
            None => self.do_handshake(),
            // From the first call on: the certificate may stand behind the ClientHello, as that of
            // TLS 1.2 depends on no answer.
            Some(parking) => shake_elsewhere(parking, &mut self.ssl),
        }
    }

    /// What the library would say, had it made the call: it knows nothing of it.
    pub(super) fn waits_for(&self) -> Option<c_int> {
        let parking = self.elsewhere.as_ref()?;
        if parking.has_failed() {
            return Some(SYSCALL);
        }
        parking.is_waiting().then_some(WANT_RETRY_VERIFY)
    }
}

fn shake_elsewhere(parking: &mut Parking<Came>, ssl: &mut SslRef) -> c_int {
    let Some(handle) = NonNull::new(ssl.as_ptr()).map(Handle) else {
        return -1;
    };
    let call = move || {
        let handle = handle;
        // SAFETY: "SSL_do_handshake() will wait for a SSL/TLS handshake to take place"
        // (SSL_do_handshake(3)); the engine owns the handle, waits for this call or has it wait, and
        // ends it before it frees the handle.
        let answer = unsafe { sys::SSL_do_handshake(handle.0.as_ptr()) };
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        (answer, ErrorStack::get(), errno)
    };
    match parking.call(call) {
        Ok(Some((answer, errors, errno))) => {
            errors.put();
            set_errno(errno);
            answer
        }
        Ok(None) => -1,
        // There is no thread for it, most likely.
        Err(error) => {
            set_errno(error.raw_os_error().unwrap_or(libc::EIO));
            -1
        }
    }
}

/// What the library says from here on nobody hears: its session is gone, and dropping one sends
/// nothing (K7).
pub(super) fn mute(ssl: &SslRef) {
    // SAFETY: "BIO_s_null() returns the null sink BIO method" (BIO_s_null(3)), which is static.
    let method = unsafe { BIO_s_null() };
    // SAFETY: "BIO_new() returns a new BIO using method type" (BIO_new(3)), or NULL.
    let sink = unsafe { sys::BIO_new(method) };
    if !sink.is_null() {
        // SAFETY: "SSL_set0_wbio() [...] sets the write BIO [...] the function takes ownership"
        // (SSL_set_bio(3)).
        unsafe { SSL_set0_wbio(ssl.as_ptr(), sink) };
    }
}
