//! Peers that are unlike most: in what they send early, in how they cut it, in what they get wrong.

use tls_core::iana::AlertDescription as A;
use tls_core::{AlertDirection, ErrorKind, SessionOptions, Status};

use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::ensure;
use crate::forge::{Forge, Quirk};
use crate::pair::{End, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 4.4.4",
        clauses: &["K6"],
        items: &["behaviours 22"],
        versions: Versions::TLS13,
        ..Case::new("peers.data_before_the_clients_finished", half_rtt)
    },
    Case {
        rfc: "RFC 8446 5.1, RFC 5246 6.2.1",
        clauses: &["K16", "K4"],
        items: &["behaviours 6"],
        ..Case::new("peers.handshake_in_tiny_records", tiny_records)
    },
    Case {
        rfc: "RFC 8446 4.4.4, RFC 5246 7.4.9",
        clauses: &["K5", "K10"],
        items: &["behaviours 86"],
        ..Case::new("peers.a_wrong_finished", wrong_finished)
    },
    Case {
        rfc: "RFC 8446 4, RFC 5246 7.4",
        clauses: &["K5", "K9", "K10"],
        items: &["behaviours 21"],
        ..Case::new("peers.in_the_same_role", same_role)
    },
];

/// A server may send data behind its own Finished, and the client reads it.
fn half_rtt(scene: &Scene<'_>) -> CaseResult {
    const EARLY: &[u8] = b"sent before the client's Finished";
    let mut forge = Forge::quirky(scene, Side::Server, Quirk::HalfRtt(EARLY))?;
    forge.send_data(b", and after it")?;
    let (data, end) = forge.victim_reads()?;
    let expected = [EARLY, b", and after it"].concat();
    check::same_bytes("from the server", &data, &expected)?;
    ensure!(matches!(end, End::Open), "no end, met {end:?}");
    Ok(())
}

/// Every message of the peer's handshake is in several records.
fn tiny_records(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        for size in [32, 64, 300] {
            let mut forge = Forge::quirky(scene, side, Quirk::TinyRecords(size))
                .map_err(|failure| failure.during(format_args!("records of {size} bytes")))?;
            forge.send_data(b"data")?;
            let (data, _) = forge.victim_reads()?;
            check::same_bytes("behind tiny records", &data, b"data")?;
        }
    }
    Ok(())
}

fn wrong_finished(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let (mut forge, refusal) = Forge::wrong(scene, side, Quirk::WrongFinished)?;
        check::equal(
            "the alert the peer met",
            refusal.alert,
            Some(A::DECRYPT_ERROR),
        )?;
        check::kind("the other side", &refusal.error, ErrorKind::Protocol)?;
        // rustls has one error for this and for a record that does not decrypt.
        check::alert_one_of(
            "the other side",
            &refusal.error,
            &[A::DECRYPT_ERROR, A::BAD_RECORD_MAC],
            AlertDirection::Sent,
        )?;
        let session = forge.victim.session();
        ensure!(session.facts().is_none(), "no facts of such a handshake");
        check::fails_with("again", forge.victim.handshake(), ErrorKind::Protocol)?;
    }
    Ok(())
}

/// Two clients refuse one another; two servers wait for a hello. Neither completes anything.
fn same_role(scene: &Scene<'_>) -> CaseResult {
    let mut config = scene.client_config();
    config.dangerous.accept_any_name = true;
    let client = scene.backend.client(config)?;
    let builder = scene.build().client_context(&*client);
    let mut clients = builder.server_context(&*client).pair()?;
    let outcome = clients.settle()?;
    let mut kinds = Vec::new();
    for side in Side::BOTH {
        let error = outcome.of(side).failure("a client that meets a client")?;
        kinds.push(error.kind());
        let facts = clients.side(side).session().facts();
        ensure!(facts.is_none(), "no facts without a handshake");
    }
    ensure!(
        kinds.contains(&ErrorKind::Protocol)
            && kinds
                .iter()
                .all(|kind| matches!(kind, ErrorKind::Protocol | ErrorKind::PeerAlert)),
        "two clients: met {kinds:?}"
    );

    let server = scene.backend.server(scene.server_config())?;
    let builder = scene.build().client_context(&*server);
    let mut servers = builder
        .server_context(&*server)
        .options(SessionOptions::new())
        .pair()?;
    let outcome = servers.settle()?;
    for side in Side::BOTH {
        ensure!(
            matches!(outcome.of(side), End::Waiting(Status::WantRead)),
            "a server that meets a server waits, met {:?}",
            outcome.of(side)
        );
        check::equal("what it sent", servers.wire.from(side).sent(), 0)?;
    }
    Ok(())
}
