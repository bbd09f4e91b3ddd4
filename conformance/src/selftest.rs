//! The suite held to its own rule: every clause that is broken must be noticed, and every case
//! must be able to fail.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tls_core::{DynBackend, Feature};

use crate::case::Case;
use crate::report::{Report, Row};
use crate::run::{Limits, observe, run_name};
use crate::saboteur::{self, Sabotage, Saboteur};
use crate::verdict::{Outcome, judge};

/// How many clauses the contract has.
const CLAUSES: u32 = 20;
/// What a saboteur may take for a case; a healthy run takes far less.
const LIMITS: Limits = Limits {
    drivers: Duration::from_secs(5),
    watchdog: Duration::from_secs(10),
};

/// What the self-test came to.
#[derive(Debug, Default)]
pub struct SelfTest {
    /// One line for each saboteur that was noticed, with the run that noticed it.
    pub caught: Vec<String>,
    /// Cases that only a saboteur of another clause than theirs can turn red.
    pub caught_elsewhere: Vec<String>,
    /// Saboteurs that break nothing which this backend has and does right, and why.
    pub not_sent: Vec<String>,
    /// What is wrong: saboteurs nobody noticed, clauses without a case, cases that cannot fail.
    pub problems: Vec<String>,
}

impl SelfTest {
    /// Whether every saboteur was noticed and every case can fail.
    pub fn is_green(&self) -> bool {
        self.problems.is_empty()
    }

    /// Runs the saboteurs around a backend. `honest` is the report of the whole suite without any:
    /// only what passes there can notice something.
    pub fn run(backend: &Arc<dyn DynBackend>, honest: &Report) -> Self {
        let mut test = Self::default();
        let healthy: Vec<&Row> = honest
            .rows
            .iter()
            .filter(|row| row.verdict.outcome == Outcome::Passed)
            .collect();
        let mut red: BTreeSet<&'static str> = honest
            .rows
            .iter()
            .filter(|row| row.verdict.outcome == Outcome::KnownFailure)
            .map(|row| row.case.name)
            .collect();
        test.check_clauses(honest);
        for sabotage in saboteur::all() {
            match nothing_to_break(backend, sabotage, honest) {
                None => test.send(backend, sabotage, &healthy, &mut red),
                Some(why) => {
                    let line = format!("{} {:?}: {why}", sabotage.clause, sabotage.what);
                    test.not_sent.push(line);
                }
            }
        }
        test.check_cases(backend, &healthy, &mut red);
        test
    }

    fn check_clauses(&mut self, honest: &Report) {
        for number in 1..=CLAUSES {
            let clause = format!("K{number}");
            let has_case = honest
                .rows
                .iter()
                .any(|row| row.case.clauses.contains(&&*clause));
            if !has_case {
                self.problems.push(format!("{clause} has no case"));
            }
            if !saboteur::all().any(|sabotage| sabotage.clause == clause) {
                self.problems.push(format!("{clause} has no saboteur"));
            }
        }
    }

    /// Sends one saboteur against the cases of its clause: until one notices, and against every
    /// case that nothing has turned red so far.
    fn send(
        &mut self,
        backend: &Arc<dyn DynBackend>,
        sabotage: &'static Sabotage,
        healthy: &[&Row],
        red: &mut BTreeSet<&'static str>,
    ) {
        let (fresh, known): (Vec<&Row>, Vec<&Row>) = healthy
            .iter()
            .filter(|row| row.case.clauses.contains(&sabotage.clause))
            .partition(|row| !red.contains(row.case.name));
        let mut caught_by = None;
        for row in fresh.into_iter().chain(known) {
            if red.contains(row.case.name) && caught_by.is_some() {
                continue;
            }
            if let Some(reason) = turned_red(backend, sabotage, row) {
                red.insert(row.case.name);
                caught_by
                    .get_or_insert_with(|| (run_name(row.case, row.mode, row.version), reason));
            }
        }
        match caught_by {
            Some((run, reason)) => self.caught.push(format!(
                "{} {:?} is noticed by {run}: {reason}",
                sabotage.clause, sabotage.what
            )),
            None => self.problems.push(format!(
                "no case of {} notices that {:?}",
                sabotage.clause, sabotage.what
            )),
        }
    }

    /// Cases that no saboteur of their own clauses turned red: some other one must.
    fn check_cases(
        &mut self,
        backend: &Arc<dyn DynBackend>,
        healthy: &[&Row],
        red: &mut BTreeSet<&'static str>,
    ) {
        let rest: Vec<&'static Case> = healthy
            .iter()
            .map(|row| row.case)
            .filter(|case| !red.contains(case.name))
            .collect();
        for case in rest {
            if red.contains(case.name) {
                continue;
            }
            let rows = || healthy.iter().filter(|row| row.case.name == case.name);
            let other = saboteur::all()
                .find(|sabotage| rows().any(|row| turned_red(backend, sabotage, row).is_some()));
            red.insert(case.name);
            match other {
                Some(sabotage) => self.caught_elsewhere.push(format!(
                    "{} ({}) fails only when {}: {:?}",
                    case.name,
                    case.clauses.join(" "),
                    sabotage.clause,
                    sabotage.what
                )),
                None => self
                    .problems
                    .push(format!("no saboteur can make {} fail", case.name)),
            }
        }
    }
}

/// Why a saboteur has nothing to break with this backend, if so: it lacks the feature, or is known
/// to fail the one case that could notice, in every run of it.
fn nothing_to_break(
    backend: &Arc<dyn DynBackend>,
    sabotage: &Sabotage,
    honest: &Report,
) -> Option<String> {
    let has = |feature: &Feature| backend.capabilities().support(*feature).is_available();
    if let Some(lacking) = sabotage.requires.iter().find(|feature| !has(feature)) {
        return Some(format!("the backend lacks {lacking}"));
    }
    let case = sabotage.only_case?;
    let runs = honest.rows.iter().filter(|row| row.case.name == case);
    let outcomes: BTreeSet<_> = runs.map(|row| row.verdict.outcome).collect();
    (outcomes == BTreeSet::from([Outcome::KnownFailure]))
        .then(|| format!("the backend is known to fail {case}, which alone can notice"))
}

/// Why a run that passes with the real backend fails with a saboteur, if it does.
fn turned_red(
    backend: &Arc<dyn DynBackend>,
    sabotage: &'static Sabotage,
    row: &Row,
) -> Option<String> {
    let saboteur: Arc<dyn DynBackend> = Arc::new(Saboteur::new(Arc::clone(backend), sabotage));
    let observed = observe(&saboteur, row.case, row.mode, row.version, LIMITS);
    let verdict = judge(&observed, &[]);
    (verdict.outcome == Outcome::Failed).then_some(verdict.reason)
}

impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.caught {
            writeln!(f, "noticed: {line}")?;
        }
        for line in &self.caught_elsewhere {
            writeln!(f, "note: {line}")?;
        }
        for line in &self.not_sent {
            writeln!(f, "note: not sent: {line}")?;
        }
        for line in &self.problems {
            writeln!(f, "problem: {line}")?;
        }
        writeln!(
            f,
            "{} saboteurs noticed, {} problems",
            self.caught.len(),
            self.problems.len()
        )
    }
}
