//! Application data: nothing lost, doubled or mixed, and back-pressure.

use crate::case::{Case, CaseResult};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[Case {
    rfc: "RFC 8446 5.1",
    clauses: &["K1", "K3"],
    items: &["seed-api 14"],
    ..Case::new("data.both_ways_at_once", both_ways_at_once)
}];

fn both_ways_at_once(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(16 * 1024).connected()?;
    let (there, back) = (super::pattern(300_000, 1), super::pattern(200_000, 2));
    pair.transfer_both(&there, &back)
}
