//! Sessions that have failed: who is at fault, and what stays.

use tls_core::iana::AlertDescription as A;
use tls_core::{AlertDirection, Error, ErrorKind};

use super::alerts::tampered;
use crate::case::{Case, CaseResult};
use crate::check;
use crate::forge::{Forge, content_type};
use crate::pair::Side;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 5.2, RFC 5246 7.2.2",
        clauses: &["K5"],
        items: &["seed-api 49", "behaviours 81"],
        ..Case::new("failures.record_too_short", too_short)
    },
    Case {
        rfc: "contract K5",
        clauses: &["K5", "K2"],
        items: &["seed-api 59", "behaviours 17"],
        ..Case::new("failures.outlive_the_transport", outlives_transport)
    },
];

/// A record without room for what seals it: the peer's fault, whatever an engine calls it.
fn too_short(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for length in [1, 15] {
            let mut forge = Forge::connected(scene, side)?;
            forge.send_data(b"before")?;
            forge.send_plain(content_type::APPLICATION_DATA, &vec![7; length]);
            let (data, end) = forge.victim_reads()?;
            check::same_bytes("before the short record", &data, b"before")?;
            let error = end.failure("the receiver")?;
            check::kind("the receiver", error, ErrorKind::Protocol)?;
            check::alert_one_of(
                "the receiver",
                error,
                &[A::BAD_RECORD_MAC, A::DECODE_ERROR],
                AlertDirection::Sent,
            )?;
        }
    }
    Ok(())
}

/// What a session failed with stays, whatever becomes of the transport afterwards.
fn outlives_transport(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = tampered(scene, side.other())?;
        let (_, end) = pair.read_to_end(side)?;
        check::fails_with("the receiver", end, ErrorKind::Protocol)?;
        pair.wire.to(side).cut();
        pair.side(side.other()).close();
        pair.deliver()?;
        let endpoint = pair.side(side);
        for _ in 0..2 {
            let kind = ErrorKind::Protocol;
            check::fails_with("a read", endpoint.read(&mut [0; 8]), kind)?;
            check::fails_with("a write", endpoint.write(b"x"), kind)?;
            check::fails_with("shutdown", endpoint.shutdown(), kind)?;
        }
        let failure = endpoint.session().failure().map(Error::kind);
        check::equal("failure()", failure, Some(ErrorKind::Protocol))?;
    }
    Ok(())
}
