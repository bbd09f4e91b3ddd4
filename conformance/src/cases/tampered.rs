//! Handshake messages that were changed on their way, and what they would lead to.

use tls_core::iana::{AlertDescription as A, Group, ProtocolVersion};
use tls_core::{AlertDirection, ErrorKind, Feature};

use crate::case::{Case, CaseResult, Versions};
use crate::check;
use crate::ensure;
use crate::forge::content_type;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// Handshake types. RFC 8446 section 4, RFC 5246 section 7.4.
const CLIENT_HELLO: u8 = 1;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const FINISHED: u8 = 20;
/// The type of the extension that offers versions. RFC 8446 section 4.2.1.
const SUPPORTED_VERSIONS: [u8; 2] = [0, 43];

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 4, 6.2",
        clauses: &["K5", "K9"],
        items: &["behaviours 85"],
        ..Case::new("tampered.hellos_of_wrong_length", wrong_length)
    },
    Case {
        rfc: "RFC 8446 4, 6.2",
        clauses: &["K5", "K9"],
        items: &["behaviours 84"],
        ..Case::new("tampered.another_message_first", another_first)
    },
    Case {
        rfc: "RFC 5246 7.3, 7.4",
        clauses: &["K5", "K9", "K14"],
        items: &["behaviours 84"],
        versions: Versions::TLS12,
        ..Case::new("tampered.messages_left_out_or_repeated", out_of_order)
    },
    Case {
        rfc: "RFC 7301 3.1, 3.2",
        clauses: &["K5", "K10"],
        items: &["behaviours 128"],
        versions: Versions::TLS12,
        requires: &[Feature::Alpn],
        ..Case::new("tampered.protocol_that_was_not_offered", unoffered_protocol)
    },
    Case {
        rfc: "RFC 8446 4.1.3",
        clauses: &["K5", "K10"],
        items: &["behaviours 164"],
        versions: Versions::TLS13,
        requires: &[Feature::Tls12, Feature::Tls13, Feature::GroupsList],
        ..Case::new("tampered.downgrade_is_noticed", downgrade)
    },
    Case {
        rfc: "RFC 8446 4.1.4",
        clauses: &["K10", "K16"],
        items: &["behaviours 163"],
        versions: Versions::TLS13,
        requires: &[Feature::GroupsList],
        ..Case::new("tampered.not_the_retried_hello", retried_hello)
    },
];

/// What is done to the messages of a flight.
type Change = fn(&mut Vec<Vec<u8>>);

/// The handshake messages at the start of a flight, and what follows their records.
fn messages(flight: &[u8]) -> Option<(Vec<Vec<u8>>, &[u8])> {
    let (mut joined, mut rest) = (Vec::new(), flight);
    while let [content_type::HANDSHAKE, 3, _, high, low, ..] = rest {
        let end = 5 + usize::from(u16::from_be_bytes([*high, *low]));
        joined.extend_from_slice(rest.get(5..end)?);
        rest = &rest[end..];
    }
    let mut messages = Vec::new();
    let mut left = &joined[..];
    while let [_, a, b, c, ..] = left {
        let end = 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        messages.push(left.get(..end)?.to_vec());
        left = &left[end..];
    }
    left.is_empty().then_some((messages, rest))
}

/// Has the first flight of one side changed, message by message. In TLS 1.3 only its first is in
/// the clear.
fn edit(pair: &mut Pair, from: Side, change: Change) {
    pair.wire.from(from).edit(move |flight| {
        let Some((mut messages, rest)) = messages(flight) else {
            return false;
        };
        let rest = rest.to_vec();
        change(&mut messages);
        flight.clear();
        for message in messages {
            flight.extend([content_type::HANDSHAKE, 3, 3]);
            flight.extend((message.len() as u16).to_be_bytes());
            flight.extend(message);
        }
        flight.extend(rest);
        true
    });
}

/// Sets a message's length to what it has.
fn fix_length(message: &mut [u8]) {
    let length = (message.len() - 4) as u32;
    message[1..4].copy_from_slice(&length.to_be_bytes()[1..]);
}

/// What one side sends first is changed, and the other refuses it with one of these alerts.
fn refused(mut pair: Pair, from: Side, change: Change, alerts: &[A]) -> CaseResult {
    edit(&mut pair, from, change);
    let outcome = pair.settle()?;
    ensure!(pair.wire.from(from).faults_done(), "nothing was changed");
    let to = from.other();
    let error = outcome.of(to).failure(to.name())?;
    check::kind(to.name(), error, ErrorKind::Protocol)?;
    check::alert_one_of(to.name(), error, alerts, AlertDirection::Sent)?;
    let facts = pair.side(to).session().facts();
    ensure!(facts.is_none(), "no facts of such a handshake");
    // The two may not agree on a version yet, and so not on how the alert is to be read.
    outcome.of(from).failure(from.name())?;
    Ok(())
}

fn wrong_length(scene: &Scene<'_>) -> CaseResult {
    let changes: [(&str, Change); 2] = [
        ("bytes behind a hello", |messages| {
            messages[0].extend([0; 3]);
            fix_length(&mut messages[0]);
        }),
        ("a hello cut short", |messages| {
            let length = messages[0].len();
            messages[0].truncate(length - 3);
            fix_length(&mut messages[0]);
        }),
    ];
    for from in [Side::Server, Side::Client] {
        for (what, change) in changes {
            refused(scene.pair()?, from, change, &[A::DECODE_ERROR])
                .map_err(|failure| failure.during(format_args!("{what} of the {}", from.name())))?;
        }
    }
    Ok(())
}

fn another_first(scene: &Scene<'_>) -> CaseResult {
    for from in Side::BOTH {
        refused(
            scene.pair()?,
            from,
            |messages| messages[0] = [&[FINISHED, 0, 0, 12][..], &[0x5a; 12]].concat(),
            &[A::UNEXPECTED_MESSAGE],
        )
        .map_err(|failure| failure.during(format_args!("from the {}", from.name())))?;
    }
    Ok(())
}

fn out_of_order(scene: &Scene<'_>) -> CaseResult {
    let changes: [(&str, Change); 3] = [
        ("without ServerKeyExchange", |messages| {
            messages.retain(|message| message[0] != SERVER_KEY_EXCHANGE);
        }),
        ("with ServerHello twice", |messages| {
            messages.insert(1, messages[0].clone());
        }),
        ("without Certificate", |messages| {
            messages.retain(|message| message[0] != CERTIFICATE);
        }),
    ];
    for (what, change) in changes {
        refused(
            scene.pair()?,
            Side::Server,
            change,
            &[A::UNEXPECTED_MESSAGE],
        )
        .map_err(|failure| failure.during(what))?;
    }
    Ok(())
}

fn unoffered_protocol(scene: &Scene<'_>) -> CaseResult {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    client.parameters.alpn = vec![b"protocol-a".to_vec()];
    server.parameters.alpn = vec![b"protocol-a".to_vec()];
    let pair = scene.pair_with(client, server)?;
    refused(
        pair,
        Side::Server,
        |messages| {
            let hello = &mut messages[0];
            let name = hello.windows(10).position(|window| window == b"protocol-a");
            hello[name.expect("the server has chosen it") + 9] = b'b';
        },
        // RFC 7301 names none.
        &[
            A::ILLEGAL_PARAMETER,
            A::UNSUPPORTED_EXTENSION,
            A::DECODE_ERROR,
        ],
    )
}

/// The server is made to believe that the client speaks TLS 1.2 at most.
fn downgrade(scene: &Scene<'_>) -> CaseResult {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    client.parameters.min_version = ProtocolVersion::TLS1_2;
    server.parameters.min_version = ProtocolVersion::TLS1_2;
    // Of TLS 1.2: a LibreSSL server ends such a handshake without a word if its client prefers a
    // group that only TLS 1.3 has.
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.groups = Some(vec![Group::X25519, Group::SECP256R1]);
    }
    let mut pair = scene.pair_with(client, server)?;
    edit(&mut pair, Side::Client, |messages| {
        let hello = &mut messages[0];
        let versions = extension(hello, SUPPORTED_VERSIONS).expect("a client of TLS 1.3");
        // Of a type that nobody knows.
        hello[versions..versions + 2].copy_from_slice(&[0xfe, 0xfe]);
    });
    let outcome = pair.settle()?;
    let error = outcome.client.failure("the client")?;
    check::kind("the client", error, ErrorKind::Protocol)?;
    check::alert(
        "the client",
        error,
        A::ILLEGAL_PARAMETER,
        AlertDirection::Sent,
    )?;
    let error = outcome.server.failure("the server")?;
    check::kind("the server", error, ErrorKind::PeerAlert)
}

/// Where an extension of a ClientHello begins.
fn extension(hello: &[u8], kind: [u8; 2]) -> Option<usize> {
    let number = |at: usize, width: usize| {
        let bytes = hello.get(at..at + width)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    // Message header, version and random; then the session id, the suites and the compressions.
    let mut at = 4 + 2 + 32;
    for width in [1, 2, 1] {
        at += width + number(at, width)?;
    }
    at += 2;
    while at < hello.len() {
        if hello[at..].starts_with(&kind) {
            return Some(at);
        }
        at += 4 + number(at + 2, 2)?;
    }
    None
}

/// The server asks for another group than the client has guessed, and all goes well. Some engines
/// guess two.
fn retried_hello(scene: &Scene<'_>) -> CaseResult {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    client.parameters.groups = Some(vec![Group::SECP384R1, Group::X25519, Group::SECP256R1]);
    server.parameters.groups = Some(vec![Group::SECP256R1]);
    let mut pair = scene.build().client(client).server(server).connected()?;
    let sent = pair.wire.from(Side::Client).recorded();
    let hellos = records(sent)
        .filter(|record| record[0] == content_type::HANDSHAKE && record[5] == CLIENT_HELLO)
        .count();
    check::equal("how many hellos were sent", hellos, 2)?;
    if scene.has(Feature::NegotiatedGroup) {
        for session in [pair.client.session(), pair.server.session()] {
            check::equal("the group", session.group(), Some(Group::SECP256R1))?;
        }
    }
    pair.ping_pong()
}

fn records(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u16::from_be_bytes(*rest.get(3..5)?.first_chunk()?);
        let (record, behind) = rest.split_at_checked(5 + usize::from(length))?;
        rest = behind;
        Some(record)
    })
}
