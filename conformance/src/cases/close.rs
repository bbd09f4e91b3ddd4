//! Endings: close_notify, truncation, reset.

use tls_core::{ErrorKind, Misuse, Status};

use crate::case::{Case, CaseResult};
use crate::check;
use crate::pair::Side;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K7"],
        items: &["seed-api 52"],
        ..Case::new("close.half_close", half_close)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K2"],
        items: &["seed-api 93"],
        ..Case::new("close.eof_within_a_record", eof_within_a_record)
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
    let mut pair = scene.connected()?;
    let lane = pair.wire.from(Side::Client);
    lane.truncate(lane.sent() + 10);
    pair.client.write(b"a record that is torn")?;
    let (data, end) = pair.read_to_end(Side::Server)?;
    check::same_bytes("of a torn record", &data, b"")?;
    check::fails_with("the end", end, ErrorKind::Truncated)?;
    Ok(())
}
