//! Bounds on memory and work under what a hostile peer sends.

use tls_core::ErrorKind;
use tls_core::iana::AlertDescription;

use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::ensure;
use crate::forge::{Forge, WARNING, content_type};
use crate::pair::{End, Side};
use crate::scene::Scene;

/// At most this many records without application data follow one another (K4).
const MAX_EMPTY_RECORDS: usize = 32;
/// At most this many KeyUpdates come without application data between them (K4).
const MAX_KEY_UPDATES: usize = 32;
/// At most this many warning alerts come in a session (K4).
const MAX_WARNINGS: usize = 4;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K4", "K9"],
        items: &["seed-api 61"],
        ..Case::new("limits.empty_records", empty_records)
    },
    Case {
        rfc: "RFC 8446 4.6.3",
        clauses: &["K4"],
        items: &["seed-api 45"],
        versions: Versions::TLS13,
        ..Case::new("limits.key_updates", key_updates)
    },
    Case {
        rfc: "RFC 5246 7.2",
        clauses: &["K4"],
        versions: Versions::TLS12,
        ..Case::new("limits.warning_alerts", warning_alerts)
    },
    Case {
        rfc: "RFC 8446 5, RFC 5246 6.2.1",
        clauses: &["K4", "K9"],
        ..Case::new("limits.unknown_content_type", unknown_content_type)
    },
];

fn empty_records(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        flood(scene, side, MAX_EMPTY_RECORDS, "empty records", |forge| {
            forge.send_data(b"")
        })?;
    }
    Ok(())
}

fn key_updates(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        flood(scene, side, MAX_KEY_UPDATES, "KeyUpdates", |forge| {
            forge.send_key_update(false)
        })?;
    }
    Ok(())
}

fn warning_alerts(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        flood(scene, side, MAX_WARNINGS, "warning alerts", |forge| {
            forge.send_alert(WARNING, AlertDescription::USER_CANCELED)
        })?;
    }
    Ok(())
}

/// A few are endured, and data between them is delivered; a flood ends the session.
fn flood(
    scene: &Scene<'_>,
    side: Side,
    limit: usize,
    what: &str,
    send: impl Fn(&mut Forge) -> CaseResult,
) -> CaseResult {
    let mut forge = Forge::connected(scene, side)?;
    for _ in 0..limit.min(MAX_WARNINGS) {
        send(&mut forge)?;
    }
    forge.send_data(b"data")?;
    let (data, end) = forge.victim_reads()?;
    check::same_bytes("between a few of them", &data, b"data")?;
    ensure!(
        matches!(end, End::Open),
        "a few {what} must be endured, met {end:?}"
    );
    for _ in 0..=limit {
        send(&mut forge)?;
    }
    let (data, end) = forge.victim_reads()?;
    check::same_bytes("of a flood", &data, b"")?;
    let error = end.failure(&format!("a flood of {what} from the {}", side.name()))?;
    check::kind("a flood", error, ErrorKind::Protocol)
}

fn unknown_content_type(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.send(99, b"what is this")?;
        let (_, end) = forge.victim_reads()?;
        let error = end.failure("a record of unknown type")?;
        check::kind("a record of unknown type", error, ErrorKind::Protocol)?;
        let last = forge.received()?.pop();
        ensure!(
            last.is_some_and(|record| record.content_type == content_type::ALERT),
            "an alert must be sent"
        );
    }
    Ok(())
}
