//! The cases, by topic.
//!
//! # How to write a case
//!
//! A case is a function `fn(&Scene<'_>) -> CaseResult` and an entry in the `CASES` of its topic:
//!
//! ```
//! # use conformance::{Case, CaseResult, Scene};
//! # fn half_close(scene: &Scene<'_>) -> CaseResult { scene.connected()?.ping_pong() }
//! const CASES: &[Case] = &[Case {
//!     rfc: "RFC 8446 6.1",
//!     clauses: &["K7"],
//!     items: &["seed-api 52", "behaviours 49"],
//!     ..Case::new("close.half_close", half_close)
//! }];
//! ```
//!
//! It runs in buffer and in socket mode, with TLS 1.2 and with 1.3: four runs, four verdicts. Only
//! where the clause or the RFC itself knows the behaviour in one of them alone, the entry says so
//! (`modes: Modes::SocketOnly`, `versions: Versions::TLS13`).
//!
//! * `requires` names the features without which the case makes no sense; a backend that lacks one
//!   is asked for it and must refuse ([`ask`](crate::ask)). Never test for a feature and return
//!   early: the run would count as passed. `scene.has(..)` is for details within a case.
//! * Build pairs with `scene.connected()`, `scene.pair()`, or step by step with
//!   [`scene.build()`](crate::Scene::build): configurations from `scene.client_config()` and
//!   `scene.server_config()`, changed as needed, `.window(..)`, `.tcp()`.
//! * [`Endpoint`](crate::Endpoint) calls behave alike in both modes. Nothing moves between the two
//!   unless the case moves it: [`Pair::relay`](crate::Pair::relay), or a driver that does
//!   (`handshake`, `settle`, `transfer`, `read_exact`, `read_to_end`, `shutdown`, `until_error`,
//!   and `pump_until` for everything else). Drivers fail with `hang` where nothing moves any more,
//!   so no case needs a timeout.
//! * Faults are scripted on the wire, alike in both modes: `pair.wire.from(Side::Client)` gives the
//!   lane; `flip`, `insert`, `truncate` at an offset, `hold`, `release`, `cut`, `inject`, `recorded`.
//!   Resets need `.tcp()` and socket mode.
//! * Assert with [`ensure!`](crate::ensure) and [`check`](crate::check); `?` on any
//!   `tls_core::Result` fails the case with the kind of the error. Alerts are compared with
//!   `check::alert`, so that a declared known failure can name the alert an engine sends instead.
//! * No case sleeps, reads a clock, or spawns threads, unless that is what it is about.
//! * Every case must be able to fail: some saboteur (`conformance --self-test`) has to turn it red.

mod alerts;
mod alpn;
mod asked_later;
mod bindings;
mod buffering;
mod callbacks;
mod chains;
mod client_certificates;
mod close;
mod config;
mod credentials;
mod data;
mod deferred;
mod deferred_policy;
mod deferred_wire;
mod descriptor;
mod facts;
mod failures;
mod fragments;
mod handshake;
mod key_update;
mod lifetime;
mod limits;
mod names;
mod one_byte;
mod peers;
mod plain;
mod post_handshake;
mod post_handshake_credentials;
mod post_handshake_verdicts;
mod readiness;
mod renegotiation;
mod resumption;
mod roots;
mod shutdown;
mod split;
mod steady;
mod tampered;
mod verification;
mod verification_transport;
mod verifier;
mod verifier_later;

use crate::case::Case;

/// Every case of the suite, by topic.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        handshake::CASES,
        fragments::CASES,
        one_byte::CASES,
        facts::CASES,
        data::CASES,
        buffering::CASES,
        close::CASES,
        shutdown::CASES,
        split::CASES,
        alerts::CASES,
        failures::CASES,
        names::CASES,
        client_certificates::CASES,
        verifier::CASES,
        verifier_later::CASES,
        verification::CASES,
        verification_transport::CASES,
        credentials::CASES,
        alpn::CASES,
        key_update::CASES,
        post_handshake::CASES,
        post_handshake_credentials::CASES,
        post_handshake_verdicts::CASES,
        renegotiation::CASES,
        bindings::CASES,
        limits::CASES,
        resumption::CASES,
        deferred::CASES,
        deferred_wire::CASES,
        deferred_policy::CASES,
        roots::CASES,
        plain::CASES,
        config::CASES,
        descriptor::CASES,
        callbacks::CASES,
        chains::CASES,
        lifetime::CASES,
        readiness::CASES,
        peers::CASES,
        tampered::CASES,
        steady::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Bytes that differ from place to place and from seed to seed, so that a lost, doubled or moved
/// piece shows.
pub(crate) fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8 ^ seed.wrapping_mul(0x3b))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_says_what_it_is_about() {
        let mut names = BTreeSet::new();
        for case in all() {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            assert!(case.name.contains('.'), "{} has no topic", case.name);
            assert!(!case.rfc.is_empty(), "{} names no RFC", case.name);
            assert!(!case.clauses.is_empty(), "{} names no clause", case.name);
            for clause in case.clauses {
                let number = clause.strip_prefix('K').and_then(|text| text.parse().ok());
                assert!(
                    number.is_some_and(|number: u32| (1..=20).contains(&number)),
                    "{}: {clause:?} is no clause",
                    case.name
                );
            }
            assert!(case.runs().next().is_some(), "{} never runs", case.name);
        }
    }

    #[test]
    fn a_moved_piece_of_the_pattern_shows() {
        let pattern = pattern(100_000, 1);
        assert_ne!(pattern[..256], pattern[256..512]);
        assert_ne!(pattern[..16_384], pattern[16_384..32_768]);
    }
}
