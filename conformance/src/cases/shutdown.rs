//! Ending one's own side: shutdown.

use tls_core::{ErrorKind, Feature, Misuse, Status};

use crate::case::{Case, CaseResult, Failure, Modes};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// The longest close_notify record any suite makes, in bytes.
const LONGEST_ALERT: usize = 128;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7"],
        items: &["seed-api 51", "behaviours 46"],
        ..Case::new("shutdown.sends_exactly_one_close_notify", exactly_one)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7", "K16"],
        items: &["seed-api 51", "seed-api 53"],
        modes: Modes::BufferOnly,
        ..Case::new("shutdown.through_little_room", little_room)
    },
    Case {
        rfc: "contract K7",
        clauses: &["K7", "K3"],
        items: &["seed-api 51", "behaviours 61", "behaviours 70"],
        ..Case::new("shutdown.unsent_data_goes_first", unsent_first)
    },
    Case {
        rfc: "contract K7",
        clauses: &["K7"],
        items: &["seed-api 54", "behaviours 59", "behaviours 60"],
        ..Case::new("shutdown.before_the_handshake_is_misuse", before_handshake)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7"],
        items: &["seed-api 55"],
        requires: &[Feature::QuietShutdown],
        ..Case::new("shutdown.quiet_sends_nothing", quiet)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7", "K6"],
        items: &["seed-api 52", "behaviours 49", "behaviours 64"],
        ..Case::new("shutdown.unread_data_stays", unread_stays)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7", "K2"],
        items: &["behaviours 48"],
        ..Case::new("shutdown.both_sides_in_each_order", each_order)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7"],
        items: &["behaviours 50"],
        ..Case::new("shutdown.answers_are_the_callers", answers)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7", "K2"],
        items: &["behaviours 53"],
        ..Case::new("shutdown.alone_does_not_excuse_truncation", truncated_after)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7", "K2"],
        items: &["behaviours 60"],
        ..Case::new("shutdown.at_once_after_the_handshake", at_once)
    },
    Case {
        rfc: "contract K7",
        clauses: &["K7"],
        items: &["behaviours 65"],
        ..Case::new("shutdown.waits_for_nobody", waits_for_nobody)
    },
    Case {
        rfc: "contract K2",
        clauses: &["K7", "K2", "K5"],
        items: &["seed-api 48", "behaviours 62", "behaviours 63"],
        modes: Modes::SocketOnly,
        ..Case::new("shutdown.meets_a_reset", meets_reset)
    },
    Case {
        rfc: "RFC 8446 4.6.1, 6.1",
        clauses: &["K7", "K18"],
        items: &["behaviours 67"],
        ..Case::new("shutdown.before_tickets_were_read", before_tickets)
    },
];

/// The lengths of the records a side has sent from this offset on.
fn records_from(pair: &mut Pair, side: Side, offset: usize) -> CaseResult<Vec<usize>> {
    let mut rest = &pair.wire.from(side).recorded()[offset..];
    let mut lengths = Vec::new();
    while !rest.is_empty() {
        let length = match rest {
            [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Err(Failure::assertion("a torn record header was sent")),
        };
        let Some(behind) = rest.get(5 + length..) else {
            return Err(Failure::assertion("a torn record was sent"));
        };
        lengths.push(length);
        rest = behind;
    }
    Ok(lengths)
}

fn exactly_one(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        let sent = pair.wire.from(side).sent();
        ensure!(
            !pair.side(side).session().close_notify_sent(),
            "nobody has shut down"
        );
        for _ in 0..3 {
            let status = pair.shutdown(side)?;
            check::status("shutdown before the peer's", status, Status::Complete)?;
            pair.deliver()?;
        }
        ensure!(
            pair.side(side).session().close_notify_sent(),
            "the close_notify has left"
        );
        let (_, end) = pair.read_to_end(side.other())?;
        end?;
        pair.shutdown(side.other())?;
        let (_, end) = pair.read_to_end(side)?;
        end?;
        for _ in 0..3 {
            let status = pair.shutdown(side)?;
            check::status("shutdown after the peer's", status, Status::Closed)?;
            pair.deliver()?;
        }
        let records = records_from(&mut pair, side, sent)?;
        ensure!(
            matches!(records[..], [length] if length <= LONGEST_ALERT),
            "exactly one alert is sent, met records of {records:?} bytes"
        );
    }
    Ok(())
}

fn little_room(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        let endpoint = pair.side(side);
        let session = endpoint.as_buffer()?;
        let mut sealed = Vec::new();
        let none = session.shutdown(&mut [])?;
        check::status("without room", none.status, Status::WantWrite)?;
        let last = loop {
            let mut output = [0; 1];
            let progress = session.shutdown(&mut output)?;
            sealed.extend_from_slice(&output[..progress.produced]);
            if progress.status != Status::WantWrite {
                break progress.status;
            }
            check::equal("through one byte", progress.produced, 1)?;
            ensure!(
                !session.close_notify_sent(),
                "the close_notify is not told to have left before it has"
            );
            ensure!(sealed.len() < 2 * LONGEST_ALERT, "there is no end of it");
        };
        check::status("once all has left", last, Status::Complete)?;
        ensure!(session.close_notify_sent(), "the close_notify has left");
        endpoint.send_ciphertext(&sealed)?;
        let (_, end) = pair.read_to_end(side.other())?;
        end?;
    }
    Ok(())
}

fn unsent_first(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().window(4 * 1024).connected()?;
        pair.ping_pong()?;
        let data = super::pattern(1 << 20, 1);
        let mut taken = 0;
        loop {
            let step = pair.side(side).write(&data[taken..])?;
            taken += step.bytes;
            if step.status == Status::WantWrite {
                break;
            }
        }
        for _ in 0..3 {
            let status = pair.side(side).shutdown()?;
            check::status("shutdown without room", status, Status::WantWrite)?;
        }
        ensure!(
            !pair.side(side).session().close_notify_sent(),
            "the close_notify has not left"
        );
        check::fails_with(
            "a write after it",
            pair.side(side).write(b"more"),
            ErrorKind::Misuse(Misuse::WriteAfterShutdown),
        )?;
        let (received, end) = pair.read_to_end(side.other())?;
        check::same_bytes("what was taken before", &received, &data[..taken])?;
        end?;
        let status = pair.shutdown(side)?;
        check::status("shutdown, all sent", status, Status::Complete)?;
    }
    Ok(())
}

fn before_handshake(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    let refused = |pair: &mut Pair| -> CaseResult {
        for side in Side::BOTH {
            check::fails_with(
                "shutdown before the handshake",
                pair.side(side).shutdown(),
                ErrorKind::Misuse(Misuse::HandshakeIncomplete),
            )?;
            let session = pair.side(side).session();
            ensure!(session.failure().is_none(), "misuse fails no session");
            ensure!(!session.close_notify_sent(), "nothing was sent");
        }
        Ok(())
    };
    refused(&mut pair)?;
    pair.client.handshake()?;
    pair.deliver()?;
    refused(&mut pair)?;
    pair.server.handshake()?;
    pair.deliver()?;
    refused(&mut pair)?;
    pair.handshake()?;
    pair.ping_pong()
}

fn quiet(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        match side {
            Side::Client => client.parameters.quiet_shutdown = true,
            Side::Server => server.parameters.quiet_shutdown = true,
        }
        let mut pair = scene.build().client(client).server(server).connected()?;
        pair.ping_pong()?;
        let sent = pair.wire.from(side).sent();
        for _ in 0..3 {
            let status = pair.side(side).shutdown()?;
            check::status("a quiet shutdown", status, Status::Closed)?;
        }
        ensure!(
            pair.side(side).session().close_notify_sent(),
            "its turn is over"
        );
        check::fails_with(
            "a write after it",
            pair.side(side).write(b"more"),
            ErrorKind::Misuse(Misuse::WriteAfterShutdown),
        )?;
        pair.deliver()?;
        check::equal("what it sent", pair.wire.from(side).sent(), sent)?;
        pair.side(side).close();
        let (_, end) = pair.read_to_end(side.other())?;
        check::fails_with("the end, for the peer", end, ErrorKind::Truncated)?;
    }
    Ok(())
}

fn unread_stays(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        let data = super::pattern(20_000, 2);
        pair.write_all(side.other(), &data)?;
        pair.shutdown(side.other())?;
        pair.deliver()?;
        // Some is in the session then, some in front of it, and close_notify behind.
        let mut received = pair.read_exact(side, 100)?;
        let status = pair.shutdown(side)?;
        ensure!(
            matches!(status, Status::Complete | Status::Closed),
            "our close_notify has left, met {status:?}"
        );
        let (rest, end) = pair.read_to_end(side)?;
        received.extend(rest);
        check::same_bytes("read after own shutdown", &received, &data)?;
        end?;
        let status = pair.shutdown(side)?;
        check::status("once both were seen", status, Status::Closed)?;
    }
    Ok(())
}

fn each_order(scene: &Scene<'_>) -> CaseResult {
    for first in Side::BOTH {
        let mut pair = scene.connected()?;
        let status = pair.shutdown(first)?;
        check::status("the first to shut down", status, Status::Complete)?;
        ends_cleanly(&mut pair, first.other())?;
        let status = pair.shutdown(first.other())?;
        check::status("the second", status, Status::Closed)?;
        ends_cleanly(&mut pair, first)?;
        let status = pair.shutdown(first)?;
        check::status("the first again", status, Status::Closed)?;
    }
    // Crossing on the wire.
    let mut pair = scene.connected()?;
    for side in Side::BOTH {
        let status = pair.side(side).shutdown()?;
        check::status("at the same time", status, Status::Complete)?;
    }
    for side in Side::BOTH {
        ends_cleanly(&mut pair, side)?;
        let status = pair.shutdown(side)?;
        check::status("once they have crossed", status, Status::Closed)?;
    }
    Ok(())
}

fn ends_cleanly(pair: &mut Pair, side: Side) -> CaseResult {
    let (data, end) = pair.read_to_end(side)?;
    check::same_bytes("before the end", &data, b"")?;
    Ok(end?)
}

/// No close_notify leaves before the caller asks for it, so that a half-closed connection can be
/// used; then one does.
fn answers(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.shutdown(side.other())?;
        let sent = pair.wire.from(side).sent();
        ends_cleanly(&mut pair, side)?;
        ensure!(
            !pair.side(side).session().close_notify_sent(),
            "nobody has answered"
        );
        pair.deliver()?;
        check::equal(
            "sent without being asked",
            pair.wire.from(side).sent(),
            sent,
        )?;
        let status = pair.shutdown(side)?;
        check::status("the answer", status, Status::Closed)?;
        pair.deliver()?;
        let records = records_from(&mut pair, side, sent)?;
        check::equal("records of the answer", records.len(), 1)?;
        ends_cleanly(&mut pair, side.other())?;
    }
    Ok(())
}

fn truncated_after(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.shutdown(side)?;
        pair.deliver()?;
        pair.side(side.other()).close();
        let (_, end) = pair.read_to_end(side)?;
        check::fails_with("the end without the peer's", end, ErrorKind::Truncated)?;
    }
    Ok(())
}

/// Tickets that wait in front of a client are in nobody's way.
fn before_tickets(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    pair.deliver()?;
    let status = pair.shutdown(Side::Client)?;
    check::status("a client's shutdown", status, Status::Complete)?;
    ends_cleanly(&mut pair, Side::Server)?;
    pair.transfer(Side::Server, b"behind the tickets")?;
    let status = pair.shutdown(Side::Server)?;
    check::status("the server's", status, Status::Closed)?;
    ends_cleanly(&mut pair, Side::Client)
}

/// Whoever has completed its handshake may leave: the other still completes its own.
fn at_once(scene: &Scene<'_>) -> CaseResult {
    for first in Side::BOTH {
        let mut pair = scene.pair()?;
        let mut left = false;
        pair.pump_until("both handshakes", |pair| {
            let mut complete = true;
            for side in Side::BOTH {
                let endpoint = pair.side(side);
                if side == first && left {
                    continue;
                }
                let status = endpoint.handshake()?;
                complete &= status == Status::Complete;
                if side == first && status == Status::Complete {
                    let status = endpoint.shutdown()?;
                    check::status("shutdown at once", status, Status::Complete)?;
                    left = true;
                }
            }
            Ok((complete && left).then_some(()))
        })?;
        ends_cleanly(&mut pair, first.other())?;
        pair.transfer(first.other(), b"half-closed from the beginning")?;
        let status = pair.shutdown(first.other())?;
        check::status("the answer", status, Status::Closed)?;
        ends_cleanly(&mut pair, first)?;
    }
    Ok(())
}

/// How long to wait for the peer is the caller's affair: no call does.
fn waits_for_nobody(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.ping_pong()?;
        pair.deliver()?;
        let sent = pair.wire.from(side).sent();
        pair.wire.to(side).hold();
        for _ in 0..3 {
            let status = pair.shutdown(side)?;
            check::status("shutdown with a silent peer", status, Status::Complete)?;
            let step = pair.side(side).read(&mut [0; 16])?;
            check::status("a read meanwhile", step.status, Status::WantRead)?;
        }
        pair.deliver()?;
        let records = records_from(&mut pair, side, sent)?;
        check::equal("records sent meanwhile", records.len(), 1)?;
        pair.side(side).close();
        ends_cleanly(&mut pair, side.other())?;
    }
    Ok(())
}

/// A close_notify that cannot be sent is told with the error of the system, again and again;
/// dropping the session is no error at all.
fn meets_reset(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.build().tcp().connected()?;
        pair.ping_pong()?;
        pair.deliver()?;
        pair.wire.to(side).reset_now();
        pair.deliver()?;
        let result = pair.side(side).shutdown();
        let error = check::fails_with("shutdown after a reset", result, ErrorKind::Reset)?;
        check::is_the_systems(&error)?;
        for _ in 0..2 {
            let result = pair.side(side).shutdown();
            check::fails_with("shutdown again", result, ErrorKind::Reset)?;
            let result = pair.side(side).read(&mut [0; 8]);
            check::fails_with("a read", result, ErrorKind::Reset)?;
        }
        ensure!(
            !pair.side(side).session().close_notify_sent(),
            "no close_notify has left"
        );
        pair.side(side).close();
    }
    Ok(())
}
