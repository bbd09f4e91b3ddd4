//! Renegotiations of TLS 1.2: refused, or followed where the configuration allows them.

use tls_core::config::ClientAuthentication;
use tls_core::iana::AlertDescription;
use tls_core::{ErrorKind, Feature, PostHandshakeAuth, Status};

use crate::case::{Case, CaseResult, Failure, Versions};
use crate::check;
use crate::ensure;
use crate::forge::{FATAL, Forge, Record, WARNING, content_type};
use crate::pair::{End, Side};
use crate::scene::Scene;

/// More attempts in a row than any bound lets through.
const MANY: usize = 100;
/// At most so many records without application data follow one another (K4).
const MAX_EMPTY_RECORDS: usize = 32;
/// A HelloRequest: RFC 5246 section 7.4.1.1.
const HELLO_REQUEST: [u8; 4] = [0; 4];

const CASE: Case = Case {
    rfc: "RFC 5246 7.2.2, 7.4.1.1",
    versions: Versions::TLS12,
    ..Case::new("", refused)
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "renegotiation.refused",
        clauses: &["K1", "K9"],
        items: &["seed-api 44", "behaviours 171"],
        run: refused,
        ..CASE
    },
    Case {
        name: "renegotiation.attempts_without_end",
        clauses: &["K4", "K9"],
        items: &["seed-api 44", "behaviours 171"],
        run: attempts_without_end,
        ..CASE
    },
    Case {
        name: "renegotiation.attempts_within_data",
        clauses: &["K3", "K9"],
        items: &["behaviours 171"],
        run: attempts_within_data,
        ..CASE
    },
    Case {
        name: "renegotiation.refused_by_the_client",
        clauses: &["K1"],
        items: &["seed-api 43", "behaviours 121"],
        requires: &[Feature::RenegotiationServer],
        run: refused_by_the_client,
        ..CASE
    },
    Case {
        name: "renegotiation.followed_by_a_client",
        clauses: &["K11"],
        items: &["seed-api 43"],
        requires: &[Feature::RenegotiationClient],
        run: followed_by_a_client,
        ..CASE
    },
    Case {
        name: "renegotiation.data_behind_the_request",
        clauses: &["K3", "K11"],
        items: &["seed-api 43"],
        requires: &[Feature::RenegotiationClient],
        run: data_behind_the_request,
        ..CASE
    },
    Case {
        name: "renegotiation.requests_without_end",
        clauses: &["K4", "K9"],
        items: &["seed-api 44", "behaviours 171"],
        requires: &[Feature::RenegotiationClient],
        run: requests_without_end,
        ..CASE
    },
];

/// What this side sends to start another handshake.
fn attempt(forge: &mut Forge, by: Side) -> CaseResult {
    match by {
        Side::Server => forge.send(content_type::HANDSHAKE, &HELLO_REQUEST),
        Side::Client => forge.send(content_type::HANDSHAKE, &client_hello()),
    }
}

/// A ClientHello with one suite and nothing else.
fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0x5a; 32]);
    // No session, the suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let length = u8::try_from(body.len()).expect("a short message");
    [&[1, 0, 0, length], &body[..]].concat()
}

/// The level of each no_renegotiation among these records; nothing but alerts may be there.
fn refusals(records: &[Record]) -> CaseResult<Vec<u8>> {
    records
        .iter()
        .map(|record| match (record.content_type, &record.payload[..]) {
            (content_type::ALERT, [level, description])
                if *description == AlertDescription::NO_RENEGOTIATION.0 =>
            {
                Ok(*level)
            }
            _ => Err(Failure::assertion(format!(
                "no_renegotiation must be sent, met {record:?}"
            ))),
        })
        .collect()
}

/// An attempt is refused by the alert for it. A refusal that is a warning leaves the session as it
/// was; one that is fatal ends it.
fn refused(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.received()?;
        attempt(&mut forge, side)?;
        forge.send_data(b"behind")?;
        let (data, end) = forge.victim_reads()?;
        let refusals = refusals(&forge.received()?)?;
        if refusals == [FATAL] {
            let error = end.failure("a renegotiation that was refused")?;
            check::kind("a fatal refusal", error, ErrorKind::Protocol)?;
            continue;
        }
        check::equal("what was sent", refusals, vec![WARNING])?;
        ensure!(
            matches!(end, End::Open),
            "the session must go on, met {end:?}"
        );
        check::same_bytes("behind the attempt", &data, b"behind")?;
        forge.victim.write(b"still here")?;
        forge.victim.flush()?;
        let records = forge.received()?;
        let answer = records.first().map(|record| &record.payload[..]);
        check::equal("an answer", answer, Some(&b"still here"[..]))?;
    }
    Ok(())
}

fn attempts_without_end(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.received()?;
        for _ in 0..MANY {
            attempt(&mut forge, side)?;
        }
        gives_up(&mut forge)
            .map_err(|failure| failure.during(format_args!("attempts of the {}", side.name())))?;
    }
    Ok(())
}

/// After [`MANY`] attempts the victim has failed, and has sent little for them.
fn gives_up(forge: &mut Forge) -> CaseResult {
    let (data, end) = forge.victim_reads()?;
    check::same_bytes("of the attempts", &data, b"")?;
    let error = end.failure("attempts without end")?;
    check::kind("attempts without end", error, ErrorKind::Protocol)?;
    let sent = forge.received()?.len();
    ensure!(
        sent <= MAX_EMPTY_RECORDS + 2,
        "{sent} records were sent for {MANY} attempts"
    );
    Ok(())
}

/// A server that has completed a handshake with a client that may renegotiate.
fn server_of_a_willing_client(scene: &Scene<'_>) -> CaseResult<Forge> {
    let mut client = scene.client_config();
    client.parameters.allow_renegotiation = true;
    let mut forge = Forge::server(scene, client)?;
    forge.received()?;
    Ok(forge)
}

/// Whatever becomes of the session, data that comes between attempts is neither lost nor changed.
fn attempts_within_data(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        let mut sent = Vec::new();
        for count in 0..u8::try_from(MANY).expect("a small number") {
            attempt(&mut forge, side)?;
            forge.send_data(&[count])?;
            sent.push(count);
        }
        let (data, end) = forge.victim_reads()?;
        ensure!(
            sent.starts_with(&data),
            "met other data than was sent: {data:?}"
        );
        match end {
            End::Failed(error) => {
                check::kind("attempts within data", &error, ErrorKind::Protocol)?;
            }
            end => {
                ensure!(matches!(end, End::Open), "neither open nor failed: {end:?}");
                check::same_bytes("all of the data", &data, &sent)?;
            }
        }
    }
    Ok(())
}

/// A client that does not renegotiate has declined, and nobody's session ends for it.
fn refused_by_the_client(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::OnRequest(scene.pki.roots());
    server.parameters.allow_renegotiation = true;
    let mut pair = scene.pair_with(scene.client_config(), server)?;
    pair.handshake()?;
    let status = pair.server.request_client_certificate()?;
    check::equal("a request", status, Status::Complete)?;
    let mut buffer = [0; 100];
    pair.pump_until("the answer", |pair| {
        for side in Side::BOTH {
            pair.side(side).read(&mut buffer)?;
        }
        let state = pair.server.session().post_handshake_auth();
        Ok((state == PostHandshakeAuth::Declined).then_some(()))
    })?;
    pair.ping_pong()
}

/// A client that may renegotiate answers a HelloRequest with a ClientHello.
fn followed_by_a_client(scene: &Scene<'_>) -> CaseResult {
    let mut forge = server_of_a_willing_client(scene)?;
    forge.send_data(b"before")?;
    attempt(&mut forge, Side::Server)?;
    let (data, end) = forge.victim_reads()?;
    check::same_bytes("before the request", &data, b"before")?;
    ensure!(
        matches!(end, End::Open),
        "the session must go on, met {end:?}"
    );
    let records = forge.received()?;
    ensure!(
        matches!(&records[..], [hello] if hello.content_type == content_type::HANDSHAKE
            && hello.payload.first() == Some(&1)),
        "a ClientHello must be sent, met {records:?}"
    );
    Ok(())
}

/// What a server sends until it knows of the client's ClientHello is data as any other.
fn data_behind_the_request(scene: &Scene<'_>) -> CaseResult {
    let mut forge = server_of_a_willing_client(scene)?;
    attempt(&mut forge, Side::Server)?;
    forge.send_data(b"behind")?;
    let (data, end) = forge.victim_reads()?;
    if let End::Failed(error) = end {
        return Err(Failure::from(error).during("data behind the request"));
    }
    check::same_bytes("behind the request", &data, b"behind")?;
    forge.send_data(b" and later")?;
    let (data, end) = forge.victim_reads()?;
    check::same_bytes("behind the ClientHello", &data, b" and later")?;
    ensure!(
        matches!(end, End::Open),
        "the session must go on, met {end:?}"
    );
    let records = forge.received()?;
    let sent: Vec<_> = records
        .iter()
        .map(|it| (it.content_type, it.payload.first()))
        .collect();
    check::equal(
        "what was sent",
        sent,
        vec![(content_type::HANDSHAKE, Some(&1))],
    )
}

/// While its own ClientHello is unanswered a client endures no flood either.
fn requests_without_end(scene: &Scene<'_>) -> CaseResult {
    let mut forge = server_of_a_willing_client(scene)?;
    for _ in 0..MANY {
        attempt(&mut forge, Side::Server)?;
    }
    gives_up(&mut forge)
}
