//! Endings, seen by the side that meets them: close_notify, truncation, reset.

use std::error::Error as _;

use tls_core::iana::AlertDescription;
use tls_core::{ErrorKind, Feature, Misuse, Status};

use crate::case::{Case, CaseResult, Failure, Modes, Versions};
use crate::check;
use crate::ensure;
use crate::forge::{Forge, WARNING, content_type};
use crate::pair::{End, Pair, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7"],
        items: &[
            "seed-api 52",
            "seed-api 57",
            "behaviours 49",
            "behaviours 51",
        ],
        ..Case::new("close.half_close", half_close)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2"],
        items: &["seed-api 93", "behaviours 55"],
        ..Case::new("close.eof_within_a_record", eof_within_a_record)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2", "K5"],
        items: &[
            "seed-api 47",
            "behaviours 45",
            "behaviours 53",
            "behaviours 71",
        ],
        ..Case::new("close.eof_between_records", eof_between_records)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2", "K7"],
        items: &["seed-api 46", "behaviours 47"],
        ..Case::new("close.closed_stays_closed", closed_stays)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2", "K6", "K7"],
        items: &["seed-api 46", "behaviours 45", "behaviours 70"],
        ..Case::new("close.data_comes_first", data_first)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2", "K16"],
        items: &["behaviours 56", "behaviours 57"],
        modes: Modes::BufferOnly,
        ..Case::new("close.bytes_behind_it_are_the_callers", bytes_behind)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2", "K7"],
        items: &["behaviours 56", "behaviours 57"],
        ..Case::new("close.records_behind_it_are_not_read", records_behind)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2"],
        items: &["behaviours 58"],
        ..Case::new("close.within_the_handshake_is_no_completion", in_handshake)
    },
    Case {
        rfc: "RFC 8446 5.4, RFC 5246 6.2.1",
        clauses: &["K2"],
        items: &["seed-api 4", "behaviours 27"],
        ..Case::new("close.empty_records_are_no_end", empty_records)
    },
    Case {
        rfc: "contract K2",
        clauses: &["K2", "K5"],
        items: &["seed-api 48", "behaviours 36"],
        modes: Modes::SocketOnly,
        ..Case::new("close.reset_keeps_the_systems_error", reset)
    },
    Case {
        rfc: "contract K2",
        clauses: &["K2", "K5", "K10"],
        items: &["seed-api 48", "behaviours 14"],
        modes: Modes::SocketOnly,
        ..Case::new("close.reset_in_the_handshake", reset_in_handshake)
    },
    Case {
        rfc: "contract K2",
        clauses: &["K2", "K5"],
        items: &["behaviours 37", "behaviours 38", "behaviours 52"],
        modes: Modes::SocketOnly,
        ..Case::new("close.write_after_a_reset_fails", write_after_reset)
    },
    Case {
        rfc: "RFC 8446 4.6.3",
        clauses: &["K2"],
        items: &["seed-api 48", "behaviours 36"],
        requires: &[Feature::KeyUpdate],
        modes: Modes::SocketOnly,
        versions: Versions::TLS13,
        ..Case::new("close.reset_met_by_a_reply", reset_met_by_reply)
    },
    Case {
        rfc: "contract K7",
        clauses: &["K7"],
        items: &["seed-api 56"],
        ..Case::new("close.drop_with_a_full_transport", drop_when_full)
    },
    Case {
        rfc: "contract K2",
        clauses: &["K2", "K7", "K10"],
        items: &[
            "seed-api 56",
            "behaviours 13",
            "behaviours 14",
            "behaviours 59",
        ],
        ..Case::new("close.drop_before_and_in_the_handshake", drop_early)
    },
    Case {
        rfc: "contract K7",
        clauses: &["K7", "K2"],
        items: &["seed-api 56", "behaviours 68"],
        ..Case::new("close.drop_sends_nothing", drop_sends_nothing)
    },
];

fn half_close(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        let status = pair.shutdown(side)?;
        check::status("shutdown before the peer's", status, Status::Complete)?;
        let (data, end) = pair.read_to_end(side.other())?;
        check::same_bytes("before the close_notify", &data, b"")?;
        end?;
        check::fails_with(
            "write after own shutdown",
            pair.side(side).write(b"more"),
            ErrorKind::Misuse(Misuse::WriteAfterShutdown),
        )?;
        pair.transfer(side.other(), b"still open this way")?;
        let status = pair.shutdown(side.other())?;
        check::status("shutdown after the peer's", status, Status::Closed)?;
    }
    Ok(())
}

fn eof_within_a_record(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for kept in [1, 5, 10] {
            let mut pair = scene.connected()?;
            pair.ping_pong()?;
            let lane = pair.wire.from(side);
            lane.truncate(lane.sent() + kept);
            pair.side(side).write(b"a record that is torn")?;
            let (data, end) = pair.read_to_end(side.other())?;
            check::same_bytes("of a torn record", &data, b"")?;
            check::fails_with("the end", end, ErrorKind::Truncated)?;
        }
    }
    Ok(())
}

fn eof_between_records(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.write_all(side.other(), b"the last data")?;
        pair.deliver()?;
        pair.wire.to(side).cut();
        let sent = pair.wire.from(side).sent();
        let (data, end) = pair.read_to_end(side)?;
        check::same_bytes("before the end", &data, b"the last data")?;
        let error = check::fails_with("the end", end, ErrorKind::Truncated)?;
        check::equal("an alert with it", error.alert(), None)?;
        fails_for_good(&mut pair, side, ErrorKind::Truncated)?;
        pair.deliver()?;
        check::equal("sent because of it", pair.wire.from(side).sent(), sent)?;
        ensure!(
            !pair.side(side).session().close_notify_received(),
            "no close_notify was received"
        );
    }
    Ok(())
}

/// Every call gives the same error.
fn fails_for_good(pair: &mut Pair, side: Side, kind: ErrorKind) -> CaseResult {
    let endpoint = pair.side(side);
    for _ in 0..2 {
        check::fails_with("a read", endpoint.read(&mut [0; 8]), kind)?;
        check::fails_with("a write", endpoint.write(b"x"), kind)?;
        check::fails_with("shutdown", endpoint.shutdown(), kind)?;
        check::fails_with("handshake", endpoint.handshake(), kind)?;
    }
    match endpoint.session().failure() {
        Some(error) => check::kind("the failure told", error, kind),
        None => Err(Failure::assertion("the session must tell its failure")),
    }
}

fn closed_stays(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.shutdown(side.other())?;
        pair.side(side.other()).close();
        pair.deliver()?;
        let endpoint = pair.side(side);
        for _ in 0..3 {
            let step = endpoint.read(&mut [0; 64])?;
            check::status("a read behind close_notify", step.status, Status::Closed)?;
            check::equal("bytes read", step.bytes, 0)?;
            check::equal("buffered", endpoint.session().buffered(), 0)?;
        }
        ensure!(
            endpoint.session().close_notify_received(),
            "the close_notify is told"
        );
        ensure!(
            endpoint.session().failure().is_none(),
            "a clean end is no failure"
        );
    }
    Ok(())
}

fn data_first(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        let data = super::pattern(20_000, 1);
        pair.write_all(side.other(), &data)?;
        pair.shutdown(side.other())?;
        pair.deliver()?;
        // All of it is there, close_notify too.
        pair.read_size = 300;
        let (received, end) = pair.read_to_end(side)?;
        check::same_bytes("before the close_notify", &received, &data)?;
        end?;
    }
    Ok(())
}

fn bytes_behind(scene: &Scene<'_>) -> CaseResult {
    const BEHIND: &[u8] = b"no longer TLS";
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.shutdown(side.other())?;
        pair.deliver()?;
        let endpoint = pair.side(side);
        let mut input = endpoint.take_incoming()?;
        let length = input.len();
        input.extend_from_slice(BEHIND);
        let session = endpoint.as_buffer()?;
        let mut consumed = 0;
        loop {
            let progress = session.read(&mut input[consumed..], &mut [0; 64])?;
            check::equal("bytes read", progress.produced, 0)?;
            consumed += progress.consumed;
            if progress.status == Status::Closed {
                break;
            }
            ensure!(progress.consumed > 0, "a step leads on, met {progress:?}");
        }
        check::equal("consumed up to Closed", consumed, length)?;
        let progress = session.read(&mut input[consumed..], &mut [0; 64])?;
        check::status("another read", progress.status, Status::Closed)?;
        check::equal("consumed by it", progress.consumed, 0)?;
        check::same_bytes("left with the caller", &input[consumed..], BEHIND)?;
    }
    Ok(())
}

/// Data behind close_notify is not delivered, junk there is no error.
fn records_behind(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.send_data(b"before")?;
        forge.send_alert(WARNING, AlertDescription::CLOSE_NOTIFY)?;
        forge.send_data(b"behind")?;
        forge.send_raw(&[0xff; 100]);
        let (data, end) = forge.victim_reads()?;
        check::same_bytes("up to the close_notify", &data, b"before")?;
        ensure!(matches!(end, End::Closed), "a clean end, met {end:?}");
        let step = forge.victim.read(&mut [0; 16])?;
        check::status("afterwards", step.status, Status::Closed)?;
    }
    Ok(())
}

fn in_handshake(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::stranger(scene, side)?;
        forge.send_plain(
            content_type::ALERT,
            &[WARNING, AlertDescription::CLOSE_NOTIFY.0],
        );
        forge.end();
        let end = forge.victim_handshakes()?;
        let error = end.failure("a handshake answered by close_notify")?;
        ensure!(
            matches!(
                error.kind(),
                ErrorKind::PeerAlert | ErrorKind::Truncated | ErrorKind::Protocol
            ),
            "the end comes from the peer, met {:?}",
            error.kind()
        );
        ensure!(
            forge.victim.session().facts().is_none(),
            "no facts without a handshake"
        );
        ensure!(
            !forge.victim.session().close_notify_received(),
            "what nobody authenticated is no close_notify"
        );
        let kind = error.kind();
        check::fails_with("again", forge.victim.handshake(), kind)?;
    }
    Ok(())
}

fn empty_records(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        for data in [&b"one"[..], b"two"] {
            forge.send_data(b"")?;
            let (read, end) = forge.victim_reads()?;
            check::same_bytes("of an empty record", &read, b"")?;
            ensure!(
                matches!(end, End::Open),
                "an empty record is no end, met {end:?}"
            );
            forge.send_data(data)?;
            let (read, _) = forge.victim_reads()?;
            check::same_bytes("behind an empty record", &read, data)?;
        }
        forge.send_alert(WARNING, AlertDescription::CLOSE_NOTIFY)?;
        let (_, end) = forge.victim_reads()?;
        ensure!(matches!(end, End::Closed), "the end, met {end:?}");
    }
    Ok(())
}

fn reset(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().tcp().connected()?;
        pair.ping_pong()?;
        pair.wire.to(side).reset_now();
        let (data, end) = pair.read_to_end(side)?;
        check::same_bytes("before the reset", &data, b"")?;
        let error = check::fails_with("the end", end, ErrorKind::Reset)?;
        check::is_the_systems(&error)?;
        check::equal("an alert with it", error.alert(), None)?;
        fails_for_good(&mut pair, side, ErrorKind::Reset)?;
    }
    Ok(())
}

fn reset_in_handshake(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().tcp().pair()?;
        pair.wire.to(side).reset(20);
        let outcome = pair.handshake_outcome()?;
        let error = outcome.of(side).failure("a handshake that is reset")?;
        check::kind("a handshake that is reset", error, ErrorKind::Reset)?;
        check::is_the_systems(error)?;
        fails_for_good(&mut pair, side, ErrorKind::Reset)?;
        ensure!(
            pair.side(side).session().facts().is_none(),
            "no facts without a handshake"
        );
    }
    Ok(())
}

/// Bytes that were taken are no promise; but once the system says so, every call does.
fn write_after_reset(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().tcp().connected()?;
        pair.ping_pong()?;
        pair.wire.to(side).reset_now();
        pair.deliver()?;
        let error = pair.until_error(side, "writing after a reset", |endpoint| {
            let step = endpoint.write(b"into the void")?;
            endpoint.flush()?;
            Ok(step)
        })?;
        check::kind("a write after a reset", &error, ErrorKind::Reset)?;
        ensure!(error.source().is_some(), "the system's error is kept");
        fails_for_good(&mut pair, side, ErrorKind::Reset)?;
    }
    Ok(())
}

/// A reply that a `read` owes is the first to meet the reset, of which the system tells once.
fn reset_met_by_reply(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().tcp().connected()?;
        pair.ping_pong()?;
        pair.deliver()?;
        let peer = pair.side(side.other());
        let status = peer.request_key_update()?;
        check::status("a request for new keys", status, Status::Complete)?;
        peer.flush()?;
        pair.relay()?;
        pair.wire.to(side).reset_now();
        pair.deliver()?;
        let (data, end) = pair.read_to_end(side)?;
        check::same_bytes("before the reset", &data, b"")?;
        let error = check::fails_with("the end", end, ErrorKind::Reset)?;
        check::is_the_systems(&error)?;
        fails_for_good(&mut pair, side, ErrorKind::Reset)?;
    }
    Ok(())
}

/// A peer that reads nothing keeps nobody from leaving; nothing is sent by it.
fn drop_when_full(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().window(4 * 1024).connected()?;
        pair.ping_pong()?;
        let data = super::pattern(1 << 20, 3);
        let mut taken = 0;
        loop {
            let step = pair.side(side).write(&data[taken..])?;
            taken += step.bytes;
            if step.status == Status::WantWrite {
                break;
            }
        }
        let left = taken;
        pair.side(side).close();
        let (received, end) = pair.read_to_end(side.other())?;
        ensure!(
            data[..left].starts_with(&received) && received.len() < left,
            "a beginning of the {left} bytes that were taken is to be read, met {}",
            received.len()
        );
        check::fails_with("the end", end, ErrorKind::Truncated)?;
    }
    Ok(())
}

fn drop_early(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for steps in 0..2 {
            let mut pair = scene.pair()?;
            // Not even its first flight leaves whole: with all of it a client would be content.
            pair.wire.from(side).truncate(40);
            for _ in 0..steps {
                pair.client.handshake()?;
                pair.deliver()?;
                if side == Side::Server {
                    pair.server.handshake()?;
                }
            }
            pair.side(side).close();
            let error = loop {
                match pair.side(side.other()).handshake() {
                    Ok(Status::WantRead) => {}
                    Ok(status) => {
                        return Err(Failure::assertion(format!(
                            "a handshake without a peer gave {status:?}"
                        )));
                    }
                    Err(error) => break error,
                }
                if pair.wire.relay()? == 0 {
                    return Err(Failure::hang("a handshake without a peer"));
                }
            };
            check::kind("a handshake without a peer", &error, ErrorKind::Truncated)?;
            fails_for_good(&mut pair, side.other(), ErrorKind::Truncated)?;
            ensure!(
                pair.side(side.other()).session().facts().is_none(),
                "no facts without a handshake"
            );
        }
    }
    Ok(())
}

fn drop_sends_nothing(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.deliver()?;
        let sent = pair.wire.from(side).sent();
        pair.side(side).close();
        pair.deliver()?;
        check::equal("sent by dropping", pair.wire.from(side).sent(), sent)?;
        let (data, end) = pair.read_to_end(side.other())?;
        check::same_bytes("from a session that was dropped", &data, b"")?;
        check::fails_with("the end", end, ErrorKind::Truncated)?;
    }
    Ok(())
}
