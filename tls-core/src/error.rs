//! The one error type, and who is at fault.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use thiserror::Error as ThisError;

use crate::capabilities::Feature;
use crate::iana::AlertDescription;

/// The result of every fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The cause underneath an [`Error`], shared so that a sticky error can be returned again.
pub type Source = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// Why an operation failed.
///
/// Cheap to clone: a session that has failed keeps its error and returns it from every later call
/// (contract K5).
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Operation,
    alert: Option<Alert>,
    detail: Cow<'static, str>,
    source: Option<Source>,
}

impl Error {
    /// Builds an error of this kind, met during this operation.
    #[cold]
    pub fn new(kind: ErrorKind, operation: Operation) -> Self {
        Self(Arc::new(Inner {
            kind,
            operation,
            alert: None,
            detail: Cow::Borrowed(""),
            source: None,
        }))
    }

    /// A configuration the caller gave cannot be used, and why in one sentence.
    #[cold]
    pub fn config(problem: ConfigProblem, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config(problem), Operation::Configure).with_detail(detail)
    }

    /// The backend cannot do what was asked, and why in one sentence.
    #[cold]
    pub fn unsupported(feature: Feature, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported(feature), Operation::Configure).with_detail(reason)
    }

    /// The caller used a session in a way the contract forbids.
    #[cold]
    pub fn misuse(misuse: Misuse, operation: Operation) -> Self {
        Self::new(ErrorKind::Misuse(misuse), operation)
    }

    /// A transport error: a reset or a broken pipe is [`ErrorKind::Reset`], anything else
    /// [`ErrorKind::Io`]. The operating system's error is kept as the source.
    #[cold]
    pub fn io(error: io::Error, operation: Operation) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => ErrorKind::Reset,
            _ => ErrorKind::Io,
        };
        Self::new(kind, operation).with_source(Arc::new(error))
    }

    /// The peer's fatal alert ended the session.
    #[cold]
    pub fn peer_alert(description: AlertDescription, operation: Operation) -> Self {
        Self::new(ErrorKind::PeerAlert, operation).with_alert(Alert {
            description,
            direction: AlertDirection::Received,
        })
    }

    /// Adds the sentence that says what exactly is wrong.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.0).detail = detail.into();
        self
    }

    /// Adds the alert that was sent or received.
    #[must_use]
    pub fn with_alert(mut self, alert: Alert) -> Self {
        Arc::make_mut(&mut self.0).alert = Some(alert);
        self
    }

    /// Adds the cause underneath.
    #[must_use]
    pub fn with_source(mut self, source: Source) -> Self {
        Arc::make_mut(&mut self.0).source = Some(source);
        self
    }

    /// What went wrong, and so who is at fault.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation during which it went wrong.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The fatal alert that goes with the error, with its direction, if one was sent (or is
    /// waiting to be drained) or received. RFC 8446 section 6.
    pub fn alert(&self) -> Option<Alert> {
        self.0.alert
    }

    /// The sentence that says what exactly is wrong; empty if the kind says it all.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            operation,
            alert,
            detail,
            source,
        } = &*self.0;
        // A problem of the configuration says itself where it was met.
        if !matches!(kind, ErrorKind::Config(_)) {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{kind}")?;
        if !detail.is_empty() {
            write!(f, ": {detail}")?;
        }
        if let Some(alert) = alert {
            write!(f, " ({alert})")?;
        }
        match source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("alert", &self.0.alert)
            .field("detail", &self.0.detail)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<Error> for io::Error {
    /// Keeps the error as the inner one; truncation becomes `UnexpectedEof`, a reset
    /// `ConnectionReset`, another error of the transport keeps its kind, misuse becomes
    /// `InvalidInput`, everything the peer did `InvalidData`.
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Truncated => io::ErrorKind::UnexpectedEof,
            ErrorKind::Reset => io::ErrorKind::ConnectionReset,
            ErrorKind::Misuse(_) | ErrorKind::Config(_) => io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported(_) => io::ErrorKind::Unsupported,
            ErrorKind::Io => error
                .0
                .source
                .as_deref()
                .and_then(|source| source.downcast_ref::<Self>())
                .map_or(io::ErrorKind::Other, Self::kind),
            ErrorKind::Backend => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// What went wrong, named by who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The engine failed on its own account (out of memory, internal error).
    #[error("the TLS engine failed")]
    Backend,
    /// The peer's certificate was not accepted.
    #[error("certificate not accepted: {0}")]
    Certificate(CertificateProblem),
    /// The configuration given cannot be used. Never reachable from the network.
    #[error("configuration: {0}")]
    Config(ConfigProblem),
    /// The transport failed; the operating system's error is the source.
    #[error("transport error")]
    Io,
    /// The caller broke the contract. Never reachable from the network.
    #[error("misuse: {0}")]
    Misuse(Misuse),
    /// The peers have nothing in common. RFC 8446 section 4.1.1.
    #[error("no {0} in common with the peer")]
    NoSharedParameters(SharedParameter),
    /// The peer ended the session with a fatal alert; [`Error::alert`] says which.
    #[error("the peer sent a fatal alert")]
    PeerAlert,
    /// The peer broke the protocol, or its bytes were changed on the way.
    #[error("the peer broke the protocol")]
    Protocol,
    /// The caller refused the client, with the alert that [`Error::alert`] names.
    #[error("the client was refused")]
    Refused,
    /// The connection was reset; the operating system's error is the source.
    #[error("connection reset by the peer")]
    Reset,
    /// The transport ended without a close_notify: data may be missing. RFC 8446 section 6.1.
    #[error("the transport ended without close_notify")]
    Truncated,
    /// The backend cannot do this, and says so before a connection starts.
    #[error("not supported by this backend: {0}")]
    Unsupported(Feature),
}

/// Why the peer's certificate was not accepted. RFC 5280 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The certificate, or one above it, cannot be decoded.
    #[error("it cannot be decoded")]
    BadEncoding,
    /// A signature in the chain does not verify.
    #[error("a signature does not verify")]
    BadSignature,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// The peer sent none though one is required.
    #[error("none was presented")]
    Missing,
    /// None of its subjectAltName entries is the expected name. RFC 9525.
    #[error("it is not valid for the expected name")]
    NameMismatch,
    /// It is not valid yet.
    #[error("it is not valid yet")]
    NotYetValid,
    /// Another rule of path validation failed.
    #[error("path validation failed")]
    Other,
    /// It was revoked.
    #[error("it has been revoked")]
    Revoked,
    /// No trusted root stands above it.
    #[error("its issuer is unknown or not trusted")]
    UnknownIssuer,
    /// Its key or signature is too weak.
    #[error("its key or signature algorithm is too weak")]
    Weak,
    /// Its key usage or extended key usage does not allow this role.
    #[error("it may not be used for this purpose")]
    WrongPurpose,
}

impl CertificateProblem {
    /// The alert that a peer gets whose certificate is rejected for this, RFC 8446 section 6.2: the
    /// same from every backend, and with TLS 1.2 too. Where a library refuses a certificate on its
    /// own, it may choose another of those that fit.
    pub const fn alert(self) -> AlertDescription {
        match self {
            Self::Expired | Self::NotYetValid => AlertDescription::CERTIFICATE_EXPIRED,
            Self::Revoked => AlertDescription::CERTIFICATE_REVOKED,
            Self::UnknownIssuer => AlertDescription::UNKNOWN_CA,
            Self::WrongPurpose => AlertDescription::UNSUPPORTED_CERTIFICATE,
            Self::Other => AlertDescription::CERTIFICATE_UNKNOWN,
            Self::BadEncoding
            | Self::BadSignature
            | Self::Missing
            | Self::NameMismatch
            | Self::Weak => AlertDescription::BAD_CERTIFICATE,
        }
    }

    /// Every problem.
    pub const ALL: &'static [Self] = &[
        Self::BadEncoding,
        Self::BadSignature,
        Self::Expired,
        Self::Missing,
        Self::NameMismatch,
        Self::NotYetValid,
        Self::Other,
        Self::Revoked,
        Self::UnknownIssuer,
        Self::Weak,
        Self::WrongPurpose,
    ];
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// An ALPN protocol name is empty or longer than 255 bytes. RFC 7301 section 3.1.
    #[error("a bad ALPN protocol name")]
    AlpnName,
    /// A certificate cannot be read or decoded.
    #[error("a bad certificate")]
    Certificate,
    /// Two settings exclude each other.
    #[error("settings that exclude each other")]
    Conflict,
    /// A list that must name something is empty.
    #[error("an empty list")]
    EmptyList,
    /// The private key is encrypted.
    #[error("an encrypted private key")]
    EncryptedKey,
    /// A file cannot be read.
    #[error("a file that cannot be read")]
    File,
    /// The private key does not belong to the certificate.
    #[error("a private key that does not match the certificate")]
    KeyMismatch,
    /// The private key cannot be read or decoded, or its kind is unknown.
    #[error("a bad private key")]
    PrivateKey,
    /// A limit is outside its allowed range.
    #[error("a limit out of range")]
    Limit,
    /// A server name is missing or malformed.
    #[error("a missing or malformed server name")]
    ServerName,
    /// There is no trust root, or a root cannot be used.
    #[error("no usable trust root")]
    TrustRoots,
    /// No backend of this name is compiled in.
    #[error("an unknown backend")]
    UnknownBackend,
    /// No cipher suite, group or version of this name is registered.
    #[error("an unknown name")]
    UnknownName,
    /// The lowest version is above the highest, or leaves no cipher suite.
    #[error("an empty version range")]
    VersionRange,
}

/// How the caller broke the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum Misuse {
    /// The descriptor is in blocking mode (contract K19).
    #[error("the descriptor is in blocking mode")]
    BlockingDescriptor,
    /// The session borrows its descriptor and cannot give it away.
    #[error("the descriptor is only borrowed")]
    BorrowedDescriptor,
    /// Ciphertext is still held, so that the descriptor cannot be given away.
    #[error("ciphertext is still held")]
    CiphertextHeld,
    /// An alert that ends a connection in order was to refuse a client.
    #[error("an alert that is no error")]
    ClosureAlert,
    /// A context that is itself still to be chosen.
    #[error("a deferred context where one is chosen")]
    DeferredContext,
    /// `handshake` was called before.
    #[error("the handshake has begun")]
    HandshakeBegun,
    /// `read` or `write`, or another call that needs it, before `handshake` gave `Complete`.
    #[error("the handshake is not complete")]
    HandshakeIncomplete,
    /// The label or context of exported keying material is none that every engine takes.
    #[error("a label or context that exporters do not take")]
    ExporterLabel,
    /// No keying material was asked for, or more than an exporter gives.
    #[error("a length that exporters do not give")]
    ExporterLength,
    /// `input_eof` was called and input was given after it.
    #[error("input after the end of input")]
    InputAfterEof,
    /// A client certificate was asked for by a server whose configuration has no roots for one.
    #[error("there are no roots to verify a client certificate against")]
    NoClientRoots,
    /// A verdict or answer was given though none was asked for.
    #[error("nothing is suspended")]
    NotSuspended,
    /// A client certificate was asked for while the answer to an earlier request is outstanding.
    #[error("a request for a client certificate is already pending")]
    RequestPending,
    /// More KeyUpdates were asked for than a peer endures without application data.
    #[error("too many KeyUpdates without application data between them")]
    TooManyKeyUpdates,
    /// `write` after own `shutdown` (contract K7).
    #[error("write after shutdown")]
    WriteAfterShutdown,
    /// A context of another backend than the session's.
    #[error("a context of another backend")]
    WrongBackend,
    /// A client context was used where a server context is needed, or the reverse.
    #[error("wrong role")]
    WrongRole,
}

/// What the peers have none of in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum SharedParameter {
    /// An application protocol. RFC 7301 section 3.2.
    #[error("application protocol")]
    ApplicationProtocol,
    /// A cipher suite, group or signature scheme.
    #[error("cipher suite, group or signature scheme")]
    CipherSuite,
    /// A protocol version.
    #[error("protocol version")]
    Version,
}

/// The operation during which an error was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum Operation {
    /// Building a configuration or a context.
    #[error("configuration")]
    Configure,
    /// Building a session.
    #[error("session")]
    CreateSession,
    /// `handshake`.
    #[error("handshake")]
    Handshake,
    /// `read`.
    #[error("read")]
    Read,
    /// `write`.
    #[error("write")]
    Write,
    /// `flush` or `drain`.
    #[error("flush")]
    Flush,
    /// `shutdown`.
    #[error("shutdown")]
    Shutdown,
    /// `request_key_update`.
    #[error("key update")]
    KeyUpdate,
    /// Deciding about the peer's certificate.
    #[error("verdict")]
    Validate,
    /// Choosing the client's certificate.
    #[error("client certificate")]
    Credentials,
    /// `request_client_certificate`.
    #[error("request for a client certificate")]
    RequestCertificate,
    /// `export_keying_material`.
    #[error("exporter")]
    Export,
    /// `channel_binding`.
    #[error("channel binding")]
    ChannelBinding,
    /// `split`.
    #[error("split")]
    Split,
    /// Taking the descriptor out of a session.
    #[error("detach")]
    Detach,
}

/// A fatal alert, and which way it went. RFC 8446 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[error("alert {description} {direction}")]
pub struct Alert {
    /// Which alert.
    pub description: AlertDescription,
    /// Which way it went.
    pub direction: AlertDirection,
}

/// Which way an alert went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
pub enum AlertDirection {
    /// This side sent it, or holds it for draining.
    #[error("sent")]
    Sent,
    /// The peer sent it.
    #[error("received")]
    Received,
}
