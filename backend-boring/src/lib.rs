//! The polytls backend over BoringSSL.
//!
//! The library is the one `boring-sys` builds, or that `BORING_BSSL_PATH` names.
//! [`Boring::build_info`](tls_core::Backend::build_info) says which version of its API that is: the
//! library has no releases. Contexts are configured through the safe `boring` crate; sessions run
//! on the data path of `tls-libssl`.
//!
//! Clients may follow renegotiations; no server of this library starts or takes one.

#![deny(unsafe_code)]

mod caps;
mod context;
mod error;
#[allow(unsafe_code, reason = "the one place where this crate calls C")]
mod ffi;
mod identity;
mod policy;
mod private_key;
mod resumption;
mod server_name;
mod session;
mod verify;

use tls_core::config::Checked;
use tls_core::{Backend, BuildInfo, Capabilities, ClientConfig, Result, ServerConfig};

pub use context::{BoringContext, Lowered};
pub use ffi::BoringEngine;
pub use session::BufferSession;
#[cfg(unix)]
pub use session::SocketSession;

/// The backend over BoringSSL.
#[derive(Debug, Clone, Copy)]
pub struct Boring(());

impl Boring {
    /// The backend; the library is initialised when it is first used.
    ///
    /// A program that has OpenSSL too is not built: see [`one_libssl`](tls_libssl::one_libssl).
    pub const fn new() -> Self {
        tls_libssl::one_libssl::<Self>();
        Self(())
    }
}

impl Default for Boring {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for Boring {
    const NAME: &'static str = "boring";

    type Context = BoringContext;

    /// BoringSSL has no version but a number that grows when its API changes.
    fn build_info(&self) -> BuildInfo {
        BuildInfo::new("BoringSSL", format!("API {}", ffi::API_VERSION))
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
