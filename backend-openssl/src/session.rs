//! Sessions: the shared libssl data path over this library.

use std::ffi::c_ulong;

use tls_core::{Facts, Result, Support};
#[cfg(unix)]
use tls_libssl::SocketEngineSession;
use tls_libssl::{BufferEngineSession, Diagnose, Diagnosis, Engine, LibSsl};

use crate::ffi::OpenSslEngine;
use crate::library::TRAITS;
use crate::verify;

/// A session without I/O over OpenSSL.
pub type BufferSession = BufferEngineSession<OpenSslEngine>;

/// A session over OpenSSL that drives a socket.
#[cfg(unix)]
pub type SocketSession<'fd> = SocketEngineSession<'fd, OpenSslEngine>;

impl Engine for OpenSslEngine {
    const KEY_UPDATE: Support = TRAITS.key_update;

    fn facts(&self) -> Result<Facts> {
        verify::facts(self.ssl())
    }

    fn diagnose(&self, codes: &[c_ulong]) -> Diagnosis {
        Diagnose::diagnose(self, self.observed().alert_sent(), codes)
    }

    fn holds_input(&self) -> bool {
        self.holds_record()
    }
}
