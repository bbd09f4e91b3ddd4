//! Every way in which the suite breaks a backend.

mod calls;
mod policy;

use tls_core::{Progress, Status};

use super::Sabotage;

/// Every sabotage, by clause. K13 has none: sessions cannot be suspended yet.
pub(crate) fn all() -> impl Iterator<Item = &'static Sabotage> {
    calls::SABOTAGES.iter().chain(policy::SABOTAGES)
}

/// A status reached without moving a byte.
fn idle(status: Status) -> tls_core::Result<Progress> {
    Ok(Progress::idle(status))
}
