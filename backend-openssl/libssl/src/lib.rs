//! The data path that OpenSSL, LibreSSL and BoringSSL share.
//!
//! A backend implements [`LibSsl`] (one-line forwards to C, in its `ffi.rs`) and [`Engine`] (what
//! only it can say: negotiated facts, what an error code means) for a type that owns an `SSL*`,
//! makes that type ready (context, role, server name, verification), and hands it to
//! [`BufferEngineSession::new`] or [`SocketEngineSession::new`] with a [`Setup`]. Everything after
//! that, from the first byte of the handshake to the last close_notify, is here, and the same for
//! the three libraries. This crate links no C itself.
//!
//! How bytes move:
//!
//! * [`bio`](mod@bio): the engine's BIO is a pair of callbacks over memory. It reads out of the
//!   input of the call under way, at most to the end of the current record, and writes into the
//!   output of that call, spilling the rest into a bounded buffer; a record is taken whole or not
//!   at all, and inside `SSL_write` never refused.
//! * In buffer mode input and output are the caller's own slices; in socket mode a 64 KiB buffer
//!   that is received into, and a buffer that is sent once 64 KiB are gathered. The library never
//!   sees the end of the transport or an error of it, so that neither can be mistaken for the other.
//! * [`ritual`](mod@ritual): around every call the thread's error queue is cleared, and what the
//!   call came to is classified by one pure table.

#![deny(unsafe_code)]

mod api;

pub use api::{BioRetry, Diagnosis, Engine, LibSsl};

use tls_core::config::SocketTransport;
use tls_core::{Role, Result};
#[cfg(unix)]
use tls_core::support::Descriptor;

/// What a session needs to know besides its engine.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Which side the session is; the engine has been told (`SSL_set_connect_state` or
    /// `SSL_set_accept_state`).
    pub role: Role,
    /// See [`Parameters::pending_output_bound`](tls_core::config::Parameters::pending_output_bound).
    pub pending_output_bound: usize,
    /// See [`Parameters::quiet_shutdown`](tls_core::config::Parameters::quiet_shutdown).
    pub quiet_shutdown: bool,
    /// See [`Parameters::socket_transport`](tls_core::config::Parameters::socket_transport).
    pub socket_transport: SocketTransport,
}

// Seam, until the sessions below land (same signatures):
//
//   pub struct BufferEngineSession<E: Engine>;            impl tls_core::BufferSession
//   BufferEngineSession::new(engine: E, setup: &Setup) -> Result<Self>
//   pub struct SocketEngineSession<'fd, E: Engine>;       impl tls_core::SocketSession
//   SocketEngineSession::new(engine: E, setup: &Setup, fd: Descriptor<'fd>) -> Result<Self>
//       (checks the descriptor: Misuse(BlockingDescriptor))
//
// backend-openssl/src/ffi.rs:
//   pub struct OpenSslEngine;  OpenSslEngine::new(ssl: openssl::ssl::Ssl) -> Result<Self>
//       (after connect/accept state, hostname, verification are set on `ssl`)
//       .ssl() -> &openssl::ssl::SslRef
//
// backend-openssl/src/session.rs has `impl Engine for OpenSslEngine`, which calls
//   crate::verify::facts(ssl: &SslRef) -> tls_core::Result<Facts>
//   crate::error::diagnose(ssl: &SslRef, codes: &[c_ulong]) -> tls_libssl::Diagnosis
//       codes: ERR codes, oldest first, perhaps empty; reason 294 (unexpected EOF) -> Truncated;
//       reason 1000 + n -> PeerAlert with `alert_received: Some(AlertDescription(n))`;
//       certificate verify failed -> Certificate(problem from ssl.verify_result()).
// and pub type session::{BufferSession, SocketSession<'fd>}.
