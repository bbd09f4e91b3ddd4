//! The calls into C that the safe `boring` crate does not offer.
//!
//! Each `unsafe` block is one operation, and says which sentence of the library's manual it relies
//! on: the comments in its headers, `<openssl/ssl.h>` unless another is named.

mod asked;
mod configure;
mod tickets;

use std::ffi::c_int;

use boring_sys as c;
use foreign_types::{ForeignType, ForeignTypeRef};
use tls_libssl::LibSsl;

pub(crate) use asked::{acceptable_issuers, ask_for_certificate, presented, set_chain, verify_as};
pub(crate) use configure::{
    API_VERSION, Purpose, add_roots, give_no_tickets, give_no_tickets_to,
    has_extended_master_secret, has_purpose, is_authority, is_self_issued, path_length,
    peer_certificates, reason, set_accept_state, set_connect_state, set_groups,
    set_max_certificate_list, set_session, set_session_id_context, set_session_timeout,
    set_signature_schemes, set_tls13_cipher_suites, tls_unique,
};
pub(crate) use tickets::{LONGEST_SESSION, TicketStore, keep_tickets};

tls_libssl::libssl_engine! {
    /// An `SSL*` of BoringSSL, and what its callbacks have seen.
    BoringEngine, boring, c
}

/// No call is made elsewhere: the library waits itself.
type Elsewhere = ();

impl BoringEngine {
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

    /// All alerts are told by the info callback.
    fn prepare(&mut self) {}

    /// `SSL_MODE_AUTO_RETRY` is 0 here: a call always goes on until it has data.
    fn attached(&mut self, one_record: bool) {
        if one_record {
            self.watch_messages();
        }
    }

    /// A server keeps its TLS 1.3 tickets for its next write, and may never write: they leave now. If
    /// the transport refuses them, they are kept after all.
    fn shaken_hands(&mut self) {
        self.send_owed();
    }

    /// Whether a client follows when its server asks for a renegotiation. The library sees to it
    /// itself that the server's certificate stays the same.
    pub(crate) fn set_renegotiation(&mut self, allowed: bool) {
        let mode = match allowed {
            true => c::ssl_renegotiate_mode_t::ssl_renegotiate_freely,
            false => c::ssl_renegotiate_mode_t::ssl_renegotiate_never,
        };
        // SAFETY: "SSL_set_renegotiate_mode configures how ssl, a client, reacts to renegotiation
        // attempts by a server"; the handle is ours.
        unsafe { c::SSL_set_renegotiate_mode(self.ssl.as_ptr(), mode) };
    }

    /// Has the message callback tell of handshake messages.
    pub(crate) fn watch(&mut self) {
        self.watch_messages();
    }

    fn start_key_update(&mut self, asks: bool) -> c_int {
        let kind = match asks {
            true => c::SSL_KEY_UPDATE_REQUESTED,
            false => c::SSL_KEY_UPDATE_NOT_REQUESTED,
        };
        // SAFETY: "SSL_key_update queues a TLS 1.3 KeyUpdate message to be sent on ssl"; at any
        // other time it fails.
        unsafe { c::SSL_key_update(self.ssl.as_ptr(), kind) }
    }

    /// What is queued leaves with the next write, be it one of nothing.
    fn send_owed(&mut self) -> c_int {
        match self.write(&[]) {
            0 => 1,
            failed => failed,
        }
    }

    /// Whether the library holds a part of a record that it read from the descriptor.
    pub(crate) fn holds_record(&self) -> bool {
        // SAFETY: "SSL_has_pending returns one if ssl has buffered, decrypted bytes [...] or
        // unprocessed" ones; the handle is ours.
        let buffered = unsafe { c::SSL_has_pending(self.ssl.as_ptr()) };
        buffered != 0 && self.pending() == 0
    }
}
