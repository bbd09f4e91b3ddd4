//! The matrix: every client against every server, over loopback TCP.
//!
//! A cell is one client against one server, with one version and a mode for each. Two libssl cannot
//! be in one program, so each backend is in a program of its own, the [`peer`], which the matrix
//! [`build`]s and talks to over its stdin and stdout. Each backend has two processes, one that plays
//! clients and one that plays servers, for the whole run; one that hangs, dies or babbles fails its
//! step and is replaced.
//!
//! Each step of a cell is checked against what *both* sides say. A step about a feature that one
//! side lacks counts as `unsupported` if the lack shows when the feature is asked for, and the rest
//! of the step holds; a cell with such steps has passed. What an engine does wrong is declared in
//! `matrix-gaps.toml`, as [`gaps`] says, with a glob over
//! `step/client/server/version/client mode/server mode`, and for the library of either side; it must
//! fail as declared. No more than 5 % of all cells may have such a step.
//!
//! Which cells there must be follows from the names of the peers alone, so a cell that did not run
//! is noticed.

mod build;
mod cell;
pub mod peer;
mod process;
mod protocol;
mod report;
mod sides;
mod stage;
mod steps;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tls_core::iana::ProtocolVersion;

use crate::gaps::{self, Gap, Gaps};
use crate::run::Filter;
use crate::verdict::{Observed, Outcome, judge};

pub use build::{LIBRESSL_DIR, backend_of, build, names};
pub use cell::{Cell, CellOutcome, CellReport, StepReport};
pub use process::{Program, seconds};
pub use report::Report;

use cell::MODES;
use process::Process;
use protocol::Hello;
use stage::{Digests, Stage, Stop};
use steps::{Step, steps};

/// The matrix, ready to be run.
#[derive(Debug)]
pub struct Matrix {
    /// The peers that take part.
    pub programs: Vec<Program>,
    /// The file with what engines are known to do wrong.
    pub gaps: PathBuf,
    /// Only the cells whose name matches, if there is one.
    pub only: Option<Filter>,
}

impl Matrix {
    /// Runs every cell, and tells on stderr how it goes on. Blocks, but never for ever: everything
    /// has a deadline.
    pub fn run(&self) -> Report {
        let mut problems = Vec::new();
        let mut run = Run::default();
        for program in &self.programs {
            if let Err(problem) = run.add(program, &self.gaps) {
                problems.push(problem);
            }
        }
        problems.extend(run.gap_problems());
        run.every_cell(|cell| self.lets_through(cell));

        let names: Vec<_> = self.programs.iter().map(|it| it.name.clone()).collect();
        let mut expected = Cell::all(&names);
        expected.retain(|cell| self.lets_through(cell));
        let mut report = Report::new(names, &expected, run.cells);
        report.problems.extend(problems);
        report
    }

    fn lets_through(&self, cell: &Cell) -> bool {
        self.only
            .as_ref()
            .is_none_or(|filter| filter.matches(&cell.to_string()))
    }
}

/// A run: the peers that are there, and what came of the cells so far.
#[derive(Default)]
struct Run {
    peers: Vec<Known>,
    /// One process of each peer plays all clients, in the order of the peers.
    clients: Vec<Process>,
    /// Another one plays all servers.
    servers: Vec<Process>,
    digests: Digests,
    cells: Vec<CellReport>,
}

/// What is known of a peer.
struct Known {
    name: String,
    library: String,
    gaps: Gaps,
}

impl Run {
    /// Starts both processes of a peer.
    fn add(&mut self, program: &Program, gaps: &Path) -> Result<(), String> {
        let mut client = Process::new(program.clone());
        let mut server = Process::new(program.clone());
        let library = hello(&mut client, program)?;
        hello(&mut server, program)?;
        let tests = ["openssl", "rustls", "boring"].map(|engine| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            root.join(format!("backend-{engine}/tests"))
        });
        self.peers.push(Known {
            name: program.name.clone(),
            gaps: Gaps::read_with_tests_in(gaps, &library, &tests)
                .map_err(|problems| problems.join("\n"))?,
            library,
        });
        self.clients.push(client);
        self.servers.push(server);
        Ok(())
    }

    /// What is declared and could never happen, and whether too much is: both over all cells there
    /// are, whichever peers take part. A cell counts as one as soon as one of its steps is declared.
    fn gap_problems(&self) -> BTreeSet<String> {
        let cells: Vec<Vec<_>> = Cell::all(&names())
            .iter()
            .map(|cell| {
                let of_its_version = steps(cell.version);
                of_its_version.map(|step| run_name(step, cell)).collect()
            })
            .collect();
        let gaps: Vec<_> = self
            .peers
            .iter()
            .flat_map(|peer| peer.gaps.iter())
            .collect();
        let declared = |runs: &&Vec<String>| {
            let mut pairs = runs
                .iter()
                .flat_map(|run| gaps.iter().map(move |gap| (gap, run)));
            pairs.any(|(gap, run)| gap.matches(run))
        };
        let failing = cells.iter().filter(declared).count();
        gaps.iter()
            .filter(|gap| !cells.iter().flatten().any(|run| gap.matches(run)))
            .map(|gap| {
                format!(
                    "the known gap {:?} matches no step of any cell",
                    gap.cases()
                )
            })
            .chain(gaps::too_many(failing, cells.len(), "cells"))
            .collect()
    }

    fn every_cell(&mut self, lets_through: impl Fn(&Cell) -> bool) {
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            for client in 0..self.peers.len() {
                for server in 0..self.peers.len() {
                    for (client_mode, server_mode) in MODES {
                        let cell = Cell {
                            client: self.peers[client].name.clone(),
                            server: self.peers[server].name.clone(),
                            version,
                            client_mode,
                            server_mode,
                        };
                        if lets_through(&cell) {
                            self.one_cell(cell, client, server);
                        }
                    }
                }
            }
        }
    }

    fn one_cell(&mut self, cell: Cell, client: usize, server: usize) {
        let begin = Instant::now();
        let mut reports = Vec::new();
        for step in steps(cell.version) {
            let result = self.one_step(step, &cell, client, server);
            // A peer that is not there any more runs nothing: what is left out will be missing.
            let Some(observed) = observed(result) else {
                break;
            };
            let (observed, lack) = observed;
            let name = run_name(step, &cell);
            let mut verdict = judge(&observed, &self.gaps(client, server, &name));
            if let (Outcome::VerifiedUnsupported, Some(lack)) = (verdict.outcome, lack) {
                verdict.reason = lack;
            }
            reports.push(StepReport {
                name: step.name,
                verdict,
            });
        }
        if reports.is_empty() {
            return;
        }
        let report = CellReport {
            cell,
            client_library: self.peers[client].library.clone(),
            server_library: self.peers[server].library.clone(),
            steps: reports,
        };
        let outcome = report.outcome().name();
        eprintln!(
            "{outcome} {} in {} ms",
            report.cell,
            begin.elapsed().as_millis()
        );
        self.cells.push(report);
    }

    fn one_step(
        &mut self,
        step: &Step,
        cell: &Cell,
        client: usize,
        server: usize,
    ) -> Result<(), Stop> {
        let (client, server) = (&mut self.clients[client], &mut self.servers[server]);
        let mut stage = Stage::new(cell, client, server, &self.digests)?;
        let result = (step.run)(&mut stage);
        // The next step starts with nothing, and what this one came to stands.
        let forgotten = stage.forget();
        result?;
        Ok(forgotten?)
    }

    /// What is declared for a step of a cell, for the library of either side.
    fn gaps<'a>(&'a self, client: usize, server: usize, name: &'a str) -> Vec<&'a Gap> {
        let mut matching: Vec<_> = self.peers[client].gaps.matching(name).collect();
        if client != server {
            for gap in self.peers[server].gaps.matching(name) {
                // An entry for both libraries is one entry.
                if matching.iter().all(|known| known.cases() != gap.cases()) {
                    matching.push(gap);
                }
            }
        }
        matching
    }
}

/// The name of a step in a cell, as known gaps match it.
fn run_name(step: &Step, cell: &Cell) -> String {
    format!("{}/{cell}", step.name)
}

/// What was observed, and what a side lacks; `None` if a peer is not there at all.
fn observed(result: Result<(), Stop>) -> Option<(Observed, Option<String>)> {
    Some(match result {
        Ok(()) => (Observed::Ran(Ok(())), None),
        Err(Stop::Unsupported(lack)) => (Observed::Lacks(lack.feature, Ok(())), Some(lack.reason)),
        Err(Stop::Failed(failure)) => (Observed::Ran(Err(failure)), None),
        Err(Stop::Absent) => return None,
    })
}

/// Starts a peer: its library, if it is the one its name says.
fn hello(process: &mut Process, program: &Program) -> Result<String, String> {
    let hello = process.hello().map_err(|failure| failure.message)?;
    let Hello {
        library,
        compiled_in,
        ..
    } = hello;
    let is_it = |wanted| library.split(' ').next() == Some(wanted);
    if !program.alone {
        return Ok(library.clone());
    }
    if build::library_of(&program.name).is_some_and(|wanted| !is_it(wanted)) {
        return Err(format!("the peer {}: it is {library}", program.name));
    }
    if *compiled_in != [program.backend.clone()] {
        return Err(format!(
            "the peer {}: compiled in are {}",
            program.name,
            compiled_in.join(", ")
        ));
    }
    Ok(library.clone())
}
