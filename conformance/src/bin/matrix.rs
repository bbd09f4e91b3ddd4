//! The matrix program: every client against every server.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use conformance::Filter;
use conformance::matrix::{LIBRESSL_DIR, Matrix, Program, backend_of, build, names, seconds};

/// Drives every client against every server, with TLS 1.2 and 1.3 and in both modes.
///
/// Builds one peer program for each backend, in the profile of this program, then runs every cell
/// over loopback TCP and prints the grid. Ends with 1 if a cell failed or did not run, and with 2
/// if a peer cannot be built. LibreSSL takes part if LIBRESSL_DIR names the directory it is
/// installed in.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Writes the report as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The peers that take part, separated by commas; all by default.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    backends: Option<Vec<String>>,
    /// Only the cells client/server/version/client-mode/server-mode that match.
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Known gaps; by default those of this project.
    #[arg(long, value_name = "FILE")]
    gaps: Option<PathBuf>,
    /// How long a peer may take for one operation, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    deadline: Duration,
    /// A peer that is built already, instead of those that are built: for tests of the matrix.
    #[arg(long, value_name = "NAME=PATH", hide = true)]
    peer: Vec<String>,
    /// Has a peer do something wrong: for tests of the matrix.
    #[arg(long, value_name = "NAME=HOW", hide = true)]
    sabotage: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("matrix: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let only = match &arguments.only {
        Some(glob) => Some(Filter::new(glob).map_err(|error| error.to_string())?),
        None => None,
    };
    let begin = Instant::now();
    let mut programs = programs(arguments)?;
    if let Some(text) = &arguments.sabotage {
        let (name, how) = pair(text)?;
        for program in programs.iter_mut().filter(|program| program.name == name) {
            program.arguments = vec!["--sabotage".to_owned(), how.to_owned()];
        }
    }
    let built = begin.elapsed();
    let matrix = Matrix {
        programs,
        gaps: arguments.gaps.clone().unwrap_or_else(own_gaps),
        only,
    };
    let report = matrix.run();
    let took = begin.elapsed() - built;
    print!("{report}");
    println!(
        "peers built in {:.1} s, cells run in {:.1} s",
        built.as_secs_f32(),
        took.as_secs_f32()
    );
    if let Some(path) = &arguments.json {
        let json = report.to_json().map_err(|error| error.to_string())?;
        fs::write(path, json + "\n")
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(report.is_green())
}

fn programs(arguments: &Arguments) -> Result<Vec<Program>, String> {
    let deadline = arguments.deadline;
    if !arguments.peer.is_empty() {
        let ready = arguments.peer.iter();
        return ready.map(|text| ready_made(text, deadline)).collect();
    }
    peers(arguments.backends.as_deref())
        .iter()
        .map(|name| {
            eprintln!("building the peer {name}");
            build(name, deadline)
        })
        .collect()
}

/// The peers that take part, without repeats.
fn peers(wanted: Option<&[String]>) -> Vec<String> {
    if let Some(wanted) = wanted {
        let mut peers = Vec::new();
        for name in wanted {
            if !peers.contains(name) {
                peers.push(name.clone());
            }
        }
        return peers;
    }
    let mut all = names();
    if env::var_os(LIBRESSL_DIR).is_none() {
        println!("libressl takes no part, because {LIBRESSL_DIR} is not set");
        all.retain(|name| name != "libressl");
    }
    all
}

fn ready_made(text: &str, deadline: Duration) -> Result<Program, String> {
    let (name, path) = pair(text)?;
    Ok(Program {
        name: name.to_owned(),
        backend: backend_of(name).to_owned(),
        path: path.into(),
        environment: Vec::new(),
        alone: false,
        arguments: Vec::new(),
        deadline,
    })
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=')
        .ok_or_else(|| format!("{text:?} is no NAME=VALUE"))
}

fn own_gaps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix-gaps.toml")
}
