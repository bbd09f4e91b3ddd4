//! Configurations that are refused, and how.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
