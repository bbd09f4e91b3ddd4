//! Connections that end at every byte: truncated, and reset.

use std::sync::Arc;

use tls_core::ErrorKind;

use super::rules::{self, Faults};
use super::stage::{Kind, Setting, Stage, Way};
use super::story::{Told, tell};
use super::workers;
use crate::case::{CaseResult, Failure, describe};
use crate::check::is_the_systems;
use crate::ensure;
use crate::pair::Side;

/// One connection that is cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    setting: Setting,
    /// Whose bytes end; the other side meets the end.
    from: Side,
    /// The first byte that is lost.
    offset: usize,
    reset: bool,
}

/// By how much connections of one setting differ in length, in bytes: by their signatures, and tickets
/// that hold these.
const SLACK: usize = 32;

/// How many connections were cut, and what failed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) truncated: u64,
    pub(super) reset: u64,
    /// The cut came behind the last byte.
    pub(super) whole: u64,
}

/// Whether a setting takes part.
pub(super) fn wanted(setting: Setting) -> bool {
    matches!(setting.kind, Kind::Mutual | Kind::Suspended)
}

/// Cuts a connection at every so-manyth byte, of which the seed chooses the first. The failures come
/// with the offset.
pub(super) fn run(
    stage: &Arc<Stage>,
    every: usize,
    seed: u64,
    patience: u32,
) -> (Tally, Vec<(usize, Failure)>) {
    let cuts = Arc::new(cuts(stage, every, seed));
    let (shared, jobs) = (Arc::clone(stage), Arc::clone(&cuts));
    let count = cuts.len() as u64;
    let done = workers::each(count, patience, move |index| {
        let cut = jobs[index as usize];
        one(&shared, cut).map(|happened| (cut, happened))
    });
    let mut tally = Tally::default();
    for (cut, happened) in done.passed {
        match (happened, cut.reset) {
            (false, _) => tally.whole += 1,
            (true, true) => tally.reset += 1,
            (true, false) => tally.truncated += 1,
        }
    }
    let failed = done.failed.into_iter().map(|(index, failure)| {
        let cut = cuts[index as usize];
        (cut.offset, failure.during(cut.describe()))
    });
    (tally, failed.collect())
}

impl Cut {
    fn describe(&self) -> String {
        format!(
            "{}, {} before byte {} of the {}",
            self.setting,
            if self.reset { "reset" } else { "truncated" },
            self.offset,
            self.from.name()
        )
    }
}

fn cuts(stage: &Stage, every: usize, seed: u64) -> Vec<Cut> {
    let every = every.max(1);
    let first = (seed % every as u64) as usize;
    let mut cuts = Vec::new();
    for setting in stage.settings().filter(|setting| wanted(*setting)) {
        for from in Side::BOTH {
            let length = stage.length(setting, from);
            for reset in [false, true] {
                // A caller of buffer sessions meets a reset itself.
                if reset && setting.way == Way::Buffer {
                    continue;
                }
                cuts.extend((first..length).step_by(every).map(|offset| Cut {
                    setting,
                    from,
                    offset,
                    reset,
                }));
            }
        }
    }
    cuts
}

/// Whether the cut happened.
fn one(stage: &Stage, cut: Cut) -> CaseResult<bool> {
    let Cut {
        setting,
        from,
        offset,
        reset,
    } = cut;
    let side = from.other();
    let mut pair = stage.pair(setting, reset.then_some(side))?;
    let lane = pair.wire.from(from);
    if reset {
        lane.reset(offset);
    } else {
        lane.truncate(offset);
    }
    let mut told = tell(pair, &stage.script(setting), Some(side), |_| {})?;
    if !told.wire.from(from).faults_done() {
        let length = stage.length(setting, from);
        ensure!(
            offset + SLACK >= length,
            "nothing was cut: the {} sends {length} bytes, and this time only {}",
            from.name(),
            told.wire.from(from).sent()
        );
        for side in Side::BOTH {
            rules::ends_well(&told, side)?;
        }
        return Ok(false);
    }
    let faults = if reset {
        Faults::Reset(side)
    } else {
        Faults::Ended
    };
    rules::hold(&told, setting, faults)?;
    rules::notices(&told, side)?;
    meets(&told, side, cut)?;
    Ok(true)
}

/// The side at which the connection ended was told so, with all that had arrived whole before.
fn meets(told: &Told, side: Side, cut: Cut) -> CaseResult {
    let plain = cut.setting.way == Way::Plain;
    let part = told.of(side);
    let Err(error) = &part.end else {
        return Ok(());
    };
    // An engine that drives the descriptor itself tells its peer before anyone can keep it from it.
    ensure!(
        error.alert().is_none() || plain,
        "an end of the transport comes with no alert, met {}",
        describe(error)
    );
    if error.kind() == ErrorKind::Reset {
        return is_the_systems(error);
    }
    if cut.reset {
        return Ok(());
    }
    let whole = told
        .of(side.other())
        .marks
        .iter()
        .filter(|(sent, _)| *sent <= cut.offset)
        .map(|(_, taken)| *taken)
        .max();
    ensure!(
        part.received.len() >= whole.unwrap_or_default(),
        "{} bytes had arrived whole, {} were delivered",
        whole.unwrap_or_default(),
        part.received.len()
    );
    Ok(())
}
