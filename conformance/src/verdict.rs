//! What the suite makes of a run: the table of the contract.
//!
//! | the backend says | declared known failure | verdict |
//! |---|---|---|
//! | it has what the case needs | no | it must pass |
//! | it has it | yes | it must fail with the declared kind; passing is an error |
//! | it lacks something | no | asked for it, it must answer `Unsupported` with that feature |
//! | it lacks something | yes | an error: the two contradict each other |

use tls_core::Feature;

use crate::case::CaseResult;
use crate::gaps::Gap;

/// What was observed in a run.
#[derive(Debug)]
pub enum Observed {
    /// The backend has what the case needs, and the case came to this.
    Ran(CaseResult),
    /// The backend lacks a feature, and asking for it came to this.
    Lacks(Feature, CaseResult),
}

/// What a run counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The case passed.
    Passed,
    /// The backend lacks what the case needs, and says so when asked.
    VerifiedUnsupported,
    /// The case failed as declared.
    KnownFailure,
    /// Anything else.
    Failed,
}

impl Outcome {
    /// All, in report order.
    pub const ALL: [Self; 4] = [
        Self::Passed,
        Self::VerifiedUnsupported,
        Self::KnownFailure,
        Self::Failed,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::VerifiedUnsupported => "verified_unsupported",
            Self::KnownFailure => "known_failure",
            Self::Failed => "failed",
        }
    }
}

/// An outcome and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The outcome.
    pub outcome: Outcome,
    /// Why; empty for a case that passed.
    pub reason: String,
}

impl Verdict {
    fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            reason: reason.into(),
        }
    }

    fn failed(reason: impl Into<String>) -> Self {
        Self::new(Outcome::Failed, reason)
    }
}

/// Judges one run, given the gaps that match it.
pub fn judge(observed: &Observed, gaps: &[&Gap]) -> Verdict {
    if let [first, second, ..] = gaps {
        return Verdict::failed(format!(
            "two known failures are declared for this run: {:?} and {:?}",
            first.cases(),
            second.cases()
        ));
    }
    match (observed, gaps.first()) {
        (Observed::Ran(Ok(())), None) => Verdict::new(Outcome::Passed, ""),
        (Observed::Ran(Err(failure)), None) => Verdict::failed(failure.to_string()),
        (Observed::Ran(Ok(())), Some(gap)) => Verdict::failed(format!(
            "it passes, though a known failure is declared: remove the entry {:?}",
            gap.cases()
        )),
        (Observed::Ran(Err(failure)), Some(gap)) if failure.kind == gap.kind() => {
            Verdict::new(Outcome::KnownFailure, gap.reason())
        }
        (Observed::Ran(Err(failure)), Some(gap)) => Verdict::failed(format!(
            "declared to fail with {:?}, it fails otherwise: {failure}",
            gap.kind()
        )),
        (Observed::Lacks(feature, Ok(())), None) => Verdict::new(
            Outcome::VerifiedUnsupported,
            format!("asked for {feature}, it answers Unsupported"),
        ),
        (Observed::Lacks(_, Err(failure)), None) => Verdict::failed(failure.to_string()),
        (Observed::Lacks(feature, _), Some(gap)) => Verdict::failed(format!(
            "the backend lacks {feature}, and a known failure is declared: {:?} contradicts that",
            gap.cases()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Failure;
    use crate::gaps::Gaps;

    fn gaps(entries: usize) -> Gaps {
        let entry = "[[gap]]\ncases = \"a.b\"\nreason = \"r\"\nlink = \"l\"\nkind = \"hang\"\n\
                     library = \">=1\"\ntest = \"t\"\n";
        Gaps::parse(&entry.repeat(entries), "1.0").unwrap()
    }

    fn outcome(observed: &Observed, entries: usize) -> Outcome {
        let gaps = gaps(entries);
        let matching: Vec<_> = gaps.matching("a.b/socket/1.2").collect();
        assert_eq!(matching.len(), entries);
        judge(observed, &matching).outcome
    }

    fn ran(result: CaseResult) -> Observed {
        Observed::Ran(result)
    }

    #[test]
    fn what_the_backend_has_must_pass() {
        assert_eq!(outcome(&ran(Ok(())), 0), Outcome::Passed);
        let failure = ran(Err(Failure::hang("h")));
        assert_eq!(outcome(&failure, 0), Outcome::Failed);
    }

    #[test]
    fn a_known_failure_must_fail_as_declared() {
        let declared = ran(Err(Failure::hang("h")));
        assert_eq!(outcome(&declared, 1), Outcome::KnownFailure);
        let other = ran(Err(Failure::assertion("a")));
        assert_eq!(outcome(&other, 1), Outcome::Failed);
        assert_eq!(outcome(&ran(Ok(())), 1), Outcome::Failed);
    }

    #[test]
    fn what_the_backend_lacks_must_be_refused() {
        let refused = Observed::Lacks(Feature::Alpn, Ok(()));
        assert_eq!(outcome(&refused, 0), Outcome::VerifiedUnsupported);
        let taken = Observed::Lacks(Feature::Alpn, Err(Failure::new("inverse", "taken")));
        assert_eq!(outcome(&taken, 0), Outcome::Failed);
    }

    #[test]
    fn contradictions_fail() {
        let refused = Observed::Lacks(Feature::Alpn, Ok(()));
        assert_eq!(outcome(&refused, 1), Outcome::Failed);
        let declared = ran(Err(Failure::hang("h")));
        assert_eq!(outcome(&declared, 2), Outcome::Failed);
    }
}
