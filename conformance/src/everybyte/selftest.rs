//! Every byte must be able to fail: with a saboteur in the backend's place, it has to, and to say
//! how to see the failure again.

use std::fmt;
use std::sync::Arc;

use tls_core::DynBackend;

use super::{EveryByte, EveryByteReport};
use crate::saboteur::{self, Saboteur};

/// What breaks the backend, what has to notice, and the rule that is broken in its words.
const EXPECTED: &[(&str, Notices, &str)] = &[
    (
        "truncation reads as closed",
        Notices::Cuts,
        "expected the error Truncated",
    ),
    (
        "a reset is a truncation",
        Notices::Cuts,
        "expected the error Reset",
    ),
    (
        "the end of input is not heard",
        Notices::Cuts,
        "the transport has ended, and a session has not",
    ),
    ("errors do not stay", Notices::Cuts, "met: Backend"),
    (
        "a failure overtakes the data before it",
        Notices::Cuts,
        "bytes had arrived whole",
    ),
    (
        "truncation of the handshake is the peer's fault",
        Notices::Cuts,
        "expected the error Protocol",
    ),
    ("bad input is a panic", Notices::Mutations, "a panic"),
    (
        "floods are endured",
        Notices::Mutations,
        "the transport has ended, and a session has not",
    ),
    (
        "a failed session goes on",
        Notices::Mutations,
        "status: Complete",
    ),
    (
        "a changed record is delivered",
        Notices::Mutations,
        "wrong plaintext",
    ),
    (
        "a changed record reads as closed",
        Notices::Mutations,
        "the close_notify is told",
    ),
];

/// How often a failure is tried to be seen again: keys and signatures differ from run to run.
const ATTEMPTS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notices {
    Cuts,
    Mutations,
}

/// What the self-test came to.
#[derive(Debug, Default)]
pub struct SelfTest {
    caught: Vec<String>,
    problems: Vec<String>,
}

impl SelfTest {
    /// Puts each saboteur in the backend's place.
    pub fn run(backend: &Arc<dyn DynBackend>, seed: u64) -> Self {
        let mut test = Self::default();
        for (what, notices, rule) in EXPECTED {
            let Some(sabotage) = saboteur::all().find(|sabotage| sabotage.what == *what) else {
                test.problems.push(format!("there is no saboteur {what:?}"));
                continue;
            };
            let saboteur: Arc<dyn DynBackend> =
                Arc::new(Saboteur::new(Arc::clone(backend), sabotage));
            let run = EveryByte {
                every: (*notices == Notices::Cuts).then_some(13),
                mutations: if *notices == Notices::Mutations {
                    400
                } else {
                    0
                },
                seed,
                patience: 1,
            };
            let report = run.run(&saboteur);
            let EveryByteReport {
                summary, problems, ..
            } = &report;
            let broken = problems.iter().find(|problem| problem.contains(rule));
            match broken.or_else(|| problems.first()) {
                // Not by failing where nothing is disturbed.
                Some(problem) if !summary.is_empty() => {
                    if broken.is_none() {
                        test.problems.push(format!(
                            "{what:?} is not noticed by {rule:?}, but: {problem}"
                        ));
                        continue;
                    }
                    test.caught.push(format!("{what:?} is noticed: {problem}"));
                    if !is_seen_again(&report, &saboteur) {
                        test.problems.push(format!(
                            "{what:?} is not noticed again as it says: {problem}"
                        ));
                    }
                }
                Some(problem) => test.problems.push(format!(
                    "{what:?} breaks undisturbed connections: {problem}"
                )),
                None => test.problems.push(format!("nothing notices that {what:?}")),
            }
        }
        test
    }

    /// Whether every saboteur was noticed, and again.
    pub fn is_green(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Whether the first failure can be had again by what the report says.
fn is_seen_again(report: &EveryByteReport, backend: &Arc<dyn DynBackend>) -> bool {
    let Some(again) = report.again.first() else {
        return false;
    };
    (0..ATTEMPTS).any(|_| !again.run(backend).again.is_empty())
}

impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.caught {
            writeln!(f, "noticed: {line}")?;
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
