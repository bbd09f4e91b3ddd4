//! Resumption: when, under which policy, and what it keeps.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
