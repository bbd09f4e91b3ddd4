//! Sessions that wait for their caller, with each provider: what is particular to doing handshakes
//! again. What every backend must do is in the suite.

#![cfg(any(feature = "aws-lc-rs", feature = "ring"))]

mod answers;
mod bounds;
mod early;
mod nested;
mod pair;
mod resumption;
mod same_again;
