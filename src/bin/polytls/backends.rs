//! `polytls backends`: which engines are compiled in, and what each can do.
//!
//! The JSON is stable: fields may be added, none changes its meaning.
//!
//! ```text
//! { "backends": [ {
//!     "name":          the name for --backend
//!     "library":       the library's own name
//!     "version":       the library's own version, as found at run time
//!     "features":      { NAME: { "support": "native" | "emulated" | "unsupported",
//!                                "reason": why it cannot be had, only if unsupported } }
//!     "cipher_suites": [ { "name": as registered, "number": as registered } ]
//!     "groups":        [ { "name": as registered, "number": as registered } ]
//! } ] }
//! ```

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use polytls::{Capabilities, DynBackend, Feature, Support};
use serde_json::{Value, json};

use crate::args::BackendsArgs;
use crate::failure::Failure;
use crate::print;

pub(crate) fn run(args: &BackendsArgs) -> Result<(), Failure> {
    let backends = polytls::backends();
    if args.json {
        return print(&format!("{:#}", to_json(&backends)));
    }
    if backends.is_empty() {
        return Err(Failure::no_backend());
    }
    print(&to_text(&backends))
}

fn to_json(backends: &[Box<dyn DynBackend>]) -> Value {
    let described: Vec<_> = backends
        .iter()
        .map(|backend| describe(&**backend))
        .collect();
    json!({ "backends": described })
}

fn describe(backend: &dyn DynBackend) -> Value {
    let info = backend.build_info();
    let capabilities = backend.capabilities();
    let features: serde_json::Map<_, _> = Feature::ALL
        .iter()
        .map(|feature| {
            let described = match capabilities.support(*feature) {
                Support::Unsupported(reason) => {
                    json!({ "support": "unsupported", "reason": reason })
                }
                support => json!({ "support": support.to_string() }),
            };
            (feature.name().to_owned(), described)
        })
        .collect();
    let suites: Vec<_> = capabilities
        .cipher_suites
        .iter()
        .map(|suite| json!({ "name": suite.to_string(), "number": suite.0 }))
        .collect();
    let groups: Vec<_> = capabilities
        .groups
        .iter()
        .map(|group| json!({ "name": group.to_string(), "number": group.0 }))
        .collect();
    json!({
        "name": backend.name(),
        "library": info.library,
        "version": info.version,
        "features": features,
        "cipher_suites": suites,
        "groups": groups,
    })
}

fn to_text(backends: &[Box<dyn DynBackend>]) -> String {
    let mut text = String::new();
    for backend in backends {
        let _ = writeln!(text, "{}: {}", backend.name(), backend.build_info());
    }
    let _ = writeln!(text, "\n{}", feature_table(backends));
    reasons(&mut text, backends);
    let _ = writeln!(
        text,
        "\n{}",
        presence_table("cipher suite", backends, |capabilities| &capabilities
            .cipher_suites)
    );
    let _ = write!(
        text,
        "\n{}",
        presence_table("group", backends, |capabilities| &capabilities.groups)
    );
    text
}

fn feature_table(backends: &[Box<dyn DynBackend>]) -> Table {
    let mut table = new_table("feature", backends);
    for feature in Feature::ALL {
        let support = backends
            .iter()
            .map(|backend| backend.capabilities().support(*feature).to_string());
        table.add_row(std::iter::once(feature.to_string()).chain(support));
    }
    table
}

/// Why something cannot be had: too long for a cell.
fn reasons(text: &mut String, backends: &[Box<dyn DynBackend>]) {
    for backend in backends {
        for feature in Feature::ALL {
            if let Support::Unsupported(reason) = backend.capabilities().support(*feature) {
                let _ = writeln!(text, "{} has no {feature}: {reason}", backend.name());
            }
        }
    }
}

/// Which backends have which of the values, in the order of their numbers.
fn presence_table<T: Display + Ord + Copy>(
    what: &str,
    backends: &[Box<dyn DynBackend>],
    list: impl Fn(&Capabilities) -> &Vec<T>,
) -> Table {
    let mut table = new_table(what, backends);
    let lists: Vec<_> = backends
        .iter()
        .map(|backend| list(backend.capabilities()))
        .collect();
    let values: BTreeSet<T> = lists.iter().flat_map(|list| list.iter().copied()).collect();
    for value in values {
        let present = lists
            .iter()
            .map(|list| if list.contains(&value) { "yes" } else { "-" }.to_owned());
        table.add_row(std::iter::once(value.to_string()).chain(present));
    }
    table
}

fn new_table(what: &str, backends: &[Box<dyn DynBackend>]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(std::iter::once(what).chain(backends.iter().map(|backend| backend.name())));
    table
}
