//! The calls into C that the safe `openssl` crate does not offer.
//!
//! Each `unsafe` block is one operation, and says which sentence of the library's manual it relies
//! on. Names in quotes with a number in brackets are manual pages of OpenSSL; LibreSSL's say the
//! same.

mod asked;
#[cfg(libressl)]
mod certificate;
mod configure;
#[cfg(not(libressl))]
mod elsewhere;
#[cfg(libressl)]
mod selected;

use std::ffi::{c_int, c_long};
use std::ptr;

use foreign_types_shared::{ForeignType, ForeignTypeRef};
use tls_libssl::LibSsl;

use crate::library::TRAITS;

#[cfg(not(libressl))]
pub(crate) use asked::{acceptable_issuers, forget_certificates, set_chain};
pub(crate) use asked::{ask_for_certificate, put_to_the_verdict};
#[cfg(libressl)]
pub(crate) use certificate::{Shown, fail};
pub(crate) use configure::{
    choose_dh_parameters, cipher_suite, negotiated_group, reason, set_max_certificate_list,
    set_session, set_session_timeout, supported_cipher_suites,
};
#[cfg(not(libressl))]
pub(crate) use configure::{
    client_hello_has, client_hello_server_name, offer_post_handshake_auth, set_session_id_context,
};
#[cfg(libressl)]
pub(crate) use selected::watch_selected_protocol;

/// The bindings, with what `openssl-sys` does not declare.
mod c {
    use std::ffi::{c_int, c_ulong, c_void};

    pub(super) use openssl_sys::{
        BIO_meth_set_ctrl__fixed_rust as BIO_meth_set_ctrl,
        BIO_meth_set_read__fixed_rust as BIO_meth_set_read,
        BIO_meth_set_write__fixed_rust as BIO_meth_set_write, *,
    };

    #[cfg(libressl)]
    type Count = c_ulong;
    #[cfg(not(libressl))]
    type Count = u64;

    type InfoCallback = unsafe extern "C" fn(*const SSL, c_int, c_int);
    type MessageCallback = unsafe extern "C" fn(
        write: c_int,
        version: c_int,
        content_type: c_int,
        buffer: *const c_void,
        length: usize,
        ssl: *mut SSL,
        argument: *mut c_void,
    );

    unsafe extern "C" {
        pub(super) fn BIO_number_read(bio: *mut BIO) -> Count;
        pub(super) fn BIO_number_written(bio: *mut BIO) -> Count;
        pub(super) fn ERR_peek_error() -> c_ulong;
        #[cfg(not(libressl))]
        pub(super) fn SSL_has_pending(ssl: *const SSL) -> c_int;
        #[cfg(not(libressl))]
        pub(super) fn SSL_get_key_update_type(ssl: *const SSL) -> c_int;
        #[cfg(not(libressl))]
        pub(super) fn SSL_in_init(ssl: *const SSL) -> c_int;
        #[cfg(libressl)]
        pub(super) fn SSL_state(ssl: *const SSL) -> c_int;
        #[cfg(libressl)]
        pub(super) fn SSL_rstate_string(ssl: *const SSL) -> *const std::ffi::c_char;
        pub(super) fn SSL_renegotiate(ssl: *mut SSL) -> c_int;
        #[cfg(not(libressl))]
        pub(super) fn SSL_verify_client_post_handshake(ssl: *mut SSL) -> c_int;
        #[cfg(not(libressl))]
        pub(super) fn SSL_key_update(ssl: *mut SSL, kind: c_int) -> c_int;
        #[cfg(not(libressl))]
        pub(super) fn SSL_clear_options(ssl: *mut SSL, options: u64) -> u64;
        #[cfg(not(libressl))]
        pub(super) fn SSL_set_options(ssl: *mut SSL, options: u64) -> u64;
        #[cfg(unix)]
        pub(super) fn SSL_set_fd(ssl: *mut SSL, fd: c_int) -> c_int;
        pub(super) fn SSL_set_info_callback(ssl: *mut SSL, callback: Option<InfoCallback>);
        pub(super) fn SSL_set_msg_callback(ssl: *mut SSL, callback: Option<MessageCallback>);
    }
}

#[cfg(not(libressl))]
const SSL_KEY_UPDATE_NONE: c_int = -1;
#[cfg(not(libressl))]
const SSL_KEY_UPDATE_NOT_REQUESTED: c_int = 0;
#[cfg(not(libressl))]
const SSL_KEY_UPDATE_REQUESTED: c_int = 1;
#[cfg(libressl)]
const SSL_CTRL_OPTIONS: c_int = 32;
#[cfg(libressl)]
const SSL_CTRL_CLEAR_OPTIONS: c_int = 77;
const SSL_CTRL_GET_RI_SUPPORT: c_int = 76;
const SSL_CTRL_MODE: c_int = 33;
const SSL_CTRL_CLEAR_MODE: c_int = 78;
const SSL_CTRL_GET_EXTMS_SUPPORT: c_int = 122;

tls_libssl::libssl_engine! {
    /// An `SSL*` of OpenSSL or LibreSSL, and what its callbacks have seen.
    OpenSslEngine, openssl, c
}

#[cfg(not(libressl))]
use elsewhere::Elsewhere;
/// LibreSSL makes no call elsewhere.
#[cfg(libressl)]
type Elsewhere = ();

#[cfg(libressl)]
impl OpenSslEngine {
    #[inline]
    fn shake_hands(&mut self) -> c_int {
        self.do_handshake()
    }

    #[inline]
    fn take_data(&mut self, buffer: &mut [u8]) -> c_int {
        self.do_read(buffer)
    }

    #[inline]
    fn waits_for(&self) -> Option<c_int> {
        None
    }
}

impl OpenSslEngine {
    fn prepare(&mut self) {
        if TRAITS.messages_tell_alerts {
            self.watch_messages();
        }
    }

    /// Tickets have left with the handshake.
    #[inline]
    fn shaken_hands(&mut self) {}

    fn attached(&mut self, one_record: bool) {
        if one_record {
            self.watch_messages();
            self.set_mode(SSL_CTRL_CLEAR_MODE, c::SSL_MODE_AUTO_RETRY);
        } else {
            self.set_mode(SSL_CTRL_MODE, c::SSL_MODE_AUTO_RETRY);
        }
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
            let buffered = unsafe { c::SSL_has_pending(self.ssl.as_ptr()) };
            buffered != 0 && self.pending() == 0
        }
    }

    #[cfg(not(libressl))]
    fn start_key_update(&mut self, asks: bool) -> c_int {
        let kind = match asks {
            true => SSL_KEY_UPDATE_REQUESTED,
            false => SSL_KEY_UPDATE_NOT_REQUESTED,
        };
        // SAFETY: "SSL_key_update() schedules an update of the keys for the current TLS connection"
        // (SSL_key_update(3)); at any other time it fails.
        unsafe { c::SSL_key_update(self.ssl.as_ptr(), kind) }
    }

    /// Not called: the session has refused.
    #[cfg(libressl)]
    fn start_key_update(&mut self, _asks: bool) -> c_int {
        -1
    }

    /// OpenSSL keeps its answer to a KeyUpdate for the next write. Scheduled once more, it leaves
    /// now; while one is under way the handshake sends it anyhow.
    #[cfg(not(libressl))]
    fn send_owed(&mut self) -> c_int {
        // SAFETY: "SSL_get_key_update_type() can be used to determine whether a key update
        // operation has been scheduled but not yet performed" (SSL_key_update(3)).
        let scheduled = unsafe { c::SSL_get_key_update_type(self.ssl.as_ptr()) };
        // SAFETY: "SSL_in_init() returns 1 if the SSL/TLS state machine is currently processing or
        // awaiting handshake messages" (SSL_in_init(3)).
        let under_way = unsafe { c::SSL_in_init(self.ssl.as_ptr()) } != 0;
        if scheduled != SSL_KEY_UPDATE_NONE && !under_way {
            // SAFETY: as in `start_key_update`.
            unsafe { c::SSL_key_update(self.ssl.as_ptr(), scheduled) };
        }
        self.handshake()
    }

    #[cfg(libressl)]
    fn send_owed(&mut self) -> c_int {
        self.handshake()
    }

    /// `SSL_in_init`: whether a handshake is under way.
    pub(crate) fn is_in_init(&self) -> bool {
        #[cfg(libressl)]
        {
            /// `SSL_ST_OK`.
            const ESTABLISHED: c_int = 3;
            // SAFETY: what the macro SSL_in_init() asks (SSL_get_state(3)), of a handle that is ours.
            let state = unsafe { c::SSL_state(self.ssl.as_ptr()) };
            state != ESTABLISHED
        }
        #[cfg(not(libressl))]
        {
            // SAFETY: as in `send_owed`.
            unsafe { c::SSL_in_init(self.ssl.as_ptr()) != 0 }
        }
    }

    /// Schedules a HelloRequest.
    pub(crate) fn renegotiate(&mut self) -> c_int {
        // SAFETY: "SSL_renegotiate() should only be called on an established connection" and
        // schedules a renegotiation (SSL_key_update(3)); at any other time it fails.
        unsafe { c::SSL_renegotiate(self.ssl.as_ptr()) }
    }

    /// Schedules a CertificateRequest.
    #[cfg(not(libressl))]
    pub(crate) fn verify_client(&mut self) -> c_int {
        // SAFETY: "SSL_verify_client_post_handshake() causes a CertificateRequest message to be sent
        // by a server on the given ssl connection" (SSL_CTX_set_verify(3)); at any other time it
        // fails.
        unsafe { c::SSL_verify_client_post_handshake(self.ssl.as_ptr()) }
    }

    /// Not called: the session has refused.
    #[cfg(libressl)]
    pub(crate) fn verify_client(&mut self) -> c_int {
        -1
    }

    /// `SSL_get_secure_renegotiation_support`: whether the peer knows RFC 5746.
    pub(crate) fn renegotiates_securely(&self) -> bool {
        self.affirms(SSL_CTRL_GET_RI_SUPPORT)
    }

    /// `SSL_get_extms_support`: whether the connection has the extended master secret. LibreSSL's
    /// never have, and it does not know the question.
    pub(crate) fn tells_extended_master_secret(&self) -> bool {
        self.affirms(SSL_CTRL_GET_EXTMS_SUPPORT)
    }

    /// Whether the library answers 1 to one of the two questions above.
    fn affirms(&self, question: c_int) -> bool {
        // SAFETY: "SSL_get_secure_renegotiation_support() returns 1 is the peer supports secure
        // renegotiation" (SSL_CTX_set_options(3)), "SSL_get_extms_support() indicates whether the
        // current session used extended master secret" (SSL_get_extms_support(3)): macros for these
        // commands, which change nothing and take no pointer.
        let answer = unsafe { c::SSL_ctrl(self.ssl.as_ptr(), question, 0, ptr::null_mut()) };
        answer == 1
    }

    /// Sets or clears options of this handle.
    pub(crate) fn set_options(&mut self, options: u64, on: bool) {
        #[cfg(libressl)]
        {
            let command = match on {
                true => SSL_CTRL_OPTIONS,
                false => SSL_CTRL_CLEAR_OPTIONS,
            };
            let options = c_long::try_from(options).unwrap_or(0);
            self.set_mode(command, options);
        }
        #[cfg(not(libressl))]
        {
            let change: unsafe extern "C" fn(*mut c::SSL, u64) -> u64 = match on {
                true => c::SSL_set_options,
                false => c::SSL_clear_options,
            };
            // SAFETY: "SSL_set_options() adds the options set via bit-mask in options to ssl",
            // "SSL_clear_options() clears" them (SSL_CTX_set_options(3)).
            unsafe { change(self.ssl.as_ptr(), options) };
        }
    }

    /// Has the message callback tell of handshake messages.
    pub(crate) fn watch(&mut self) {
        self.watch_messages();
    }

    fn set_mode(&mut self, command: c_int, mode: c_long) {
        // SAFETY: "SSL_set_mode() adds the mode set via bit-mask in mode to ssl",
        // "SSL_clear_mode() removes" it (SSL_CTX_set_mode(3)): macros for these commands, which take
        // no pointer; so are those for options in LibreSSL (SSL_CTX_set_options(3)).
        unsafe { c::SSL_ctrl(self.ssl.as_ptr(), command, mode, ptr::null_mut()) };
    }
}

/// `SSL_rstate_string`: whether the library has the header of a record and is about to read the rest.
#[cfg(libressl)]
pub(crate) fn reads_body(ssl: &openssl::ssl::SslRef) -> bool {
    // SAFETY: the reference is to a valid SSL. SSL_rstate_string(3): "returns a 2-letter string
    // indicating the current read state", which is static.
    let state = unsafe { c::SSL_rstate_string(ssl.as_ptr()) };
    // SAFETY: as above; it ends with a null.
    let state = unsafe { std::ffi::CStr::from_ptr(state) };
    state == c"RB"
}

impl Drop for OpenSslEngine {
    /// The library makes the session of a handle unfit for resumption if the handle is freed before
    /// its shutdown, as TLS 1.0 had it. RFC 5246 section 7.2.1 no longer asks for that, and a
    /// connection that just ends is ordinary. After a fatal alert the library has seen to it itself.
    fn drop(&mut self) {
        // A call that waits goes first: it works on the handle.
        self.elsewhere = Elsewhere::default();
        self.set_shutdown_state(c::SSL_SENT_SHUTDOWN | c::SSL_RECEIVED_SHUTDOWN);
    }
}
