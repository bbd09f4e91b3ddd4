//! Every byte must be able to fail: with a saboteur in the backend's place, it has to.

use std::fmt;
use std::sync::Arc;

use tls_core::DynBackend;

use super::{EveryByte, EveryByteReport};
use crate::saboteur::{self, Saboteur};

/// What breaks the backend, and what has to notice.
const EXPECTED: &[(&str, Notices)] = &[
    ("truncation reads as closed", Notices::Cuts),
    ("a reset is a truncation", Notices::Cuts),
    ("the end of input is not heard", Notices::Cuts),
    ("errors do not stay", Notices::Cuts),
    ("a failure overtakes the data before it", Notices::Cuts),
    (
        "truncation of the handshake is the peer's fault",
        Notices::Cuts,
    ),
    ("bad input is a panic", Notices::Mutations),
    ("floods are endured", Notices::Mutations),
    ("a failed session goes on", Notices::Mutations),
    ("a changed record is delivered", Notices::Mutations),
    ("a changed record reads as closed", Notices::Mutations),
];

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
        for (what, notices) in EXPECTED {
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
            let EveryByteReport { summary, problems } = run.run(&saboteur);
            match problems.first() {
                // Not by failing where nothing is disturbed.
                Some(problem) if !summary.is_empty() => {
                    test.caught.push(format!("{what:?} is noticed: {problem}"));
                }
                Some(problem) => test.problems.push(format!(
                    "{what:?} breaks undisturbed connections: {problem}"
                )),
                None => test.problems.push(format!("nothing notices that {what:?}")),
            }
        }
        test
    }

    /// Whether every saboteur was noticed.
    pub fn is_green(&self) -> bool {
        self.problems.is_empty()
    }
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
