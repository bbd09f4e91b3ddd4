//! Buffer sessions against each other, in memory.

#![cfg(feature = "aws-lc-rs")]

mod authentication;
mod endings;
mod flips;
mod forge;
mod limits;
mod moving;
mod pair;
mod parameters;
mod pki;
mod resumption;
