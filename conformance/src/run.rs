//! Running cases: each in a thread of its own, watched, its panics caught.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use globset::{Glob, GlobMatcher};
use tls_core::iana::ProtocolVersion;
use tls_core::{DynBackend, Feature};

use crate::ask;
use crate::case::{Case, CaseResult, Failure, Mode, version_name};
use crate::cases;
use crate::gaps::Gaps;
use crate::report::{Report, Row};
use crate::scene::Scene;
use crate::verdict::{Observed, judge};

/// What a run may take.
const LIMITS: Limits = Limits {
    drivers: Duration::from_secs(30),
    watchdog: Duration::from_secs(60),
};
/// The threads that cases run in; their panics are part of the report.
const THREAD_NAME: &str = "conformance case";
/// The largest share of a backend's runs that may be known failures, in per cent.
const MAX_GAP_PER_CENT: usize = 5;

/// How long a run may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Until its drivers fail with `hang`.
    pub(crate) drivers: Duration,
    /// Until it is given up, whatever it does.
    pub(crate) watchdog: Duration,
}

/// The suite, ready to be run against one backend.
pub struct Suite {
    backend: Arc<dyn DynBackend>,
    gaps: Gaps,
    filter: Option<GlobMatcher>,
}

impl Suite {
    /// Every case against this backend, without known failures.
    pub fn new(backend: Arc<dyn DynBackend>) -> Self {
        Self {
            backend,
            gaps: Gaps::default(),
            filter: None,
        }
    }

    /// With these known failures.
    #[must_use]
    pub fn gaps(mut self, gaps: Gaps) -> Self {
        self.gaps = gaps;
        self
    }

    /// Only runs whose name, or name/mode/version, matches a glob.
    ///
    /// # Errors
    ///
    /// If the text is not a glob.
    pub fn filter(mut self, glob: &str) -> Result<Self, globset::Error> {
        self.filter = Some(Glob::new(glob)?.compile_matcher());
        Ok(self)
    }

    /// Runs every case that the filter lets through, in each mode and version it applies to.
    pub fn run(&self) -> Report {
        let mut report = Report::new(&*self.backend);
        self.check_gaps(&mut report);
        for (case, mode, version) in runs() {
            let name = run_name(case, mode, version);
            if !self.lets_through(case, &name) {
                continue;
            }
            let gaps: Vec<_> = self.gaps.matching(&name).collect();
            let observed = observe(&self.backend, case, mode, version, LIMITS);
            let verdict = judge(&observed, &gaps);
            report.rows.push(Row {
                case,
                mode,
                version,
                verdict,
            });
        }
        if report.rows.is_empty() {
            report.problems.push("no case was run".to_owned());
        }
        report
    }

    fn lets_through(&self, case: &Case, run: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.is_match(case.name) || filter.is_match(run))
    }

    /// Stale and too many known failures, counted over all runs whatever the filter.
    fn check_gaps(&self, report: &mut Report) {
        let names: Vec<_> = runs()
            .map(|(case, mode, version)| run_name(case, mode, version))
            .collect();
        for gap in self.gaps.iter() {
            if !names.iter().any(|name| gap.matches(name)) {
                report.problems.push(format!(
                    "the known failure {:?} matches no run",
                    gap.cases()
                ));
            }
        }
        report.known_failures = names
            .iter()
            .filter(|name| self.gaps.matching(name).next().is_some())
            .count();
        if report.known_failures * 100 > names.len() * MAX_GAP_PER_CENT {
            report.problems.push(format!(
                "{} of {} runs are declared known failures, more than {MAX_GAP_PER_CENT} %",
                report.known_failures,
                names.len()
            ));
        }
    }
}

/// Every run: each case in each mode and version it applies to.
pub(crate) fn runs() -> impl Iterator<Item = (&'static Case, Mode, ProtocolVersion)> {
    cases::all().flat_map(|case| {
        case.runs()
            .map(move |(mode, version)| (case, mode, version))
    })
}

/// The name of a run: `close.half_close/socket/1.3`.
pub(crate) fn run_name(case: &Case, mode: Mode, version: ProtocolVersion) -> String {
    format!("{}/{}/{}", case.name, mode.name(), version_name(version))
}

/// Runs a case, or the inverse check if the backend lacks something it needs.
pub(crate) fn observe(
    backend: &Arc<dyn DynBackend>,
    case: &'static Case,
    mode: Mode,
    version: ProtocolVersion,
    limits: Limits,
) -> Observed {
    let version_feature = match version {
        ProtocolVersion::TLS1_2 => Feature::Tls12,
        _ => Feature::Tls13,
    };
    let lacking = [mode.feature(), version_feature]
        .into_iter()
        .chain(case.requires.iter().copied())
        .find(|feature| !backend.capabilities().support(*feature).is_available());
    let backend = Arc::clone(backend);
    let deadline = Instant::now() + limits.drivers;
    match lacking {
        None => Observed::Ran(watched(limits, move || {
            (case.run)(&Scene::new(&*backend, mode, version, deadline))
        })),
        Some(feature) => Observed::Lacks(
            feature,
            watched(limits, move || {
                // The inverse check cannot run with a version or in a mode that is not there.
                let scene = Scene::new(&*backend, mode, version, deadline);
                ask::refused(&scene, feature)
            }),
        ),
    }
}

/// Runs in a thread of its own, so that neither a panic nor a hang ends the suite.
fn watched(limits: Limits, run: impl FnOnce() -> CaseResult + Send + 'static) -> CaseResult {
    quiet_panics();
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(move || {
            let result = panic::catch_unwind(AssertUnwindSafe(run));
            // Nobody listens any more if the watchdog has given up.
            let _ = sender.send(result.unwrap_or_else(|payload| Err(panicked(&*payload))));
        });
    if let Err(error) = spawned {
        return Err(Failure::new("harness", format!("no thread: {error}")));
    }
    match receiver.recv_timeout(limits.watchdog) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(Failure::hang(format!(
            "the case did not return within {} s",
            limits.watchdog.as_secs()
        ))),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Failure::new("panic", "the case ended without a result"))
        }
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with a payload that is no text");
    Failure::new("panic", format!("a panic: {message}"))
}

/// Keeps the panics of cases out of the output: they are in the report.
fn quiet_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(THREAD_NAME) {
                usual(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure() {
        let failure = watched(LIMITS, || panic!("on purpose")).unwrap_err();
        assert_eq!(failure.kind, "panic");
        assert!(failure.message.contains("on purpose"), "{failure}");
    }

    #[test]
    fn a_result_is_passed_on() {
        assert_eq!(watched(LIMITS, || Ok(())), Ok(()));
        assert_eq!(
            watched(LIMITS, || Err(Failure::assertion("no"))),
            Err(Failure::assertion("no"))
        );
    }
}
