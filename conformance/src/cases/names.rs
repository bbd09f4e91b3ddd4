//! Certificates and names: what is verified, and how it is refused.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
