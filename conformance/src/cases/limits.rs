//! Bounds on memory and work under what a hostile peer sends.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
