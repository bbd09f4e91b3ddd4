//! The suite that holds every polytls backend to one contract.
//!
//! Cases are data ([`Case`]): a name, the clauses of the contract and the RFC sections they hold a
//! backend to, the features they need, and a function. Each runs in buffer and in socket mode, with
//! TLS 1.2 and 1.3, over a [`wire`] that the test alone moves, with quotas and faults that are the
//! same in both modes. Where a backend lacks a feature the suite asks for it and expects to be
//! refused ([`ask`]); known failures are declared in `gaps.toml` ([`gaps`]) and must fail as
//! declared; nothing is skipped.
//!
//! A backend's own `tests/conformance.rs` is one call of [`run_as_test`]. [`cases`] says how to
//! write a case.

#![forbid(unsafe_code)]

pub mod ask;
mod case;
pub mod cases;
pub mod check;
mod endpoint;
mod everybyte;
pub mod forge;
pub mod gaps;
mod hello;
pub mod matrix;
mod pair;
mod pki;
mod report;
mod run;
mod saboteur;
mod scene;
mod selftest;
pub mod verdict;
pub mod wire;

use std::path::Path;
use std::sync::Arc;

use tls_core::DynBackend;

pub use case::{Case, CaseResult, Failure, Mode, Modes, Versions, describe, version_name};
pub use endpoint::{Endpoint, Step};
pub use everybyte::{EveryByte, EveryByteReport, EveryByteSelfTest};
pub use pair::{End, Outcome, Pair, Side};
pub use pki::{OTHER_NAME, Pki, SECOND_NAME, SERVER_IP, SERVER_NAME};
pub use report::{Report, Row};
pub use run::{Filter, Suite};
pub use scene::{Builder, Scene};
pub use selftest::SelfTest;

/// Runs the whole suite as a test of a backend, and prints the report.
///
/// `gaps` is the path of the backend's `gaps.toml`; the tests it names are looked for in the files
/// beside it.
///
/// # Panics
///
/// On any unexpected verdict, and on anything wrong with the known failures.
pub fn run_as_test(backend: Box<dyn DynBackend>, gaps: impl AsRef<Path>) {
    let backend: Arc<dyn DynBackend> = Arc::from(backend);
    let library = backend.build_info().to_string();
    let gaps = match gaps::Gaps::read(gaps.as_ref(), &library) {
        Ok(gaps) => gaps,
        Err(problems) => panic!("{}", problems.join("\n")),
    };
    let report = Suite::new(backend).gaps(gaps).run();
    println!("{report}");
    assert!(report.is_green(), "the suite is not green:\n{report}");
}
