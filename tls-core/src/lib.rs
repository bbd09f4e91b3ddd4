//! The TLS session traits, contract and configuration that every polytls backend implements.
//!
//! A program written against this crate names no engine: a [`Backend`] makes [`Context`]s out of
//! [`config`], a context makes sessions, and a session is driven by its caller without ever
//! blocking, in one of two modes: [`BufferSession`] (ciphertext goes through the caller's memory)
//! or [`SocketSession`] (the session drives a descriptor). What holds on every engine is written on
//! the traits in [`session`]; what an engine cannot do is said in [`Capabilities`].
//!
//! [`TlsStream`] puts `std::io::Read` and `Write` on a buffer session over any transport. [`support`]
//! is for authors of backends.

#![forbid(unsafe_code)]

mod backend;
mod binding;
mod boxed;
mod capabilities;
mod client_hello;
pub mod config;
mod deferred;
#[cfg(unix)]
mod detach;
mod error;
mod facts;
pub mod iana;
pub mod session;
#[cfg(unix)]
mod split;
mod status;
mod stream;
pub mod support;
#[cfg(test)]
mod tests;

pub use rustls_pki_types as pki_types;

pub use backend::{Backend, BuildInfo, Context, DynBackend, DynContext};
pub use binding::ChannelBinding;
pub use capabilities::{Capabilities, Feature, Support};
pub use client_hello::{ClientHello, ClientHelloReader};
pub use config::{ClientConfig, ServerConfig, SessionOptions, Verdict};
#[cfg(unix)]
pub use deferred::DeferredSocketSession;
pub use deferred::{AnyContext, Deferred, DeferredBufferSession};
pub use error::{
    Alert, AlertDirection, CertificateProblem, ConfigProblem, Error, ErrorKind, Misuse, Operation,
    Result, SharedParameter, Source,
};
pub use facts::Facts;
pub use session::{BufferSession, Role, Session};
#[cfg(unix)]
pub use session::{DetachError, Detached, SocketSession};
#[cfg(unix)]
pub use split::{ReadHalf, ReuniteError, SplitError, WriteHalf};
pub use status::{PostHandshakeAuth, Progress, Status};
pub use stream::{StreamParts, TlsStream};
