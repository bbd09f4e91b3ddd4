//! What a callback may do while a session waits for it: block, and make sessions of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tls_core::config::{PeerVerification, UnverifiedPeer, Verifier};
use tls_core::{CertificateProblem, DynContext, Feature, Result, SessionOptions, Status, Verdict};

use crate::case::{Case, CaseResult, Failure};
use crate::check;
use crate::pki::SERVER_NAME;
use crate::scene::Scene;

/// How long anything waits for anything here; nothing takes that long.
const PATIENCE: Duration = Duration::from_secs(4);
/// The calls that a handshake in memory takes at the most.
const MOST_CALLS: usize = 50;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K15",
        clauses: &["K15"],
        items: &["seed-api 73", "seed-api 91"],
        requires: &[Feature::Verifier],
        ..Case::new("callbacks.one_that_blocks_holds_up_nobody", blocks)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15", "K9"],
        items: &["behaviours 190"],
        requires: &[Feature::Verifier, Feature::BufferMode],
        ..Case::new("callbacks.may_make_sessions", makes_sessions)
    },
];

/// Says that it was asked, the first time, and waits until it may answer.
#[derive(Debug)]
struct Blocking {
    asked: Sender<()>,
    answer: Mutex<Receiver<()>>,
    first: AtomicBool,
}

impl Verifier for Blocking {
    fn verify(&self, peer: &UnverifiedPeer<'_>) -> Verdict {
        if !self.first.swap(false, Ordering::SeqCst) {
            return peer.default.into();
        }
        let _ = self.asked.send(());
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.recv_timeout(PATIENCE) {
            Ok(()) => peer.default.into(),
            Err(_) => Verdict::Reject(CertificateProblem::Other),
        }
    }
}

/// While the verifier of one session blocks, another session of the same contexts does all it can.
fn blocks(scene: &Scene<'_>) -> CaseResult {
    let (asked, was_asked) = channel();
    let (may_answer, answer) = channel();
    let [client, server] = contexts(
        scene,
        Arc::new(Blocking {
            asked,
            answer: Mutex::new(answer),
            first: AtomicBool::new(true),
        }),
    )?;
    let connect = |client: &dyn DynContext, server: &dyn DynContext| {
        let builder = scene.build().client_context(client);
        builder.server_context(server).connected()?.ping_pong()
    };
    thread::scope(|scope| {
        let contexts = [client.clone_context(), server.clone_context()];
        let name = thread::current().name().unwrap_or_default().to_owned();
        let blocked = thread::Builder::new()
            .name(name)
            .spawn_scoped(scope, move || connect(&*contexts[0], &*contexts[1]))?;
        if was_asked.recv_timeout(PATIENCE).is_err() {
            return Err(Failure::hang("the verifier is not asked"));
        }
        let other = connect(&*client, &*server);
        let _ = may_answer.send(());
        let blocked = blocked
            .join()
            .unwrap_or_else(|_| Err(Failure::new("panic", "a thread of the case")));
        other.map_err(|failure| failure.during("while a verifier blocks"))?;
        blocked.map_err(|failure| failure.during("the session whose verifier blocks"))
    })
}

/// A client context that asks this verifier, and a server context.
fn contexts(
    scene: &Scene<'_>,
    verifier: Arc<dyn Verifier>,
) -> CaseResult<[Box<dyn DynContext>; 2]> {
    let mut client = scene.client_config();
    client.peer_verification = PeerVerification::Verifier(verifier);
    // Every session is to be verified.
    client.resumption.enabled = false;
    Ok([
        scene.backend.client(client)?,
        scene.backend.server(scene.server_config())?,
    ])
}

/// Takes two sessions of these contexts through a handshake, the first time it is asked.
#[derive(Debug, Default)]
struct Nesting {
    contexts: Mutex<Option<Contexts>>,
    came_to: Mutex<Option<Result<bool>>>,
}

struct Contexts([Box<dyn DynContext>; 2]);

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").finish_non_exhaustive()
    }
}

impl Verifier for Nesting {
    fn verify(&self, peer: &UnverifiedPeer<'_>) -> Verdict {
        let taken = self
            .contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Contexts([client, server])) = taken {
            let result = handshake_in_memory(&*client, &*server);
            *self.came_to.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
        peer.default.into()
    }
}

/// Whether both sides completed it.
fn handshake_in_memory(client: &dyn DynContext, server: &dyn DynContext) -> Result<bool> {
    let mut sessions = [
        client.buffer_session(SessionOptions::to_server(SERVER_NAME)?)?,
        server.buffer_session(SessionOptions::new())?,
    ];
    let mut waiting = [Vec::new(), Vec::new()];
    let mut output = vec![0; 32 * 1024];
    let mut complete = [false; 2];
    for call in 0..MOST_CALLS {
        let side = call % 2;
        let progress = sessions[side].handshake(&mut waiting[side], &mut output)?;
        waiting[side].drain(..progress.consumed);
        waiting[1 - side].extend_from_slice(&output[..progress.produced]);
        complete[side] = progress.status == Status::Complete;
        if complete == [true; 2] {
            return Ok(true);
        }
    }
    Ok(false)
}

fn makes_sessions(scene: &Scene<'_>) -> CaseResult {
    let verifier = Arc::new(Nesting::default());
    let [client, server] = contexts(scene, Arc::<Nesting>::clone(&verifier))?;
    let inner = Contexts([client.clone_context(), server.clone_context()]);
    *verifier
        .contexts
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(inner);
    let builder = scene.build().client_context(&*client);
    let mut pair = builder.server_context(&*server).connected()?;
    let came_to = verifier
        .came_to
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match came_to {
        Some(result) => check::equal("the handshake within the callback", result?, true)?,
        None => return Err(Failure::assertion("the verifier was not asked")),
    }
    pair.ping_pong()
}
