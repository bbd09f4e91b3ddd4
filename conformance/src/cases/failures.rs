//! Sessions that have failed: who is at fault, and what stays.

use tls_core::iana::AlertDescription as A;
use tls_core::{AlertDirection, Error, ErrorKind};

use super::alerts::tampered;
use crate::case::{Case, CaseResult};
use crate::check;
use crate::forge::{Forge, content_type};
use crate::pair::{Pair, Side};
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
    Case {
        rfc: "RFC 8446 5.2, RFC 5246 6.2.3",
        clauses: &["K3", "K5"],
        items: &["behaviours 81"],
        ..Case::new("failures.header_of_a_record_and_a_write", header_and_write)
    },
];

/// The longest records of TLS 1.3 and of TLS 1.2, and those that are one byte too long.
const LENGTHS: [u16; 4] = [0x4100, 0x4101, 0x4800, 0x4801];

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

/// Engines look at the header of a record that has yet to come, one at this call and one at that.
/// Whichever refuses it, a write that was refused has sent nothing.
fn header_and_write(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for length in LENGTHS {
            let mut pair = scene.connected()?;
            pair.ping_pong()?;
            let [high, low] = length.to_be_bytes();
            let header = [content_type::APPLICATION_DATA, 3, 3, high, low];
            pair.wire.to(side).inject(&header);
            pair.deliver()?;
            check_write(&mut pair, side)?;
        }
    }
    Ok(())
}

/// Reads what is there, and writes: what a write took arrives, and of one that failed nothing does.
fn check_write(pair: &mut Pair, side: Side) -> CaseResult {
    let data = b"taken or not";
    let taken = pair.pump_until("a write", |pair| {
        let endpoint = pair.side(side);
        let written = endpoint
            .read(&mut [0; 8])
            .and_then(|_| endpoint.write(data));
        Ok(match written {
            Ok(step) => Some(step.bytes).filter(|bytes| *bytes > 0),
            Err(_) => Some(0),
        })
    })?;
    if taken > 0 {
        let received = pair.read_exact(side.other(), taken)?;
        return check::same_bytes("of a write that was taken", &received, &data[..taken]);
    }
    let (received, end) = pair.read_to_end(side.other())?;
    check::same_bytes("of a write that failed", &received, b"")?;
    check::fails_with("the peer", end, ErrorKind::PeerAlert).map(drop)
}
