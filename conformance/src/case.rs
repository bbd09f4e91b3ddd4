//! What a case is: data, and a function that fails or does not.

use std::fmt;

use serde::{Deserialize, Serialize};
use tls_core::iana::ProtocolVersion;
use tls_core::{AlertDirection, Error, Feature};

use crate::scene::Scene;

/// One case. It is run in each mode and with each version it applies to.
///
/// [`cases`](crate::cases) says how to write one.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Topic and name, `close.half_close`; unique.
    pub name: &'static str,
    /// Where the behaviour is specified, `RFC 8446 6.1`; the contract's clause if no RFC speaks of
    /// it.
    pub rfc: &'static str,
    /// The clauses of the contract the case holds a backend to: `K1` to `K20`, at least one.
    pub clauses: &'static [&'static str],
    /// The items of the project's lists of known pitfalls that the case covers.
    pub items: &'static [&'static str],
    /// What the backend must have for the case to run. The mode and the version are understood.
    /// Where one is missing, the backend is asked for it instead and must refuse.
    pub requires: &'static [Feature],
    /// The versions the case applies to, by the clause itself.
    pub versions: Versions,
    /// The modes the case applies to, by the clause itself.
    pub modes: Modes,
    /// The case itself.
    pub run: fn(&Scene<'_>) -> CaseResult,
}

impl Case {
    /// A case with everything but its name and function left open, for use as
    /// `Case { clauses: &["K7"], ..Case::new("close.half_close", half_close) }`.
    pub const fn new(name: &'static str, run: fn(&Scene<'_>) -> CaseResult) -> Self {
        Self {
            name,
            rfc: "",
            clauses: &[],
            items: &[],
            requires: &[],
            versions: Versions::Both,
            modes: Modes::Both,
            run,
        }
    }

    /// The mode and version combinations the case runs in, in report order.
    pub fn runs(&self) -> impl Iterator<Item = (Mode, ProtocolVersion)> + use<> {
        let (modes, versions) = (self.modes, self.versions);
        Mode::ALL
            .iter()
            .copied()
            .filter(move |mode| modes.includes(*mode))
            .flat_map(move |mode| {
                [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3]
                    .into_iter()
                    .filter(move |version| versions.includes(*version))
                    .map(move |version| (mode, version))
            })
    }
}

/// How the session under test is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The caller passes ciphertext in and out: `BufferSession`.
    Buffer,
    /// The session drives a descriptor: `SocketSession`.
    Socket,
}

impl Mode {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::Buffer, Self::Socket];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buffer => "buffer",
            Self::Socket => "socket",
        }
    }

    /// The feature a backend with this mode has.
    pub const fn feature(self) -> Feature {
        match self {
            Self::Buffer => Feature::BufferMode,
            Self::Socket => Feature::SocketMode,
        }
    }
}

/// The name of a version in reports: `1.2`, `1.3`.
pub const fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLS1_2 => "1.2",
        _ => "1.3",
    }
}

/// The versions a case applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    Both,
    /// One of them, because the clause or the RFC knows the behaviour there only.
    Only(ProtocolVersion),
}

impl Versions {
    /// TLS 1.2 alone.
    pub const TLS12: Self = Self::Only(ProtocolVersion::TLS1_2);
    /// TLS 1.3 alone.
    pub const TLS13: Self = Self::Only(ProtocolVersion::TLS1_3);

    /// Whether a version is among them.
    pub fn includes(self, version: ProtocolVersion) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == version,
        }
    }
}

/// The modes a case applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// Buffer and socket mode.
    Both,
    /// Buffer mode alone: the clause speaks of slices.
    BufferOnly,
    /// Socket mode alone: the clause speaks of the descriptor.
    SocketOnly,
}

impl Modes {
    /// Whether a mode is among them.
    pub fn includes(self, mode: Mode) -> bool {
        match self {
            Self::Both => true,
            Self::BufferOnly => mode == Mode::Buffer,
            Self::SocketOnly => mode == Mode::Socket,
        }
    }
}

/// What a case comes to.
pub type CaseResult<T = ()> = Result<T, Failure>;

/// Why a case failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short stable label that a declared known failure names: `assertion`, `hang`, `panic`,
    /// `error:Truncated`, `alert:handshake_failure`, `alert:none`.
    pub kind: String,
    /// What was expected, and what was met instead.
    pub message: String,
}

impl Failure {
    /// A failure with this label.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }

    /// Something expected was not so.
    pub fn assertion(message: impl Into<String>) -> Self {
        Self::new("assertion", message)
    }

    /// Nothing moves any more, or for too long.
    pub fn hang(message: impl Into<String>) -> Self {
        Self::new("hang", message)
    }

    /// The same failure, with what was being done put in front.
    #[must_use]
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<Error> for Failure {
    /// An error where none was expected; its kind becomes the label.
    fn from(error: Error) -> Self {
        Self::new(format!("error:{:?}", error.kind()), describe(&error))
    }
}

impl From<std::io::Error> for Failure {
    /// The suite's own transport failed: never a backend's fault, always a failure.
    fn from(error: std::io::Error) -> Self {
        Self::new("harness", format!("the test transport failed: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.kind, self.message)
    }
}

/// An error in one line, with its kind spelt out.
pub fn describe(error: &Error) -> String {
    format!("{:?}: {error}", error.kind())
}

/// The label and words for the alert an error carries: `unknown_ca sent`, `none`.
pub(crate) fn alert_label(error: &Error) -> String {
    error
        .alert()
        .map_or_else(|| "none".to_owned(), |alert| alert.description.to_string())
}

/// Which way an alert goes, in words.
pub(crate) fn direction_name(direction: AlertDirection) -> &'static str {
    match direction {
        AlertDirection::Sent => "sent",
        AlertDirection::Received => "received",
    }
}
