//! polytls backend over rustls 0.23, with the aws-lc-rs or the ring provider.
//!
//! Both providers may be compiled in; each is a backend of its own: [`Rustls`] and [`RustlsRing`].
//! Buffer mode runs on rustls's buffered connection, fed one record at a time; socket mode is the
//! pump of `tls-core` over it.
//!
//! rustls cannot change its own keys without asking for the peer's. So a session that has asked 16
//! times without application data read in between refuses to ask again
//! (`Misuse(TooManyKeyUpdates)`). No writer depends on it: rustls changes its own keys by itself
//! whenever a cipher suite's limit (RFC 8446 section 5.5) comes near. And asked for new keys while it
//! holds a part of a message of the peer's, which it does not tell, rustls ends the connection: the
//! session fails with `Protocol` where others give `WantRead`.
//!
//! rustls verifies peers and picks certificates in calls that must answer at once. Sessions that may
//! have to wait for their caller do their handshake again for each question they ask: with the key
//! exchanges and signatures of the first time, so that the second costs little more than hashing,
//! decrypting and verifying once more. Until the handshake is complete such a session keeps the peer's
//! bytes, 128 KiB at the most, and fails with decode_error beyond; and its own. Sessions of other
//! contexts, and all after their handshake, do and keep none of this.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(any(feature = "aws-lc-rs", feature = "ring")),
    allow(
        dead_code,
        unused_imports,
        unused_macros,
        reason = "without a provider there is no backend"
    )
)]

mod caps;
mod context;
mod engine;
mod error;
mod failed;
mod presented;
mod replay;
mod resumption;
mod server_hello;
mod session;
mod tape;
mod verify;

use tls_core::config::Checked;
use tls_core::{Backend, BuildInfo, Capabilities, ClientConfig, Result, ServerConfig};

use caps::Provider;
pub use context::RustlsContext;
pub use session::RustlsSession;

/// Declares a backend over one provider of cryptography.
macro_rules! backend {
    ($(#[$doc:meta])* $backend:ident, $name:literal, $provider:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $backend(Provider);

        impl $backend {
            /// The backend, its capabilities read from the provider.
            pub fn new() -> Self {
                Self($provider)
            }
        }

        impl Default for $backend {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Backend for $backend {
            const NAME: &'static str = $name;

            type Context = RustlsContext;

            fn build_info(&self) -> BuildInfo {
                self.0.build_info()
            }

            fn capabilities(&self) -> &Capabilities {
                self.0.capabilities()
            }

            fn build_client(&self, config: Checked<ClientConfig>) -> Result<RustlsContext> {
                RustlsContext::client(&self.0, config)
            }

            fn build_server(&self, config: Checked<ServerConfig>) -> Result<RustlsContext> {
                RustlsContext::server(&self.0, config)
            }
        }
    };
}

#[cfg(feature = "aws-lc-rs")]
backend!(
    /// rustls with the aws-lc-rs provider.
    Rustls,
    "rustls",
    Provider::aws_lc_rs()
);

#[cfg(feature = "ring")]
backend!(
    /// rustls with the ring provider.
    RustlsRing,
    "rustls-ring",
    Provider::ring()
);
