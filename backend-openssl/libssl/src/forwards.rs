//! The forwards themselves, which are the same text for every library: only the bindings differ.

/// Declares an engine: an `SSL*`, what its callbacks have seen, and the forwards of
/// [`LibSsl`](crate::LibSsl) for it.
///
/// `$safe` is the safe crate whose `Ssl` it owns, and `$c` a module with the bindings under the
/// library's own names. The caller has the traits of `foreign_types` in scope, and gives the engine
/// what differs: `prepare`, run once with a new handle; `attached`, run with each transport: whether
/// one call is to process one record only; `shake_hands` and `take_data`, which are `do_handshake` and
/// `do_read` or do it elsewhere, and `waits_for`, which is what `SSL_get_error` would say if that waits;
/// `shaken_hands`, run after a
/// call that found the handshake complete; and `start_key_update` and `send_owed`, which are what `schedule_key_update` and
/// `send_messages` forward to.
///
/// Names in quotes with a number in brackets are manual pages of OpenSSL; LibreSSL's, and the
/// comments in BoringSSL's headers, say the same.
#[macro_export]
macro_rules! libssl_engine {
    ($(#[$doc:meta])* $engine:ident, $safe:ident, $c:ident) => {
        pub use engine::$engine;
        pub(crate) use engine::observed_of;

        mod engine {
            use std::ffi::{c_int, c_ulong, c_void};
            use std::fmt;
            #[cfg(unix)]
            use std::os::fd::RawFd;
            use std::sync::{Arc, OnceLock};

            use $crate::{
                BioRetry, LibSsl, Message, Observed, Questions, bio_ctrl, bio_read, bio_write,
            };
            use $safe::ex_data::Index;
            use $safe::ssl::{Ssl, SslRef};
            use tls_core::{Error, ErrorKind, Operation, Result};

            use super::{Elsewhere, ForeignType, ForeignTypeRef, $c as c};

            $(#[$doc])*
            pub struct $engine {
                pub(super) ssl: Ssl,
                observed: Arc<Observed>,
                pub(super) elsewhere: Elsewhere,
            }

            impl $engine {
                /// Takes an `SSL*` that knows its role and is otherwise ready for its handshake, and
                /// what its callbacks have to ask.
                ///
                /// # Errors
                ///
                /// `Backend`, if the library is out of memory.
                pub(crate) fn new(mut ssl: Ssl, questions: Questions) -> Result<Self> {
                    let observed = Arc::new(Observed::new(questions));
                    ssl.set_ex_data(observed_index()?, observed.clone());
                    // SAFETY: "SSL_set_info_callback() sets the callback function for ssl"
                    // (SSL_CTX_set_info_callback(3)); the callback has the type asked for and lives
                    // for ever.
                    unsafe { c::SSL_set_info_callback(ssl.as_ptr(), Some(on_info)) };
                    let elsewhere = Elsewhere::default();
                    let mut engine = Self {
                        ssl,
                        observed,
                        elsewhere,
                    };
                    engine.prepare();
                    Ok(engine)
                }

                /// The handle, for what the safe crate can ask of it.
                pub fn ssl(&self) -> &SslRef {
                    &self.ssl
                }

                /// The handle, for what the safe crate can change of it.
                pub(crate) fn ssl_mut(&mut self) -> &mut SslRef {
                    &mut self.ssl
                }

                #[inline]
                pub(super) fn do_handshake(&mut self) -> c_int {
                    // SAFETY: "SSL_do_handshake() will wait for a SSL/TLS handshake to take place"
                    // (SSL_do_handshake(3)); the handle is ours, here and below.
                    unsafe { c::SSL_do_handshake(self.ssl.as_ptr()) }
                }

                #[inline]
                pub(super) fn do_read(&mut self, buffer: &mut [u8]) -> c_int {
                    let length = c_int::try_from(buffer.len()).unwrap_or(c_int::MAX);
                    // SAFETY: "SSL_read() tries to read num bytes from the specified ssl into the
                    // buffer buf" (SSL_read(3)), which has room for them.
                    unsafe { c::SSL_read(self.ssl.as_ptr(), buffer.as_mut_ptr().cast(), length) }
                }

                pub(super) fn watch_messages(&mut self) {
                    // SAFETY: "SSL_set_msg_callback()" takes a function of this type, for ssl
                    // (SSL_CTX_set_msg_callback(3)).
                    unsafe { c::SSL_set_msg_callback(self.ssl.as_ptr(), Some(on_message)) };
                }

                /// The one BIO of both directions; null if there is none yet.
                fn bio(&self) -> *mut c::BIO {
                    // SAFETY: "SSL_get_rbio() return pointers to the BIOs for the read [...]
                    // channel" (SSL_get_rbio(3)); it stays the handle's.
                    unsafe { c::SSL_get_rbio(self.ssl.as_ptr()) }
                }
            }

            impl fmt::Debug for $engine {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($engine))
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

            /// What a handle's callbacks tell and ask; `None` if it is none of a session.
            pub(crate) fn observed_of(ssl: &SslRef) -> Option<Arc<Observed>> {
                ssl.ex_data(observed_index().ok()?).cloned()
            }

            #[cold]
            fn out_of_memory(detail: &'static str) -> Error {
                Error::new(ErrorKind::Backend, Operation::CreateSession).with_detail(detail)
            }

            /// Notes alerts. It cannot panic: nothing may unwind into C.
            unsafe extern "C" fn on_info(ssl: *const c::SSL, event: c_int, value: c_int) {
                if !Observed::wants(event) {
                    return;
                }
                // SAFETY: the library runs the callback with the handle it works on, valid
                // meanwhile.
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
                ssl: *mut c::SSL,
                _argument: *mut c_void,
            ) {
                let Some(message) = Message::of(write, content_type, length) else {
                    return;
                };
                // SAFETY: as in `on_info`.
                let ssl = unsafe { SslRef::from_ptr(ssl) };
                let index = observed_index().ok();
                let Some(observed) = index.and_then(|index| ssl.ex_data(index)) else {
                    return;
                };
                match message {
                    Message::RecordHeader => {
                        // SAFETY: as below, of five bytes.
                        observed.see_record(unsafe { buffer.cast::<[u8; 5]>().read() });
                    }
                    Message::HandshakeReceived => {
                        // SAFETY: as below, of one byte or more.
                        observed.see_handshake(unsafe { buffer.cast::<u8>().read() });
                    }
                    Message::HandshakeSent(length) => {
                        // SAFETY: "buf, len: The protocol message" (SSL_CTX_set_msg_callback(3)),
                        // of at least one byte, valid while the callback runs.
                        observed.see_own(unsafe { buffer.cast::<u8>().read() }, length);
                    }
                    Message::AlertSent => {
                        // SAFETY: "buf, len: The protocol message" (SSL_CTX_set_msg_callback(3)),
                        // of two bytes, valid while the callback runs.
                        observed.see_sent(unsafe { buffer.cast::<[u8; 2]>().read() });
                    }
                }
            }

            /// The one method of all our BIOs.
            struct Method(*mut c::BIO_METHOD);

            // SAFETY: it is only written to before it is shared, in `method`.
            unsafe impl Send for Method {}
            // SAFETY: as above.
            unsafe impl Sync for Method {}

            fn method() -> Option<*mut c::BIO_METHOD> {
                static METHOD: OnceLock<Option<Method>> = OnceLock::new();
                let method = METHOD.get_or_init(new_method).as_ref()?;
                Some(method.0)
            }

            /// Made once and never freed. The callbacks' promises are those of `attach`, which
            /// alone makes BIOs of it.
            fn new_method() -> Option<Method> {
                // SAFETY: "BIO_meth_new() creates a new BIO_METHOD structure that contains a type
                // identifier and a string that represents its name" (BIO_meth_new(3)); the name is
                // static.
                let method = unsafe { c::BIO_meth_new(c::BIO_TYPE_NONE, c"polytls".as_ptr()) };
                if method.is_null() {
                    return None;
                }
                // SAFETY: the method was just made; the callback has the type that
                // BIO_meth_set_read(3) asks for, and so below.
                let read = unsafe { c::BIO_meth_set_read(method, Some(bio_read::<$engine>)) };
                // SAFETY: as above.
                let write = unsafe { c::BIO_meth_set_write(method, Some(bio_write::<$engine>)) };
                // SAFETY: as above.
                let ctrl = unsafe { c::BIO_meth_set_ctrl(method, Some(bio_ctrl::<$engine>)) };
                (read == 1 && write == 1 && ctrl == 1).then_some(Method(method))
            }

            // SAFETY: `Ssl` owns its handle and frees it on drop, with the BIO that it was given;
            // `read` passes the length of its buffer; `bio_data` gives back what `attach` set.
            unsafe impl LibSsl for $engine {
                type Bio = c::BIO;

                fn observed(&self) -> &Observed {
                    &self.observed
                }

                #[inline]
                fn handshake(&mut self) -> c_int {
                    let answer = self.shake_hands();
                    if answer == 1 {
                        self.shaken_hands();
                    }
                    answer
                }

                #[inline]
                fn read(&mut self, buffer: &mut [u8]) -> c_int {
                    self.take_data(buffer)
                }

                #[inline]
                fn write(&mut self, buffer: &[u8]) -> c_int {
                    let length = c_int::try_from(buffer.len()).unwrap_or(c_int::MAX);
                    // SAFETY: "SSL_write() writes num bytes from the buffer buf into the specified
                    // ssl connection" (SSL_write(3)).
                    unsafe { c::SSL_write(self.ssl.as_ptr(), buffer.as_ptr().cast(), length) }
                }

                fn shutdown(&mut self) -> c_int {
                    // SAFETY: "SSL_shutdown() shuts down an active TLS/SSL connection"
                    // (SSL_shutdown(3)).
                    unsafe { c::SSL_shutdown(self.ssl.as_ptr()) }
                }

                fn schedule_key_update(&mut self, asks: bool) -> c_int {
                    self.start_key_update(asks)
                }

                fn send_messages(&mut self) -> c_int {
                    self.send_owed()
                }

                #[inline]
                fn error_of(&self, ret: c_int) -> c_int {
                    if let Some(waits) = self.waits_for() {
                        return waits;
                    }
                    // SAFETY: "SSL_get_error() returns a result code [...] for a preceding call"
                    // (SSL_get_error(3)).
                    unsafe { c::SSL_get_error(self.ssl.as_ptr(), ret) }
                }

                #[inline]
                fn pending(&self) -> usize {
                    // SAFETY: "SSL_pending() returns the number of bytes which have been processed,
                    // buffered and are available inside ssl for immediate read" (SSL_pending(3)).
                    let pending = unsafe { c::SSL_pending(self.ssl.as_ptr()) };
                    usize::try_from(pending).unwrap_or(0)
                }

                #[inline]
                fn shutdown_state(&self) -> c_int {
                    // SAFETY: "SSL_get_shutdown() returns the shutdown mode of ssl"
                    // (SSL_set_shutdown(3)).
                    unsafe { c::SSL_get_shutdown(self.ssl.as_ptr()) }
                }

                fn set_shutdown_state(&mut self, state: c_int) {
                    // SAFETY: "SSL_set_shutdown() sets the shutdown state of ssl to mode"
                    // (SSL_set_shutdown(3)).
                    unsafe { c::SSL_set_shutdown(self.ssl.as_ptr(), state) };
                }

                #[inline]
                fn clear_errors(&self) {
                    // SAFETY: "ERR_clear_error() empties the current thread's error queue"
                    // (ERR_clear_error(3)).
                    unsafe { c::ERR_clear_error() };
                }

                #[inline]
                #[allow(clippy::useless_conversion, reason = "the libraries' types differ")]
                fn peek_error(&self) -> c_ulong {
                    // SAFETY: "ERR_peek_error() returns the earliest error code from the thread's
                    // error queue without modifying it" (ERR_get_error(3)).
                    unsafe { c::ERR_peek_error() }.into()
                }

                #[allow(clippy::useless_conversion, reason = "the libraries' types differ")]
                fn pop_error(&self) -> c_ulong {
                    // SAFETY: "ERR_get_error() returns the earliest error code from the thread's
                    // error queue and removes the entry" (ERR_get_error(3)).
                    unsafe { c::ERR_get_error() }.into()
                }

                unsafe fn attach(&mut self, data: *mut c_void) -> bool {
                    let Some(method) = method() else {
                        return false;
                    };
                    // SAFETY: "The BIO_new() function returns a new BIO using method type"
                    // (BIO_new(3)).
                    let bio = unsafe { c::BIO_new(method) };
                    if bio.is_null() {
                        return false;
                    }
                    // SAFETY: "BIO_set_data() associates the custom data pointed to by ptr with the
                    // BIO" (BIO_get_data(3)).
                    unsafe { c::BIO_set_data(bio, data) };
                    // SAFETY: "BIO_set_init() sets the value of the BIO's 'init' flag"
                    // (BIO_get_data(3)).
                    unsafe { c::BIO_set_init(bio, 1) };
                    // SAFETY: "SSL_set_bio() [...] If the rbio and wbio parameters are the same
                    // [...] then one reference is consumed" (SSL_set_bio(3)): the one that BIO_new
                    // gave.
                    unsafe { c::SSL_set_bio(self.ssl.as_ptr(), bio, bio) };
                    self.attached(false);
                    true
                }

                #[cfg(unix)]
                fn attach_fd(&mut self, fd: RawFd) -> bool {
                    // SAFETY: "SSL_set_fd() sets the file descriptor fd as the input/output
                    // facility" (SSL_set_fd(3)); its BIO does not close it.
                    let attached = unsafe { c::SSL_set_fd(self.ssl.as_ptr(), fd) };
                    self.attached(true);
                    attached == 1
                }

                #[allow(clippy::useless_conversion, reason = "the libraries' types differ")]
                fn bytes_received(&self) -> u64 {
                    let bio = self.bio();
                    if bio.is_null() {
                        return 0;
                    }
                    // SAFETY: the BIO is that of the handle, valid while it is.
                    let count = unsafe { c::BIO_number_read(bio) };
                    count.into()
                }

                #[allow(clippy::useless_conversion, reason = "the libraries' types differ")]
                fn bytes_sent(&self) -> u64 {
                    let bio = self.bio();
                    if bio.is_null() {
                        return 0;
                    }
                    // SAFETY: as above.
                    let count = unsafe { c::BIO_number_written(bio) };
                    count.into()
                }

                #[inline]
                unsafe fn bio_data(bio: *mut Self::Bio) -> *mut c_void {
                    // SAFETY: "BIO_get_data() [...] returns the custom data pointer previously set"
                    // (BIO_get_data(3)); the caller passes a BIO of ours.
                    unsafe { c::BIO_get_data(bio) }
                }

                #[inline]
                unsafe fn bio_retry(bio: *mut Self::Bio, retry: Option<BioRetry>) {
                    let direction = match retry {
                        Some(BioRetry::Read) => c::BIO_FLAGS_READ,
                        Some(BioRetry::Write) => c::BIO_FLAGS_WRITE,
                        None => {
                            let flags = c::BIO_FLAGS_RWS | c::BIO_FLAGS_SHOULD_RETRY;
                            // SAFETY: the flags that BIO_should_retry(3) names, on a BIO of ours;
                            // and so below.
                            return unsafe { c::BIO_clear_flags(bio, flags) };
                        }
                    };
                    // SAFETY: as above.
                    unsafe { c::BIO_set_flags(bio, direction | c::BIO_FLAGS_SHOULD_RETRY) };
                }
            }
        }
    };
}
