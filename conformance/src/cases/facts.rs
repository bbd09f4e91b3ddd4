//! Negotiated facts: what they say and when.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
