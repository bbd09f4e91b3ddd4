//! The forwards to C that a backend provides, and the one signal its writes may raise.

#![allow(
    unsafe_code,
    reason = "the trait is unsafe to implement, and signals have no safe interface"
)]

use std::ffi::{c_int, c_ulong, c_void};
use std::fmt::Debug;

use crate::observed::Observed;

/// The calls into one libssl, over one `SSL*` that the implementor owns: one-line forwards, and what
/// it calls back with.
///
/// OpenSSL, LibreSSL and BoringSSL all have every function named here, with the same meaning, but
/// for `SSL_key_update`, which LibreSSL lacks. [`libssl_engine!`](crate::libssl_engine) writes them.
/// Methods are safe because the handle is owned and every argument is borrowed for the call only.
///
/// # Safety
///
/// The implementor owns a valid `SSL*` and frees it, with the BIO that [`attach`](Self::attach)
/// gave it, when it is dropped; no other code reaches that `SSL*` while a method runs.
/// `read` writes at most `buffer.len()` bytes to `buffer`, and has written every byte it counts.
/// [`bio_data`](Self::bio_data) gives back exactly the pointer `attach` was given.
pub unsafe trait LibSsl: Debug + Send + 'static {
    /// The library's `BIO`.
    type Bio;

    /// What the library has told by its callbacks.
    fn observed(&self) -> &Observed;

    /// `SSL_do_handshake`.
    fn handshake(&mut self) -> c_int;

    /// `SSL_read`.
    fn read(&mut self, buffer: &mut [u8]) -> c_int;

    /// `SSL_write`.
    fn write(&mut self, buffer: &[u8]) -> c_int;

    /// `SSL_shutdown`.
    fn shutdown(&mut self) -> c_int;

    /// `SSL_key_update`, which does no I/O: [`send_messages`](Self::send_messages) puts the message
    /// out. `asks` is whether the peer is to change its keys too. Above 0 is success. Called only
    /// if [`Engine::KEY_UPDATE`](crate::Engine::KEY_UPDATE) says that the library can.
    fn schedule_key_update(&mut self, asks: bool) -> c_int;

    /// Puts out the messages that the library owes the peer after the handshake, and nothing else;
    /// above 0 is success, with or without any. OpenSSL sends in `SSL_do_handshake` what was
    /// scheduled, and keeps an answer for the next `SSL_write` unless it is scheduled again.
    /// BoringSSL does nothing there, and sends both with an `SSL_write` of nothing, which gives 0 on
    /// success. LibreSSL answers at once.
    fn send_messages(&mut self) -> c_int {
        self.handshake()
    }

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
    /// directions; `SSL_MODE_AUTO_RETRY` on. `false` if the library is out of memory.
    ///
    /// # Safety
    ///
    /// `data` stays valid until the handle is dropped or another transport is attached.
    unsafe fn attach(&mut self, data: *mut c_void) -> bool;

    /// `SSL_set_fd`: the library itself reads and writes the descriptor, and never closes it;
    /// `SSL_MODE_AUTO_RETRY` off, so that one call processes one record. `false` if the library is
    /// out of memory or was built without sockets.
    #[cfg(unix)]
    fn attach_fd(&mut self, fd: std::os::fd::RawFd) -> bool;

    /// `BIO_number_read` of the read BIO: bytes the library took from the descriptor. Asked only
    /// after [`attach_fd`](Self::attach_fd).
    fn bytes_received(&self) -> u64;

    /// `BIO_number_written` of the write BIO: bytes the library gave to the descriptor. Asked only
    /// after [`attach_fd`](Self::attach_fd).
    fn bytes_sent(&self) -> u64;

    /// `BIO_get_data`.
    ///
    /// # Safety
    ///
    /// `bio` is the BIO of a callback that the library is running.
    unsafe fn bio_data(bio: *mut Self::Bio) -> *mut c_void;

    /// `BIO_clear_flags` of the read, write and retry flags, then, for a direction,
    /// `BIO_set_flags` with it and the retry flag.
    ///
    /// # Safety
    ///
    /// As [`bio_data`](Self::bio_data).
    unsafe fn bio_retry(bio: *mut Self::Bio, retry: Option<BioRetry>);
}

/// Which way a BIO would have to move before its call can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BioRetry {
    /// `BIO_set_retry_read`.
    Read,
    /// `BIO_set_retry_write`.
    Write,
}

/// Sets errno of this thread, for a call that another one has made: where that is known how.
pub fn set_errno(errno: c_int) {
    #[cfg(target_os = "linux")]
    let place = Some(libc::__errno_location as unsafe extern "C" fn() -> *mut c_int);
    #[cfg(target_vendor = "apple")]
    let place = Some(libc::__error as unsafe extern "C" fn() -> *mut c_int);
    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    let place: Option<unsafe extern "C" fn() -> *mut c_int> = None;
    let Some(place) = place else {
        return;
    };
    // SAFETY: errno(3): "errno is thread-local"; this is where it is, valid while the thread is.
    let place = unsafe { place() };
    // SAFETY: as above.
    unsafe { *place = errno };
}

/// Keeps SIGPIPE away while the library itself writes to a descriptor, which it does without
/// `MSG_NOSIGNAL`.
#[cfg(unix)]
pub(crate) mod sigpipe {
    use std::mem::MaybeUninit;
    use std::ptr;

    /// Whether the process ignores SIGPIPE, as Rust programs do unless they say otherwise.
    pub(crate) fn is_ignored() -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: sigaction(2): "If act is NULL, the previous action is saved in oldact", which has
        // room for it.
        unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) };
        // SAFETY: all zeros is a value of this struct of integers, should the call have failed.
        let action = unsafe { action.assume_init() };
        action.sa_sigaction == libc::SIG_IGN
    }

    /// Runs `work` with SIGPIPE blocked on this thread, and takes back one that it raised.
    pub(crate) fn blocked<T>(work: impl FnOnce() -> T) -> T {
        let pipe = only_sigpipe();
        let mut previous = empty();
        let was_pending = is_pending();
        // SAFETY: pthread_sigmask(3) reads one set and writes the other.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const pipe, &raw mut previous) };
        let result = work();
        if !was_pending && is_pending() {
            let mut signal = 0;
            // SAFETY: sigwait(3) takes a pending signal of the set, and one is: it does not wait.
            unsafe { libc::sigwait(&raw const pipe, &raw mut signal) };
        }
        // SAFETY: as above; a null pointer asks for nothing back.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const previous, ptr::null_mut()) };
        result
    }

    fn only_sigpipe() -> libc::sigset_t {
        let mut set = empty();
        // SAFETY: sigsetops(3): adds a signal to an initialised set.
        unsafe { libc::sigaddset(&raw mut set, libc::SIGPIPE) };
        set
    }

    fn empty() -> libc::sigset_t {
        let mut set = MaybeUninit::zeroed();
        // SAFETY: sigsetops(3): "sigemptyset() initializes the signal set".
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised above.
        unsafe { set.assume_init() }
    }

    fn is_pending() -> bool {
        let mut set = empty();
        // SAFETY: sigpending(2): "returns the set of signals that are pending" in its argument.
        unsafe { libc::sigpending(&raw mut set) };
        // SAFETY: sigsetops(3): asks an initialised set.
        unsafe { libc::sigismember(&raw const set, libc::SIGPIPE) == 1 }
    }
}
