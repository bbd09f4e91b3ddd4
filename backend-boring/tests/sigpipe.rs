//! The test of that name of the other backend over a libssl, run on this one.

// The file names the backend that it was written for.
extern crate self as backend_openssl;

pub use backend_boring::{Boring as OpenSsl, BoringContext as OpenSslContext};

#[path = "../../backend-openssl/tests/sigpipe.rs"]
mod sigpipe;
