//! The tests of the other backend over a libssl, run on this one: what they ask for is the same.

#![allow(
    clippy::duplicate_mod,
    reason = "each file brings the helpers that it has as a test of its own"
)]

// The files name the backend that they were written for.
extern crate self as backend_openssl;

pub use backend_boring::{Boring as OpenSsl, BoringContext as OpenSslContext};

#[path = "../../backend-openssl/tests/chains.rs"]
mod chains;
#[path = "../../backend-openssl/tests/negotiation.rs"]
mod negotiation;
#[path = "../../backend-openssl/tests/resumption.rs"]
mod resumption;
#[path = "../../backend-openssl/tests/verification.rs"]
mod verification;
