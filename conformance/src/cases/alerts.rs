//! Errors and the alerts that go with them.

use tls_core::iana::{AlertDescription as A, CipherSuite, Group, ProtocolVersion};
use tls_core::{
    AlertDirection, CertificateProblem, Error, ErrorKind, Feature, SharedParameter, Status,
};

use crate::case::{Case, CaseResult, Failure, Modes, Versions};
use crate::check;
use crate::endpoint::Endpoint;
use crate::ensure;
use crate::forge::{FATAL, Forge, WARNING, content_type};
use crate::pair::{End, Outcome, Pair, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 4.2.1, 6.2",
        clauses: &["K5"],
        items: &["behaviours 82", "behaviours 87"],
        requires: &[Feature::Tls12, Feature::Tls13],
        ..Case::new("alerts.no_version_in_common", no_version)
    },
    Case {
        rfc: "RFC 8446 4.1.1, RFC 5246 7.4.1.3",
        clauses: &["K5"],
        items: &["behaviours 82"],
        requires: &[Feature::Tls12CipherSuites, Feature::Tls13CipherSuites],
        ..Case::new("alerts.no_suite_in_common", no_suite)
    },
    Case {
        rfc: "RFC 8446 4.1.1, RFC 8422 5.1",
        clauses: &["K5"],
        items: &["behaviours 82", "behaviours 162"],
        requires: &[Feature::GroupsList],
        ..Case::new("alerts.no_group_in_common", no_group)
    },
    Case {
        rfc: "RFC 8446 5.1, RFC 5246 7.2",
        clauses: &["K5", "K2"],
        items: &["behaviours 78"],
        ..Case::new("alerts.in_the_clear_are_nobodys", in_the_clear)
    },
    Case {
        rfc: "RFC 8446 6.2",
        clauses: &["K5"],
        items: &["seed-api 50", "behaviours 75", "behaviours 76"],
        ..Case::new("alerts.leave_before_the_error", leave_first)
    },
    Case {
        rfc: "RFC 8446 6.2",
        clauses: &["K5", "K16"],
        items: &["seed-api 50"],
        modes: Modes::BufferOnly,
        ..Case::new("alerts.leave_through_one_byte_of_room", one_byte_of_room)
    },
    Case {
        rfc: "RFC 8446 6.2",
        clauses: &["K5", "K1"],
        items: &["seed-api 50"],
        ..Case::new("alerts.wait_for_room", wait_for_room)
    },
    Case {
        rfc: "RFC 8446 5.2, RFC 5246 7.2.2",
        clauses: &["K5"],
        items: &["seed-api 49", "behaviours 81", "behaviours 87"],
        ..Case::new("alerts.changed_record", changed_record)
    },
    Case {
        rfc: "contract K5",
        clauses: &["K5"],
        items: &["seed-api 59", "behaviours 17"],
        ..Case::new("alerts.failure_stays", failure_stays)
    },
    Case {
        rfc: "contract K5",
        clauses: &["K5"],
        items: &["behaviours 45"],
        ..Case::new("alerts.data_before_the_failure_is_delivered", data_first)
    },
    Case {
        rfc: "RFC 8446 6.2",
        clauses: &["K5"],
        items: &["behaviours 77"],
        ..Case::new("alerts.fatal_alert_of_the_peer", fatal_alert)
    },
    Case {
        rfc: "RFC 8446 6.2",
        clauses: &["K5"],
        items: &["behaviours 78"],
        ..Case::new(
            "alerts.fatal_alert_in_the_handshake",
            fatal_alert_in_handshake,
        )
    },
    Case {
        rfc: "RFC 8446 6",
        clauses: &["K5", "K9"],
        items: &["behaviours 79"],
        ..Case::new("alerts.malformed_alert", malformed_alert)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2"],
        items: &["behaviours 66"],
        versions: Versions::TLS13,
        ..Case::new("alerts.user_canceled_before_close_notify", user_canceled)
    },
    Case {
        rfc: "RFC 8446 6",
        clauses: &["K5"],
        versions: Versions::TLS13,
        ..Case::new("alerts.other_alerts_are_fatal_in_tls13", other_alerts)
    },
    Case {
        rfc: "RFC 8446 5.1, RFC 5246 7.4.9",
        clauses: &["K5"],
        items: &["behaviours 83"],
        ..Case::new("alerts.data_before_the_handshake", early_data)
    },
    Case {
        rfc: "contract K8",
        clauses: &["K8"],
        items: &["seed-api 58"],
        ..Case::new("alerts.failures_stay_in_their_session", isolation)
    },
    Case {
        rfc: "RFC 8446 6.2",
        clauses: &["K9", "K15"],
        items: &["seed-api 61"],
        ..Case::new("alerts.next_connection_is_unharmed", next_connection)
    },
];

/// One side fails for want of a parameter in common and sends one of these alerts, which the other
/// side receives. Which side finds out is the protocol's affair.
fn nothing_shared(outcome: &Outcome, what: SharedParameter, alerts: &[A]) -> CaseResult {
    let finder = Side::BOTH.into_iter().find(|side| {
        matches!(outcome.of(*side), End::Failed(error)
            if error.kind() == ErrorKind::NoSharedParameters(what))
    });
    let Some(finder) = finder else {
        return Err(Failure::assertion(format!(
            "neither side reports that there is no {what} in common: {outcome:?}"
        )));
    };
    let error = outcome.of(finder).failure("the side that found out")?;
    check::alert_one_of(
        "the side that found out",
        error,
        alerts,
        AlertDirection::Sent,
    )?;
    let error = outcome.of(finder.other()).failure("the other side")?;
    check::kind("the other side", error, ErrorKind::PeerAlert)?;
    check::alert_one_of("the other side", error, alerts, AlertDirection::Received)
}

fn no_version(scene: &Scene<'_>) -> CaseResult {
    let other = if scene.is_tls13() {
        ProtocolVersion::TLS1_2
    } else {
        ProtocolVersion::TLS1_3
    };
    let mut client = scene.client_config();
    client.parameters.min_version = other;
    client.parameters.max_version = other;
    let outcome = scene.pair_with(client, scene.server_config())?.settle()?;
    nothing_shared(&outcome, SharedParameter::Version, &[A::PROTOCOL_VERSION])
}

fn no_suite(scene: &Scene<'_>) -> CaseResult {
    let [ours, theirs] = if scene.is_tls13() {
        [
            CipherSuite::TLS_AES_128_GCM_SHA256,
            CipherSuite::TLS_AES_256_GCM_SHA384,
        ]
    } else {
        [
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ]
    };
    let mut client = scene.client_config();
    client.parameters.cipher_suites = Some(vec![ours]);
    let mut server = scene.server_config();
    server.parameters.cipher_suites = Some(vec![theirs]);
    let outcome = scene.pair_with(client, server)?.settle()?;
    nothing_shared(
        &outcome,
        SharedParameter::CipherSuite,
        &[A::HANDSHAKE_FAILURE],
    )
}

fn no_group(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.parameters.groups = Some(vec![Group::SECP384R1]);
    let mut server = scene.server_config();
    server.parameters.groups = Some(vec![Group::SECP256R1]);
    let outcome = scene.pair_with(client, server)?.settle()?;
    nothing_shared(
        &outcome,
        SharedParameter::CipherSuite,
        &[A::HANDSHAKE_FAILURE],
    )
}

/// A pair in which the client refuses the server's certificate.
fn refusing(scene: &Scene<'_>) -> CaseResult<Pair> {
    let mut server = scene.server_config();
    server.identity = scene.pki.untrusted_server.clone();
    scene.pair_with(scene.client_config(), server)
}

const REFUSED: ErrorKind = ErrorKind::Certificate(CertificateProblem::UnknownIssuer);

fn leave_first(scene: &Scene<'_>) -> CaseResult {
    let mut pair = refusing(scene)?;
    // Only the session's own calls move the alert: the first error must come after it has left.
    let error = pair.pump_until("the refusal", |pair| {
        let _ = pair.server.handshake();
        Ok(pair.client.handshake().err())
    })?;
    check::kind("the client", &error, REFUSED)?;
    check::equal(
        "ciphertext left behind by the client",
        pair.client.session().pending_output(),
        0,
    )?;
    let error = pair.until_error(Side::Server, "handshake", Endpoint::handshake)?;
    check::kind("the server", &error, ErrorKind::PeerAlert)?;
    check::alert(
        "the server",
        &error,
        A::UNKNOWN_CA,
        AlertDirection::Received,
    )
}

fn one_byte_of_room(scene: &Scene<'_>) -> CaseResult {
    let mut pair = refusing(scene)?;
    // The client's hello goes out, the server's flight comes in; the refusal is next.
    pair.client.handshake()?;
    pair.relay()?;
    while pair.server.handshake()? != Status::WantRead {
        pair.relay()?;
    }
    pair.relay()?;
    pair.relay()?;
    let mut input = pair.client.take_incoming()?;
    let mut alert = Vec::new();
    let client = pair.client.as_buffer()?;
    let mut consumed = 0;
    let error = loop {
        ensure!(alert.len() < 1_000, "the alert never ends");
        let mut room = [0; 1];
        match client.handshake(&mut input[consumed..], &mut room) {
            Ok(progress) => {
                check::status("with an alert to send", progress.status, Status::WantWrite)
                    .or_else(|failure| {
                        // TLS 1.2 flights may end before the certificate; nothing is owed then.
                        if progress.consumed > 0 {
                            Ok(())
                        } else {
                            Err(failure)
                        }
                    })?;
                consumed += progress.consumed;
                alert.extend_from_slice(&room[..progress.produced]);
                if progress.produced == 0 {
                    let drained = client.drain(&mut room);
                    alert.extend_from_slice(&room[..drained.produced]);
                }
            }
            Err(error) => break error,
        }
    };
    check::kind("after the last byte of the alert", &error, REFUSED)?;
    ensure!(!alert.is_empty(), "no alert has left");
    pair.client.send_ciphertext(&alert)?;
    let error = pair.until_error(Side::Server, "handshake", Endpoint::handshake)?;
    check::alert(
        "the server",
        &error,
        A::UNKNOWN_CA,
        AlertDirection::Received,
    )
}

fn wait_for_room(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(4 * 1024).connected()?;
    // Fill the client's transport and what it holds itself, then let the server break the protocol.
    let lane = pair.wire.from(Side::Client);
    lane.hold();
    let data = super::pattern(1 << 20, 3);
    let mut taken = 0;
    while taken < data.len() {
        let step = pair.client.write(&data[taken..])?;
        if step.status == Status::WantWrite {
            break;
        }
        taken += step.bytes;
    }
    ensure!(taken < data.len(), "the client never asked to wait");
    // A record of a type that does not exist.
    let mut record = vec![99, 3, 3, 0, 64];
    record.resize(5 + 64, 0);
    pair.wire.from(Side::Server).inject(&record);
    pair.deliver()?;
    let mut buffer = [0; 64];
    for _ in 0..3 {
        match pair.client.read(&mut buffer) {
            Ok(step) => {
                check::status("an alert that cannot leave", step.status, Status::WantWrite)?
            }
            Err(error) => {
                return Err(Failure::from(error).during("the alert had not left"));
            }
        }
    }
    pair.wire.from(Side::Client).release();
    let (received, end) = pair.read_to_end(Side::Server)?;
    check::same_bytes("what was accepted before", &received, &data[..taken])?;
    check::fails_with("the server", end, ErrorKind::PeerAlert)?;
    let error = pair.until_error(Side::Client, "read", |client| client.read(&mut buffer))?;
    check::kind("the client, in the end", &error, ErrorKind::Protocol)
}

/// A connected pair in which the next record of `from` is changed on its way.
pub(super) fn tampered(scene: &Scene<'_>, from: Side) -> CaseResult<Pair> {
    let mut pair = scene.connected()?;
    // Tickets and the like first, so that the fault meets application data.
    pair.ping_pong()?;
    let lane = pair.wire.from(from);
    lane.flip(lane.sent() + 20, 0x01);
    pair.side(from)
        .write(b"a record that is changed on its way")?;
    Ok(pair)
}

fn changed_record(scene: &Scene<'_>) -> CaseResult {
    for from in Side::BOTH {
        let mut pair = tampered(scene, from)?;
        let (data, end) = pair.read_to_end(from.other())?;
        check::same_bytes("of a changed record", &data, b"")?;
        let error = check::fails_with("the receiver", end, ErrorKind::Protocol)?;
        check::alert(
            "the receiver",
            &error,
            A::BAD_RECORD_MAC,
            AlertDirection::Sent,
        )?;
        let (_, end) = pair.read_to_end(from)?;
        let error = check::fails_with("the sender", end, ErrorKind::PeerAlert)?;
        check::alert(
            "the sender",
            &error,
            A::BAD_RECORD_MAC,
            AlertDirection::Received,
        )?;
    }
    Ok(())
}

fn failure_stays(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = tampered(scene, side.other())?;
        let (_, end) = pair.read_to_end(side)?;
        check::fails_with("the receiver", end, ErrorKind::Protocol)?;
        let endpoint = pair.side(side);
        let mut buffer = [0; 16];
        for _ in 0..2 {
            let calls: [(&str, Result<(), Error>); 6] = [
                ("handshake", endpoint.handshake().map(drop)),
                ("read", endpoint.read(&mut buffer).map(drop)),
                ("empty read", endpoint.read(&mut []).map(drop)),
                ("write", endpoint.write(b"more").map(drop)),
                ("empty write", endpoint.write(b"").map(drop)),
                ("shutdown", endpoint.shutdown().map(drop)),
            ];
            for (call, result) in calls {
                check::fails_with(call, result, ErrorKind::Protocol)?;
            }
            check::status("flush after a failure", endpoint.flush()?, Status::Complete)?;
        }
        let failure = endpoint.session().failure().map(Error::kind);
        check::equal("failure()", failure, Some(ErrorKind::Protocol))?;
    }
    Ok(())
}

fn data_first(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.ping_pong()?;
    pair.write_all(Side::Server, b"one")?;
    pair.deliver()?;
    let lane = pair.wire.from(Side::Server);
    lane.flip(lane.sent() + 20, 0x01);
    pair.server.write(b"a record that is changed on its way")?;
    pair.deliver()?;
    // A byte at a time, so that the failing record is there while data still waits.
    pair.read_size = 1;
    let (data, end) = pair.read_to_end(Side::Client)?;
    check::same_bytes("before the changed record", &data, b"one")?;
    check::fails_with("the end", end, ErrorKind::Protocol)?;
    Ok(())
}

fn fatal_alert(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for alert in [A::INTERNAL_ERROR, A::ACCESS_DENIED, A(0xfe)] {
            let mut forge = Forge::connected(scene, side)?;
            forge.send_data(b"last words")?;
            forge.send_alert(FATAL, alert)?;
            forge.received()?;
            let (data, end) = forge.victim_reads()?;
            check::same_bytes("before the alert", &data, b"last words")?;
            let error = end.failure("the receiver of a fatal alert")?;
            check::kind("the receiver", error, ErrorKind::PeerAlert)?;
            check::alert("the receiver", error, alert, AlertDirection::Received)?;
            check::equal("an alert is not answered", forge.received()?.len(), 0)?;
        }
    }
    Ok(())
}

fn fatal_alert_in_handshake(scene: &Scene<'_>) -> CaseResult {
    let mut forge = Forge::stranger(scene, Side::Server)?;
    forge.victim_handshakes()?;
    forge.send_plain(content_type::ALERT, &[FATAL, A::HANDSHAKE_FAILURE.0]);
    let end = forge.victim_handshakes()?;
    let error = end.failure("the client")?;
    check::kind("the client", error, ErrorKind::PeerAlert)?;
    check::alert(
        "the client",
        error,
        A::HANDSHAKE_FAILURE,
        AlertDirection::Received,
    )
}

/// Once there are keys, an alert without them could be anybody's: it is neither an alert of the
/// peer's nor an end.
fn in_the_clear(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for alert in [[FATAL, A::INTERNAL_ERROR.0], [WARNING, A::CLOSE_NOTIFY.0]] {
            let mut forge = Forge::connected(scene, side)?;
            forge.send_data(b"before")?;
            forge.send_plain(content_type::ALERT, &alert);
            let (data, end) = forge.victim_reads()?;
            check::same_bytes("before the alert", &data, b"before")?;
            let error = end.failure("the receiver of an alert in the clear")?;
            // OpenSSL's own checks fail over a record that is shorter than any it could open, and
            // it takes that for a fault of its own.
            ensure!(
                matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Backend),
                "nobody's alert came to {error:?}"
            );
            ensure!(
                !forge.victim.session().close_notify_received(),
                "what nobody authenticated is no close_notify"
            );
        }
    }
    Ok(())
}

fn malformed_alert(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for payload in [&[][..], &[FATAL], &[9, 80]] {
            let mut forge = Forge::connected(scene, side)?;
            forge.send(content_type::ALERT, payload)?;
            // An engine may wait for the second byte of an alert cut in two; it never comes.
            forge.end();
            let (_, end) = forge.victim_reads()?;
            let error = end.failure("the receiver of a malformed alert")?;
            // In TLS 1.3 the level is not looked at (RFC 8446 section 6).
            let kinds = match payload {
                [FATAL] => [ErrorKind::Protocol, ErrorKind::Truncated],
                [_, _] => [ErrorKind::Protocol, ErrorKind::PeerAlert],
                _ => [ErrorKind::Protocol; 2],
            };
            ensure!(
                kinds.contains(&error.kind()),
                "the alert {payload:?} came to {error:?}"
            );
        }
    }
    Ok(())
}

fn user_canceled(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.send_alert(WARNING, A::USER_CANCELED)?;
        forge.send_data(b"then data")?;
        forge.send_alert(WARNING, A::CLOSE_NOTIFY)?;
        let (data, end) = forge.victim_reads()?;
        check::same_bytes("after user_canceled", &data, b"then data")?;
        ensure!(matches!(end, End::Closed), "after close_notify: {end:?}");
    }
    Ok(())
}

fn other_alerts(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.send_alert(WARNING, A::CERTIFICATE_UNKNOWN)?;
        let (_, end) = forge.victim_reads()?;
        let error = end.failure("the receiver")?;
        check::kind("whatever its level", error, ErrorKind::PeerAlert)?;
    }
    Ok(())
}

fn early_data(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::stranger(scene, side)?;
        forge.victim_handshakes()?;
        forge.received_raw()?;
        forge.send_plain(content_type::APPLICATION_DATA, b"before any handshake");
        let end = forge.victim_handshakes()?;
        let error = end.failure("the receiver")?;
        check::kind("the receiver", error, ErrorKind::Protocol)?;
        check::alert(
            "the receiver",
            error,
            A::UNEXPECTED_MESSAGE,
            AlertDirection::Sent,
        )?;
    }
    Ok(())
}

fn isolation(scene: &Scene<'_>) -> CaseResult {
    let mut healthy = scene.connected()?;
    for from in Side::BOTH {
        let mut failing = tampered(scene, from)?;
        failing.deliver()?;
        let mut buffer = [0; 64];
        // Between each step of the failing session, the healthy one takes one.
        for _ in 0..6 {
            let _ = failing.side(from.other()).read(&mut buffer);
            healthy.ping_pong()?;
            let step = healthy.client.read(&mut buffer)?;
            check::status(
                "a healthy session without data",
                step.status,
                Status::WantRead,
            )?;
            failing.relay()?;
        }
        let failure = failing.side(from.other()).session().failure();
        check::equal("the other has failed", failure.is_some(), true)?;
    }
    for side in Side::BOTH {
        let failure = healthy.side(side).session().failure().map(Error::kind);
        check::equal("the healthy session", failure, None)?;
    }
    Ok(())
}

fn next_connection(scene: &Scene<'_>) -> CaseResult {
    let server = scene.backend.server(scene.server_config())?;
    let client = scene.backend.client(scene.client_config())?;
    let pair = || {
        let builder = scene.build().client_context(&*client);
        builder.server_context(&*server).pair()
    };
    // The client's first flight is cut at every 16th byte, and the connection ends there.
    let mut first = pair()?;
    first.client.handshake()?;
    first.relay()?;
    let length = first.wire.to_server.sent();
    for offset in (0..length).step_by(16) {
        let mut torn = pair()?;
        torn.wire.to_server.truncate(offset);
        let outcome = torn.settle()?;
        let error = outcome.server.failure("the server of a torn hello")?;
        check::kind("the server of a torn hello", error, ErrorKind::Truncated)?;
    }
    let mut next = pair()?;
    next.handshake()?;
    next.ping_pong()
}
