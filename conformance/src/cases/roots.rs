//! The system's trust roots.

use tls_core::config::Roots;
use tls_core::{CertificateProblem, ErrorKind, Feature};

use crate::case::{Case, CaseResult};
use crate::check;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K14",
        clauses: &["K14"],
        items: &["behaviours 110"],
        requires: &[Feature::SystemRoots],
        ..Case::new("roots.the_systems_are_not_the_suites", system_alone)
    },
    Case {
        rfc: "contract K14",
        clauses: &["K14"],
        items: &["behaviours 110"],
        requires: &[Feature::SystemRoots],
        ..Case::new(
            "roots.those_given_count_beside_the_systems",
            given_and_system,
        )
    },
];

fn system_alone(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.roots = Roots::system();
    let outcome = scene.pair_with(client, scene.server_config())?.settle()?;
    check::kind(
        "a root that the system does not know",
        outcome.client.failure("the client")?,
        ErrorKind::Certificate(CertificateProblem::UnknownIssuer),
    )
}

fn given_and_system(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.roots = scene.pki.roots().and_system();
    let mut pair = scene.pair_with(client, scene.server_config())?;
    pair.handshake()?;
    pair.ping_pong()
}
