//! Verification suspended: what a session that waits for a verdict shows, holds back and does.

use std::thread;

use tls_core::config::{ClientAuthentication, PeerVerification};
use tls_core::{
    CertificateProblem as P, ErrorKind, Feature, Misuse, SessionOptions, Status, Verdict,
};

use super::verifier::{bad, good, pair as deciding, refused};
use crate::case::{Case, CaseResult, Mode, Versions};
use crate::check;
use crate::ensure;
use crate::pair::{End, Pair, Side};
use crate::pki::OTHER_NAME;
use crate::scene::Scene;

pub(super) const CLIENT: &[Feature] = &[Feature::SuspendedVerificationClient];
pub(super) const SERVER: &[Feature] = &[
    Feature::SuspendedVerificationServer,
    Feature::ClientAuthentication,
    Feature::ClientCertificate,
];
pub(super) const NEEDS: Status = Status::NeedsCertificateValidation;
pub(super) const INCOMPLETE: ErrorKind = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
const NOT_SUSPENDED: ErrorKind = ErrorKind::Misuse(Misuse::NotSuspended);

/// The change_cipher_spec that TLS 1.3 has for the sake of middleboxes, and that says nothing: RFC
/// 8446 appendix D.4. It answers the ServerHello.
const COMPATIBILITY: [u8; 6] = [20, 3, 3, 0, 1, 1];

/// What a case for a client that waits has, too, for a server that does.
pub(super) const fn of_server(
    name: &'static str,
    case: Case,
    run: fn(&Scene<'_>) -> CaseResult,
) -> Case {
    Case {
        name,
        run,
        requires: SERVER,
        ..case
    }
}

const ACCEPTS: Case = Case {
    rfc: "contract K13",
    clauses: &["K13", "K14", "K10"],
    items: &[
        "seed-api 9",
        "seed-api 15",
        "seed-api 25",
        "seed-api 26",
        "seed-api 27",
        "seed-api 35",
        "behaviours 105",
    ],
    requires: CLIENT,
    ..Case::new("verification.client_waits_and_accepts", |scene| {
        accepts(scene, Side::Client)
    })
};

const REJECTS: Case = Case {
    rfc: "RFC 8446 6.2, RFC 5246 7.2.2",
    clauses: &["K14", "K5", "K10"],
    items: &["seed-api 25", "seed-api 34", "behaviours 105"],
    requires: CLIENT,
    ..Case::new("verification.client_rejects", |scene| {
        rejects(scene, Side::Client)
    })
};

const DEFAULT_VALIDATION: Case = Case {
    rfc: "RFC 5280 6",
    clauses: &["K14"],
    items: &["seed-api 31", "behaviours 105"],
    requires: CLIENT,
    ..Case::new("verification.client_default_validation", |scene| {
        default_validation(scene, Side::Client)
    })
};

const OVERRULES: Case = Case {
    rfc: "contract K14",
    clauses: &["K14"],
    items: &["behaviours 102"],
    requires: CLIENT,
    ..Case::new("verification.client_overrules_the_default", |scene| {
        overrules(scene, Side::Client)
    })
};

const ON_ANOTHER_THREAD: Case = Case {
    rfc: "contract K13",
    clauses: &["K13"],
    items: &["seed-api 73"],
    requires: CLIENT,
    ..Case::new("verification.client_decides_on_another_thread", |scene| {
        on_another_thread(scene, Side::Client)
    })
};

const UNASKED: Case = Case {
    rfc: "contract K13",
    clauses: &["K13"],
    items: &["seed-api 33", "behaviours 106"],
    requires: CLIENT,
    ..Case::new("verification.client_verdict_unasked", |scene| {
        unasked(scene, Side::Client)
    })
};

const RESUMED: Case = Case {
    rfc: "RFC 8446 2.2, RFC 5077",
    clauses: &["K12", "K14"],
    items: &["seed-api 36"],
    requires: CLIENT,
    ..Case::new("verification.client_resumed_is_not_asked", |scene| {
        resumed(scene, Side::Client)
    })
};

pub(super) const CASES: &[Case] = &[
    ACCEPTS,
    of_server("verification.server_waits_and_accepts", ACCEPTS, |scene| {
        accepts(scene, Side::Server)
    }),
    REJECTS,
    of_server("verification.server_rejects", REJECTS, |scene| {
        rejects(scene, Side::Server)
    }),
    DEFAULT_VALIDATION,
    of_server(
        "verification.server_default_validation",
        DEFAULT_VALIDATION,
        |scene| default_validation(scene, Side::Server),
    ),
    OVERRULES,
    of_server(
        "verification.server_overrules_the_default",
        OVERRULES,
        |scene| overrules(scene, Side::Server),
    ),
    ON_ANOTHER_THREAD,
    of_server(
        "verification.server_decides_on_another_thread",
        ON_ANOTHER_THREAD,
        |scene| on_another_thread(scene, Side::Server),
    ),
    UNASKED,
    of_server("verification.server_verdict_unasked", UNASKED, |scene| {
        unasked(scene, Side::Server)
    }),
    RESUMED,
    of_server(
        "verification.server_resumed_is_not_asked",
        RESUMED,
        |scene| resumed(scene, Side::Server),
    ),
    Case {
        rfc: "RFC 8446 4.4.2.4, RFC 5246 7.4.6",
        clauses: &["K14"],
        requires: SERVER,
        ..Case::new(
            "verification.server_does_not_wait_for_nothing",
            nothing_presented,
        )
    },
    Case {
        rfc: "RFC 8446 4.6.1",
        clauses: &["K14", "K13"],
        items: &["seed-api 26", "seed-api 27"],
        requires: SERVER,
        versions: Versions::TLS13,
        ..Case::new(
            "verification.server_gives_nothing_before_the_verdict",
            nothing_before,
        )
    },
];

/// A pair whose handshake goes on until this side waits for the verdict about a good peer.
pub(super) fn waiting(scene: &Scene<'_>, side: Side) -> CaseResult<Pair> {
    let presented = good(scene, side);
    let mut pair = deciding(scene, side, PeerVerification::Suspended, &presented)?;
    until_waiting(&mut pair, side)?;
    Ok(pair)
}

/// Takes the handshake as far as it goes: until this side waits for the verdict.
pub(super) fn until_waiting(pair: &mut Pair, side: Side) -> CaseResult {
    match pair.handshake_outcome()?.of(side) {
        End::Waiting(NEEDS) => Ok(()),
        other => check::equal("the side that decides", format!("{other:?}"), NEEDS_END),
    }
}

/// How [`End::Waiting`] prints itself.
const NEEDS_END: &str = "Waiting(NeedsCertificateValidation)";

fn accepts(scene: &Scene<'_>, side: Side) -> CaseResult {
    let presented = good(scene, side);
    let mut pair = deciding(scene, side, PeerVerification::Suspended, &presented)?;
    // Until the other side has said all it has to say, so that what leaves from here on leaves
    // after its certificate came.
    pair.client.handshake()?;
    pair.deliver()?;
    pair.server.handshake()?;
    if side == Side::Server {
        pair.deliver()?;
        pair.client.handshake()?;
    }
    pair.deliver()?;
    let sent = pair.wire.from(side).sent();
    pair.pump_until("the verdict is asked for", |pair| {
        Ok((pair.side(side).handshake()? == NEEDS).then_some(()))
    })?;
    pair.deliver()?;
    let lane = pair.wire.from(side);
    let since = &lane.recorded()[sent..];
    let harmless = since.is_empty() || since == COMPATIBILITY;
    ensure!(harmless, "sent after the peer's certificate: {since:02x?}");
    let sent = lane.sent();
    for _ in 0..3 {
        check::status("asked again", pair.side(side).handshake()?, NEEDS)?;
        let session = pair.side(side).session();
        check::equal("pending output while waiting", session.pending_output(), 0)?;
        ensure!(session.facts().is_none(), "facts before the verdict");
        check::equal(
            "the chain to decide about",
            session.unverified_peer_certificates(),
            Some(presented.chain()),
        )?;
        let default = session.default_validation();
        check::equal("the library's own verification", default, Some(Ok(())))?;
        check::fails_with("a read", pair.side(side).read(&mut [0; 9]), INCOMPLETE)?;
        check::fails_with("a write", pair.side(side).write(b"early"), INCOMPLETE)?;
        pair.side(side).flush()?;
        pair.deliver()?;
        let now = pair.wire.from(side).sent();
        check::equal("bytes sent before the verdict", now, sent)?;
    }
    if side == Side::Client {
        // The server has not seen a Finished.
        check::status("the server", pair.server.handshake()?, Status::WantRead)?;
    }
    if scene.mode == Mode::Buffer {
        untouched(&mut pair, side)?;
    }
    let session = pair.side(side).session_mut();
    session.set_validation_result(Verdict::Accept)?;
    check::equal(
        "the chain afterwards",
        session.unverified_peer_certificates(),
        None,
    )?;
    check::equal("its outcome afterwards", session.default_validation(), None)?;
    let again = session.set_validation_result(Verdict::Accept);
    check::fails_with("a second verdict", again, NOT_SUSPENDED)?;
    pair.handshake()?;
    check::equal(
        "the chain that was accepted",
        pair.side(side).session().peer_certificates(),
        Some(presented.chain()),
    )?;
    pair.ping_pong()
}

/// A session that waits consumes nothing it is given, and places nothing.
fn untouched(pair: &mut Pair, side: Side) -> CaseResult {
    let (mut input, mut output) = ([22; 64], [7; 64]);
    let session = pair.side(side).as_buffer()?;
    let progress = session.handshake(&mut input, &mut output)?;
    check::status("with more input", progress.status, NEEDS)?;
    let moved = (progress.consumed, progress.produced);
    check::equal("consumed and produced", moved, (0, 0))?;
    ensure!(
        input == [22; 64] && output == [7; 64],
        "the buffers were touched"
    );
    Ok(())
}

fn rejects(scene: &Scene<'_>, side: Side) -> CaseResult {
    for &problem in P::ALL {
        let mut pair = waiting(scene, side)?;
        let verdict = Verdict::Reject(problem);
        pair.side(side)
            .session_mut()
            .set_validation_result(verdict)?;
        let outcome = pair.settle()?;
        refused(&outcome, side, problem)
            .map_err(|failure| failure.during(format_args!("rejected for {problem:?}")))?;
        let kind = ErrorKind::Certificate(problem);
        let endpoint = pair.side(side);
        check::fails_with("a read", endpoint.read(&mut [0; 9]), kind)?;
        check::fails_with("a write", endpoint.write(b"late"), kind)?;
        let session = endpoint.session_mut();
        ensure!(session.facts().is_none(), "facts after a rejection");
        let chain = session.unverified_peer_certificates();
        ensure!(chain.is_none(), "the chain of a peer that was rejected");
        let changed = session.set_validation_result(Verdict::Accept);
        check::fails_with("another verdict", changed, kind)?;
    }
    Ok(())
}

fn default_validation(scene: &Scene<'_>, side: Side) -> CaseResult {
    let mut peers = bad(scene, side);
    peers.retain(|(_, problem)| *problem != P::NameMismatch);
    for (presented, problem) in peers {
        let mut pair = deciding(scene, side, PeerVerification::Suspended, &presented)?;
        follow_default(&mut pair, side, Err(problem))?;
    }
    follow_default(&mut waiting(scene, side)?, side, Ok(()))?;
    if side == Side::Client {
        let mut client = scene.client_config();
        client.peer_verification = PeerVerification::Suspended;
        let options = SessionOptions::to_server(OTHER_NAME)?;
        let mut pair = scene.build().client(client).options(options).pair()?;
        follow_default(&mut pair, side, Err(P::NameMismatch))?;
    }
    Ok(())
}

/// Decides as the library would have, which comes to this.
fn follow_default(pair: &mut Pair, side: Side, expected: Result<(), P>) -> CaseResult {
    until_waiting(pair, side)?;
    let session = pair.side(side).session_mut();
    let shown = session.default_validation();
    check::equal("the library's own verification", shown, Some(expected))?;
    let followed = session.accept_with_default_validation()?;
    check::equal("what was followed", followed, expected)?;
    let outcome = pair.settle()?;
    match expected {
        Ok(()) => pair.ping_pong(),
        Err(problem) => refused(&outcome, side, problem),
    }
}

fn overrules(scene: &Scene<'_>, side: Side) -> CaseResult {
    for (presented, _) in bad(scene, side) {
        let mut pair = deciding(scene, side, PeerVerification::Suspended, &presented)?;
        pair.one_byte_at_a_time();
        until_waiting(&mut pair, side)?;
        let session = pair.side(side).session_mut();
        session.set_validation_result(Verdict::Accept)?;
        pair.handshake()?;
        check::equal(
            "the chain that was accepted",
            pair.side(side).session().peer_certificates(),
            Some(presented.chain()),
        )?;
        pair.ping_pong()?;
    }
    Ok(())
}

fn on_another_thread(scene: &Scene<'_>, side: Side) -> CaseResult {
    for verdict in [Verdict::Accept, Verdict::Reject(P::Revoked)] {
        let mut pair = waiting(scene, side)?;
        let session = pair.side(side).session_mut();
        // It is decided there, and the handshake goes on here.
        let decided = thread::scope(|scope| {
            let decide = scope.spawn(move || {
                let seen = session.unverified_peer_certificates().map(<[_]>::len);
                session.set_validation_result(verdict).map(|()| seen)
            });
            decide.join().expect("nothing panics")
        })?;
        check::equal("certificates seen there", decided, Some(2))?;
        match verdict {
            Verdict::Accept => {
                pair.handshake()?;
                pair.ping_pong()?;
            }
            Verdict::Reject(problem) => refused(&pair.settle()?, side, problem)?,
        }
    }
    Ok(())
}

fn unasked(scene: &Scene<'_>, side: Side) -> CaseResult {
    let verification = PeerVerification::Suspended;
    let mut pair = deciding(scene, side, verification, &good(scene, side))?;
    refuses_verdicts(&mut pair)?;
    until_waiting(&mut pair, side)?;
    let session = pair.side(side.other()).session_mut();
    let verdict = session.set_validation_result(Verdict::Accept);
    check::fails_with("a verdict of the other side", verdict, NOT_SUSPENDED)?;
    let session = pair.side(side).session_mut();
    let credentials = session.set_client_certificate(None);
    check::fails_with("another answer", credentials, NOT_SUSPENDED)?;
    session.set_validation_result(Verdict::Accept)?;
    refuses_verdicts(&mut pair)?;
    pair.handshake()?;
    refuses_verdicts(&mut pair)?;
    pair.ping_pong()
}

/// Neither side has asked for a verdict, and one that is given changes nothing.
fn refuses_verdicts(pair: &mut Pair) -> CaseResult {
    for side in Side::BOTH {
        let session = pair.side(side).session_mut();
        let verdict = session.set_validation_result(Verdict::Reject(P::Revoked));
        check::fails_with("a verdict unasked", verdict, NOT_SUSPENDED)?;
        let default = session.accept_with_default_validation();
        check::fails_with("the default unasked", default, NOT_SUSPENDED)?;
        let shown = session.unverified_peer_certificates();
        check::equal("a chain to decide about", shown, None)?;
    }
    Ok(())
}

fn resumed(scene: &Scene<'_>, side: Side) -> CaseResult {
    let resumption = match scene.is_tls13() {
        true => Feature::Tls13Resumption,
        false => Feature::Tls12Resumption,
    };
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    match side {
        Side::Client => client.peer_verification = PeerVerification::Suspended,
        Side::Server => {
            client.identity = Some(scene.pki.client.clone());
            server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
            server.peer_verification = PeerVerification::Suspended;
        }
    }
    let client = scene.backend.client(client)?;
    let server = scene.backend.server(server)?;
    let connect = || {
        let build = scene.build().client_context(&*client);
        build.server_context(&*server).pair()
    };
    let mut first = connect()?;
    until_waiting(&mut first, side)?;
    let session = first.side(side).session_mut();
    session.set_validation_result(Verdict::Accept)?;
    first.handshake()?;
    first.ping_pong()?;

    let mut second = connect()?;
    if !scene.has(resumption) {
        return until_waiting(&mut second, side);
    }
    second.handshake()?;
    let session = second.side(side).session();
    check::equal("resumed", session.resumed(), Some(true))?;
    check::equal(
        "the chain that was accepted the first time",
        session.peer_certificates().map(|chain| &chain[0]),
        Some(&good(scene, side).chain()[0]),
    )?;
    second.ping_pong()
}

fn nothing_presented(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::Optional(scene.pki.roots());
    server.peer_verification = PeerVerification::Suspended;
    let mut pair = scene.build().server(server).connected()?;
    let presented = pair.server.session().peer_certificates();
    check::equal("the chain of a client without", presented, None)?;
    pair.ping_pong()?;
    // One that is presented is waited for, although it need not be.
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::Optional(scene.pki.roots());
    server.peer_verification = PeerVerification::Suspended;
    let mut client = scene.client_config();
    client.identity = Some(scene.pki.untrusted_client.clone());
    let mut pair = scene.pair_with(client, server)?;
    follow_default(&mut pair, Side::Server, Err(P::UnknownIssuer))
}

/// A TLS 1.3 client is done with its handshake, and writes, before the server knows who it is.
fn nothing_before(scene: &Scene<'_>) -> CaseResult {
    let mut pair = waiting(scene, Side::Server)?;
    check::status("the client", pair.client.handshake()?, Status::Complete)?;
    pair.client.write(b"who am I?")?;
    pair.client.flush()?;
    let sent = pair.wire.from(Side::Server).sent();
    for _ in 0..3 {
        pair.deliver()?;
        check::status("the server", pair.server.handshake()?, NEEDS)?;
        check::fails_with("a read", pair.server.read(&mut [0; 9]), INCOMPLETE)?;
        check::equal("buffered data", pair.server.session().buffered(), 0)?;
        pair.server.flush()?;
    }
    let now = pair.wire.from(Side::Server).sent();
    check::equal("bytes sent before the verdict, tickets too", now, sent)?;
    let session = pair.server.session_mut();
    session.set_validation_result(Verdict::Accept)?;
    pair.handshake()?;
    let read = pair.read_exact(Side::Server, 9)?;
    check::same_bytes("what was written before the verdict", &read, b"who am I?")
}
