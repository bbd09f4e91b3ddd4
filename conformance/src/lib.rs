//! The suite that holds every polytls backend to one contract.

#![forbid(unsafe_code)]

pub mod ask;
mod case;
pub mod cases;
pub mod check;
mod endpoint;
mod pair;
mod pki;
mod scene;
pub mod wire;

pub use case::{Case, CaseResult, Failure, Mode, Modes, Versions, describe, version_name};
pub use endpoint::{Endpoint, Step};
pub use pair::{End, Outcome, Pair, Side};
pub use pki::{OTHER_NAME, Pki, SECOND_NAME, SERVER_IP, SERVER_NAME};
pub use scene::{Builder, Scene};
