//! The conformance program: runs the suite against one of the backends compiled in.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::{fs, io};

use clap::Parser;
use conformance::gaps::Gaps;
use conformance::{Case, Modes, SelfTest, Suite, Versions, cases};
use tls_core::DynBackend;

/// Holds a backend to the contract.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The backend, one of those compiled in.
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Only runs whose name, or name/mode/version, matches.
    #[arg(long, value_name = "GLOB")]
    filter: Option<String>,
    /// Lists the cases and runs none.
    #[arg(long)]
    list: bool,
    /// Writes the report as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Breaks the backend in one way after another, and expects the suite to notice each.
    #[arg(long)]
    self_test: bool,
    /// Known failures; by default those in the backend's own folder.
    #[arg(long, value_name = "FILE")]
    gaps: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("conformance: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    if arguments.list {
        list();
        return Ok(true);
    }
    let backend = choose(arguments.backend.as_deref())?;
    let mut suite = Suite::new(Arc::clone(&backend)).gaps(read_gaps(arguments, &*backend)?);
    if let Some(glob) = &arguments.filter {
        suite = suite.filter(glob).map_err(|error| error.to_string())?;
    }
    let report = suite.run();
    print!("{report}");
    if let Some(path) = &arguments.json {
        let json = report.to_json().map_err(|error| error.to_string())?;
        fs::write(path, json + "\n").map_err(|error| cannot(path, "written", &error))?;
    }
    if !arguments.self_test {
        return Ok(report.is_green());
    }
    let test = SelfTest::run(&backend, &report);
    print!("{test}");
    Ok(report.is_green() && test.is_green())
}

/// The backend named, else rustls if it is compiled in, else the only one.
fn choose(name: Option<&str>) -> Result<Arc<dyn DynBackend>, String> {
    let names = polytls::backend_names();
    let name = match (name, &*names) {
        (Some(name), _) => name,
        (None, names) if names.contains(&"rustls") => "rustls",
        (None, [only]) => only,
        (None, []) => return Err("no backend is compiled in".to_owned()),
        (None, names) => return Err(format!("--backend is needed: {}", names.join(", "))),
    };
    polytls::backend(name)
        .map(Arc::from)
        .map_err(|error| error.to_string())
}

fn read_gaps(arguments: &Arguments, backend: &dyn DynBackend) -> Result<Gaps, String> {
    let path = arguments
        .gaps
        .clone()
        .unwrap_or_else(|| own_gaps(backend.name()));
    Gaps::read(&path, &backend.build_info().version).map_err(|problems| problems.join("\n"))
}

/// The folder of a backend is named after its engine: `rustls-ring` is in `backend-rustls`.
fn own_gaps(backend: &str) -> PathBuf {
    let engine = backend.split('-').next().unwrap_or(backend);
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(format!("backend-{engine}"))
        .join("tests/gaps.toml")
}

fn cannot(path: &std::path::Path, what: &str, error: &io::Error) -> String {
    format!("{} cannot be {what}: {error}", path.display())
}

fn list() {
    for case in cases::all() {
        println!(
            "{}  {}  [{}]{}{}",
            case.name,
            case.clauses.join(" "),
            case.rfc,
            limits(case),
            if case.items.is_empty() {
                String::new()
            } else {
                format!("  {}", case.items.join(", "))
            }
        );
    }
}

fn limits(case: &Case) -> String {
    let mut limits = String::new();
    match case.modes {
        Modes::Both => {}
        Modes::BufferOnly => limits.push_str("  buffer only"),
        Modes::SocketOnly => limits.push_str("  socket only"),
    }
    if let Versions::Only(version) = case.versions {
        limits.push_str(&format!("  {version} only"));
    }
    limits
}
