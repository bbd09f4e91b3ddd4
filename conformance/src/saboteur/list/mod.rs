//! Every way in which the suite breaks a backend.

mod bindings;
mod calls;
mod deferred;
mod key_update;
mod policy;
mod post_handshake;
mod verdicts;

use tls_core::{Progress, Status};

use super::Sabotage;

/// Every sabotage, by clause.
pub(crate) fn all() -> impl Iterator<Item = &'static Sabotage> {
    [
        bindings::SABOTAGES,
        calls::SABOTAGES,
        deferred::SABOTAGES,
        key_update::SABOTAGES,
        policy::SABOTAGES,
        post_handshake::SABOTAGES,
        verdicts::SABOTAGES,
    ]
    .into_iter()
    .flatten()
}

/// A status reached without moving a byte.
fn idle(status: Status) -> tls_core::Result<Progress> {
    Ok(Progress::idle(status))
}
