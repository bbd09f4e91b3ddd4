//! One TLS API over many TLS engines.
//!
//! A program is written once against the traits here, and says which engine does the work: by cargo
//! feature and type (`polytls::rustls()`), or by name at run time ([`backend`]).
//!
//! | feature | name at run time | engine |
//! |---|---|---|
//! | `rustls` (default) | `rustls` | rustls with the aws-lc-rs provider |
//! | `rustls-ring` | `rustls-ring` | rustls with ring |
//! | `openssl` | `openssl` | OpenSSL, as pkg-config or `OPENSSL_DIR` finds it |
//! | `openssl-vendored` | `openssl` | OpenSSL, built from source |
//! | `boring` | `boring` | BoringSSL, as the crate `boring` builds it |
//! | `fingerprint` | - | none: JA3 and JA4 of a [`ClientHello`] |
//!
//! Features add and never change one another. But OpenSSL and BoringSSL define the same symbols, and
//! a program with `openssl` and `boring` is refused when it is built. A [`Backend`] makes [`Context`]s from
//! [`ClientConfig`] and [`ServerConfig`]; a context makes sessions; a session is driven without
//! ever blocking, as [`BufferSession`] (ciphertext goes through the caller's memory) or
//! [`SocketSession`] (the session drives a descriptor). [`TlsStream`] is the blocking way. What a
//! backend cannot do stands in its [`Capabilities`] and is refused when a context is built. The
//! contract that holds on every backend is on the traits in [`session`].
//!
//! ```
//! use polytls::config::Roots;
//! use polytls::{Backend, ClientConfig, Context, Result};
//!
//! // Written once, for whatever engine the caller wants.
//! fn client<B: Backend>(backend: &B) -> Result<impl Context + use<B>> {
//!     backend.client(ClientConfig::new(Roots::system()))
//! }
//!
//! // Or chosen by name, from what is compiled in.
//! for name in polytls::backend_names() {
//!     let backend = polytls::backend(name)?;
//!     println!("{name}: {}", backend.build_info());
//! }
//! # Ok::<(), polytls::Error>(())
//! ```

#![forbid(unsafe_code)]

mod registry;

pub use tls_core::{config, iana, pki_types, session};

pub use tls_core::{
    Alert, AlertDirection, AnyContext, Backend, BufferSession, BuildInfo, Capabilities,
    CertificateProblem, ChannelBinding, ClientConfig, ClientHello, ClientHelloReader,
    ConfigProblem, Context, Deferred, DeferredBufferSession, DynBackend, DynContext, Error,
    ErrorKind, Facts, Feature, Misuse, Operation, PostHandshakeAuth, Progress, Result, Role,
    ServerConfig, Session, SessionOptions, SharedParameter, Source, Status, StreamParts, Support,
    TlsStream, Verdict,
};
#[cfg(unix)]
pub use tls_core::{
    DeferredSocketSession, DetachError, Detached, ReadHalf, ReuniteError, SocketSession,
    SplitError, WriteHalf,
};

#[cfg(feature = "boring")]
pub use registry::boring;
#[cfg(feature = "openssl")]
pub use registry::openssl;
#[cfg(feature = "rustls")]
pub use registry::rustls;
#[cfg(feature = "rustls-ring")]
pub use registry::rustls_ring;
pub use registry::{backend, backend_names, backends};

/// Compiles the example in README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
