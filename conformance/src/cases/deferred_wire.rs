//! The ClientHello on the wire: told whole, in pieces, large, malformed, or none at all; and
//! ciphertext that the caller has received itself.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use tls_core::config::SocketTransport;
use tls_core::iana::{AlertDescription, Group};
use tls_core::{
    AlertDirection, ClientHello, ConfigProblem, DynContext, ErrorKind, Feature, Misuse,
    SessionOptions, Status,
};

use super::deferred::{deferred, go_on, suspend};
use crate::case::{Case, CaseResult, Failure, Modes, Versions};
use crate::check;
use crate::ensure;
use crate::forge::{FATAL, Forge, content_type};
use crate::pair::{End, Pair};
use crate::pki::SERVER_NAME;
use crate::scene::Scene;

/// The length of a record header, in bytes.
const HEADER: usize = 5;

const REQUIRES: &[Feature] = &[Feature::DeferredServerContext];

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 4.1.2",
        clauses: &["K10"],
        items: &["behaviours 138", "behaviours 131"],
        requires: &[Feature::DeferredServerContext, Feature::Alpn],
        ..Case::new("deferred.hello_is_told_whole_and_stays", told)
    },
    Case {
        rfc: "RFC 8446 4.1.2",
        clauses: &["K10"],
        items: &["behaviours 138"],
        requires: REQUIRES,
        ..Case::new("deferred.nobody_else_tells_a_hello", told_by_nobody_else)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K10", "K16"],
        items: &["seed-api 11", "seed-api 12", "behaviours 140"],
        requires: REQUIRES,
        ..Case::new("deferred.hello_in_segments_and_records", in_pieces)
    },
    Case {
        rfc: "RFC 8446 4.1.4",
        clauses: &["K10"],
        requires: &[Feature::DeferredServerContext, Feature::GroupsList],
        versions: Versions::TLS13,
        ..Case::new("deferred.first_hello_stays_after_a_retry", retry)
    },
    Case {
        rfc: "RFC 8446 4.1.2, 5.1",
        clauses: &["K4", "K9"],
        items: &["behaviours 7", "seed-api 88"],
        requires: REQUIRES,
        ..Case::new("deferred.large_hellos", large)
    },
    Case {
        rfc: "RFC 8446 4.1.2",
        clauses: &["K4", "K5"],
        items: &["behaviours 7", "seed-api 88"],
        requires: REQUIRES,
        ..Case::new("deferred.hello_without_end", without_end)
    },
    Case {
        rfc: "RFC 8446 6.2, RFC 6066 3",
        clauses: &["K5", "K9"],
        items: &["behaviours 135"],
        requires: REQUIRES,
        ..Case::new("deferred.malformed_hellos_get_an_alert", malformed)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K5", "K9"],
        items: &["behaviours 18", "seed-api 61"],
        requires: REQUIRES,
        ..Case::new("deferred.what_is_no_tls_is_refused_at_once", no_tls)
    },
    Case {
        rfc: "RFC 8446 5.1",
        clauses: &["K3"],
        requires: &[Feature::Unread],
        modes: Modes::SocketOnly,
        ..Case::new("unread.comes_before_what_the_socket_gives", unread)
    },
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        requires: &[Feature::Unread],
        modes: Modes::SocketOnly,
        ..Case::new("unread.has_its_time_and_bounds", unread_bounds)
    },
    Case {
        rfc: "contract K11",
        clauses: &["K11"],
        requires: &[Feature::Unread, Feature::PlainSocketTransport],
        modes: Modes::SocketOnly,
        ..Case::new("unread.not_where_the_engine_reads", unread_plain)
    },
];

fn hello<'a>(pair: &'a Pair, when: &str) -> CaseResult<&'a ClientHello> {
    let hello = pair.server.session().client_hello();
    hello.ok_or_else(|| Failure::assertion(format!("the hello must be told {when}")))
}

/// A server context, and a client that offers two protocols to it.
fn with_alpn(scene: &Scene<'_>) -> CaseResult<(Box<dyn DynContext>, Pair)> {
    let mut client = scene.client_config();
    client.parameters.alpn = vec![b"one".to_vec(), b"two".to_vec()];
    let mut server = scene.server_config();
    server.parameters.alpn = vec![b"two".to_vec()];
    let bootstrap = scene.backend.deferred_server()?;
    let builder = scene.build().client(client).server_context(&*bootstrap);
    Ok((scene.backend.server(server)?, builder.pair()?))
}

fn told(scene: &Scene<'_>) -> CaseResult {
    let (context, mut pair) = with_alpn(scene)?;
    ensure!(
        pair.server.session().client_hello().is_none(),
        "before it has come"
    );
    suspend(&mut pair)?;
    let sent = pair.wire.to_server.recorded().to_vec();
    let told = hello(&pair, "while the server waits")?.clone();
    check::same_bytes("the bytes of the hello", told.as_bytes(), &sent)?;
    check::same_bytes("the message", told.message(), &sent[HEADER..])?;
    check::equal("the server name", told.server_name(), Some(SERVER_NAME))?;
    let protocols: Vec<_> = told.alpn().collect();
    check::equal("the protocols", protocols, vec![&b"one"[..], b"two"])?;
    ensure!(
        told.versions().any(|version| version == scene.version),
        "the version is offered"
    );
    ensure!(told.signature_schemes().count() > 0, "schemes are offered");
    ensure!(told.groups().count() > 0, "groups are offered");
    // Fingerprints are of what was told: ALPN's first and last byte, the name, the version.
    let version = if scene.is_tls13() { "t13d" } else { "t12d" };
    let fingerprint = told.ja4();
    ensure!(
        fingerprint.starts_with(version) && fingerprint[8..10] == *"oe",
        "the fingerprint must be one of such a client, met {fingerprint}"
    );
    check::equal("the digits of JA3", told.ja3().len(), 32)?;

    go_on(&mut pair, &*context)?;
    let session = pair.server.session();
    let suite = session.cipher_suite();
    ensure!(
        told.cipher_suites().any(|offered| Some(offered) == suite),
        "the suite that was negotiated is among those told"
    );
    check::equal("the protocol", session.alpn(), Some(&b"two"[..]))?;
    ensure!(
        *hello(&pair, "after the handshake")? == told,
        "it must stay what it was"
    );
    pair.ping_pong()?;
    ensure!(
        *hello(&pair, "ever after")? == told,
        "it must stay what it was"
    );
    Ok(())
}

fn told_by_nobody_else(scene: &Scene<'_>) -> CaseResult {
    let (context, mut pair) = with_alpn(scene)?;
    suspend(&mut pair)?;
    go_on(&mut pair, &*context)?;
    hello(&pair, "by the server that waited for it")?;
    ensure!(
        pair.client.session().client_hello().is_none(),
        "a client has none"
    );
    let chosen = scene.connected()?;
    for session in [chosen.client.session(), chosen.server.session()] {
        ensure!(
            session.client_hello().is_none(),
            "where the context was chosen beforehand there is none"
        );
    }
    Ok(())
}

fn in_pieces(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    let mut whole = deferred(scene)?;
    suspend(&mut whole)?;
    let length = whole.wire.to_server.recorded().len();
    let message = length - HEADER;
    for cut in [
        1,
        HEADER - 1,
        HEADER,
        HEADER + 1,
        HEADER + 4,
        length / 2,
        length - 1,
    ] {
        let mut pair = deferred(scene)?;
        pair.client.handshake()?;
        pair.wire.to_server.set_quota(cut);
        pair.relay()?;
        let status = pair.server.handshake()?;
        check::status("the first piece", status, Status::WantRead)?;
        ensure!(
            pair.server.session().client_hello().is_none(),
            "half a hello is none"
        );
        pair.wire.to_server.set_quota(length);
        suspend(&mut pair)?;
        let sent = pair.wire.to_server.recorded().to_vec();
        check::same_bytes("in two segments", hello(&pair, "then")?.as_bytes(), &sent)?;
        go_on(&mut pair, &*context)?;
        pair.ping_pong()?;
    }
    for first in [1, 3, 4, 5, message / 2, message - 1] {
        let mut pair = deferred(scene)?;
        super::fragments::split_first_record(&mut pair, message, first);
        suspend(&mut pair)?;
        let sent = pair.wire.to_server.recorded()[HEADER..].to_vec();
        let told = hello(&pair, "then")?;
        check::same_bytes("over two records", told.message(), &sent)?;
        check::equal("the records' bytes", told.as_bytes().len(), length + HEADER)?;
        go_on(&mut pair, &*context)?;
        pair.ping_pong()?;
    }
    Ok(())
}

fn retry(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    // Clients send shares of their first group, or of two.
    let groups = vec![Group::X25519, Group::SECP256R1, Group::SECP384R1];
    client.parameters.groups = Some(groups);
    let mut server = scene.server_config();
    server.parameters.groups = Some(vec![Group::SECP384R1]);
    let context = scene.backend.server(server)?;
    let bootstrap = scene.backend.deferred_server()?;
    let builder = scene.build().client(client).server_context(&*bootstrap);
    let mut pair = builder.pair()?;
    suspend(&mut pair)?;
    let first = pair.wire.to_server.recorded().to_vec();
    go_on(&mut pair, &*context)?;
    // ServerHello is the first message in either case: this one's random says that it is none.
    let server_random = pair.wire.to_client.recorded().get(HEADER + 6..HEADER + 8);
    check::equal(
        "a HelloRetryRequest",
        server_random,
        Some(&[0xcf, 0x21][..]),
    )?;
    let told = hello(&pair, "after a retry")?;
    check::same_bytes("the first hello", told.as_bytes(), &first)?;
    pair.ping_pong()
}

/// A ClientHello that a client of the scene would send, with an extension more that nobody knows.
fn padded(scene: &Scene<'_>, padding: usize) -> CaseResult<Vec<u8>> {
    const UNKNOWN: [u8; 2] = [0xfa, 0x57];
    let mut pair = deferred(scene)?;
    suspend(&mut pair)?;
    let told = hello(&pair, "while the server waits")?;
    let mut message = told.message().to_vec();
    let extensions: usize = told.extensions().map(|(_, body)| 4 + body.len()).sum();
    let at = message.len() - extensions - 2;
    let grown = u16::try_from(extensions + 4 + padding)
        .map_err(|_| Failure::new("harness", "too much padding"))?;
    message[at..at + 2].copy_from_slice(&grown.to_be_bytes());
    message.extend(UNKNOWN);
    message.extend((grown - 4 - extensions as u16).to_be_bytes());
    message.resize(message.len() + padding, 0);
    let [_, length @ ..] = ((message.len() - 4) as u32).to_be_bytes();
    message[1..4].copy_from_slice(&length);
    Ok(message)
}

fn large(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    for padding in [8_000, 60_000] {
        let message = padded(scene, padding)?;
        let mut forge = Forge::stranger_to_deferred(scene)?;
        for piece in message.chunks(1 << 14) {
            forge.send_plain(content_type::HANDSHAKE, piece);
        }
        let end = forge.victim_handshakes()?;
        ensure!(
            matches!(end, End::Waiting(Status::NeedsServerContext)),
            "a hello of {} bytes must be told, met {end:?}",
            message.len()
        );
        let told = forge.victim.session().client_hello();
        let told = told.map_or(&[][..], ClientHello::message);
        check::same_bytes("the message", told, &message)?;
        forge.victim.session_mut().set_context(&*context)?;
        let end = forge.victim_handshakes()?;
        // Engines have limits of their own, above the length of any real client's.
        let fine = match end {
            End::Waiting(Status::WantRead) => true,
            End::Failed(ref error) => padding > 1 << 14 && error.kind() == ErrorKind::Protocol,
            _ => false,
        };
        ensure!(fine, "a hello of {} bytes: {end:?}", message.len());
        let answer = forge.received_raw()?;
        ensure!(!answer.is_empty(), "an answer or an alert must be sent");
    }
    Ok(())
}

/// A server that waits for a hello and gets this instead fails, and tells the peer why, in the clear.
fn refuses(
    scene: &Scene<'_>,
    what: &str,
    alert: AlertDescription,
    send: impl FnOnce(&mut Forge),
) -> CaseResult {
    let mut forge = Forge::stranger_to_deferred(scene)?;
    send(&mut forge);
    let end = forge.victim_handshakes()?;
    let error = end.failure(what)?;
    check::kind(what, error, ErrorKind::Protocol)?;
    check::alert(what, error, alert, AlertDirection::Sent)?;
    let record = [content_type::ALERT, 3, 3, 0, 2, FATAL, alert.0];
    check::equal(what, forge.received_raw()?, record.to_vec())
}

/// Another session of such a server, with a client that does as it should.
fn serves_the_next(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    let mut pair = deferred(scene)?;
    suspend(&mut pair)?;
    go_on(&mut pair, &*context)?;
    pair.ping_pong()
}

fn without_end(scene: &Scene<'_>) -> CaseResult {
    let piece = [0; 10_000];
    for (what, announced) in [
        ("a little", 0x0001_0001_u32),
        ("as much as it can", 0x00ff_ffff),
    ] {
        let [_, length @ ..] = announced.to_be_bytes();
        let message = [&[1][..], &length, &piece].concat();
        refuses(scene, what, AlertDescription::ILLEGAL_PARAMETER, |forge| {
            forge.send_plain(content_type::HANDSHAKE, &message);
        })?;
    }
    let crumbs = AlertDescription::UNEXPECTED_MESSAGE;
    refuses(scene, "in crumbs", crumbs, |forge| {
        forge.send_plain(content_type::HANDSHAKE, &[1, 0, 0xff, 0xff]);
        for _ in 0..600 {
            forge.send_plain(content_type::HANDSHAKE, &[3]);
        }
    })
}

/// A ClientHello with these extensions and little else.
fn made(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let length = u16::try_from(extensions.len()).expect("they are few");
    body.extend(length.to_be_bytes());
    body.extend(extensions);
    let length = u8::try_from(body.len()).expect("it is short");
    [&[1, 0, 0, length][..], &body].concat()
}

fn malformed(scene: &Scene<'_>) -> CaseResult {
    const DECODE: AlertDescription = AlertDescription::DECODE_ERROR;
    const ILLEGAL: AlertDescription = AlertDescription::ILLEGAL_PARAMETER;
    let name = |name: &[u8]| {
        let length = u8::try_from(name.len()).expect("it is short");
        let head = [0, 0, 0, length + 5, 0, length + 3, 0, 0, length];
        [&head[..], name].concat()
    };
    let table = [
        (
            "a name that is not ASCII",
            name(b"m\xfcnchen.example"),
            ILLEGAL,
        ),
        ("a name with a zero byte", name(b"a\0.example"), ILLEGAL),
        ("an empty name", name(b""), ILLEGAL),
        (
            "a list of names beyond its end",
            vec![0, 0, 0, 4, 0, 9, 0, 0],
            DECODE,
        ),
        ("an extension beyond the end", vec![0, 23, 0, 9], DECODE),
        (
            "an extension twice",
            vec![0, 23, 0, 0, 0, 23, 0, 0],
            ILLEGAL,
        ),
        ("an empty list of versions", vec![0, 43, 0, 1, 0], DECODE),
        ("half a group", vec![0, 10, 0, 3, 0, 1, 9], DECODE),
        (
            "a protocol without a name",
            vec![0, 16, 0, 3, 0, 1, 0],
            DECODE,
        ),
    ];
    for (what, extensions, alert) in table {
        refuses(scene, what, alert, |forge| {
            forge.send_plain(content_type::HANDSHAKE, &made(&extensions));
        })?;
    }
    serves_the_next(scene)
}

fn no_tls(scene: &Scene<'_>) -> CaseResult {
    const UNEXPECTED: AlertDescription = AlertDescription::UNEXPECTED_MESSAGE;
    let table: [(&str, &[u8], AlertDescription); 7] = [
        ("plain HTTP", b"GET / HTTP/1.1\r\n\r\n", UNEXPECTED),
        ("its first byte", b"G", UNEXPECTED),
        ("SSL 2.0", &[0x80, 0x2e, 1, 0, 2], UNEXPECTED),
        ("garbage", &[0xff; 100], UNEXPECTED),
        ("an alert", &[21, 3, 3, 0, 2, 1, 0], UNEXPECTED),
        ("a ServerHello", &[22, 3, 3, 0, 50, 2], UNEXPECTED),
        (
            "an oversized record",
            &[22, 3, 1, 0x40, 1],
            AlertDescription::RECORD_OVERFLOW,
        ),
    ];
    for (what, bytes, alert) in table {
        refuses(scene, what, alert, |forge| forge.send_raw(bytes))?;
    }
    serves_the_next(scene)
}

/// The hello of a client of the scene, as it is on the wire.
fn recorded_hello(scene: &Scene<'_>) -> CaseResult<Vec<u8>> {
    let mut pair = scene.pair()?;
    pair.client.handshake()?;
    pair.deliver()?;
    Ok(pair.wire.to_server.recorded().to_vec())
}

fn unread(scene: &Scene<'_>) -> CaseResult {
    let hello = recorded_hello(scene)?;
    let context = scene.backend.server(scene.server_config())?;
    for cut in [1, HEADER, hello.len() / 2, hello.len()] {
        let (near, far) = scene.sockets()?;
        let mut far = UnixStream::from(far);
        let mut server = context.socket_session(near, SessionOptions::new())?;
        let (before, after) = hello.split_at(cut);
        let (first, second) = before.split_at(cut / 2);
        server.unread(first)?;
        server.unread(second)?;
        far.write_all(after)?;
        let status = server.handshake()?;
        check::status("the handshake", status, Status::WantRead)?;
        let mut answer = [0; 6];
        far.read_exact(&mut answer)?;
        let server_hello = (answer[0], answer[5]);
        check::equal("a ServerHello", server_hello, (content_type::HANDSHAKE, 2))?;
    }
    Ok(())
}

fn unread_bounds(scene: &Scene<'_>) -> CaseResult {
    let hello = recorded_hello(scene)?;
    let chosen = scene.backend.server(scene.server_config())?;
    let mut contexts = vec![chosen];
    if scene.has(Feature::DeferredServerContext) {
        contexts.push(scene.backend.deferred_server()?);
    }
    for context in contexts {
        let (near, _far) = scene.sockets()?;
        let mut server = context.socket_session(near, SessionOptions::new())?;
        server.unread(&hello)?;
        let much = vec![0; tls_core::session::MAX_UNREAD];
        let limit = ErrorKind::Config(ConfigProblem::Limit);
        check::fails_with("more than there is room for", server.unread(&much), limit)?;
        let status = server.handshake()?;
        ensure!(
            matches!(status, Status::WantRead | Status::NeedsServerContext),
            "what was taken before must be used, met {status:?}"
        );
        let begun = ErrorKind::Misuse(Misuse::HandshakeBegun);
        check::fails_with("in the handshake", server.unread(&[22]), begun)?;
    }
    Ok(())
}

fn unread_plain(scene: &Scene<'_>) -> CaseResult {
    let mut config = scene.server_config();
    config.parameters.socket_transport = SocketTransport::Plain;
    let context = scene.backend.server(config)?;
    let (near, _far) = scene.sockets()?;
    let mut server = context.socket_session(near, SessionOptions::new())?;
    let unsupported = ErrorKind::Unsupported(Feature::Unread);
    check::fails_with("the engine reads", server.unread(&[22]), unsupported).map(drop)
}
