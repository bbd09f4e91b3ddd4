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
    items: &'a [&'a str],
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

    /// What came to something else in another report of the same suite: one line for each run.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = self.rows.iter().zip(&other.rows);
        let mut lines: Vec<_> = pairs
            .filter(|(one, two)| one.verdict.outcome != two.verdict.outcome)
            .map(|(one, two)| {
                format!(
                    "{}: {} and then {}: {}",
                    run_name(one.case, one.mode, one.version),
                    one.verdict.outcome.name(),
                    two.verdict.outcome.name(),
                    two.verdict.reason
                )
            })
            .collect();
        if self.rows.len() != other.rows.len() {
            let lengths = [self.rows.len(), other.rows.len()];
            lines.push(format!("{} runs and then {}", lengths[0], lengths[1]));
        }
        lines
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
                    items: row.case.items,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::verdict::Verdict;

    fn report(outcome: Outcome) -> Report {
        let case = cases::all().next().expect("there are cases");
        Report {
            backend: "one".to_owned(),
            library: "One 1.0".to_owned(),
            known_failures: 0,
            rows: vec![Row {
                case,
                mode: Mode::Buffer,
                version: ProtocolVersion::TLS1_3,
                verdict: Verdict {
                    outcome,
                    reason: "because".to_owned(),
                },
            }],
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_comes_to_something_else_is_told() {
        let passed = report(Outcome::Passed);
        assert!(passed.differences(&report(Outcome::Passed)).is_empty());
        let lines = passed.differences(&report(Outcome::Failed));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("/buffer/1.3: passed and then failed: because"));
        let mut shorter = report(Outcome::Passed);
        shorter.rows.clear();
        assert_eq!(passed.differences(&shorter), ["1 runs and then 0"]);
    }
}
