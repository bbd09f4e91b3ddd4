//! Cells, what they come to, and which there must be.

use std::fmt;

use tls_core::iana::ProtocolVersion;

use crate::case::{Mode, version_name};
use crate::verdict::{Outcome, Verdict};

/// One client against one server, with one version and a mode for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The name of the client's peer.
    pub client: String,
    /// The name of the server's peer.
    pub server: String,
    /// The one version that both speak.
    pub version: ProtocolVersion,
    /// How the client's session is driven.
    pub client_mode: Mode,
    /// How the server's session is driven.
    pub server_mode: Mode,
}

impl Cell {
    /// Every cell that these peers must have, in order.
    pub fn all(peers: &[String]) -> Vec<Self> {
        let mut cells = Vec::new();
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            for client in peers {
                for server in peers {
                    for (client_mode, server_mode) in MODES {
                        cells.push(Self {
                            client: client.clone(),
                            server: server.clone(),
                            version,
                            client_mode,
                            server_mode,
                        });
                    }
                }
            }
        }
        cells
    }
}

/// The modes of client and server, in the order of the grid.
pub(crate) const MODES: [(Mode, Mode); 4] = [
    (Mode::Buffer, Mode::Buffer),
    (Mode::Buffer, Mode::Socket),
    (Mode::Socket, Mode::Buffer),
    (Mode::Socket, Mode::Socket),
];

impl fmt::Display for Cell {
    /// `client/server/version/client mode/server mode`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}/{}",
            self.client,
            self.server,
            version_name(self.version),
            self.client_mode.name(),
            self.server_mode.name()
        )
    }
}

/// One step of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// The name of the step.
    pub name: &'static str,
    /// What it counts as, and why.
    pub verdict: Verdict,
}

/// The name of a step's outcome in reports.
pub(super) const fn step_outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::VerifiedUnsupported => "unsupported",
        Outcome::KnownFailure => "known_gap",
        Outcome::Failed => "failed",
    }
}

/// What a cell counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellOutcome {
    /// Every step passed, or is about a feature that one side lacks and was seen to lack.
    Passed,
    /// A step failed as declared, and none otherwise.
    KnownGap,
    /// A step failed.
    Failed,
}

impl CellOutcome {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::KnownGap => "known_gap",
            Self::Failed => "failed",
        }
    }

    /// The mark in the grid.
    pub const fn mark(self) -> char {
        match self {
            Self::Passed => '.',
            Self::KnownGap => 'g',
            Self::Failed => 'F',
        }
    }
}

/// A cell that was run.
#[derive(Debug, Clone)]
pub struct CellReport {
    /// Which.
    pub cell: Cell,
    /// The client's library and its version.
    pub client_library: String,
    /// The server's library and its version.
    pub server_library: String,
    /// Its steps, in order.
    pub steps: Vec<StepReport>,
}

impl CellReport {
    /// What the cell counts as.
    pub fn outcome(&self) -> CellOutcome {
        let any = |outcome| {
            self.steps
                .iter()
                .any(|step| step.verdict.outcome == outcome)
        };
        if any(Outcome::Failed) || self.steps.is_empty() {
            CellOutcome::Failed
        } else if any(Outcome::KnownFailure) {
            CellOutcome::KnownGap
        } else {
            CellOutcome::Passed
        }
    }
}
