//! The data path that OpenSSL, LibreSSL and BoringSSL share.
//!
//! A backend declares a type that owns an `SSL*`, with [`libssl_engine!`], which writes its
//! [`LibSsl`] (one-line forwards to C). It implements [`Diagnose`] and [`Engine`] for it, which are
//! what only the backend can say: what an error code means, what was negotiated. And it takes a
//! configuration into an `SSL_CTX` of its own, a [`Lowered`], which makes such engines ready for
//! their handshake; [`EngineContext`] makes sessions of them. Everything after that, from the first
//! byte of the handshake to the last close_notify, is here, and the same for the three libraries.
//! This crate links no C itself.
//!
//! How bytes move:
//!
//! * The engine's BIO ([`bio_read`], [`bio_write`]) is a pair of callbacks over memory. It reads out
//!   of the input of the call under way, at most to the end of the current record, and writes into
//!   the output of that call, spilling the rest into a bounded buffer; a record is taken whole or
//!   not at all, and inside `SSL_write` never refused.
//! * In buffer mode input and output are the caller's own slices; in socket mode a 64 KiB buffer
//!   that is received into, and a buffer that is sent once 64 KiB are gathered. The library never
//!   sees the end of the transport or an error of it, so that neither can be mistaken for the
//!   other.
//! * Around every call the thread's error queue is cleared, and what the call came to is classified
//!   by one pure table.

#![deny(unsafe_code)]

mod alpn;
mod bindings;
mod bio;
mod buffer;
mod classify;
mod context;
mod core;
mod diagnosis;
mod engine;
mod failing;
mod ffi;
mod forwards;
mod framing;
mod key_update;
mod limits;
#[cfg(test)]
mod mock;
mod observed;
mod one_libssl;
mod parking;
mod pkcs8;
#[cfg(unix)]
mod plain;
mod post_handshake;
mod questions;
mod resumption;
mod ritual;
mod roots;
mod server_name;
mod session;
#[cfg(unix)]
mod socket;
mod suspended;
#[cfg(test)]
mod tests;
mod verify;
mod wire;

use std::sync::Arc;

use tls_core::config::SocketTransport;
use tls_core::pki_types::CertificateDer;
use tls_core::{Role, Support};

pub use alpn::{alpn_wire_format, select_alpn, selects_offered};
pub use bindings::first_finished;
pub use bio::{bio_ctrl, bio_read, bio_write};
pub use context::{EngineContext, Lowered, Side};
pub use diagnosis::{Diagnose, Diagnosis, Meaning, Reason};
pub use engine::Engine;
pub use ffi::{BioRetry, LibSsl, set_errno};
pub use limits::MAX_CERTIFICATE_LIST;
pub use observed::{Message, Observed};
pub use one_libssl::one_libssl;
pub use parking::{Lot, Parking};
pub use pkcs8::pkcs8_version_0;
pub use questions::{Questions, Ruling, Verified};
pub use resumption::{BINDING, ClientStore, StoreKey, bind};
pub use roots::SystemRoots;
pub use server_name::{host, narrow, requested_host};
pub use session::BufferEngineSession;
#[cfg(unix)]
pub use socket::SocketEngineSession;
pub use verify::{Certificate, ChainFault, certificate_problem, chain_fault};

/// Whether there are socket sessions, of either transport: the same for every library.
pub const SOCKETS: Support = match cfg!(unix) {
    true => Support::Native,
    false => Support::Unsupported("socket mode needs a Unix system"),
};

/// What a session needs to know besides its engine.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Which side the session is; the engine has been told (`SSL_set_connect_state` or
    /// `SSL_set_accept_state`).
    pub(crate) role: Role,
    /// See [`Parameters::pending_output_bound`](tls_core::config::Parameters::pending_output_bound).
    pub(crate) pending_output_bound: usize,
    /// See [`Parameters::quiet_shutdown`](tls_core::config::Parameters::quiet_shutdown).
    pub(crate) quiet_shutdown: bool,
    /// See [`Parameters::socket_transport`](tls_core::config::Parameters::socket_transport).
    pub(crate) socket_transport: SocketTransport,
    /// What may happen after the handshake.
    pub(crate) policy: post_handshake::Policy,
    /// What this side presents, if it is asked.
    pub(crate) local_certificates: Option<Arc<[CertificateDer<'static>]>>,
}
