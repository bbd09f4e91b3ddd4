//! `items.toml` is about every number, once, and about nothing that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use conformance::cases;
use serde::Deserialize;

/// The lists, and how many items each has.
const LISTS: [(&str, u32); 2] = [("seed-api", 94), ("behaviours", 192)];
/// Items that a clause of the contract overrules.
const SUPERSEDED: [&str; 6] = [
    "seed-api 6",
    "seed-api 16",
    "seed-api 42",
    "seed-api 66",
    "behaviours 47",
    "behaviours 57",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    title: String,
    #[serde(default)]
    tests: Vec<String>,
    superseded: Option<String>,
    not_yet: Option<String>,
    not_a_library: Option<String>,
    missing: Option<String>,
}

/// Every item by its number, as cases cite it: `seed-api 52`.
fn items() -> BTreeMap<String, Item> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("items.toml");
    let text = fs::read_to_string(path).expect("items.toml");
    let lists: BTreeMap<String, BTreeMap<String, Item>> =
        toml::from_str(&text).expect("items.toml is as it says");
    lists
        .into_iter()
        .flat_map(|(list, items)| {
            items
                .into_iter()
                .map(move |(number, item)| (format!("{list} {number}"), item))
        })
        .collect()
}

/// The cases that cite each item.
fn cited() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut cited: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in cases::all() {
        for item in case.items {
            cited.entry(*item).or_default().push(case.name);
        }
    }
    cited
}

#[test]
fn every_number_is_there_once() {
    // A number that stands there twice is no TOML.
    let expected: BTreeSet<String> = LISTS
        .iter()
        .flat_map(|(list, count)| (1..=*count).map(move |number| format!("{list} {number}")))
        .collect();
    let met: BTreeSet<String> = items().into_keys().collect();
    assert_eq!(met, expected);
}

#[test]
fn cases_cite_numbers_that_exist_and_none_twice() {
    let items = items();
    for case in cases::all() {
        let mut seen = BTreeSet::new();
        for item in case.items {
            assert!(
                items.contains_key(*item),
                "{}: there is no {item}",
                case.name
            );
            assert!(seen.insert(item), "{} cites {item} twice", case.name);
        }
    }
}

#[test]
fn an_item_is_covered_or_says_why_not() {
    let cited = cited();
    let problems: Vec<_> = items()
        .iter()
        .filter_map(|(name, item)| {
            problem_of(item, cited.get(&**name)).map(|it| (name.clone(), it))
        })
        .map(|(name, problem)| format!("{name}: {problem}"))
        .collect();
    assert!(problems.is_empty(), "items.toml:\n{}", problems.join("\n"));
}

/// What is wrong with an item that these cases cite.
fn problem_of(item: &Item, cases: Option<&Vec<&str>>) -> Option<String> {
    let texts = [
        Some(&item.title),
        item.superseded.as_ref(),
        item.not_yet.as_ref(),
        item.not_a_library.as_ref(),
        item.missing.as_ref(),
    ];
    if texts
        .into_iter()
        .flatten()
        .any(|text| text.trim().is_empty() || text.contains('|'))
    {
        return Some("a text is empty, or would break the table".to_owned());
    }
    let held = cases.is_some() || !item.tests.is_empty();
    match (held, &item.not_yet, &item.not_a_library) {
        (false, None, None) => Some("neither case nor test nor reason".to_owned()),
        (_, Some(_), Some(_)) => Some("two reasons".to_owned()),
        (true, Some(_), _) | (true, _, Some(_)) => Some(format!(
            "held by {cases:?} {:?}, so take out why it is not; `missing` says what is left",
            item.tests
        )),
        (false, ..) if item.missing.is_some() => Some("all of it is missing".to_owned()),
        _ => None,
    }
}

#[test]
fn items_that_contradict_themselves_are_noticed() {
    let case = vec!["close.half_close"];
    for (text, cited) in [
        ("title = 'a'", false),
        ("title = 'a'\nnot_yet = 'x'", true),
        ("title = 'a'\ntests = ['f: n']\nnot_a_library = 'x'", false),
        ("title = 'a'\nnot_yet = 'x'\nnot_a_library = 'x'", false),
        ("title = 'a'\nnot_yet = 'x'\nmissing = 'y'", false),
        ("title = ''", true),
        ("title = 'a | b'", true),
    ] {
        let item = toml::from_str(text).expect("an item");
        let problem = problem_of(&item, cited.then_some(&case));
        assert!(problem.is_some(), "{text}, cited: {cited}");
    }
    for (text, cited) in [
        ("title = 'a'", true),
        ("title = 'a'\nmissing = 'x'", true),
        ("title = 'a'\ntests = ['f: n']", false),
        ("title = 'a'\nnot_yet = 'x'", false),
    ] {
        let item = toml::from_str(text).expect("an item");
        assert_eq!(problem_of(&item, cited.then_some(&case)), None, "{text}");
    }
}

#[test]
fn what_the_contract_overrules_is_said() {
    let met: BTreeSet<String> = items()
        .into_iter()
        .filter(|(_, item)| item.superseded.is_some())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(met, SUPERSEDED.map(str::to_owned).into());
}

#[test]
fn tests_that_are_named_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, item) in items() {
        for test in &item.tests {
            assert!(exists(&root, test), "{name}: there is no test {test:?}");
        }
    }
}

#[test]
fn a_test_that_is_gone_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let this = "conformance/tests/items.rs";
    assert!(exists(
        &root,
        &format!("{this}: a_test_that_is_gone_is_noticed")
    ));
    for gone in ["a_test_that_never_was", "exists"] {
        assert!(
            !exists(&root, &format!("{this}: {gone}")),
            "{gone} is no test"
        );
    }
    assert!(!exists(&root, "tests/clients/bad_peers.py: record"));
    assert!(!exists(&root, "no/such/file.rs: a_test"));
    assert!(!exists(&root, "scripts/test_run.sh"));
}

/// Whether a test is there: `FILE: NAME` is a function under `#[test]`, a step of the matrix, or a
/// check that a file of `tests/clients` runs; a file alone is a script that `./test` runs, or a
/// program that must not compile.
fn exists(root: &Path, test: &str) -> bool {
    let Some((file, name)) = test.split_once(": ") else {
        let file: PathBuf = root.join(test);
        let parts = fs::read_to_string(root.join("test")).expect("./test");
        let is_part = parts.contains(&format!(" {test} "));
        return file.is_file() && (is_part || file.with_extension("stderr").is_file());
    };
    let Ok(text) = fs::read_to_string(root.join(file)) else {
        return false;
    };
    if file.ends_with(".py") {
        return text.contains(&format!("def {name}(")) && text.contains(&format!("\", {name}, "));
    }
    text.contains(&format!("Step::new(\"{name}\", {name})")) || is_test(&text, name)
}

fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}()");
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with(&head))
        .any(|(index, _)| {
            lines[..index]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
                .any(|line| *line == "#[test]")
        })
}
