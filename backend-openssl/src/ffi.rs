//! The calls into C that the safe `openssl` crate does not offer.
//!
//! Each `unsafe` block is one operation, and says which sentence of the library's manual it relies
//! on. Names in quotes with a number in brackets are manual pages of OpenSSL; LibreSSL's say the
//! same.

mod configure;

use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::fmt;
#[cfg(unix)]
use std::os::fd::RawFd;
use std::ptr;
use std::sync::{Arc, OnceLock};

use foreign_types_shared::{ForeignType, ForeignTypeRef};
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslRef};
use openssl_sys as sys;
use tls_core::{Error, ErrorKind, Operation, Result};
use tls_libssl::{BioRetry, LibSsl, Message, Observed, bio_ctrl, bio_read, bio_write};

use crate::library::TRAITS;

pub(crate) use configure::{
    choose_dh_parameters, cipher_suite, negotiated_group, reason, set_max_certificate_list,
    set_session, set_session_timeout, supported_cipher_suites,
};
#[cfg(not(libressl))]
pub(crate) use configure::{client_hello_server_name, set_session_id_context};

#[cfg(libressl)]
type Count = c_ulong;
#[cfg(not(libressl))]
type Count = u64;

type InfoCallback = unsafe extern "C" fn(*const sys::SSL, c_int, c_int);
type MessageCallback = unsafe extern "C" fn(
    write: c_int,
    version: c_int,
    content_type: c_int,
    buffer: *const c_void,
    length: usize,
    ssl: *mut sys::SSL,
    argument: *mut c_void,
);

// What `openssl-sys` does not declare.
unsafe extern "C" {
    fn BIO_number_read(bio: *mut sys::BIO) -> Count;
    fn BIO_number_written(bio: *mut sys::BIO) -> Count;
    fn ERR_peek_error() -> c_ulong;
    #[cfg(not(libressl))]
    fn SSL_has_pending(ssl: *const sys::SSL) -> c_int;
    #[cfg(not(libressl))]
    fn SSL_get_key_update_type(ssl: *const sys::SSL) -> c_int;
    #[cfg(not(libressl))]
    fn SSL_in_init(ssl: *const sys::SSL) -> c_int;
    #[cfg(not(libressl))]
    fn SSL_key_update(ssl: *mut sys::SSL, kind: c_int) -> c_int;
    #[cfg(unix)]
    fn SSL_set_fd(ssl: *mut sys::SSL, fd: c_int) -> c_int;
    fn SSL_set_info_callback(ssl: *mut sys::SSL, callback: Option<InfoCallback>);
    fn SSL_set_msg_callback(ssl: *mut sys::SSL, callback: Option<MessageCallback>);
}

#[cfg(not(libressl))]
const SSL_KEY_UPDATE_NONE: c_int = -1;
#[cfg(not(libressl))]
const SSL_KEY_UPDATE_REQUESTED: c_int = 1;
const SSL_CTRL_MODE: c_int = 33;
const SSL_CTRL_CLEAR_MODE: c_int = 78;

/// An `SSL*` of OpenSSL or LibreSSL, and what its callbacks have seen.
pub struct OpenSslEngine {
    ssl: Ssl,
    observed: Arc<Observed>,
}

impl OpenSslEngine {
    /// Takes an `SSL*` that knows its role and is otherwise ready for its handshake.
    ///
    /// # Errors
    ///
    /// `Backend`, if the library is out of memory.
    pub fn new(mut ssl: Ssl) -> Result<Self> {
        let observed = Arc::new(Observed::default());
        ssl.set_ex_data(observed_index()?, observed.clone());
        // SAFETY: "SSL_set_info_callback() sets the callback function for ssl"
        // (SSL_CTX_set_info_callback(3)); the callback has the type asked for and lives for ever.
        unsafe { SSL_set_info_callback(ssl.as_ptr(), Some(on_info)) };
        let mut engine = Self { ssl, observed };
        if TRAITS.messages_tell_alerts {
            engine.watch_messages();
        }
        Ok(engine)
    }

    fn watch_messages(&mut self) {
        // SAFETY: "SSL_set_msg_callback()" takes a function of this type, for ssl
        // (SSL_CTX_set_msg_callback(3)).
        unsafe { SSL_set_msg_callback(self.ssl.as_ptr(), Some(on_message)) };
    }

    /// The handle, for what the safe crate can ask of it.
    pub fn ssl(&self) -> &SslRef {
        &self.ssl
    }

    pub(crate) fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Whether the library holds a part of a record that it read from the descriptor; `true` if
    /// it does not tell.
    pub(crate) fn holds_record(&self) -> bool {
        #[cfg(libressl)]
        return true;
        #[cfg(not(libressl))]
        {
            // SAFETY: "SSL_has_pending() returns 1 if s has buffered data (whether processed or
            // unprocessed) and 0 otherwise" (SSL_pending(3)); the handle is ours.
            let buffered = unsafe { SSL_has_pending(self.ssl.as_ptr()) };
            buffered != 0 && self.pending() == 0
        }
    }

    /// The one BIO of both directions; null if there is none yet.
    fn bio(&self) -> *mut sys::BIO {
        // SAFETY: "SSL_get_rbio() return pointers to the BIOs for the read [...] channel"
        // (SSL_get_rbio(3)); it stays the handle's.
        unsafe { sys::SSL_get_rbio(self.ssl.as_ptr()) }
    }

    fn set_mode(&mut self, command: c_int, mode: c_long) {
        // SAFETY: "SSL_set_mode() adds the mode set via bit-mask in mode to ssl",
        // "SSL_clear_mode() removes" it (SSL_CTX_set_mode(3)): macros for these two commands, which
        // take no pointer.
        unsafe { sys::SSL_ctrl(self.ssl.as_ptr(), command, mode, ptr::null_mut()) };
    }
}

impl Drop for OpenSslEngine {
    /// The library makes the session of a handle unfit for resumption if the handle is freed before
    /// its shutdown, as TLS 1.0 had it. RFC 5246 section 7.2.1 no longer asks for that, and a
    /// connection that just ends is ordinary. After a fatal alert the library has seen to it itself.
    fn drop(&mut self) {
        self.set_shutdown_state(sys::SSL_SENT_SHUTDOWN | sys::SSL_RECEIVED_SHUTDOWN);
    }
}

impl fmt::Debug for OpenSslEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSslEngine")
            .field("state", &self.ssl.state_string_long())
            .finish_non_exhaustive()
    }
}

/// Where an `SSL*` keeps its [`Observed`].
fn observed_index() -> Result<Index<Ssl, Arc<Observed>>> {
    static INDEX: OnceLock<Option<Index<Ssl, Arc<Observed>>>> = OnceLock::new();
    INDEX
        .get_or_init(|| Ssl::new_ex_index().ok())
        .ok_or_else(|| out_of_memory("the library has no room for a session's data"))
}

#[cold]
fn out_of_memory(detail: &'static str) -> Error {
    Error::new(ErrorKind::Backend, Operation::CreateSession).with_detail(detail)
}

/// Notes alerts. It cannot panic: nothing may unwind into C.
unsafe extern "C" fn on_info(ssl: *const sys::SSL, event: c_int, value: c_int) {
    if !Observed::wants(event) {
        return;
    }
    // SAFETY: the library runs the callback with the handle it works on, valid meanwhile.
    let ssl = unsafe { SslRef::from_ptr(ssl.cast_mut()) };
    if let Some(observed) = observed_index().ok().and_then(|index| ssl.ex_data(index)) {
        observed.see_event(event, value);
    }
}

/// Counts records, and notes alerts that are sent. It cannot panic either.
unsafe extern "C" fn on_message(
    write: c_int,
    _version: c_int,
    content_type: c_int,
    buffer: *const c_void,
    length: usize,
    ssl: *mut sys::SSL,
    _argument: *mut c_void,
) {
    let Some(message) = Message::of(write, content_type, length) else {
        return;
    };
    // SAFETY: as in `on_info`.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    let Some(observed) = observed_index().ok().and_then(|index| ssl.ex_data(index)) else {
        return;
    };
    match message {
        Message::RecordHeader => observed.see_record(),
        Message::AlertSent => {
            // SAFETY: "buf, len: The protocol message" (SSL_CTX_set_msg_callback(3)), of two
            // bytes, valid while the callback runs.
            observed.see_sent(unsafe { buffer.cast::<[u8; 2]>().read() });
        }
    }
}

/// The one method of all our BIOs.
struct Method(*mut sys::BIO_METHOD);

// SAFETY: it is only written to before it is shared, in `method`.
unsafe impl Send for Method {}
// SAFETY: as above.
unsafe impl Sync for Method {}

fn method() -> Option<*mut sys::BIO_METHOD> {
    static METHOD: OnceLock<Option<Method>> = OnceLock::new();
    let method = METHOD.get_or_init(new_method).as_ref()?;
    Some(method.0)
}

/// Made once and never freed. The callbacks' promises are those of `attach`, which alone makes
/// BIOs of it.
fn new_method() -> Option<Method> {
    // SAFETY: "BIO_meth_new() creates a new BIO_METHOD structure that contains a type identifier
    // and a string that represents its name" (BIO_meth_new(3)); the name is static.
    let method = unsafe { sys::BIO_meth_new(sys::BIO_TYPE_NONE, c"polytls".as_ptr()) };
    if method.is_null() {
        return None;
    }
    // SAFETY: the method was just made; the callback has the type that BIO_meth_set_read(3) asks
    // for, and so below.
    let read =
        unsafe { sys::BIO_meth_set_read__fixed_rust(method, Some(bio_read::<OpenSslEngine>)) };
    // SAFETY: as above.
    let write =
        unsafe { sys::BIO_meth_set_write__fixed_rust(method, Some(bio_write::<OpenSslEngine>)) };
    // SAFETY: as above.
    let ctrl =
        unsafe { sys::BIO_meth_set_ctrl__fixed_rust(method, Some(bio_ctrl::<OpenSslEngine>)) };
    (read == 1 && write == 1 && ctrl == 1).then_some(Method(method))
}

// SAFETY: `Ssl` owns its handle and frees it on drop, with the BIO that it was given; `read` passes
// the length of its buffer; `bio_data` gives back what `attach` set.
unsafe impl LibSsl for OpenSslEngine {
    type Bio = sys::BIO;

    #[inline]
    fn handshake(&mut self) -> c_int {
        // SAFETY: "SSL_do_handshake() will wait for a SSL/TLS handshake to take place"
        // (SSL_do_handshake(3)); the handle is ours, here and below.
        unsafe { sys::SSL_do_handshake(self.ssl.as_ptr()) }
    }

    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> c_int {
        let length = c_int::try_from(buffer.len()).unwrap_or(c_int::MAX);
        // SAFETY: "SSL_read() tries to read num bytes from the specified ssl into the buffer buf"
        // (SSL_read(3)), which has room for them.
        unsafe { sys::SSL_read(self.ssl.as_ptr(), buffer.as_mut_ptr().cast(), length) }
    }

    #[inline]
    fn write(&mut self, buffer: &[u8]) -> c_int {
        let length = c_int::try_from(buffer.len()).unwrap_or(c_int::MAX);
        // SAFETY: "SSL_write() writes num bytes from the buffer buf into the specified ssl
        // connection" (SSL_write(3)).
        unsafe { sys::SSL_write(self.ssl.as_ptr(), buffer.as_ptr().cast(), length) }
    }

    fn shutdown(&mut self) -> c_int {
        // SAFETY: "SSL_shutdown() shuts down an active TLS/SSL connection" (SSL_shutdown(3)).
        unsafe { sys::SSL_shutdown(self.ssl.as_ptr()) }
    }

    #[cfg(not(libressl))]
    fn schedule_key_update(&mut self) -> c_int {
        // SAFETY: "SSL_key_update() schedules an update of the keys for the current TLS connection"
        // (SSL_key_update(3)); at any other time it fails.
        unsafe { SSL_key_update(self.ssl.as_ptr(), SSL_KEY_UPDATE_REQUESTED) }
    }

    /// OpenSSL keeps its answer to a KeyUpdate for the next write. Scheduled once more, it leaves
    /// now; while one is under way the handshake sends it anyhow.
    #[cfg(not(libressl))]
    fn send_messages(&mut self) -> c_int {
        // SAFETY: "SSL_get_key_update_type() can be used to determine whether a key update
        // operation has been scheduled but not yet performed" (SSL_key_update(3)).
        let scheduled = unsafe { SSL_get_key_update_type(self.ssl.as_ptr()) };
        // SAFETY: "SSL_in_init() returns 1 if the SSL/TLS state machine is currently processing or
        // awaiting handshake messages" (SSL_in_init(3)).
        let under_way = unsafe { SSL_in_init(self.ssl.as_ptr()) } != 0;
        if scheduled != SSL_KEY_UPDATE_NONE && !under_way {
            // SAFETY: as in `schedule_key_update`.
            unsafe { SSL_key_update(self.ssl.as_ptr(), scheduled) };
        }
        self.handshake()
    }

    /// Not called: the session has refused.
    #[cfg(libressl)]
    fn schedule_key_update(&mut self) -> c_int {
        -1
    }

    #[inline]
    fn error_of(&self, ret: c_int) -> c_int {
        // SAFETY: "SSL_get_error() returns a result code [...] for a preceding call"
        // (SSL_get_error(3)).
        unsafe { sys::SSL_get_error(self.ssl.as_ptr(), ret) }
    }

    #[inline]
    fn pending(&self) -> usize {
        // SAFETY: "SSL_pending() returns the number of bytes which have been processed, buffered
        // and are available inside ssl for immediate read" (SSL_pending(3)).
        let pending = unsafe { sys::SSL_pending(self.ssl.as_ptr()) };
        usize::try_from(pending).unwrap_or(0)
    }

    #[inline]
    fn shutdown_state(&self) -> c_int {
        // SAFETY: "SSL_get_shutdown() returns the shutdown mode of ssl" (SSL_set_shutdown(3)).
        unsafe { sys::SSL_get_shutdown(self.ssl.as_ptr()) }
    }

    fn set_shutdown_state(&mut self, state: c_int) {
        // SAFETY: "SSL_set_shutdown() sets the shutdown state of ssl to mode"
        // (SSL_set_shutdown(3)).
        unsafe { sys::SSL_set_shutdown(self.ssl.as_ptr(), state) };
    }

    #[inline]
    fn clear_errors(&self) {
        // SAFETY: "ERR_clear_error() empties the current thread's error queue"
        // (ERR_clear_error(3)).
        unsafe { sys::ERR_clear_error() };
    }

    #[inline]
    fn peek_error(&self) -> c_ulong {
        // SAFETY: "ERR_peek_error() returns the earliest error code from the thread's error queue
        // without modifying it" (ERR_get_error(3)).
        unsafe { ERR_peek_error() }
    }

    fn pop_error(&self) -> c_ulong {
        // SAFETY: "ERR_get_error() returns the earliest error code from the thread's error queue
        // and removes the entry" (ERR_get_error(3)).
        unsafe { sys::ERR_get_error() }
    }

    unsafe fn attach(&mut self, data: *mut c_void) -> bool {
        let Some(method) = method() else {
            return false;
        };
        // SAFETY: "The BIO_new() function returns a new BIO using method type" (BIO_new(3)).
        let bio = unsafe { sys::BIO_new(method) };
        if bio.is_null() {
            return false;
        }
        // SAFETY: "BIO_set_data() associates the custom data pointed to by ptr with the BIO"
        // (BIO_get_data(3)).
        unsafe { sys::BIO_set_data(bio, data) };
        // SAFETY: "BIO_set_init() sets the value of the BIO's 'init' flag" (BIO_get_data(3)).
        unsafe { sys::BIO_set_init(bio, 1) };
        // SAFETY: "SSL_set_bio() [...] If the rbio and wbio parameters are the same [...] then one
        // reference is consumed" (SSL_set_bio(3)): the one that BIO_new gave.
        unsafe { sys::SSL_set_bio(self.ssl.as_ptr(), bio, bio) };
        self.set_mode(SSL_CTRL_MODE, sys::SSL_MODE_AUTO_RETRY);
        true
    }

    #[cfg(unix)]
    fn attach_fd(&mut self, fd: RawFd) -> bool {
        // SAFETY: "SSL_set_fd() sets the file descriptor fd as the input/output facility"
        // (SSL_set_fd(3)); its BIO does not close it.
        let attached = unsafe { SSL_set_fd(self.ssl.as_ptr(), fd) };
        self.watch_messages();
        self.set_mode(SSL_CTRL_CLEAR_MODE, sys::SSL_MODE_AUTO_RETRY);
        attached == 1
    }

    #[allow(clippy::useless_conversion, reason = "the two libraries' types differ")]
    fn bytes_received(&self) -> u64 {
        let bio = self.bio();
        if bio.is_null() {
            return 0;
        }
        // SAFETY: the BIO is that of the handle, valid while it is.
        let count = unsafe { BIO_number_read(bio) };
        count.into()
    }

    #[allow(clippy::useless_conversion, reason = "the two libraries' types differ")]
    fn bytes_sent(&self) -> u64 {
        let bio = self.bio();
        if bio.is_null() {
            return 0;
        }
        // SAFETY: as above.
        let count = unsafe { BIO_number_written(bio) };
        count.into()
    }

    #[inline]
    unsafe fn bio_data(bio: *mut Self::Bio) -> *mut c_void {
        // SAFETY: "BIO_get_data() [...] returns the custom data pointer previously set"
        // (BIO_get_data(3)); the caller passes a BIO of ours.
        unsafe { sys::BIO_get_data(bio) }
    }

    #[inline]
    unsafe fn bio_retry(bio: *mut Self::Bio, retry: Option<BioRetry>) {
        let direction = match retry {
            Some(BioRetry::Read) => sys::BIO_FLAGS_READ,
            Some(BioRetry::Write) => sys::BIO_FLAGS_WRITE,
            None => {
                let flags = sys::BIO_FLAGS_RWS | sys::BIO_FLAGS_SHOULD_RETRY;
                // SAFETY: the flags that BIO_should_retry(3) names, on a BIO of ours; and so below.
                return unsafe { sys::BIO_clear_flags(bio, flags) };
            }
        };
        // SAFETY: as above.
        unsafe { sys::BIO_set_flags(bio, direction | sys::BIO_FLAGS_SHOULD_RETRY) };
    }
}
