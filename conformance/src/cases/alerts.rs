//! Alerts: sent first, then the error, and which alert goes with which problem.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
