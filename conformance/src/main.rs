//! The conformance program: runs the suite against one of the backends compiled in.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use conformance::gaps::Gaps;
use conformance::{
    Case, EveryByte, EveryByteSelfTest, Filter, Modes, Report, SelfTest, Suite, Versions, cases,
};
use tls_core::DynBackend;

/// Holds a backend to the contract.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The backend, one of those compiled in.
    #[arg(long, value_name = "NAME", global = true)]
    backend: Option<String>,
    /// Only runs whose name, or name/mode/version, matches.
    #[arg(long, value_name = "GLOB")]
    filter: Option<String>,
    /// Lists the cases that would run, and runs none.
    #[arg(long)]
    list: bool,
    /// Writes the report as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Breaks the backend in one way after another, and expects the suite to notice each.
    #[arg(long, global = true)]
    self_test: bool,
    /// Multiplies what each run may take, where a tool slows the engine down.
    #[arg(long, value_name = "FACTOR", global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    patience: u32,
    /// Runs everything so many times, and expects the same of each.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "self_test")]
    repeat: u32,
    /// Known failures; by default those in the backend's own folder.
    #[arg(long, value_name = "FILE")]
    gaps: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cuts connections at every byte and changes records on their way, instead of running the
    /// suite. With --self-test: with saboteurs in the backend's place, each of which must be
    /// noticed.
    EveryByte(Bytes),
}

#[derive(Debug, Args)]
struct Bytes {
    /// Truncates and resets connections at every so-manyth byte; at none if 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    every: usize,
    /// Changes records in so many connections.
    #[arg(long, value_name = "N", default_value_t = 0)]
    mutations: u64,
    /// Chooses the first byte to cut at, and what is changed. A failure names the arguments that
    /// repeat it alone.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
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
    let filter = match &arguments.filter {
        Some(glob) => Some(Filter::new(glob).map_err(|error| error.to_string())?),
        None => None,
    };
    if arguments.list {
        list(filter.as_ref())?;
        return Ok(true);
    }
    let backend = choose(arguments.backend.as_deref())?;
    if let Some(Command::EveryByte(bytes)) = &arguments.command {
        return every_byte(arguments, bytes, &backend);
    }
    let mut suite = Suite::new(Arc::clone(&backend))
        .gaps(read_gaps(arguments, &*backend)?)
        .patience(arguments.patience);
    if let Some(filter) = filter {
        suite = suite.filter(filter);
    }
    let report = suite.run();
    print(&report)?;
    let repeated = repeat(&suite, &report, arguments.repeat)?;
    if let Some(path) = &arguments.json {
        let json = report.to_json().map_err(|error| error.to_string())?;
        fs::write(path, json + "\n").map_err(|error| cannot(path, "written", &error))?;
    }
    if !arguments.self_test {
        return Ok(report.is_green() && repeated);
    }
    let test = SelfTest::run(&backend, &report);
    print(&test)?;
    Ok(report.is_green() && test.is_green())
}

/// Runs the suite again until it has run so many times: whether each came to the same as the first.
fn repeat(suite: &Suite, first: &Report, times: u32) -> Result<bool, String> {
    let mut flakes = 0;
    for time in 2..=times {
        for flake in first.differences(&suite.run()) {
            flakes += 1;
            print(&format_args!("flake in round {time}: {flake}\n"))?;
        }
    }
    if times > 1 {
        print(&format_args!(
            "{times} rounds, {flakes} runs unlike the first\n"
        ))?;
    }
    Ok(flakes == 0)
}

fn every_byte(
    arguments: &Arguments,
    bytes: &Bytes,
    backend: &Arc<dyn DynBackend>,
) -> Result<bool, String> {
    if arguments.self_test {
        let test = EveryByteSelfTest::run(backend, bytes.seed);
        print(&test)?;
        return Ok(test.is_green());
    }
    let run = EveryByte {
        every: (bytes.every > 0).then_some(bytes.every),
        mutations: bytes.mutations,
        seed: bytes.seed,
        patience: arguments.patience,
    };
    print(&format!("{} ({})\n", backend.name(), backend.build_info()))?;
    let report = run.run(backend);
    print(&report)?;
    Ok(report.is_green())
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
    Gaps::read(&path, &backend.build_info().to_string()).map_err(|problems| problems.join("\n"))
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

/// Writes to stdout; a reader that went away early is not a failure.
fn print(text: &impl Display) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("stdout: {error}")),
        _ => Ok(()),
    }
}

fn list(filter: Option<&Filter>) -> Result<(), String> {
    let mut lines = String::new();
    for case in cases::all() {
        if filter.is_some_and(|filter| !filter.lets_through(case)) {
            continue;
        }
        let items = match case.items {
            [] => String::new(),
            items => format!("  {}", items.join(", ")),
        };
        lines += &format!(
            "{}  {}  [{}]{}{items}\n",
            case.name,
            case.clauses.join(" "),
            case.rfc,
            limits(case),
        );
    }
    print(&lines)
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
