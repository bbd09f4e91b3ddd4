//! The polytls backend over BoringSSL.

#![deny(unsafe_code)]
