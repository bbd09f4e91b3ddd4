//! A peer of the matrix: one backend, asked over stdin, answering on stdout.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use conformance::matrix::peer::{self, Options, Sabotage};
use conformance::matrix::seconds;

/// One backend of the matrix; the program `matrix` builds and starts it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The backend, one of those compiled in.
    #[arg(long, value_name = "NAME")]
    backend: String,
    /// How long one ask may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    deadline: Duration,
    /// Does something wrong, to see the matrix notice.
    #[arg(long, value_name = "HOW", value_parser = sabotage)]
    sabotage: Option<Sabotage>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        backend: arguments.backend,
        deadline: arguments.deadline,
        sabotage: arguments.sabotage,
    };
    match peer::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("peer: {message}");
            ExitCode::from(2)
        }
    }
}

fn sabotage(text: &str) -> Result<Sabotage, String> {
    let names = || Sabotage::ALL.map(Sabotage::name).join(", ");
    Sabotage::ALL
        .into_iter()
        .find(|sabotage| sabotage.name() == text)
        .ok_or_else(|| format!("one of {}", names()))
}
