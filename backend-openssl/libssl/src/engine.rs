//! What only a backend can say about its library.

use std::borrow::Cow;
use std::ffi::{c_int, c_ulong};

use tls_core::config::Identity;
use tls_core::pki_types::CertificateDer;
use tls_core::{Error, Facts, Feature, Result, Role, Support};

use crate::diagnosis::Diagnosis;
use crate::ffi::LibSsl;

/// What only the backend can say about its library: never called on the steady path.
pub trait Engine: LibSsl {
    /// Whether the library can start a KeyUpdate, as the backend's
    /// [`Capabilities::key_update`](tls_core::Capabilities::key_update) says.
    const KEY_UPDATE: Support = Support::Native;
    /// Whether there is a `tls-unique`, as the backend's
    /// [`Capabilities::tls_unique`](tls_core::Capabilities::tls_unique) says.
    const TLS_UNIQUE: Support = Support::Native;

    /// Whether the library can ask for a client certificate after a TLS 1.3 handshake, as
    /// [`Capabilities::post_handshake_auth`](tls_core::Capabilities::post_handshake_auth) says.
    const POST_HANDSHAKE_AUTH: Support = Support::Unsupported("the library does not provide it");

    /// Whether the library's servers can renegotiate, as
    /// [`Capabilities::renegotiation_server`](tls_core::Capabilities::renegotiation_server) says.
    const RENEGOTIATION_SERVER: Support = Support::Unsupported("the library does not provide it");

    /// Whether the client can be asked for a certificate after the handshake: with TLS 1.3 it has
    /// offered so, with TLS 1.2 it knows secure renegotiation.
    fn takes_requests(&self) -> bool {
        false
    }

    /// Schedules that request: `SSL_verify_client_post_handshake`, or `SSL_renegotiate`. It leaves
    /// with [`send_messages`](LibSsl::send_messages); above 0 is success. Called only on servers that
    /// can, and once [`takes_requests`](Self::takes_requests) has said that the client can too.
    fn schedule_request(&mut self) -> c_int {
        -1
    }

    /// `SSL_in_init`: whether a handshake is under way, the first or a later one.
    fn in_handshake(&self) -> bool;

    /// Has [`observed`](LibSsl::observed) count the Finished messages of the peer, and tell whether a
    /// certificate was sent.
    fn watch_handshakes(&mut self) {}

    /// Whether the peer may start a renegotiation from now on; the configuration allows it.
    fn allow_renegotiation(&mut self, _allowed: bool) {}

    /// The peer has authenticated with this certificate: in a later handshake no other is accepted.
    fn expect_peer(&mut self, _leaf: &CertificateDer<'static>) {}

    /// What the handshake settled; called when it is complete, and after every later one.
    ///
    /// # Errors
    ///
    /// `Backend`, if the library does not say what every handshake has.
    fn facts(&self) -> Result<Facts>;

    /// Whether the connection has the extended master secret; `false` if the library cannot tell.
    /// Asked in TLS 1.2, once the handshake is complete.
    fn has_extended_master_secret(&self) -> bool;

    /// What RFC 5929 section 3 calls the first Finished of the handshake. Asked if
    /// [`TLS_UNIQUE`](Self::TLS_UNIQUE) says so, in TLS 1.2, once the handshake is complete.
    fn first_finished(&self, role: Role) -> Option<Vec<u8>>;

    /// `SSL_export_keying_material`: fills `output`, and says whether it did.
    fn export(&self, output: &mut [u8], label: &str, context: Option<&[u8]>) -> bool;

    /// What a failure means. `codes` is the error queue, oldest first; it may be empty.
    fn diagnose(&self, codes: &[c_ulong]) -> Diagnosis;

    /// The names of the authorities that the server has named, in DER. Asked only while the library
    /// waits for a certificate.
    fn acceptable_issuers(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Has this session alone present this chain. Called only while the library waits for one.
    ///
    /// # Errors
    ///
    /// `Config`, if it cannot be used; a later call may give another.
    fn present(&mut self, _identity: &Identity) -> Result<()> {
        let feature = Feature::LateClientCredentials;
        Err(Error::unsupported(feature, "the library takes none late"))
    }

    /// Has this session present no chain any more. Called only while the library waits for one, in
    /// place of one that was presented before.
    fn present_nothing(&mut self) {}

    /// Whether a call waits for the verdict within the library, which does not wait by itself: until
    /// that has gone on, no other may be made.
    fn reads_elsewhere(&self) -> bool {
        false
    }

    /// Has a read that waits go on, as far as it comes without more input. Data stays in the library.
    fn read_on(&mut self) -> c_int {
        -1
    }

    /// Whether the library holds a part of a record that it read from the descriptor after
    /// [`attach_fd`](LibSsl::attach_fd). `true` if the library does not tell.
    fn holds_input(&self) -> bool {
        true
    }

    /// A panic that a callback has caught and kept, as a sentence.
    fn take_panic(&mut self) -> Option<Cow<'static, str>> {
        self.observed().questions().take_panic()
    }
}
