//! Everything one byte at a time: input, room for output, and what the wire delivers. In socket mode
//! the kernel's buffers are what they are, and the wire delivers single bytes.

use tls_core::config::ClientAuthentication;
use tls_core::iana::{AlertDescription, Group};
use tls_core::{AlertDirection, ErrorKind, Feature, Status};

use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 5.1, 4.3.2",
        clauses: &["K16", "K1"],
        items: &["seed-api 7", "behaviours 5"],
        requires: &[Feature::ClientAuthentication, Feature::ClientCertificate],
        ..Case::new("one_byte.mutual_authentication", mutual)
    },
    Case {
        rfc: "RFC 5246 7.3, RFC 5077 3",
        clauses: &["K16", "K12"],
        items: &["seed-api 7", "behaviours 5"],
        requires: &[Feature::Tls12Resumption],
        versions: Versions::TLS12,
        ..Case::new("one_byte.resumption_tls12", resumption)
    },
    Case {
        rfc: "RFC 8446 2.2",
        clauses: &["K16", "K12"],
        items: &["seed-api 7", "behaviours 5"],
        requires: &[Feature::Tls13Resumption],
        versions: Versions::TLS13,
        ..Case::new("one_byte.resumption_tls13", resumption)
    },
    Case {
        rfc: "RFC 8446 4.1.4",
        clauses: &["K16", "K1"],
        items: &["seed-api 7", "behaviours 5"],
        requires: &[Feature::GroupsList],
        versions: Versions::TLS13,
        ..Case::new("one_byte.hello_retry_request", retry)
    },
    Case {
        rfc: "RFC 8446 6.1",
        clauses: &["K16", "K7", "K2"],
        items: &["seed-api 53", "behaviours 5"],
        ..Case::new("one_byte.shutdown", shutdown)
    },
    Case {
        rfc: "RFC 8446 6.2",
        clauses: &["K16", "K5"],
        items: &["seed-api 50", "behaviours 5"],
        ..Case::new("one_byte.alert", alert)
    },
];

/// Connects and moves data both ways, a byte at a time.
fn connect(pair: &mut Pair) -> CaseResult {
    pair.one_byte_at_a_time();
    pair.handshake()?;
    pair.transfer_both(&super::pattern(300, 1), &super::pattern(300, 2))
}

/// Both sides shut down, a byte at a time, and both see it.
fn close(pair: &mut Pair) -> CaseResult {
    let status = pair.shutdown(Side::Client)?;
    check::status("the first to shut down", status, Status::Complete)?;
    ends_cleanly(pair, Side::Server)?;
    let status = pair.shutdown(Side::Server)?;
    check::status("the second", status, Status::Closed)?;
    ends_cleanly(pair, Side::Client)
}

fn ends_cleanly(pair: &mut Pair, side: Side) -> CaseResult {
    let (data, end) = pair.read_to_end(side)?;
    check::same_bytes("before the end", &data, b"")?;
    Ok(end?)
}

fn mutual(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.identity = Some(scene.pki.client.clone());
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
    let mut pair = scene.pair_with(client, server)?;
    connect(&mut pair)?;
    check::equal(
        "the chain the server verified",
        pair.server.session().peer_certificates(),
        Some(scene.pki.client.chain()),
    )?;
    close(&mut pair)
}

fn resumption(scene: &Scene<'_>) -> CaseResult {
    let client = scene.backend.client(scene.client_config())?;
    let server = scene.backend.server(scene.server_config())?;
    for resumed in [false, true] {
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*server).pair()?;
        connect(&mut pair)?;
        for side in Side::BOTH {
            let told = pair.side(side).session().resumed();
            check::equal("resumed", told, Some(resumed))?;
        }
        close(&mut pair)?;
    }
    Ok(())
}

fn retry(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    // Some engines send shares for the first two.
    client.parameters.groups = Some(vec![Group::X25519, Group::SECP256R1, Group::SECP384R1]);
    let mut server = scene.server_config();
    server.parameters.groups = Some(vec![Group::SECP384R1]);
    let mut pair = scene.pair_with(client, server)?;
    connect(&mut pair)?;
    ensure!(
        crate::hello::is_retry(pair.wire.to_client.recorded()),
        "the server must have asked for another key share"
    );
    close(&mut pair)
}

fn shutdown(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.one_byte_at_a_time();
        let data = super::pattern(200, 3);
        pair.transfer(side, &data)?;
        let status = pair.shutdown(side)?;
        check::status("the first to shut down", status, Status::Complete)?;
        ends_cleanly(&mut pair, side.other())?;
        // Half-closed, data still goes the other way.
        pair.transfer(side.other(), &data)?;
        let status = pair.shutdown(side.other())?;
        check::status("the second", status, Status::Closed)?;
        ends_cleanly(&mut pair, side)?;
    }
    Ok(())
}

fn alert(scene: &Scene<'_>) -> CaseResult {
    for from in Side::BOTH {
        let mut pair = scene.connected()?;
        pair.one_byte_at_a_time();
        pair.ping_pong()?;
        pair.deliver()?;
        let lane = pair.wire.from(from);
        lane.flip(lane.sent() + 20, 0x01);
        pair.side(from)
            .write(b"a record that is changed on its way")?;
        let (data, end) = pair.read_to_end(from.other())?;
        check::same_bytes("of a changed record", &data, b"")?;
        let error = check::fails_with("the receiver", end, ErrorKind::Protocol)?;
        let mac = AlertDescription::BAD_RECORD_MAC;
        check::alert("the receiver", &error, mac, AlertDirection::Sent)?;
        let (_, end) = pair.read_to_end(from)?;
        let error = check::fails_with("the sender", end, ErrorKind::PeerAlert)?;
        check::alert("the sender", &error, mac, AlertDirection::Received)?;
    }
    Ok(())
}
