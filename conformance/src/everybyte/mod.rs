//! Every byte: connections that end, or are changed, at any byte there is.
//!
//! [`EveryByte`] takes a backend through whole connections with itself (a handshake with
//! certificates of both sides, once more with every question that a session may wait for, data both
//! ways, new keys, shutdown) and disturbs them: it truncates and resets them at every offset of what
//! either side sends, and changes records on their way, as a seed says. Nothing may hang or panic, no wrong byte may be delivered, and each side must tell
//! the ending that it met.

mod cuts;
mod mutation;
mod mutations;
mod random;
mod records;
mod rules;
mod selftest;
mod stage;
mod story;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tls_core::DynBackend;

use crate::case::Failure;
use stage::Stage;

pub use selftest::SelfTest as EveryByteSelfTest;

/// What is to be run against one backend.
#[derive(Debug, Clone, Copy)]
pub struct EveryByte {
    /// At which bytes connections are cut: every so-manyth. `None`: at none.
    pub every: Option<usize>,
    /// How many connections have records changed.
    pub mutations: u64,
    /// Chooses the first byte that is cut at, and what is changed; the same seed does the same
    /// again, as far as that is the suite's to say: keys and signatures differ.
    pub seed: u64,
    /// Multiplies what one connection may take.
    pub patience: u32,
}

/// More than any connection has bytes: cut so rarely, it is cut at the first byte alone.
const ONCE: usize = 1_000_000;

/// What it came to.
#[derive(Debug, Default)]
pub struct EveryByteReport {
    /// What was run, a line each.
    pub summary: Vec<String>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// What repeats each failure of a connection.
    pub again: Vec<EveryByte>,
}

impl EveryByte {
    /// Runs what is to be run.
    pub fn run(&self, backend: &Arc<dyn DynBackend>) -> EveryByteReport {
        let mut report = EveryByteReport::default();
        let stage = Stage::new(backend, |setting| {
            self.mutations > 0 || cuts::wanted(setting)
        });
        let stage = match stage {
            Ok(stage) => Arc::new(stage),
            Err(failure) => {
                report.problems.push(failure.to_string());
                return report;
            }
        };
        if let Some(every) = self.every {
            self.cut(&stage, every, &mut report);
        }
        if self.mutations > 0 {
            self.mutate(&stage, &mut report);
        }
        if report.summary.is_empty() {
            report.problems.push("nothing was run".to_owned());
        }
        report
    }

    fn cut(&self, stage: &Arc<Stage>, every: usize, report: &mut EveryByteReport) {
        let begin = Instant::now();
        let (tally, failed) = cuts::run(stage, every, self.seed, self.patience);
        report.summary.push(format!(
            "every byte: {} connections truncated and {} reset, at every {every}th byte from \
             byte {}, in {:.1} s ({} were over before)",
            tally.truncated,
            tally.reset,
            self.seed % every.max(1) as u64,
            begin.elapsed().as_secs_f32(),
            tally.whole
        ));
        if tally.truncated == 0 && failed.is_empty() {
            report
                .problems
                .push("no connection was truncated".to_owned());
        }
        for (offset, failure) in failed {
            let again = Self {
                every: Some(ONCE),
                mutations: 0,
                seed: offset as u64,
                ..*self
            };
            report.failed(again, &failure);
        }
    }

    fn mutate(&self, stage: &Arc<Stage>, report: &mut EveryByteReport) {
        let begin = Instant::now();
        let (tally, failed) = mutations::run(stage, self.mutations, self.seed, self.patience);
        let seconds = begin.elapsed().as_secs_f32();
        let ran = tally.ran();
        report.summary.push(format!(
            "every byte: {ran} connections mutated from seed {}, in {seconds:.1} s ({:.0} a \
             second): {} ended with an error, {} came to no harm, {} of which were not reached",
            self.seed,
            ran as f32 / seconds,
            tally.ended,
            tally.unharmed,
            tally.untouched
        ));
        let changes: Vec<_> = tally
            .changes
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        report.summary.push(format!("  {}", changes.join(", ")));
        report.problems.extend(tally.problems());
        for (seed, failure) in failed {
            let again = Self {
                every: None,
                mutations: 1,
                seed,
                ..*self
            };
            report.failed(again, &failure);
        }
    }

    /// What to give the program.
    fn arguments(&self) -> String {
        let Self {
            every,
            mutations,
            seed,
            ..
        } = self;
        match every {
            Some(every) => format!("--every {every} --seed {seed}"),
            None => format!("--mutations {mutations} --seed {seed}"),
        }
    }
}

impl EveryByteReport {
    /// Notes a failure, and how to see it again.
    fn failed(&mut self, again: EveryByte, failure: &Failure) {
        let arguments = again.arguments();
        self.problems.push(format!("{arguments}: {failure}"));
        self.again.push(again);
    }

    /// Whether nothing is wrong.
    pub fn is_green(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for EveryByteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.summary {
            writeln!(f, "{line}")?;
        }
        for line in &self.problems {
            writeln!(f, "failed: {line}")?;
        }
        Ok(())
    }
}
