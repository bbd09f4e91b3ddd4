//! Known failures, declared in a backend's `tests/gaps.toml`.
//!
//! A known failure is only ever an engine's: each names a test that shows the raw engine, without
//! this project's code, doing the same.
//!
//! ```toml
//! [[gap]]
//! cases = "limits.key_updates/*/1.3"       # a glob over name/mode/version; a bare name means all its runs
//! reason = "the engine ends the session without an alert"
//! link = "https://example.org/issue/1"
//! kind = "alert:none"                      # the label of the failure, exactly
//! library = ">=0.23, <0.24"                # the versions of the library that do it; where a
//!                                          # backend has several libraries: "LibreSSL >=4.0, <5"
//! test = "raw_engine_sends_no_alert"       # a test function in the files beside this one
//! ```

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::Path;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

/// The largest share of what there is to run that may be declared, in per cent.
const MAX_PER_CENT: usize = 5;

/// The known failures of one backend that apply to the library at hand.
#[derive(Debug, Default)]
pub struct Gaps {
    gaps: Vec<Gap>,
}

/// One known failure.
#[derive(Debug)]
pub struct Gap {
    matcher: GlobMatcher,
    entry: Entry,
}

/// What stands in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    cases: String,
    reason: String,
    link: String,
    kind: String,
    library: String,
    test: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    gap: Vec<Entry>,
}

impl Gaps {
    /// Reads the text of a `gaps.toml`, leaving out entries for other libraries and versions than
    /// `library`: a name and a version, as `BuildInfo` shows them, or a version alone.
    ///
    /// # Errors
    ///
    /// One sentence for each thing that is wrong with the file.
    pub fn parse(text: &str, library: &str) -> Result<Self, Vec<String>> {
        let document: Document =
            toml::from_str(text).map_err(|error| vec![format!("gaps.toml: {error}")])?;
        let mut gaps = Vec::new();
        let mut problems = Vec::new();
        for entry in document.gap {
            match Gap::new(entry, library) {
                Ok(Some(gap)) => gaps.push(gap),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(Self { gaps })
        } else {
            Err(problems)
        }
    }

    /// Reads a `gaps.toml`, and looks for the tests it names in the files beside it. Blocks on the
    /// file system.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and if a file cannot be read or a test is not there.
    pub fn read(path: &Path, library: &str) -> Result<Self, Vec<String>> {
        let beside = path.parent().unwrap_or_else(|| Path::new("."));
        Self::read_with_tests_in(path, library, &[beside])
    }

    /// Reads a file like `gaps.toml`, and looks for the tests it names in these folders. Blocks on
    /// the file system.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_with_tests_in(
        path: &Path,
        library: &str,
        folders: &[impl AsRef<Path>],
    ) -> Result<Self, Vec<String>> {
        let unreadable = |error| vec![format!("{} cannot be read: {error}", path.display())];
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let gaps = Self::parse(&text, library)?;
        let mut sources = String::new();
        for folder in folders.iter().map(AsRef::as_ref).filter(|it| it.is_dir()) {
            sources.push_str(&rust_sources(folder).map_err(unreadable)?);
        }
        let missing: Vec<_> = gaps
            .gaps
            .iter()
            .filter(|gap| !sources.contains(&format!("fn {}(", gap.entry.test)))
            .map(|gap| {
                format!(
                    "gap {:?}: there is no test named {:?}",
                    gap.entry.cases, gap.entry.test
                )
            })
            .collect();
        if missing.is_empty() {
            Ok(gaps)
        } else {
            Err(missing)
        }
    }

    /// The gaps that match a run, `name/mode/version`.
    pub fn matching<'a>(&'a self, run: &'a str) -> impl Iterator<Item = &'a Gap> {
        self.gaps.iter().filter(move |gap| gap.matches(run))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter()
    }
}

impl Gap {
    fn new(entry: Entry, library: &str) -> Result<Option<Self>, String> {
        let name = format!("gap {:?}", entry.cases);
        for (field, text) in [
            ("cases", &entry.cases),
            ("reason", &entry.reason),
            ("link", &entry.link),
            ("kind", &entry.kind),
            ("library", &entry.library),
            ("test", &entry.test),
        ] {
            if text.trim().is_empty() {
                return Err(format!("{name}: its {field} is empty"));
            }
        }
        let applies = library_matches(&entry.library, library)
            .ok_or_else(|| format!("{name}: {:?} is not a version range", entry.library))?;
        let pattern = if entry.cases.contains('/') {
            entry.cases.clone()
        } else {
            format!("{}/*/*", entry.cases)
        };
        let matcher = Glob::new(&pattern)
            .map_err(|error| format!("{name}: {error}"))?
            .compile_matcher();
        Ok(applies.then_some(Self { matcher, entry }))
    }

    /// Whether a run, `name/mode/version`, is among those that fail.
    pub fn matches(&self, run: &str) -> bool {
        self.matcher.is_match(run)
    }

    /// The label of the failure.
    pub fn kind(&self) -> &str {
        &self.entry.kind
    }

    /// Why the engine fails, and where to read about it.
    pub fn reason(&self) -> String {
        format!("{} ({})", self.entry.reason, self.entry.link)
    }

    /// The glob, as it stands in the file.
    pub fn cases(&self) -> &str {
        &self.entry.cases
    }
}

/// Complains if more of `all` are declared than may be.
pub(crate) fn too_many(declared: usize, all: usize, what: &str) -> Option<String> {
    (declared * 100 > all * MAX_PER_CENT).then(|| {
        format!(
            "{declared} of {all} {what} are declared known failures, more than {MAX_PER_CENT} %"
        )
    })
}

/// Whether a comparison came to what it asks for.
type Holds = fn(Ordering) -> bool;

/// The comparisons of a version range, longest first.
const COMPARISONS: [(&str, Holds); 5] = [
    (">=", Ordering::is_ge),
    ("<=", Ordering::is_le),
    (">", Ordering::is_gt),
    ("<", Ordering::is_lt),
    ("=", Ordering::is_eq),
];

/// Whether a library is one that a range is about; `None` if that is no range. A range that names
/// no library is about any.
fn library_matches(range: &str, library: &str) -> Option<bool> {
    let (name, version) = library.rsplit_once(' ').unwrap_or(("", library));
    let start = range.find(|character: char| "<>=".contains(character))?;
    let (wanted, range) = range.split_at(start);
    let in_range = version_matches(range, version)?;
    Some(in_range && [name, ""].contains(&wanted.trim()))
}

/// Whether a version lies in a range such as `>=3.0, <4`; `None` if that is no range.
fn version_matches(range: &str, version: &str) -> Option<bool> {
    let version = numbers(version);
    let mut all = true;
    for part in range.split(',') {
        let (bound, holds) = COMPARISONS
            .iter()
            .find_map(|(sign, holds)| Some((part.trim().strip_prefix(sign)?, holds)))?;
        let bound = numbers(bound.trim());
        if bound.is_empty() {
            return None;
        }
        all &= holds(compare(&version, &bound));
    }
    Some(all)
}

/// The numbers a dotted version starts with; `3.0.19-dev` is 3, 0, 19.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split('.')
        .map_while(|part| {
            let digits = part
                .find(|character: char| !character.is_ascii_digit())
                .map_or(part, |end| &part[..end]);
            digits.parse().ok()
        })
        .collect()
}

/// Compares as many numbers as the bound has: every 3.0.x equals 3.0.
fn compare(version: &[u64], bound: &[u64]) -> Ordering {
    let at = |index: usize| version.get(index).copied().unwrap_or(0);
    (0..bound.len())
        .map(at)
        .collect::<Vec<_>>()
        .as_slice()
        .cmp(bound)
}

/// The text of every Rust file in a folder and those below it.
fn rust_sources(folder: &Path) -> io::Result<String> {
    let mut all = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.push_str(&rust_sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: &str = r#"
        [[gap]]
        cases = "close.half_close"
        reason = "because"
        link = "https://example.org"
        kind = "alert:none"
        library = ">=3.0, <4"
        test = "raw"
    "#;

    #[test]
    fn a_bare_name_means_all_its_runs() {
        let gaps = Gaps::parse(GAP, "3.0.19").unwrap();
        assert_eq!(gaps.matching("close.half_close/buffer/1.2").count(), 1);
        assert_eq!(gaps.matching("close.half_close2/buffer/1.2").count(), 0);
        let one = GAP.replace("half_close\"", "half_close/socket/*\"");
        let gaps = Gaps::parse(&one, "3.0.19").unwrap();
        assert_eq!(gaps.matching("close.half_close/buffer/1.2").count(), 0);
        assert_eq!(gaps.matching("close.half_close/socket/1.3").count(), 1);
    }

    #[test]
    fn entries_for_other_versions_are_left_out() {
        assert_eq!(Gaps::parse(GAP, "4.0.0").unwrap().iter().count(), 0);
        assert_eq!(Gaps::parse(GAP, "2.9").unwrap().iter().count(), 0);
        assert_eq!(Gaps::parse(GAP, "3.9.9-beta1").unwrap().iter().count(), 1);
    }

    #[test]
    fn entries_for_other_libraries_are_left_out() {
        let count = |text: &str, library| Gaps::parse(text, library).unwrap().iter().count();
        assert_eq!(count(GAP, "OneSSL 3.0.19"), 1);
        let one = GAP.replace(">=3.0, <4", "OneSSL >=3.0, <4");
        assert_eq!(count(&one, "OneSSL 3.0.19"), 1);
        assert_eq!(count(&one, "OneSSL 4.0.0"), 0);
        assert_eq!(count(&one, "OtherSSL 3.0.19"), 0);
        assert_eq!(count(&one, "3.0.19"), 0);
        assert!(Gaps::parse(&one.replace(">=3.0, <4", ""), "OneSSL 3.0.19").is_err());
    }

    #[test]
    fn every_field_must_say_something() {
        for field in ["because", "https://example.org", "alert:none", "raw"] {
            let problems = Gaps::parse(&GAP.replace(field, " "), "3.0").unwrap_err();
            assert!(problems[0].contains("is empty"), "{problems:?}");
        }
        assert!(Gaps::parse(&GAP.replace(">=3.0, <4", "any"), "3.0").is_err());
        assert!(Gaps::parse(&GAP.replace("reason", "because"), "3.0").is_err());
    }

    #[test]
    fn versions_compare_by_the_numbers_of_the_bound() {
        for (range, version, expected) in [
            ("=3.0", "3.0.19", true),
            ("<=3.0", "3.0.19", true),
            (">3.0", "3.0.19", false),
            (">=1.1.1", "1.1.1w", true),
            ("<1.1", "1.0.2u", true),
            (">=0.23, <0.24", "0.23.46", true),
            (">=0.23.50, <0.24", "0.23.46", false),
        ] {
            assert_eq!(
                version_matches(range, version),
                Some(expected),
                "{range} {version}"
            );
        }
        assert_eq!(version_matches("3.0", "3.0"), None);
        assert_eq!(version_matches(">=", "3.0"), None);
    }
}
