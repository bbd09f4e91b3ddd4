//! What the matrix came to: as JSON, and as a grid for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use tls_core::iana::ProtocolVersion;

use super::cell::{Cell, CellOutcome, CellReport, MODES, step_outcome};
use super::steps::steps;
use crate::case::version_name;
use crate::verdict::Outcome;

/// What the matrix came to, against what it had to.
#[derive(Debug)]
pub struct Report {
    /// The cells that ran, in the order in which they did.
    pub cells: Vec<CellReport>,
    /// The cells that had to run and did not, or not with every step.
    pub missing: Vec<String>,
    /// Whatever else is wrong.
    pub problems: Vec<String>,
    peers: Vec<String>,
}

impl Report {
    /// Holds what ran against the cells there must be, which nothing that ran has a say in.
    pub fn new(peers: Vec<String>, expected: &[Cell], cells: Vec<CellReport>) -> Self {
        let mut missing = Vec::new();
        let mut problems = Vec::new();
        let mut ran = BTreeMap::new();
        for report in &cells {
            if ran.insert(&report.cell, report).is_some() {
                problems.push(format!("{} ran twice", report.cell));
            }
        }
        for cell in expected {
            let Some(report) = ran.remove(cell) else {
                missing.push(cell.to_string());
                continue;
            };
            let done: BTreeSet<_> = report.steps.iter().map(|step| step.name).collect();
            let due = steps(cell.version).map(|step| step.name);
            missing.extend(
                due.filter(|name| !done.contains(name))
                    .map(|name| format!("{cell}, step {name}")),
            );
        }
        problems.extend(ran.keys().map(|cell| format!("{cell} ran, and is no cell")));
        if expected.is_empty() {
            problems.push("there is no such cell".to_owned());
        }
        Self {
            cells,
            missing,
            problems,
            peers,
        }
    }

    /// Whether every cell ran and none failed.
    pub fn is_green(&self) -> bool {
        self.missing.is_empty() && self.problems.is_empty() && self.count(CellOutcome::Failed) == 0
    }

    /// How many cells have this outcome.
    pub fn count(&self, outcome: CellOutcome) -> usize {
        let cells = self.cells.iter();
        cells.filter(|report| report.outcome() == outcome).count()
    }

    /// The report as JSON.
    ///
    /// # Errors
    ///
    /// None that could happen: every value is text.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&JsonReport {
            cells: self.cells.iter().map(json_cell).collect(),
        })
    }

    fn grid(&self, f: &mut fmt::Formatter<'_>, version: ProtocolVersion) -> fmt::Result {
        let width = self.peers.iter().map(String::len).max().unwrap_or(0);
        let column = width.max(MODES.len());
        write!(f, "TLS {}, {:width$}", version_name(version), "")?;
        for server in &self.peers {
            write!(f, "  {server:column$}")?;
        }
        writeln!(f)?;
        for client in &self.peers {
            write!(f, "         {client:width$}")?;
            for server in &self.peers {
                let marks: String = MODES
                    .iter()
                    .map(|&(client_mode, server_mode)| {
                        let cell = Cell {
                            client: client.clone(),
                            server: server.clone(),
                            version,
                            client_mode,
                            server_mode,
                        };
                        self.mark(&cell)
                    })
                    .collect();
                write!(f, "  {marks:column$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn mark(&self, cell: &Cell) -> char {
        let report = self.cells.iter().find(|report| report.cell == *cell);
        report.map_or('-', |report| report.outcome().mark())
    }

    /// What one side lacks, or is known to fail, once for all cells where the reason is the same.
    fn remarks(&self) -> BTreeMap<(&'static str, &'static str, &str), usize> {
        let mut remarks = BTreeMap::new();
        for step in self.cells.iter().flat_map(|report| &report.steps) {
            if !matches!(step.verdict.outcome, Outcome::Passed | Outcome::Failed) {
                let outcome = step_outcome(step.verdict.outcome);
                *remarks
                    .entry((outcome, step.name, &*step.verdict.reason))
                    .or_insert(0) += 1;
            }
        }
        remarks
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Clients down, servers across. Four marks for buffer-buffer, buffer-socket, \
             socket-buffer, socket-socket:\n. passed, g known gap, F failed, - not run"
        )?;
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            self.grid(f, version)?;
        }
        for ((outcome, step, reason), count) in self.remarks() {
            writeln!(f, "{outcome}: {step}, {count} cells: {reason}")?;
        }
        for report in &self.cells {
            for step in &report.steps {
                if step.verdict.outcome == Outcome::Failed {
                    writeln!(
                        f,
                        "failed: {}, step {}: {}",
                        report.cell, step.name, step.verdict.reason
                    )?;
                }
            }
        }
        for missing in &self.missing {
            writeln!(f, "missing: {missing}")?;
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        let steps: usize = self.cells.iter().map(|report| report.steps.len()).sum();
        writeln!(
            f,
            "{} cells of {steps} steps: {} passed, {} known gaps, {} failed, {} missing",
            self.cells.len(),
            self.count(CellOutcome::Passed),
            self.count(CellOutcome::KnownGap),
            self.count(CellOutcome::Failed),
            self.missing.len()
        )
    }
}

#[derive(Serialize)]
struct JsonReport<'a> {
    cells: Vec<JsonCell<'a>>,
}

#[derive(Serialize)]
struct JsonCell<'a> {
    client: &'a str,
    client_library: &'a str,
    server: &'a str,
    server_library: &'a str,
    version: &'a str,
    client_mode: &'a str,
    server_mode: &'a str,
    outcome: &'a str,
    steps: Vec<JsonStep<'a>>,
}

#[derive(Serialize)]
struct JsonStep<'a> {
    name: &'a str,
    outcome: &'a str,
    reason: &'a str,
}

fn json_cell(report: &CellReport) -> JsonCell<'_> {
    let cell = &report.cell;
    JsonCell {
        client: &cell.client,
        client_library: &report.client_library,
        server: &cell.server,
        server_library: &report.server_library,
        version: version_name(cell.version),
        client_mode: cell.client_mode.name(),
        server_mode: cell.server_mode.name(),
        outcome: report.outcome().name(),
        steps: report
            .steps
            .iter()
            .map(|step| JsonStep {
                name: step.name,
                outcome: step_outcome(step.verdict.outcome),
                reason: &step.verdict.reason,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::cell::StepReport;
    use crate::verdict::Verdict;

    fn names() -> Vec<String> {
        ["one", "two"].map(str::to_owned).to_vec()
    }

    /// Every cell of two peers, as if all had passed.
    fn passed() -> Vec<CellReport> {
        let cells = Cell::all(&names()).into_iter();
        cells
            .map(|cell| CellReport {
                client_library: "One 1.0".to_owned(),
                server_library: "Two 2.0".to_owned(),
                steps: steps(cell.version)
                    .map(|step| StepReport {
                        name: step.name,
                        verdict: verdict(Outcome::Passed),
                    })
                    .collect(),
                cell,
            })
            .collect()
    }

    fn verdict(outcome: Outcome) -> Verdict {
        Verdict {
            outcome,
            reason: "because".to_owned(),
        }
    }

    fn report(cells: Vec<CellReport>) -> Report {
        Report::new(names(), &Cell::all(&names()), cells)
    }

    #[test]
    fn all_cells_passed_is_green() {
        let report = report(passed());
        assert!(report.is_green(), "{report}");
        // Two clients, two servers, two versions, two modes for each.
        assert_eq!(report.cells.len(), 2 * 2 * 2 * 4);
        assert!(report.to_string().contains("....  ...."), "{report}");
    }

    #[test]
    fn a_missing_cell_is_not() {
        let mut cells = passed();
        let gone = cells.remove(5);
        let report = report(cells);
        assert!(!report.is_green());
        let text = report.to_string();
        assert!(
            text.contains(&format!("missing: {}\n", gone.cell)),
            "{text}"
        );
        assert!(text.contains(".-.."), "{text}");
    }

    #[test]
    fn a_missing_step_is_not() {
        let mut cells = passed();
        cells[0].steps.pop();
        let report = report(cells);
        assert!(!report.is_green());
        assert_eq!(report.missing.len(), 1);
    }

    #[test]
    fn a_cell_that_ran_twice_or_is_none_is_a_problem() {
        let mut twice = passed();
        twice.push(twice[0].clone());
        assert!(!report(twice).is_green());
        let mut strange = passed();
        strange.push(strange[0].clone());
        strange[0].cell.client = "three".to_owned();
        let report = report(strange);
        assert!(!report.is_green());
        assert!(report.problems[0].contains("three"), "{report}");
        assert!(!Report::new(names(), &[], Vec::new()).is_green());
    }

    #[test]
    fn one_step_decides_for_its_cell() {
        for (step, cell, green) in [
            (Outcome::VerifiedUnsupported, CellOutcome::Passed, true),
            (Outcome::KnownFailure, CellOutcome::KnownGap, true),
            (Outcome::Failed, CellOutcome::Failed, false),
        ] {
            let mut cells = passed();
            cells[3].steps[2].verdict = verdict(step);
            let report = report(cells);
            assert_eq!(report.cells[3].outcome(), cell);
            assert_eq!(report.is_green(), green);
            assert!(report.to_string().contains("because"));
        }
    }
}
