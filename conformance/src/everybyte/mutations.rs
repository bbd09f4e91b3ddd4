//! Connections of which records are changed on their way: each ends with an error or, if the change
//! does no harm, as if nothing had happened; never with wrong plaintext.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use allocation_counter::measure;
use tls_core::iana::ProtocolVersion;

use super::mutation::{Change, Harm, Tamper, What};
use super::random::{Random, seed_of};
use super::rules::{self, Faults};
use super::stage::{Setting, Stage};
use super::story::{Script, tell};
use super::workers;
use crate::case::{CaseResult, Failure};
use crate::ensure;
use crate::pair::Side;

/// How much memory our code may hold for one connection, both ends and the wire, in bytes. What an
/// engine in C holds does not count.
const MOST_MEMORY: u64 = 8 * 1024 * 1024;

/// From so many connections on, every kind of change must have been made: each is then to be expected
/// 30 times.
const MANY: u64 = 20 * What::ALL.len() as u64;
/// In one connection of so many there may have been no record to be changed.
const UNTOUCHED: u64 = 10;

/// What a run of mutations came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Connections that came to a clean end on both sides.
    pub(super) unharmed: u64,
    /// Connections that did not.
    pub(super) ended: u64,
    /// Of these and those, the ones in which no record was there to be changed.
    pub(super) untouched: u64,
    /// How often each change was made.
    pub(super) changes: BTreeMap<String, u64>,
}

impl Tally {
    /// How many connections there were.
    pub(super) fn ran(&self) -> u64 {
        self.ended + self.unharmed
    }

    /// What is wrong with the run as a whole: changes that nobody makes prove nothing.
    pub(super) fn problems(&self) -> Vec<String> {
        let ran = self.ran();
        if ran < MANY {
            return Vec::new();
        }
        let mut problems = Vec::new();
        for what in What::ALL {
            if !self.changes.contains_key(&format!("{what:?}")) {
                problems.push(format!("{what:?} was done to none of {ran} connections"));
            }
        }
        if self.untouched > ran / UNTOUCHED {
            let untouched = self.untouched;
            problems.push(format!("{untouched} of {ran} connections were not changed"));
        }
        for (count, what) in [
            (self.ended, "ended with an error"),
            (self.unharmed, "came to no harm"),
        ] {
            if count == 0 {
                problems.push(format!("none of {ran} connections {what}"));
            }
        }
        problems
    }
}

/// What came of one mutated connection.
struct Came {
    unharmed: bool,
    done: Vec<(What, Harm)>,
}

/// Makes this many connections. The failures come with the seed that repeats each.
pub(super) fn run(
    stage: &Arc<Stage>,
    count: u64,
    seed: u64,
    patience: u32,
) -> (Tally, Vec<(u64, Failure)>) {
    let shared = Arc::clone(stage);
    let done = workers::each(count, patience, move |index| {
        one(&shared, seed_of(seed, index))
    });
    let mut tally = Tally::default();
    for came in done.passed {
        match came.unharmed {
            true => tally.unharmed += 1,
            false => tally.ended += 1,
        }
        tally.untouched += u64::from(came.done.is_empty());
        for (what, _) in came.done {
            *tally.changes.entry(format!("{what:?}")).or_default() += 1;
        }
    }
    let failed = done.failed.into_iter();
    let failed = failed.map(|(index, failure)| (seed_of(seed, index), failure));
    (tally, failed.collect())
}

/// Everything about one mutated connection, from its seed.
struct Plan {
    setting: Setting,
    script: Script,
    /// How many bytes the wire carries at once, and a buffer session is offered.
    piece: usize,
    lazy: Option<Side>,
    changes: Vec<Change>,
}

impl Plan {
    fn new(stage: &Stage, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let settings: Vec<_> = stage.settings().collect();
        let setting = random.one_of(&settings);
        let mut script = stage.script(setting);
        let mut piece = random.one_of(&[usize::MAX, usize::MAX, 1_000, 100]);
        if random.once_in(10) {
            // More than one record at a time.
            script.second[random.below(2)] = 20_000 + random.below(20_000);
        } else if random.once_in(30) {
            piece = 1 + random.below(6);
        }
        let lazy = random.one_of(&[None, Some(Side::Client), Some(Side::Server)]);
        let lengths = Side::BOTH.map(|side| stage.records(setting, side).len());
        let mut changes: Vec<Change> = Vec::new();
        let wanted = 1 + usize::from(random.once_in(3)) + usize::from(random.once_in(5));
        for _ in 0..wanted {
            let change = Change::choose(&mut random, lengths);
            let taken = changes
                .iter()
                .any(|other| (other.from, other.index) == (change.from, change.index));
            if !taken {
                changes.push(change);
            }
        }
        Self {
            setting,
            script,
            piece,
            lazy,
            changes,
        }
    }

    fn describe(&self) -> String {
        let changes: Vec<_> = self
            .changes
            .iter()
            .map(|change| {
                let Change {
                    from, index, what, ..
                } = change;
                format!("{what:?} at record {index} of the {}", from.name())
            })
            .collect();
        format!("{}: {}", self.setting, changes.join(", "))
    }
}

fn one(stage: &Stage, seed: u64) -> CaseResult<Came> {
    let plan = Plan::new(stage, seed);
    stage.prepare(plan.setting)?;
    let mut result = None;
    let memory = measure(|| result = Some(disturbed(stage, &plan)));
    let came = result
        .expect("measured once")
        .map_err(|failure| failure.during(plan.describe()))?;
    ensure!(
        memory.bytes_max <= MOST_MEMORY,
        "{}: {} bytes of memory were held at once",
        plan.describe(),
        memory.bytes_max
    );
    Ok(came)
}

fn disturbed(stage: &Stage, plan: &Plan) -> CaseResult<Came> {
    let setting = plan.setting;
    let mut pair = stage.pair(setting, None)?;
    for side in Side::BOTH {
        pair.side(side).input_chunk = plan.piece;
    }
    pair.wire.set_quota(plan.piece);
    let strangers = Side::BOTH.map(|side| stage.records(setting, side).to_vec());
    let tampers = Side::BOTH.map(|side| {
        let changes = plan.changes.iter().filter(|change| change.from == side);
        Rc::new(RefCell::new(Tamper::new(
            setting.version == ProtocolVersion::TLS1_3,
            changes.cloned().collect(),
            strangers.clone(),
        )))
    });
    for (side, tamper) in Side::BOTH.into_iter().zip(&tampers) {
        let tamper = Rc::clone(tamper);
        pair.wire.from(side).edit(move |bytes| {
            *bytes = tamper.borrow_mut().pass(bytes);
            // There may be more to change.
            false
        });
    }
    let told = tell(pair, &plan.script, plan.lazy, |wire| {
        for (side, tamper) in Side::BOTH.into_iter().zip(&tampers) {
            while let Some(record) = tamper.borrow_mut().reflected.pop_front() {
                wire.to(side).inject(&record);
            }
        }
    })?;
    rules::hold(&told, setting, Faults::Changed)?;
    let mut done = Vec::new();
    for (side, tamper) in Side::BOTH.into_iter().zip(&tampers) {
        let here = &tamper.borrow().done;
        if here.iter().any(|(_, harm)| *harm == Harm::Certain) {
            rules::notices(&told, side.other())?;
        }
        done.extend(here.iter().copied());
    }
    if done.iter().all(|(_, harm)| *harm == Harm::None) {
        for side in Side::BOTH {
            rules::ends_well(&told, side)?;
        }
    }
    let unharmed = told.client.end.is_ok() && told.server.end.is_ok();
    Ok(Came { unharmed, done })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        Tally {
            unharmed: MANY / 10,
            ended: MANY,
            untouched: 0,
            changes: What::ALL
                .iter()
                .map(|what| (format!("{what:?}"), 1))
                .collect(),
        }
    }

    #[test]
    fn a_long_run_must_have_done_everything() {
        assert!(tally().problems().is_empty());
        type Change = fn(&mut Tally);
        let changes: [(&str, Change); 4] = [
            ("Drop was done to none", |tally| {
                tally.changes.remove("Drop");
            }),
            ("were not changed", |tally| tally.untouched = tally.ended),
            ("ended with an error", |tally| {
                (tally.ended, tally.unharmed) = (0, MANY);
            }),
            ("came to no harm", |tally| tally.unharmed = 0),
        ];
        for (expected, change) in changes {
            let mut tally = tally();
            change(&mut tally);
            let problems = tally.problems();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(expected), "{problems:?}");
        }
        let one = Tally {
            ended: 1,
            ..Tally::default()
        };
        assert!(one.problems().is_empty());
    }
}
