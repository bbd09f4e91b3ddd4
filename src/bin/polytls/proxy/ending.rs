//! Why a connection ended, and the one line that says so.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use polytls::iana::ProtocolVersion;
use polytls::{Error, ErrorKind, Facts};
use tracing::{info, warn};

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Both directions ended cleanly.
    Complete,
    /// The handshake did not succeed.
    Handshake(Error),
    /// The handshake took too long.
    HandshakeTimeout,
    /// The TLS side failed after the handshake: truncation, reset, a broken record.
    Client(Error),
    /// No connection to the upstream could be made.
    Connect(io::Error),
    /// The upstream was reset, or ended while it refused what the client sent.
    Upstream(io::Error),
    /// The upstream's answer is complete, and it did not take all that the client sent.
    UploadRefused(io::Error),
    /// Nothing moved for too long.
    Idle,
    /// The time to finish was over when the proxy stopped.
    Stopped,
}

impl Ending {
    /// The outcome in one word, for logs.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Handshake(_) => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Client(error) => match error.kind() {
                ErrorKind::Truncated => "client_truncated",
                ErrorKind::Reset => "client_reset",
                _ => "client_failed",
            },
            Self::Connect(_) => "upstream_unreachable",
            Self::Upstream(_) => "upstream_reset",
            Self::UploadRefused(_) => "upload_refused",
            Self::Idle => "idle_timeout",
            Self::Stopped => "stopped",
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Complete => "both sides closed".to_owned(),
            Self::Handshake(error) | Self::Client(error) => error.to_string(),
            Self::HandshakeTimeout => "the handshake took too long".to_owned(),
            Self::Connect(error) => format!("cannot connect to the upstream: {error}"),
            Self::Upstream(error) => format!("the upstream broke off: {error}"),
            Self::UploadRefused(error) => {
                format!("the upstream closed before it had taken everything: {error}")
            }
            Self::Idle => "nothing moved for too long".to_owned(),
            Self::Stopped => "still open when the time to finish was over".to_owned(),
        }
    }

    /// Whether the operator should look.
    fn is_ours(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Handshake(error) | Self::Client(error) => {
                matches!(error.kind(), ErrorKind::Backend | ErrorKind::Misuse(_))
            }
            _ => false,
        }
    }
}

/// What a connection was, for its line in the log.
pub(super) struct Summary<'a> {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    pub(super) facts: Option<&'a Facts>,
    /// Plaintext bytes the upstream took.
    pub(super) uploaded: u64,
    /// Plaintext bytes the TLS session took.
    pub(super) downloaded: u64,
    pub(super) duration: Duration,
}

impl Summary<'_> {
    /// Logs one line. Names that came over the network are escaped.
    pub(super) fn log(&self, ending: &Ending) {
        let facts = self.facts;
        let version = facts.map_or(ProtocolVersion(0), |facts| facts.protocol_version);
        let alpn = facts.and_then(|facts| facts.alpn.as_deref());
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    id = self.id,
                    peer = %self.peer,
                    outcome = ending.outcome(),
                    reason = ending.reason(),
                    version = facts.map(|_| tracing::field::display(version)),
                    suite = facts.map(|facts| tracing::field::display(facts.cipher_suite)),
                    group = facts
                        .and_then(|facts| facts.group)
                        .map(tracing::field::display),
                    alpn = alpn.map(|alpn| tracing::field::display(alpn.escape_ascii())),
                    server_name = facts.and_then(|facts| facts.server_name.as_deref()),
                    resumed = facts.map(|facts| facts.resumed),
                    client_certificate = facts.map(|facts| facts.peer_certificates.is_some()),
                    uploaded = self.uploaded,
                    downloaded = self.downloaded,
                    milliseconds = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
                    "connection ended"
                )
            };
        }
        if ending.is_ours() {
            line!(warn);
        } else {
            line!(info);
        }
    }
}

/// Totals over all workers.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) accepted: AtomicU64,
    pub(super) complete: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) uploaded: AtomicU64,
    pub(super) downloaded: AtomicU64,
}

impl Totals {
    /// Counts the end of a connection.
    pub(super) fn count(&self, ending: &Ending, summary: &Summary<'_>) {
        let outcome = match ending {
            Ending::Complete => &self.complete,
            _ => &self.failed,
        };
        outcome.fetch_add(1, Relaxed);
        self.uploaded.fetch_add(summary.uploaded, Relaxed);
        self.downloaded.fetch_add(summary.downloaded, Relaxed);
    }
}
