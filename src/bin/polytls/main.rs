//! The `polytls` program: try the backends out, terminate TLS, serve files, connect.
//!
//! Exit code 0: all went well; 1: it did not, and one sentence on stderr says why; 2: the command
//! line is wrong. Logs go to stderr; `RUST_LOG` filters them.

#![forbid(unsafe_code)]

mod args;
mod backends;
mod buffered;
mod connect;
mod demo;
mod drive;
mod failure;
mod peer;
mod proxy;
mod serve;
mod setup;
mod sni_map;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Backends(args) => backends::run(&args),
        Command::Terminate(args) => proxy::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Connect(args) => connect::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to do if stderr is gone too.
            let _ = writeln!(io::stderr(), "polytls: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging() {
    let filter = EnvFilter::try_from_default_env();
    let set = std::env::var_os(EnvFilter::DEFAULT_ENV).is_some_and(|value| !value.is_empty());
    let refused = filter
        .as_ref()
        .err()
        .filter(|_| set)
        .map(ToString::to_string);
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Some(error) = refused {
        tracing::warn!(
            "{} is not understood, info is logged: {error}",
            EnvFilter::DEFAULT_ENV
        );
    }
}

/// Writes a report to stdout; a reader that went away early is not a failure.
fn print(report: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{report}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}
