//! Sessions: the shared libssl data path over this library.

use std::ffi::c_ulong;

use tls_core::config::Identity;
use tls_core::{Facts, Result, Role};
#[cfg(unix)]
use tls_libssl::SocketEngineSession;
use tls_libssl::{BufferEngineSession, Diagnose, Diagnosis, Engine, LibSsl};

use crate::ffi::BoringEngine;
use crate::{ffi, identity, verify};

/// A session without I/O over BoringSSL.
pub type BufferSession = BufferEngineSession<BoringEngine>;

/// A session over BoringSSL that drives a socket.
#[cfg(unix)]
pub type SocketSession<'fd> = SocketEngineSession<'fd, BoringEngine>;

impl Engine for BoringEngine {
    fn in_handshake(&self) -> bool {
        !self.ssl().is_init_finished()
    }

    fn watch_handshakes(&mut self) {
        self.watch();
    }

    fn allow_renegotiation(&mut self, allowed: bool) {
        self.set_renegotiation(allowed);
    }

    fn facts(&self) -> Result<Facts> {
        verify::facts(self.ssl())
    }

    fn has_extended_master_secret(&self) -> bool {
        ffi::has_extended_master_secret(self.ssl())
    }

    fn first_finished(&self, _role: Role) -> Option<Vec<u8>> {
        ffi::tls_unique(self.ssl())
    }

    fn export(&self, output: &mut [u8], label: &str, context: Option<&[u8]>) -> bool {
        let exported = self.ssl().export_keying_material(output, label, context);
        exported.is_ok()
    }

    fn diagnose(&self, codes: &[c_ulong]) -> Diagnosis {
        Diagnose::diagnose(self, self.observed().alert_sent(), codes)
    }

    fn acceptable_issuers(&self) -> Vec<Vec<u8>> {
        ffi::acceptable_issuers(self.ssl())
    }

    fn present(&mut self, identity: &Identity) -> Result<()> {
        identity::present(self.ssl_mut(), identity)
    }

    fn holds_input(&self) -> bool {
        self.holds_record()
    }
}
