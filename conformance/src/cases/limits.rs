//! Bounds on memory and work under what a hostile peer sends.

use tls_core::iana::AlertDescription;
use tls_core::{AlertDirection, ErrorKind};

use crate::case::{Case, CaseResult, Failure, Versions};
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
        items: &["seed-api 61", "behaviours 27"],
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
        items: &["behaviours 80"],
        versions: Versions::TLS12,
        ..Case::new("limits.warning_alerts", warning_alerts)
    },
    Case {
        rfc: "RFC 8446 5, RFC 5246 6.2.1",
        clauses: &["K4", "K9"],
        ..Case::new("limits.unknown_content_type", unknown_content_type)
    },
    Case {
        rfc: "RFC 8446 4.1.2",
        clauses: &["K4", "K9"],
        items: &["seed-api 88", "behaviours 7"],
        ..Case::new("limits.client_hello", client_hello)
    },
    Case {
        rfc: "RFC 8446 4",
        clauses: &["K4", "K9"],
        items: &["seed-api 88"],
        ..Case::new("limits.handshake_message", handshake_message)
    },
    Case {
        rfc: "RFC 8446 4, RFC 5246 7.4",
        clauses: &["K5", "K9"],
        items: &["behaviours 84"],
        ..Case::new("limits.handshake_messages_out_of_place", out_of_place)
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

/// Sends a handshake message of this type and of more bytes than are allowed, never its end, and
/// expects the victim to give up before it has taken `most` of them.
fn endless_message(
    forge: &mut Forge,
    message: u8,
    most: usize,
    send: impl Fn(&mut Forge, &[u8]) -> CaseResult,
    take: impl Fn(&mut Forge) -> CaseResult<End>,
) -> CaseResult {
    // Three bytes of length: almost 16 MiB are announced.
    send(forge, &[message, 0xff, 0xff, 0xff])?;
    let piece = [0; 8 * 1024];
    for _ in 0..=most / piece.len() {
        send(forge, &piece)?;
        if let End::Failed(error) = take(forge)? {
            return check::kind("a message without end", &error, ErrorKind::Protocol);
        }
    }
    Err(Failure::assertion(format!(
        "{most} bytes of one message were taken"
    )))
}

fn client_hello(scene: &Scene<'_>) -> CaseResult {
    let mut forge = Forge::stranger(scene, Side::Client)?;
    endless_message(
        &mut forge,
        1,
        64 * 1024,
        |forge, payload| {
            forge.send_plain(content_type::HANDSHAKE, payload);
            Ok(())
        },
        Forge::victim_handshakes,
    )
}

fn handshake_message(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        // A NewSessionTicket to clients, a ClientHello to servers.
        let message = if side == Side::Server { 4 } else { 1 };
        endless_message(
            &mut forge,
            message,
            128 * 1024,
            |forge, payload| forge.send(content_type::HANDSHAKE, payload),
            |forge| Ok(forge.victim_reads()?.1),
        )?;
    }
    Ok(())
}

fn out_of_place(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        // A second Finished.
        let mut finished = vec![20, 0, 0, 32];
        finished.extend([0x5a; 32]);
        forge.send(content_type::HANDSHAKE, &finished)?;
        let (_, end) = forge.victim_reads()?;
        let error = end.failure("a second Finished")?;
        check::kind("a second Finished", error, ErrorKind::Protocol)?;
        check::alert(
            "a second Finished",
            error,
            AlertDescription::UNEXPECTED_MESSAGE,
            AlertDirection::Sent,
        )?;
    }
    Ok(())
}
