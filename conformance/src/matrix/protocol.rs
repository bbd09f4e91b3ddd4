//! What the matrix asks its peers, and what they answer: one JSON object a line, one answer to
//! each ask, in order. A peer says [`Answer::Hello`] unasked when it starts.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};
use tls_core::config::{Identity, Roots};
use tls_core::iana::ProtocolVersion;
use tls_core::pki_types::{CertificateDer, PrivateKeyDer};
use tls_core::{AlertDirection, Error, Facts};

use crate::case::{Failure, Mode, describe};

/// What a peer is asked to do. It has at most one context and one connection, its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Make a context.
    Configure(Configuration),
    /// Connect to the other peer's port, and make a client session.
    Connect {
        port: u16,
        mode: Mode,
        server_name: String,
    },
    /// Accept the connection that comes from this port, and make a server session.
    Accept { from: u16, mode: Mode },
    /// Take the handshake to its end.
    Handshake,
    /// Send a piece of the pattern and receive this many bytes, both at once.
    Transfer { send: Piece, receive: usize },
    /// Send a KeyUpdate.
    KeyUpdate,
    /// Tell what is exported, and the channel bindings.
    Bind,
    /// End this side with a close_notify.
    ShutDown,
    /// End this side without a close_notify: the transport alone.
    Cut,
    /// Receive until the other side's end.
    ReadToEnd,
    /// Drop the context and the connection.
    Forget,
}

impl Ask {
    /// What is asked for, in words.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Configure(_) => "make a context",
            Self::Connect { .. } => "connect",
            Self::Accept { .. } => "accept",
            Self::Handshake => "handshake",
            Self::Transfer { .. } => "transfer",
            Self::KeyUpdate => "send a KeyUpdate",
            Self::Bind => "tell its bindings",
            Self::ShutDown => "shut down",
            Self::Cut => "cut the connection",
            Self::ReadToEnd => "read to the end",
            Self::Forget => "forget",
        }
    }
}

/// What a context is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) role: RoleConfiguration,
    /// The number of the one version to speak.
    pub(crate) version: u16,
    pub(crate) alpn: Vec<String>,
}

/// What differs between the roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleConfiguration {
    Client {
        roots: Vec<Vec<u8>>,
        identity: Option<Credentials>,
        send_sni: bool,
    },
    Server {
        identity: Credentials,
        /// The roots for certificates of clients, which are then required.
        client_roots: Option<Vec<Vec<u8>>>,
    },
}

/// A certificate chain and its key, in DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl From<&Identity> for Credentials {
    fn from(identity: &Identity) -> Self {
        Self {
            chain: identity.chain().iter().map(|der| der.to_vec()).collect(),
            key: identity.key().secret_der().to_vec(),
        }
    }
}

impl Credentials {
    pub(crate) fn identity(self) -> Result<Identity, Problem> {
        let key = PrivateKeyDer::try_from(self.key).map_err(Problem::harness)?;
        Ok(Identity::from_der(certificates(self.chain), key)?)
    }
}

/// Trust roots, in DER.
pub(crate) fn roots_der(roots: &Roots) -> Vec<Vec<u8>> {
    roots.given.iter().map(|der| der.to_vec()).collect()
}

/// Certificates out of their DER.
pub(crate) fn certificates(der: Vec<Vec<u8>>) -> Vec<CertificateDer<'static>> {
    der.into_iter().map(CertificateDer::from).collect()
}

/// A number of bytes of the pattern with this seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) length: usize,
    pub(crate) seed: u8,
}

impl Piece {
    pub(crate) const NONE: Self = Self { length: 0, seed: 0 };

    pub(crate) fn bytes(self) -> Vec<u8> {
        crate::cases::pattern(self.length, self.seed)
    }
}

/// What a peer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Hello(Hello),
    Done,
    /// The port that the connection comes from.
    Connected {
        port: u16,
    },
    Handshaken(Told),
    Transferred {
        sent: usize,
        received: Received,
    },
    KeyUpdate {
        /// The ciphertext that was pending before, and is after, in bytes.
        pending: [usize; 2],
    },
    Bound {
        /// What is exported with no context, an empty one and another, in hexadecimal.
        exported: Vec<String>,
        /// By their names: the value, nothing where there is none, or the label of the problem.
        bindings: BTreeMap<String, Result<Option<String>, String>>,
    },
    /// The status of `shutdown`, as it is written in the code.
    ShutDown {
        status: String,
    },
    /// What came before the end, and the error it was, if it was no close_notify.
    Ended {
        received: Received,
        error: Option<Problem>,
    },
    Failed(Problem),
}

impl Answer {
    /// What a peer has answered, in a sentence.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Failed(problem) => problem.text.clone(),
            other => format!("the answer {other:?}"),
        }
    }
}

/// Who a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The name of the backend.
    pub(crate) backend: String,
    /// Every backend that is compiled in.
    pub(crate) compiled_in: Vec<String>,
    /// The library underneath and its version.
    pub(crate) library: String,
    /// The port of its listener.
    pub(crate) port: u16,
    /// Why it lacks what it lacks, by the name of the feature.
    pub(crate) lacks: BTreeMap<String, String>,
}

/// What a handshake settled, as one side tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) version: String,
    pub(crate) cipher_suite: String,
    pub(crate) group: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) resumed: bool,
    /// The fingerprints of the peer's chain.
    pub(crate) peer_certificates: Option<Vec<String>>,
}

impl From<&Facts> for Told {
    fn from(facts: &Facts) -> Self {
        Self {
            version: facts.protocol_version.to_string(),
            cipher_suite: facts.cipher_suite.to_string(),
            group: facts.group.map(|group| group.to_string()),
            alpn: facts
                .alpn
                .as_deref()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            server_name: facts.server_name.clone(),
            resumed: facts.resumed,
            peer_certificates: facts.peer_certificates.as_deref().map(fingerprints),
        }
    }
}

/// The fingerprints of a chain.
pub(crate) fn fingerprints(chain: &[CertificateDer<'static>]) -> Vec<String> {
    chain
        .iter()
        .map(|certificate| hexadecimal(digest(&SHA256, certificate).as_ref()))
        .collect()
}

/// What was received: how much, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
}

impl Received {
    /// What is received when these bytes are sent.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut tally = Tally::new();
        tally.add(bytes);
        tally.total()
    }
}

/// Counts and digests what is received.
pub(crate) struct Tally {
    bytes: usize,
    context: Context,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            bytes: 0,
            context: Context::new(&SHA256),
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.context.update(bytes);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn total(self) -> Received {
        Received {
            bytes: self.bytes,
            sha256: hexadecimal(self.context.finish().as_ref()),
        }
    }
}

/// An error, as one side tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// As the labels of a [`Failure`]: `error:Truncated`, `hang`, `harness`.
    pub(crate) label: String,
    pub(crate) alert: Option<AlertTold>,
    pub(crate) text: String,
}

/// An alert, as one side tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AlertTold {
    /// Its number.
    pub(crate) code: u8,
    /// Whether the side sent it, or received it.
    pub(crate) sent: bool,
}

impl Problem {
    /// What is around the session failed, not the session.
    pub(crate) fn harness(text: impl ToString) -> Self {
        Self {
            label: "harness".to_owned(),
            alert: None,
            text: text.to_string(),
        }
    }

    pub(crate) fn hang(text: impl Into<String>) -> Self {
        Self {
            label: "hang".to_owned(),
            alert: None,
            text: text.into(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self {
            alert: error.alert().map(|alert| AlertTold {
                code: alert.description.0,
                sent: alert.direction == AlertDirection::Sent,
            }),
            text: describe(&error),
            label: Failure::from(error).kind,
        }
    }
}

/// The version that a number in a [`Configuration`] means.
pub(crate) fn version(number: u16) -> ProtocolVersion {
    ProtocolVersion(number)
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
