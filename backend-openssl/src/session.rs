//! Sessions: the shared libssl data path over this library.

use std::ffi::{c_int, c_ulong};

use openssl::ssl::{SslVerifyMode, SslVersion};
#[cfg(not(libressl))]
use tls_core::config::Identity;
use tls_core::pki_types::CertificateDer;
use tls_core::{Facts, Result, Role, Support};
#[cfg(unix)]
use tls_libssl::SocketEngineSession;
use tls_libssl::{BufferEngineSession, Diagnose, Diagnosis, Engine, LibSsl};

use crate::ffi::OpenSslEngine;
use crate::library::{self, TRAITS};
use crate::verify;
#[cfg(not(libressl))]
use crate::{ffi, identity};

/// A session without I/O over OpenSSL.
pub type BufferSession = BufferEngineSession<OpenSslEngine>;

/// A session over OpenSSL that drives a socket.
#[cfg(unix)]
pub type SocketSession<'fd> = SocketEngineSession<'fd, OpenSslEngine>;

impl Engine for OpenSslEngine {
    const KEY_UPDATE: Support = TRAITS.key_update;
    const TLS_UNIQUE: Support = TRAITS.tls_unique;

    const POST_HANDSHAKE_AUTH: Support = TRAITS.post_handshake_auth;

    const RENEGOTIATION_SERVER: Support = Support::Native;

    fn takes_requests(&self) -> bool {
        match self.ssl().version2() {
            Some(SslVersion::TLS1_3) => library::takes_requests(self.ssl()),
            _ => self.renegotiates_securely(),
        }
    }

    /// A context whose clients are asked on request alone verifies nobody until then.
    fn schedule_request(&mut self) -> c_int {
        let ssl = self.ssl_mut();
        if !ssl.verify_mode().contains(SslVerifyMode::PEER) {
            ssl.set_verify(SslVerifyMode::PEER);
        }
        #[cfg(not(libressl))]
        self.expect_certificate();
        match self.ssl().version2() {
            Some(SslVersion::TLS1_3) => self.verify_client(),
            _ => self.renegotiate(),
        }
    }

    fn in_handshake(&self) -> bool {
        self.is_in_init()
    }

    fn watch_handshakes(&mut self) {
        self.watch();
    }

    fn allow_renegotiation(&mut self, allowed: bool) {
        self.set_options(TRAITS.no_renegotiation.bits(), !allowed);
    }

    fn expect_peer(&mut self, leaf: &CertificateDer<'static>) {
        verify::expect_peer(self.ssl_mut(), leaf);
    }

    fn facts(&self) -> Result<Facts> {
        verify::facts(self.ssl())
    }

    fn has_extended_master_secret(&self) -> bool {
        self.tells_extended_master_secret()
    }

    fn first_finished(&self, role: Role) -> Option<Vec<u8>> {
        tls_libssl::first_finished(
            role,
            self.ssl().session_reused(),
            |buffer| self.ssl().finished(buffer),
            |buffer| self.ssl().peer_finished(buffer),
        )
    }

    fn export(&self, output: &mut [u8], label: &str, context: Option<&[u8]>) -> bool {
        let exported = self.ssl().export_keying_material(output, label, context);
        exported.is_ok()
    }

    fn diagnose(&self, codes: &[c_ulong]) -> Diagnosis {
        Diagnose::diagnose(self, self.observed().alert_sent(), codes)
    }

    #[cfg(not(libressl))]
    fn acceptable_issuers(&self) -> Vec<Vec<u8>> {
        ffi::acceptable_issuers(self.ssl())
    }

    #[cfg(not(libressl))]
    fn present(&mut self, identity: &Identity) -> Result<()> {
        identity::present(self.ssl_mut(), identity)
    }

    #[cfg(not(libressl))]
    fn present_nothing(&mut self) {
        ffi::forget_certificates(self.ssl_mut());
    }

    #[cfg(not(libressl))]
    fn reads_elsewhere(&self) -> bool {
        self.is_parked()
    }

    #[cfg(not(libressl))]
    fn read_on(&mut self) -> c_int {
        self.look_on()
    }

    fn holds_input(&self) -> bool {
        self.holds_record()
    }
}
