//! The polytls backend over OpenSSL 3 and 4, and LibreSSL 4.
//!
//! The library is the one `openssl-sys` finds: `OPENSSL_DIR`, pkg-config, or with the feature
//! `vendored` the source it names. [`OpenSsl::build_info`](tls_core::Backend::build_info) says which
//! one that is, and its [`Capabilities`] what it can do, found out by asking the library itself
//! once.
//!
//! Contexts are configured through the safe `openssl` crate; sessions run on the data path of
//! `tls-libssl`. OpenSSL's own configuration file is read when the library starts, as every program
//! on OpenSSL does; what the configuration of a context says goes above it.
//!
//! An OpenSSL server that is told to wait for the verdict on a client accepts it. So where the caller
//! decides ([`PeerVerification::Suspended`](tls_core::config::PeerVerification::Suspended)) the
//! handshakes of servers are made on threads: one for each session that waits, for as long as it does,
//! and one for each call of a handshake, for as long as that takes. Clients wait without any.
//!
//! LibreSSL starts no KeyUpdate, but answers those of the peer. It endures 100 messages after the
//! handshake in an hour, whatever is between them, so its peer must not change keys more often.
//! With a session of TLS 1.2 it offers nothing newer, and it resumes none of TLS 1.3: so clients resume
//! only if TLS 1.2 is all that they may speak.

#![deny(unsafe_code)]

mod caps;
#[cfg(not(libressl))]
mod client_hello;
mod context;
mod error;
#[allow(unsafe_code, reason = "the one place where this crate calls C")]
mod ffi;
mod identity;
mod library;
mod private_key;
mod resumption;
mod server_name;
mod session;
mod verify;

use tls_core::config::Checked;
use tls_core::{Backend, BuildInfo, Capabilities, ClientConfig, Result, ServerConfig};

pub use context::{Lowered, OpenSslContext};
pub use ffi::OpenSslEngine;
pub use session::BufferSession;
#[cfg(unix)]
pub use session::SocketSession;

/// The backend over OpenSSL or LibreSSL.
#[derive(Debug, Clone, Copy)]
pub struct OpenSsl(());

impl OpenSsl {
    /// The backend; the library is initialised when it is first used.
    ///
    /// A program that has BoringSSL too is not built: see [`one_libssl`](tls_libssl::one_libssl).
    pub const fn new() -> Self {
        tls_libssl::one_libssl::<Self>();
        Self(())
    }
}

impl Default for OpenSsl {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for OpenSsl {
    const NAME: &'static str = "openssl";

    type Context = OpenSslContext;

    fn build_info(&self) -> BuildInfo {
        library::build_info()
    }

    fn capabilities(&self) -> &Capabilities {
        caps::capabilities()
    }

    fn build_client(&self, config: Checked<ClientConfig>) -> Result<Self::Context> {
        error::isolated(|| context::client(config))
    }

    fn build_server(&self, config: Checked<ServerConfig>) -> Result<Self::Context> {
        error::isolated(|| context::server(config))
    }
}
