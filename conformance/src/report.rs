//! Reports: for people, and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tls_core::DynBackend;
use tls_core::iana::ProtocolVersion;

use crate::case::{Case, Mode, version_name};
use crate::run::run_name;
use crate::verdict::{Outcome, Verdict};

/// What a run of the suite came to.
#[derive(Debug)]
pub struct Report {
    /// The name of the backend.
    pub backend: String,
    /// The library underneath and its version.
    pub library: String,
    /// How many runs are declared known failures.
    pub known_failures: usize,
    /// One row for each run, in order.
    pub rows: Vec<Row>,
    /// What is wrong with the run as a whole: stale or too many known failures.
    pub problems: Vec<String>,
}

/// One run of a case.
#[derive(Debug)]
pub struct Row {
    /// The case.
    pub case: &'static Case,
    /// The mode it ran in.
    pub mode: Mode,
    /// The version it ran with.
    pub version: ProtocolVersion,
    /// What it came to.
    pub verdict: Verdict,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    backend: &'a str,
    library: &'a str,
    cases: Vec<JsonRow<'a>>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    name: &'a str,
    mode: &'a str,
    version: &'a str,
    outcome: &'a str,
    reason: &'a str,
}

impl Report {
    pub(crate) fn new(backend: &dyn DynBackend) -> Self {
        Self {
            backend: backend.name().to_owned(),
            library: backend.build_info().to_string(),
            known_failures: 0,
            rows: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Whether nothing unexpected happened.
    pub fn is_green(&self) -> bool {
        self.problems.is_empty() && self.count(Outcome::Failed) == 0
    }

    /// How many runs have this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows
            .iter()
            .filter(|row| row.verdict.outcome == outcome)
            .count()
    }

    /// The report as JSON, on one line.
    ///
    /// # Errors
    ///
    /// None that could happen: every value is text.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&JsonReport {
            backend: &self.backend,
            library: &self.library,
            cases: self
                .rows
                .iter()
                .map(|row| JsonRow {
                    name: row.case.name,
                    mode: row.mode.name(),
                    version: version_name(row.version),
                    outcome: row.verdict.outcome.name(),
                    reason: &row.verdict.reason,
                })
                .collect(),
        })
    }
}

impl fmt::Display for Report {
    /// Known failures first, then everything that failed, then the totals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "known failures declared: {}", self.known_failures)?;
        writeln!(f, "backend {} on {}", self.backend, self.library)?;
        for row in &self.rows {
            if matches!(row.verdict.outcome, Outcome::Failed | Outcome::KnownFailure) {
                writeln!(
                    f,
                    "{} {}: {}",
                    row.verdict.outcome.name(),
                    run_name(row.case, row.mode, row.version),
                    row.verdict.reason
                )?;
            }
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        writeln!(f, "{}", Totals::of(self.rows.iter()))?;
        let mut clauses: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            for clause in row.case.clauses {
                let number = clause.trim_start_matches('K').parse().unwrap_or(0);
                clauses.entry(number).or_default().push(row);
            }
        }
        for (clause, rows) in clauses {
            writeln!(f, "  K{clause:<3} {}", Totals::of(rows.into_iter()))?;
        }
        Ok(())
    }
}

struct Totals([(Outcome, usize); 4]);

impl Totals {
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut totals = Outcome::ALL.map(|outcome| (outcome, 0));
        for row in rows {
            for (outcome, count) in &mut totals {
                if *outcome == row.verdict.outcome {
                    *count += 1;
                }
            }
        }
        Self(totals)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.0.iter().map(|(_, count)| count).sum();
        write!(f, "{total} runs:")?;
        for (outcome, count) in &self.0 {
            write!(f, " {count} {}", outcome.name())?;
            if *outcome != Outcome::Failed {
                f.write_str(",")?;
            }
        }
        Ok(())
    }
}
