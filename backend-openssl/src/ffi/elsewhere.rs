//! Handshakes of servers whose caller decides about the client, and reads that may meet its
//! certificate: made on a thread that may wait, as OpenSSL itself does not.
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

/// Where the calls of a session are made that may wait; nowhere else but here, by default.
#[derive(Default)]
pub(super) struct Elsewhere {
    parking: Option<Parking<Came>>,
    /// A certificate was asked for when the client had finished so many handshakes.
    requested: Option<u64>,
}

/// What a call came to on another thread: its answer, the error queue, and errno.
type Came = (c_int, ErrorStack, i32);

/// A handle on its way to the thread that works on it.
struct Handle(NonNull<sys::SSL>);

// SAFETY: libssl ties no handle to a thread; two threads must not use one at the same time
// (openssl-threads(7)), and of the two here one always waits for the other.
unsafe impl Send for Handle {}

/// What is done elsewhere.
#[derive(Clone, Copy)]
enum Task {
    Handshake,
    /// Data is looked for, and left where it is: whoever wants it does not wait for this.
    Look,
}

impl OpenSslEngine {
    /// Has the handshake made where it may wait for a verdict.
    pub(crate) fn wait_for_verdicts(&mut self) {
        let lot = self.observed().questions().lot().clone();
        self.elsewhere.parking = Some(Parking::new(lot));
    }

    /// The client is asked for a certificate: it may come by any read until a handshake is finished.
    pub(crate) fn expect_certificate(&mut self) {
        if self.elsewhere.parking.is_some() {
            self.elsewhere.requested = Some(self.observed().handshakes_finished());
        }
    }

    #[inline]
    pub(super) fn shake_hands(&mut self) -> c_int {
        // From the first call on: the certificate may stand behind the ClientHello, as that of
        // TLS 1.2 depends on no answer. Between handshakes there is only something to send.
        match self.elsewhere.parking.is_none() || !self.is_in_init() {
            true => self.do_handshake(),
            false => self.take_elsewhere(Task::Handshake),
        }
    }

    #[inline]
    pub(super) fn take_data(&mut self, buffer: &mut [u8]) -> c_int {
        if self.elsewhere.parking.is_some() && (self.is_parked() || self.may_be_shown()) {
            let looked = self.take_elsewhere(Task::Look);
            if looked <= 0 {
                return looked;
            }
        }
        self.do_read(buffer)
    }

    /// Has a read that waits go on. It takes no data.
    pub(crate) fn look_on(&mut self) -> c_int {
        self.take_elsewhere(Task::Look)
    }

    /// Whether a call waits.
    pub(crate) fn is_parked(&self) -> bool {
        let parking = self.elsewhere.parking.as_ref();
        parking.is_some_and(Parking::is_waiting)
    }

    /// What the library would say, had it made the call: it knows nothing of it.
    pub(super) fn waits_for(&self) -> Option<c_int> {
        let parking = self.elsewhere.parking.as_ref()?;
        if parking.has_failed() {
            return Some(SYSCALL);
        }
        parking.is_waiting().then_some(WANT_RETRY_VERIFY)
    }

    /// Whether a client's certificate may come.
    fn may_be_shown(&self) -> bool {
        let finished = self.observed().handshakes_finished();
        self.elsewhere.requested == Some(finished) || self.is_in_init()
    }

    /// Does something elsewhere, or lets go on what waits there.
    fn take_elsewhere(&mut self, task: Task) -> c_int {
        let handle = NonNull::new(self.ssl.as_ptr()).map(Handle);
        let (Some(handle), Some(parking)) = (handle, &mut self.elsewhere.parking) else {
            return -1;
        };
        let call = move || {
            let answer = take(task, handle);
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
}

fn take(task: Task, handle: Handle) -> c_int {
    let ssl = handle.0.as_ptr();
    match task {
        // SAFETY: "SSL_do_handshake() will wait for a SSL/TLS handshake to take place"
        // (SSL_do_handshake(3)); the engine owns the handle, waits for this call or has it wait, and
        // ends it before it frees the handle.
        Task::Handshake => unsafe { sys::SSL_do_handshake(ssl) },
        Task::Look => {
            let mut first = [0_u8; 1];
            // SAFETY: SSL_peek() is SSL_read() "except no bytes are actually removed from the
            // underlying BIO during the read" (SSL_read(3)); the handle as above, and the buffer
            // has room for one byte.
            unsafe { sys::SSL_peek(ssl, first.as_mut_ptr().cast(), 1) }
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
