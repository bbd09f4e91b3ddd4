//! The tests of the other backend over a libssl, run on this one: what they ask for is the same.
//!
//! `sigpipe` is in a file of its own here too. Not shared are those whose peers are the library driven
//! directly: `floods`, because KeyUpdates leave with the next write only here, so that the library
//! cannot flood with them (the suite does, in `limits.key_updates`); `raw_peer`, because the safe
//! crate lacks what its peers are made of; and `raw_libressl`, which is about another library.

#![allow(
    clippy::duplicate_mod,
    reason = "each file brings the helpers that it has as a test of its own"
)]
#![allow(unexpected_cfgs, reason = "some leave LibreSSL out, which this is not")]

// The files name the backend and the safe crate that they were written for.
extern crate boring as openssl;
extern crate self as backend_openssl;

pub use backend_boring::{
    Boring as OpenSsl, BoringContext as OpenSslContext, BufferSession, SocketSession,
};

#[path = "../../backend-openssl/tests/chains.rs"]
mod chains;
#[path = "../../backend-openssl/tests/configuration.rs"]
mod configuration;
#[path = "../../backend-openssl/tests/data_path.rs"]
mod data_path;
#[path = "../../backend-openssl/tests/key_updates.rs"]
mod key_updates;
#[path = "../../backend-openssl/tests/moved.rs"]
mod moved;
#[path = "../../backend-openssl/tests/negotiation.rs"]
mod negotiation;
#[path = "../../backend-openssl/tests/resumption.rs"]
mod resumption;
#[path = "../../backend-openssl/tests/system_roots.rs"]
mod system_roots;
#[path = "../../backend-openssl/tests/verification.rs"]
mod verification;
