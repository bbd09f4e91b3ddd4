//! Servers that choose their context by the ClientHello: waiting for the choice, and answering it.

use std::os::fd::{BorrowedFd, OwnedFd};

use tls_core::config::SocketTransport;
use tls_core::iana::AlertDescription;
use tls_core::{
    AlertDirection, BufferSession, Context, DynContext, Error, ErrorKind, Feature, Misuse,
    Operation, Result, Role, SessionOptions, SocketSession, Status,
};

use super::verification_transport::{DROPS, dropped_silently};
use crate::case::{Case, CaseResult, Failure, Mode, Modes};
use crate::check;
use crate::ensure;
use crate::pair::{End, Pair, Side};
use crate::scene::Scene;

const REQUIRES: &[Feature] = &[Feature::DeferredServerContext];

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &["seed-api 15", "seed-api 16", "seed-api 9"],
        requires: REQUIRES,
        ..Case::new("deferred.waits_until_a_context_is_set", waits)
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &["seed-api 15", "seed-api 16"],
        requires: REQUIRES,
        modes: Modes::BufferOnly,
        ..Case::new("deferred.takes_no_byte_behind_the_hello", takes_no_more)
    },
    Case {
        rfc: "contract K13, K16",
        clauses: &["K13", "K16"],
        items: &["seed-api 7", "behaviours 136"],
        requires: REQUIRES,
        ..Case::new("deferred.one_byte_at_a_time", one_byte)
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &["seed-api 73"],
        requires: REQUIRES,
        ..Case::new("deferred.answered_on_another_thread", other_thread)
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &["seed-api 19"],
        requires: REQUIRES,
        ..Case::new("deferred.answers_out_of_place_change_nothing", out_of_place)
    },
    Case {
        rfc: "contract K13, K11",
        clauses: &["K13", "K11"],
        requires: &[
            Feature::DeferredServerContext,
            Feature::PlainSocketTransport,
        ],
        modes: Modes::SocketOnly,
        ..Case::new("deferred.engine_on_the_socket_is_refused", plain_transport)
    },
    Case {
        rfc: "RFC 6066 3",
        clauses: &["K13", "K5"],
        items: &["seed-api 94", "behaviours 134", "behaviours 139"],
        requires: REQUIRES,
        ..Case::new("deferred.client_is_refused_with_an_alert", refused)
    },
    Case {
        rfc: "contract K2",
        clauses: &["K2", "K13"],
        items: &["behaviours 13"],
        requires: REQUIRES,
        ..Case::new("deferred.end_of_input_while_it_waits", end_of_input)
    },
    Case {
        rfc: "contract K2",
        clauses: &["K2"],
        items: &["seed-api 48"],
        requires: REQUIRES,
        modes: Modes::SocketOnly,
        ..Case::new("deferred.reset_while_it_waits", reset)
    },
    Case {
        rfc: "contract K7",
        clauses: &["K7", "K19"],
        items: &["seed-api 67"],
        requires: REQUIRES,
        ..Case::new("deferred.dropped_while_it_waits", dropped)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15", "K7"],
        items: &["seed-api 65"],
        requires: REQUIRES,
        ..Case::new("deferred.many_connections_one_after_another", many)
    },
];

/// A pair whose server is to choose its context, before the handshake.
pub(super) fn deferred(scene: &Scene<'_>) -> CaseResult<Pair> {
    let server = scene.backend.deferred_server()?;
    scene.build().server_context(&*server).pair()
}

/// Takes the handshake until the server waits for its context.
pub(super) fn suspend(pair: &mut Pair) -> CaseResult {
    match pair.handshake_outcome()?.server {
        End::Waiting(Status::NeedsServerContext) => Ok(()),
        other => Err(Failure::assertion(format!(
            "the server must wait for its context, met {other:?}"
        ))),
    }
}

/// A pair whose server waits for its context.
pub(super) fn suspended(scene: &Scene<'_>) -> CaseResult<Pair> {
    let mut pair = deferred(scene)?;
    suspend(&mut pair)?;
    Ok(pair)
}

/// Answers the server of a pair, and takes both through the handshake.
pub(super) fn go_on(pair: &mut Pair, context: &dyn DynContext) -> CaseResult {
    pair.server.session_mut().set_context(context)?;
    pair.handshake()
}

fn misuse(what: &str, answer: Result<()>, expected: Misuse) -> CaseResult {
    check::fails_with(what, answer, ErrorKind::Misuse(expected)).map(drop)
}

fn waits(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    let mut pair = suspended(scene)?;
    let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    for _ in 0..3 {
        let status = pair.server.handshake()?;
        check::status("the handshake again", status, Status::NeedsServerContext)?;
        check::fails_with("read", pair.server.read(&mut [0; 9]), incomplete)?;
        check::fails_with("write", pair.server.write(b"early"), incomplete)?;
        check::fails_with("shutdown", pair.server.shutdown(), incomplete)?;
        let session = pair.server.session();
        ensure!(session.facts().is_none(), "nothing is negotiated");
        check::equal("pending output", session.pending_output(), 0)?;
    }
    pair.deliver()?;
    check::equal("bytes sent by the server", pair.wire.to_client.sent(), 0)?;
    if scene.mode == Mode::Buffer {
        let left = pair.server.take_incoming()?;
        check::equal("bytes of the hello left to the caller", left.len(), 0)?;
    }
    pair.server.session_mut().set_context(&*context)?;
    // Nothing has come in the meantime: the hello is the session's.
    pair.server.handshake()?;
    pair.deliver()?;
    ensure!(
        pair.wire.to_client.sent() > 0,
        "the server must answer the hello without more input"
    );
    pair.handshake()?;
    pair.ping_pong()
}

fn takes_no_more(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    let mut pair = deferred(scene)?;
    let behind = [20, 3, 3, 0, 1, 1];
    pair.client.handshake()?;
    pair.deliver()?;
    pair.wire.to_server.inject(&behind);
    pair.deliver()?;
    for _ in 0..3 {
        let status = pair.server.handshake()?;
        check::status("the handshake", status, Status::NeedsServerContext)?;
    }
    let left = pair.server.take_incoming()?;
    check::same_bytes("what stands behind the hello", &left, &behind)?;
    go_on(&mut pair, &*context)?;
    pair.ping_pong()
}

fn one_byte(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    let mut pair = deferred(scene)?;
    pair.one_byte_at_a_time();
    suspend(&mut pair)?;
    go_on(&mut pair, &*context)?;
    pair.ping_pong()
}

fn other_thread(scene: &Scene<'_>) -> CaseResult {
    let config = scene.server_config();
    let mut pair = suspended(scene)?;
    let session = pair.server.session_mut();
    let backend = scene.backend;
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || -> Result<()> {
            // The context is made there too, and dropped at once.
            session.set_context(&*backend.server(config)?)
        });
        answer.join().expect("the thread does not panic")
    })?;
    pair.handshake()?;
    pair.ping_pong()
}

/// A server context of no backend in particular.
#[derive(Debug, Clone)]
struct Stranger;

impl Stranger {
    fn no_session<T>() -> Result<T> {
        Err(Error::new(ErrorKind::Backend, Operation::CreateSession))
    }
}

impl Context for Stranger {
    type Buffer = Box<dyn BufferSession>;
    type Socket<'fd> = Box<dyn SocketSession + 'fd>;

    fn role(&self) -> Role {
        Role::Server
    }

    fn buffer_session(&self, _: SessionOptions) -> Result<Self::Buffer> {
        Self::no_session()
    }

    fn socket_session(&self, _: OwnedFd, _: SessionOptions) -> Result<Self::Socket<'static>> {
        Self::no_session()
    }

    fn socket_session_borrowed<'fd>(
        &self,
        _: BorrowedFd<'fd>,
        _: SessionOptions,
    ) -> Result<Self::Socket<'fd>> {
        Self::no_session()
    }
}

fn out_of_place(scene: &Scene<'_>) -> CaseResult {
    let unrecognized = AlertDescription::UNRECOGNIZED_NAME;
    let server = scene.backend.server(scene.server_config())?;
    let client = scene.backend.client(scene.client_config())?;
    let deferred_server = scene.backend.deferred_server()?;
    let mut pair = deferred(scene)?;
    for side in Side::BOTH {
        let session = pair.side(side).session_mut();
        let early = session.set_context(&*server);
        misuse("before the hello", early, Misuse::NotSuspended)?;
        let early = session.refuse_client_hello(unrecognized);
        misuse("refusing before the hello", early, Misuse::NotSuspended)?;
    }
    suspend(&mut pair)?;
    let session = pair.server.session_mut();
    let wrong = session.set_context(&*client);
    misuse("a client context", wrong, Misuse::WrongRole)?;
    let wrong = session.set_context(&Stranger);
    misuse("another backend's context", wrong, Misuse::WrongBackend)?;
    let wrong = session.set_context(&*deferred_server);
    misuse("a deferred context", wrong, Misuse::DeferredContext)?;
    for alert in [
        AlertDescription::CLOSE_NOTIFY,
        AlertDescription::USER_CANCELED,
    ] {
        let wrong = session.refuse_client_hello(alert);
        misuse("refusing without an error", wrong, Misuse::ClosureAlert)?;
    }
    session.set_context(&*server)?;
    let second = session.set_context(&*server);
    misuse("a second context", second, Misuse::NotSuspended)?;
    let second = session.refuse_client_hello(unrecognized);
    misuse("refusing after all", second, Misuse::NotSuspended)?;
    pair.handshake()?;
    for side in Side::BOTH {
        let late = pair.side(side).session_mut().set_context(&*server);
        misuse("after the handshake", late, Misuse::NotSuspended)?;
    }
    pair.ping_pong()?;

    let mut chosen = scene.connected()?;
    let never = chosen.server.session_mut().set_context(&*server);
    misuse("a server that never asked", never, Misuse::NotSuspended)?;
    chosen.ping_pong()
}

fn plain_transport(scene: &Scene<'_>) -> CaseResult {
    let mut config = scene.server_config();
    config.parameters.socket_transport = SocketTransport::Plain;
    let plain = scene.backend.server(config)?;
    let gathered = scene.backend.server(scene.server_config())?;
    let mut pair = suspended(scene)?;
    let answer = pair.server.session_mut().set_context(&*plain);
    let unsupported = ErrorKind::Unsupported(Feature::DeferredServerContext);
    check::fails_with("an engine that reads the socket", answer, unsupported)?;
    go_on(&mut pair, &*gathered)?;
    pair.ping_pong()
}

fn refused(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    for alert in [
        AlertDescription::UNRECOGNIZED_NAME,
        AlertDescription::ACCESS_DENIED,
    ] {
        let mut pair = suspended(scene)?;
        pair.server.session_mut().refuse_client_hello(alert)?;
        let outcome = pair.settle()?;
        let error = outcome.server.failure("the server that refuses")?;
        check::kind("the server that refuses", error, ErrorKind::Refused)?;
        check::alert(
            "the server that refuses",
            error,
            alert,
            AlertDirection::Sent,
        )?;
        let error = outcome.client.failure("the refused client")?;
        check::kind("the refused client", error, ErrorKind::PeerAlert)?;
        check::alert("the refused client", error, alert, AlertDirection::Received)?;
        let late = pair.server.session_mut().set_context(&*context);
        check::fails_with("a context after all", late, ErrorKind::Refused)?;
    }
    Ok(())
}

fn end_of_input(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    for cut in [0, 1, 5, 9, 40] {
        let mut pair = deferred(scene)?;
        pair.wire.to_server.truncate(cut);
        let outcome = pair.handshake_outcome()?;
        let error = outcome.server.failure("the end within the hello")?;
        check::kind("the end within the hello", error, ErrorKind::Truncated)?;
        check::equal("bytes sent by the server", pair.wire.to_client.sent(), 0)?;
    }
    let mut pair = deferred(scene)?;
    suspend(&mut pair)?;
    pair.wire.to_server.cut();
    pair.deliver()?;
    let status = pair.server.handshake()?;
    check::status("behind the end", status, Status::NeedsServerContext)?;
    pair.server.session_mut().set_context(&*context)?;
    let error = pair.until_error(Side::Server, "the handshake behind the end", |server| {
        server.handshake()
    })?;
    check::kind("the end behind the hello", &error, ErrorKind::Truncated)
}

fn reset(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    let server = scene.backend.deferred_server()?;
    let mut pair = scene.build().server_context(&*server).tcp().pair()?;
    suspend(&mut pair)?;
    pair.wire.to_server.reset_now();
    pair.deliver()?;
    let status = pair.server.handshake()?;
    check::status("after the reset", status, Status::NeedsServerContext)?;
    pair.server.session_mut().set_context(&*context)?;
    let error = pair.until_error(Side::Server, "the handshake after the reset", |server| {
        server.handshake()
    })?;
    check::kind("after the reset", &error, ErrorKind::Reset)
}

fn dropped(scene: &Scene<'_>) -> CaseResult {
    let context = scene.backend.server(scene.server_config())?;
    for answered in [false, true] {
        for drops in DROPS {
            let mut pair = suspended(scene)?;
            if answered {
                pair.server.session_mut().set_context(&*context)?;
            }
            dropped_silently(&mut pair, Side::Server, drops)?;
            check::equal("bytes sent by the server", pair.wire.to_client.sent(), 0)?;
        }
    }
    Ok(())
}

fn many(scene: &Scene<'_>) -> CaseResult {
    let client = scene.backend.client(scene.client_config())?;
    let bootstrap = scene.backend.deferred_server()?;
    let server = scene.backend.server(scene.server_config())?;
    for round in 0..40 {
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*bootstrap).pair()?;
        suspend(&mut pair)?;
        go_on(&mut pair, &*server)?;
        let first = [Side::Client, Side::Server][round % 2];
        pair.ping_pong()?;
        pair.shutdown(first)?;
        let (data, end) = pair.read_to_end(first.other())?;
        check::same_bytes("before the close_notify", &data, b"")?;
        end?;
        pair.shutdown(first.other())?;
    }
    Ok(())
}
