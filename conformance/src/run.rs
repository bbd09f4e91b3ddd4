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
use crate::gaps::{self, Gaps};
use crate::report::{Report, Row};
use crate::scene::Scene;
use crate::verdict::{Observed, judge};

/// What a run may take.
const LIMITS: Limits = Limits {
    drivers: Duration::from_secs(30),
    watchdog: Duration::from_secs(60),
};
/// The threads that cases run in; their panics are part of the report.
pub(crate) const THREAD_NAME: &str = "conformance case";

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
    filter: Option<Filter>,
    patience: u32,
}

impl Suite {
    /// Every case against this backend, without known failures.
    pub fn new(backend: Arc<dyn DynBackend>) -> Self {
        Self {
            backend,
            gaps: Gaps::default(),
            filter: None,
            patience: 1,
        }
    }

    /// Every limit on a run's time is multiplied by this, for an engine under a tool that slows it
    /// down. 0 counts as 1.
    #[must_use]
    pub fn patience(mut self, factor: u32) -> Self {
        self.patience = factor.max(1);
        self
    }

    /// With these known failures.
    #[must_use]
    pub fn gaps(mut self, gaps: Gaps) -> Self {
        self.gaps = gaps;
        self
    }

    /// Only the runs that a filter lets through.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Runs every case that the filter lets through, in each mode and version it applies to.
    pub fn run(&self) -> Report {
        let mut report = Report::new(&*self.backend);
        let limits = Limits {
            drivers: LIMITS.drivers * self.patience,
            watchdog: LIMITS.watchdog * self.patience,
        };
        self.check_gaps(&mut report);
        for (case, mode, version) in runs() {
            let name = run_name(case, mode, version);
            if !self.lets_through(case, &name) {
                continue;
            }
            let gaps: Vec<_> = self.gaps.matching(&name).collect();
            let observed = observe(&self.backend, case, mode, version, limits);
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
            .is_none_or(|filter| filter.lets_run_through(case, run))
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
        // A case counts as one as soon as it fails in one mode or version.
        let cases = cases::all().count();
        let failing = cases::all().filter(|case| self.declared(case)).count();
        let too_many = gaps::too_many(failing, cases, "cases");
        report.problems.extend(too_many);
    }

    fn declared(&self, case: &Case) -> bool {
        case.runs().any(|(mode, version)| {
            let name = run_name(case, mode, version);
            self.gaps.matching(&name).next().is_some()
        })
    }
}

/// The runs whose name, or name/mode/version, matches a glob.
#[derive(Debug)]
pub struct Filter(GlobMatcher);

impl Filter {
    /// A filter from a glob such as `close.*` or `*/socket/1.3`.
    ///
    /// # Errors
    ///
    /// If the text is not a glob.
    pub fn new(glob: &str) -> Result<Self, globset::Error> {
        Ok(Self(Glob::new(glob)?.compile_matcher()))
    }

    /// Whether any run of a case passes.
    pub fn lets_through(&self, case: &Case) -> bool {
        case.runs()
            .any(|(mode, version)| self.lets_run_through(case, &run_name(case, mode, version)))
    }

    fn lets_run_through(&self, case: &Case, run: &str) -> bool {
        self.matches(case.name) || self.matches(run)
    }

    /// Whether a name passes.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
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

pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with a payload that is no text");
    Failure::new("panic", format!("a panic: {message}"))
}

/// Keeps the panics of cases out of the output: they are in the report.
pub(crate) fn quiet_panics() {
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
    use tls_core::{
        BuildInfo, Capabilities, ClientConfig, ConfigProblem, DynContext, Error, ServerConfig,
    };

    use super::*;
    use crate::verdict::Outcome;

    /// Has nothing, and gives the same answer whatever it is asked for.
    struct Nothing {
        capabilities: Capabilities,
        answer: Error,
    }

    impl Nothing {
        fn answering(answer: Error) -> Suite {
            Suite::new(Arc::new(Self {
                capabilities: Capabilities::default(),
                answer,
            }))
        }

        /// One that refuses what the inverse check asks for first: the mode.
        fn refusing(mode: &str) -> Suite {
            let feature = match mode {
                "buffer" => Feature::BufferMode,
                _ => Feature::SocketMode,
            };
            Self::answering(Error::unsupported(feature, "it has nothing"))
                .filter(Filter::new(&format!("*/{mode}/*")).unwrap())
        }
    }

    impl DynBackend for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn build_info(&self) -> BuildInfo {
            BuildInfo::new("Nothing", "1.0")
        }

        fn capabilities(&self) -> &Capabilities {
            &self.capabilities
        }

        fn client(&self, _config: ClientConfig) -> tls_core::Result<Box<dyn DynContext>> {
            Err(self.answer.clone())
        }

        fn server(&self, _config: ServerConfig) -> tls_core::Result<Box<dyn DynContext>> {
            Err(self.answer.clone())
        }

        fn deferred_server(&self) -> tls_core::Result<Box<dyn DynContext>> {
            Err(self.answer.clone())
        }
    }

    fn gap(cases: &str) -> Gaps {
        let text = format!(
            "[[gap]]\ncases = {cases:?}\nreason = \"r\"\nlink = \"l\"\nkind = \"hang\"\n\
             library = \">=1\"\ntest = \"t\"\n"
        );
        Gaps::parse(&text, "1.0").unwrap()
    }

    #[test]
    fn a_backend_that_refuses_everything_is_verified() {
        for mode in ["buffer", "socket"] {
            let report = Nothing::refusing(mode).run();
            assert!(report.is_green(), "{report}");
            assert_eq!(
                report.count(Outcome::VerifiedUnsupported),
                report.rows.len()
            );
        }
    }

    #[test]
    fn refusing_for_another_reason_fails() {
        let answer = Error::config(ConfigProblem::TrustRoots, "no");
        let report = Nothing::answering(answer).run();
        assert!(!report.is_green());
        assert_eq!(report.count(Outcome::Failed), report.rows.len());
    }

    #[test]
    fn a_stale_known_failure_is_a_problem() {
        let report = Nothing::refusing("buffer").gaps(gap("no.such_case")).run();
        assert!(!report.is_green());
        assert!(report.problems[0].contains("matches no run"), "{report}");
    }

    #[test]
    fn known_failures_are_few_and_contradict_what_is_unsupported() {
        let report = Nothing::refusing("buffer").gaps(gap("*")).run();
        assert!(report.problems[0].contains("more than 5 %"), "{report}");
        assert_eq!(report.known_failures, runs().count());
        assert_eq!(report.count(Outcome::Failed), report.rows.len());
    }

    #[test]
    fn a_filter_that_matches_nothing_is_a_problem() {
        let nothing = Filter::new("nothing.*").unwrap();
        assert!(!Nothing::refusing("buffer").filter(nothing).run().is_green());
    }

    #[test]
    fn a_filter_lets_a_case_through_by_its_name_or_one_of_its_runs() {
        let case = cases::all().next().unwrap();
        let (mode, version) = case.runs().next().unwrap();
        for glob in [case.name, &run_name(case, mode, version), "*"] {
            assert!(Filter::new(glob).unwrap().lets_through(case), "{glob}");
        }
        let other = Filter::new(&format!("{}/*/9.9", case.name)).unwrap();
        assert!(!other.lets_through(case));
    }

    #[test]
    fn json_has_what_readers_of_it_expect() {
        let report = Nothing::refusing("socket").run();
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(json["backend"], "nothing");
        assert_eq!(json["library"], "Nothing 1.0");
        let cases = json["cases"].as_array().unwrap();
        assert_eq!(cases.len(), report.rows.len());
        assert_eq!(cases[0]["mode"], "socket");
        assert_eq!(cases[0]["version"], "1.2");
        assert_eq!(cases[0]["outcome"], "verified_unsupported");
        assert!(cases[0]["name"].is_string() && cases[0]["reason"].is_string());
        assert!(cases.iter().all(|case| case["items"].is_array()));
    }

    #[test]
    fn a_panic_is_a_failure() {
        let failure = watched(LIMITS, || panic!("on purpose")).unwrap_err();
        assert_eq!(failure.kind, "panic");
        assert!(failure.message.contains("on purpose"), "{failure}");
    }

    #[test]
    fn a_case_that_never_returns_is_given_up() {
        let limits = Limits {
            watchdog: Duration::from_millis(50),
            ..LIMITS
        };
        let (_never, receiver) = mpsc::channel::<()>();
        let failure = watched(limits, move || {
            let _ = receiver.recv();
            Ok(())
        })
        .unwrap_err();
        assert_eq!(failure.kind, "hang");
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
