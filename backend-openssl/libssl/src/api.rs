//! What a backend provides: the forwards to C, and what only it can say about its library.

use std::borrow::Cow;
use std::ffi::{c_int, c_ulong, c_void};
use std::fmt::Debug;

use tls_core::iana::AlertDescription;
use tls_core::{ErrorKind, Facts, Result};

/// The calls into one libssl, over one `SSL*` that the implementor owns: one-line forwards.
///
/// OpenSSL, LibreSSL and BoringSSL all have every function named here, with the same meaning.
/// Methods are safe because the handle is owned and every argument is borrowed for the call only.
///
/// # Safety
///
/// The implementor owns a valid `SSL*` and frees it, with the BIO that [`attach`](Self::attach)
/// gave it, when it is dropped; no other code reaches that `SSL*` while a method runs.
/// `read` writes at most `buffer.len()` bytes to `buffer`, and has written every byte it counts.
/// [`bio_data`](Self::bio_data) gives back exactly the pointer `attach` was given.
pub unsafe trait LibSsl: Debug + Send + 'static {
    /// `SSL_do_handshake`.
    fn handshake(&mut self) -> c_int;

    /// `SSL_read`.
    fn read(&mut self, buffer: &mut [u8]) -> c_int;

    /// `SSL_write`.
    fn write(&mut self, buffer: &[u8]) -> c_int;

    /// `SSL_shutdown`.
    fn shutdown(&mut self) -> c_int;

    /// `SSL_get_error`, for the return value of the call just made.
    fn error_of(&self, ret: c_int) -> c_int;

    /// `SSL_pending`: decrypted bytes that `read` gives without the transport.
    fn pending(&self) -> usize;

    /// `SSL_get_shutdown`: bit 0, close_notify sent; bit 1, received.
    fn shutdown_state(&self) -> c_int;

    /// `SSL_set_shutdown`.
    fn set_shutdown_state(&mut self, state: c_int);

    /// `ERR_clear_error`, for this thread.
    fn clear_errors(&self);

    /// `ERR_peek_error`: the oldest error of this thread, left in the queue; 0 if there is none.
    fn peek_error(&self) -> c_ulong;

    /// `ERR_get_error`: takes the oldest error of this thread out of the queue; 0 if there is none.
    fn pop_error(&self) -> c_ulong;

    /// `BIO_new` of a method made of [`bio_read`](crate::bio_read), [`bio_write`](crate::bio_write)
    /// and [`bio_ctrl`](crate::bio_ctrl), `BIO_set_data` with `data`, and `SSL_set_bio` for both
    /// directions. `false` if the library is out of memory.
    ///
    /// # Safety
    ///
    /// `data` stays valid until the handle is dropped or another transport is attached.
    unsafe fn attach(&mut self, data: *mut c_void) -> bool;

    /// `SSL_set_fd`: the library itself reads and writes the descriptor, and never closes it.
    /// `false` if the library is out of memory or was built without sockets.
    #[cfg(unix)]
    fn attach_fd(&mut self, fd: std::os::fd::RawFd) -> bool;

    /// `BIO_number_read` of the read BIO: bytes the library took from the descriptor. Asked only
    /// after [`attach_fd`](Self::attach_fd).
    fn bytes_received(&self) -> u64;

    /// `BIO_get_data`.
    ///
    /// # Safety
    ///
    /// `bio` is the BIO of a callback that the library is running.
    unsafe fn bio_data(bio: *mut c_void) -> *mut c_void;

    /// `BIO_clear_flags` of the read, write and retry flags, then, for a direction,
    /// `BIO_set_flags` with it and the retry flag.
    ///
    /// # Safety
    ///
    /// As [`bio_data`](Self::bio_data).
    unsafe fn bio_retry(bio: *mut c_void, retry: Option<BioRetry>);
}

/// Which way a BIO would have to move before its call can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BioRetry {
    /// `BIO_set_retry_read`.
    Read,
    /// `BIO_set_retry_write`.
    Write,
}

/// What only the backend can say about its library: never called on the steady path.
pub trait Engine: LibSsl {
    /// What the handshake settled; called once, when it is complete.
    ///
    /// # Errors
    ///
    /// `Backend`, if the library does not say what every handshake has.
    fn facts(&self) -> Result<Facts>;

    /// What a failure means. `codes` is the error queue, oldest first; it may be empty.
    fn diagnose(&self, codes: &[c_ulong]) -> Diagnosis;

    /// The fatal alert the library has sent, if any.
    fn alert_sent(&self) -> Option<AlertDescription>;

    /// How many warning alerts, close_notify apart, the peer has sent; 0 if the library does not
    /// tell.
    fn warnings_received(&self) -> u32 {
        0
    }

    /// How many record headers the library has read from the descriptor after
    /// [`attach_fd`](LibSsl::attach_fd); 0 if the library does not tell.
    fn records_received(&self) -> u64 {
        0
    }

    /// Whether the library holds a part of a record that it read from the descriptor after
    /// [`attach_fd`](LibSsl::attach_fd). `true` if the library does not tell.
    fn holds_input(&self) -> bool {
        true
    }

    /// A panic that a callback of the backend has caught and kept, as a sentence.
    fn take_panic(&mut self) -> Option<Cow<'static, str>> {
        None
    }
}

/// What the error queue of a library means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Who is at fault.
    pub kind: ErrorKind,
    /// The library's own words.
    pub detail: Cow<'static, str>,
    /// The fatal alert of the peer that ended the session; goes with `ErrorKind::PeerAlert`.
    pub alert_received: Option<AlertDescription>,
}

impl Diagnosis {
    /// A failure of this kind, in these words.
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            alert_received: None,
        }
    }
}
