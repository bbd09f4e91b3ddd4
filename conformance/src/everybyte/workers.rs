//! Many short checks, on as many threads as there are processors, watched.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{CaseResult, Failure};
use crate::run::{THREAD_NAME, panicked, quiet_panics};

/// How long one check may take.
const LONGEST: Duration = Duration::from_secs(20);
/// After so many failures the rest is not looked at.
const MOST_FAILURES: usize = 20;

/// What the checks came to.
pub(super) struct Done<T> {
    /// What each that passed gave, in any order.
    pub(super) passed: Vec<T>,
    /// The numbers of those that failed, and why.
    pub(super) failed: Vec<(u64, Failure)>,
}

/// Runs a check for each number below `count`. Panics are caught and are failures; one that takes
/// too long is a failure too, and its thread is left alone.
pub(super) fn each<T: Send + 'static>(
    count: u64,
    patience: u32,
    check: impl Fn(u64) -> CaseResult<T> + Send + Sync + 'static,
) -> Done<T> {
    quiet_panics();
    let check = Arc::new(check);
    let next = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let failures = Arc::new(AtomicUsize::new(0));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = mpsc::channel();
    for worker in 0..workers {
        let (check, next, stop) = (Arc::clone(&check), Arc::clone(&next), Arc::clone(&stop));
        let failures = Arc::clone(&failures);
        let sender = sender.clone();
        let spawned = thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || sender.send((worker, number, None)).is_err() {
                        return;
                    }
                    let result = panic::catch_unwind(AssertUnwindSafe(|| check(number)))
                        .unwrap_or_else(|payload| Err(panicked(&*payload)));
                    let failed = usize::from(result.is_err());
                    if failures.fetch_add(failed, Ordering::Relaxed) + failed >= MOST_FAILURES {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if sender.send((worker, number, Some(result))).is_err() {
                        return;
                    }
                }
            });
        // The receiver lives: a thread less is a slower run, none is found out below.
        drop(spawned);
    }
    drop(sender);
    let longest = LONGEST * patience;
    let mut begun: Vec<Option<(u64, Instant)>> = vec![None; workers];
    let mut done = Done {
        passed: Vec::new(),
        failed: Vec::new(),
    };
    let mut finished = 0;
    loop {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok((worker, number, None)) => begun[worker] = Some((number, Instant::now())),
            Ok((worker, number, Some(result))) => {
                begun[worker] = None;
                finished += 1;
                match result {
                    Ok(value) => done.passed.push(value),
                    Err(failure) => done.failed.push((number, failure)),
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                for slot in &mut begun {
                    let Some((number, since)) = *slot else {
                        continue;
                    };
                    if since.elapsed() > longest {
                        *slot = None;
                        let what = format!("it did not return within {} s", longest.as_secs());
                        done.failed.push((number, Failure::hang(what)));
                        // The others end with what they are at; this one may never.
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                if stop.load(Ordering::Relaxed) && begun.iter().all(Option::is_none) {
                    break;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if finished < count && done.failed.is_empty() {
        let what = format!("only {finished} of {count} checks were run");
        done.failed.push((finished, Failure::new("harness", what)));
    }
    done.failed.sort_by_key(|(number, _)| *number);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_checked_once() {
        let mut done = each(100, 1, Ok);
        done.passed.sort_unstable();
        assert_eq!(done.passed, (0..100).collect::<Vec<_>>());
        assert!(done.failed.is_empty());
    }

    #[test]
    fn failures_and_panics_are_told_with_their_number() {
        let done = each(10, 1, |number| match number {
            3 => Err(Failure::assertion("three")),
            7 => panic!("seven"),
            _ => Ok(()),
        });
        assert_eq!(done.passed.len(), 8);
        let kinds: Vec<_> = done
            .failed
            .iter()
            .map(|(number, failure)| (*number, &*failure.kind))
            .collect();
        assert_eq!(kinds, [(3, "assertion"), (7, "panic")]);
    }

    #[test]
    fn the_rest_is_left_after_many_failures() {
        let done = each(100_000, 1, |_| Err::<(), _>(Failure::assertion("no")));
        assert!(done.failed.len() >= MOST_FAILURES);
        assert!(done.failed.len() < MOST_FAILURES + 1_000);
    }
}
