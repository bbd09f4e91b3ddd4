//! The descriptor of a socket session.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
