//! Client certificates chosen when the server asks for them.

use std::thread;

use tls_core::config::{ClientAuthentication, Identity, PeerVerification, SocketTransport};
use tls_core::{
    CertificateProblem as P, ConfigProblem, DynContext, ErrorKind, Feature, Misuse, Status, Verdict,
};

use super::verification::until_waiting;
use super::verification_transport::{DROPS, dropped_silently};
use crate::case::{Case, CaseResult, Modes};
use crate::check;
use crate::ensure;
use crate::pair::{End, Pair, Side};
use crate::scene::Scene;

const REQUIRES: &[Feature] = &[
    Feature::LateClientCredentials,
    Feature::ClientAuthentication,
    Feature::ClientCertificate,
];
const WANTS: Status = Status::WantCredentials;
const INCOMPLETE: ErrorKind = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
const NOT_SUSPENDED: ErrorKind = ErrorKind::Misuse(Misuse::NotSuspended);

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 4.3.2, RFC 5246 7.4.4",
        clauses: &["K13", "K10"],
        items: &[
            "seed-api 9",
            "seed-api 15",
            "seed-api 21",
            "behaviours 116",
            "behaviours 117",
        ],
        requires: REQUIRES,
        ..Case::new("credentials.chosen_when_asked", chosen)
    },
    Case {
        rfc: "RFC 8446 4.4.2, RFC 5246 7.4.6",
        clauses: &["K13", "K14"],
        items: &["seed-api 22"],
        requires: REQUIRES,
        ..Case::new("credentials.none_chosen", none_chosen)
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &["seed-api 33"],
        requires: REQUIRES,
        ..Case::new("credentials.not_asked", not_asked)
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &["seed-api 84"],
        requires: REQUIRES,
        ..Case::new("credentials.bad_ones_are_refused_at_the_call", bad_ones)
    },
    Case {
        rfc: "contract K15",
        clauses: &["K15", "K13"],
        items: &["seed-api 23", "seed-api 64", "behaviours 120"],
        requires: REQUIRES,
        ..Case::new("credentials.sessions_keep_apart", keep_apart)
    },
    Case {
        rfc: "RFC 8446 C.4",
        clauses: &["K12", "K15"],
        items: &["seed-api 24"],
        requires: REQUIRES,
        ..Case::new("credentials.never_resumed_with_another", resumption)
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        items: &["seed-api 67", "seed-api 73"],
        requires: REQUIRES,
        ..Case::new("credentials.chosen_on_another_thread", on_another_thread)
    },
    Case {
        rfc: "contract K7",
        clauses: &["K7", "K13"],
        items: &["seed-api 67"],
        requires: REQUIRES,
        ..Case::new("credentials.dropped_while_it_waits", dropped)
    },
    Case {
        rfc: "RFC 8446 4.4.2.4",
        clauses: &["K14"],
        requires: REQUIRES,
        ..Case::new(
            "credentials.not_for_a_server_that_is_refused",
            server_refused,
        )
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13", "K14"],
        requires: &[
            Feature::LateClientCredentials,
            Feature::ClientAuthentication,
            Feature::ClientCertificate,
            Feature::SuspendedVerificationClient,
        ],
        ..Case::new("credentials.after_the_verdict", after_the_verdict)
    },
    Case {
        rfc: "contract K13",
        clauses: &["K13"],
        requires: &[
            Feature::LateClientCredentials,
            Feature::ClientAuthentication,
            Feature::ClientCertificate,
            Feature::PlainSocketTransport,
        ],
        modes: Modes::SocketOnly,
        ..Case::new("credentials.over_plain_sockets", plain)
    },
];

fn client(scene: &Scene<'_>) -> CaseResult<Box<dyn DynContext>> {
    let mut client = scene.client_config();
    client.late_credentials = true;
    Ok(scene.backend.client(client)?)
}

fn server(
    scene: &Scene<'_>,
    authentication: ClientAuthentication,
) -> CaseResult<Box<dyn DynContext>> {
    let mut server = scene.server_config();
    server.client_authentication = authentication;
    Ok(scene.backend.server(server)?)
}

fn required(scene: &Scene<'_>) -> ClientAuthentication {
    ClientAuthentication::Required(scene.pki.roots())
}

fn pair(scene: &Scene<'_>, client: &dyn DynContext, server: &dyn DynContext) -> CaseResult<Pair> {
    let build = scene.build().client_context(client);
    build.server_context(server).pair()
}

/// A pair whose client waits to be told what to present.
fn waiting(scene: &Scene<'_>, authentication: ClientAuthentication) -> CaseResult<Pair> {
    let mut pair = pair(scene, &*client(scene)?, &*server(scene, authentication)?)?;
    until_asked(&mut pair)?;
    Ok(pair)
}

/// Takes the handshake as far as it goes: until the client waits.
fn until_asked(pair: &mut Pair) -> CaseResult {
    match pair.handshake_outcome()?.client {
        End::Waiting(WANTS) => Ok(()),
        other => check::equal(
            "the client",
            format!("{other:?}"),
            "Waiting(WantCredentials)",
        ),
    }
}

/// The handshake is completed, and the server has seen this chain.
fn seen(pair: &mut Pair, identity: Option<&Identity>) -> CaseResult {
    pair.handshake()?;
    check::equal(
        "what the server was shown",
        pair.server.session().peer_certificates(),
        identity.map(Identity::chain),
    )?;
    pair.ping_pong()
}

fn chosen(scene: &Scene<'_>) -> CaseResult {
    let identity = &scene.pki.client;
    let mut pair = waiting(scene, required(scene))?;
    let sent = pair.wire.from(Side::Client).sent();
    for _ in 0..3 {
        check::status("asked again", pair.client.handshake()?, WANTS)?;
        let session = pair.client.session();
        check::equal("pending output while waiting", session.pending_output(), 0)?;
        ensure!(
            session.facts().is_none(),
            "facts before the handshake is done"
        );
        check::fails_with("a read", pair.client.read(&mut [0; 9]), INCOMPLETE)?;
        check::fails_with("a write", pair.client.write(b"early"), INCOMPLETE)?;
        issuer_is_the_root(scene, &pair)?;
        pair.deliver()?;
    }
    let now = pair.wire.from(Side::Client).sent();
    check::equal("bytes sent while waiting", now, sent)?;
    let session = pair.client.session_mut();
    let verdict = session.set_validation_result(Verdict::Accept);
    check::fails_with("another answer", verdict, NOT_SUSPENDED)?;
    session.set_client_certificate(Some(identity.clone()))?;
    let again = session.set_client_certificate(None);
    check::fails_with("a second answer", again, NOT_SUSPENDED)?;
    seen(&mut pair, Some(identity))?;
    issuer_is_the_root(scene, &pair)?;
    let again = pair.client.session_mut().set_client_certificate(None);
    check::fails_with("an answer after the handshake", again, NOT_SUSPENDED).map(drop)
}

/// The server has named the one root of its own, in DER.
fn issuer_is_the_root(scene: &Scene<'_>, pair: &Pair) -> CaseResult {
    let issuers = pair.client.session().acceptable_issuers();
    let Some([issuer]) = issuers else {
        return check::equal("the issuers named", issuers.map(<[_]>::len), Some(1));
    };
    // A Name is a SEQUENCE; that of a root stands in it twice, as subject and issuer.
    let is_sequence =
        issuer.len() > 9 && issuer[0] == 0x30 && usize::from(issuer[1]) + 2 == issuer.len();
    ensure!(is_sequence, "the issuer is no name: {issuer:02x?}");
    let mut places = scene.pki.root.windows(issuer.len());
    let count = places.by_ref().filter(|place| place == issuer).count();
    check::equal("where the root has this name", count, 2)
}

fn none_chosen(scene: &Scene<'_>) -> CaseResult {
    let optional = ClientAuthentication::Optional(scene.pki.roots());
    let mut pair = waiting(scene, optional)?;
    pair.client.session_mut().set_client_certificate(None)?;
    seen(&mut pair, None)?;

    let mut pair = waiting(scene, required(scene))?;
    pair.client.session_mut().set_client_certificate(None)?;
    let outcome = pair.settle()?;
    let error = outcome.server.failure("a server that requires one")?;
    check::kind("the server", error, ErrorKind::Certificate(P::Missing))?;
    let error = outcome.client.failure("its client")?;
    check::kind("the client", error, ErrorKind::PeerAlert)
}

fn not_asked(scene: &Scene<'_>) -> CaseResult {
    let server = server(scene, ClientAuthentication::None)?;
    let mut pair = pair(scene, &*client(scene)?, &*server)?;
    let answer = pair.client.session_mut().set_client_certificate(None);
    check::fails_with("an answer before the handshake", answer, NOT_SUSPENDED)?;
    seen(&mut pair, None)?;
    let issuers = pair.client.session().acceptable_issuers();
    check::equal("issuers of a server that does not ask", issuers, None)?;
    let answer = pair.server.session_mut().set_client_certificate(None);
    check::fails_with("an answer of a server", answer, NOT_SUSPENDED).map(drop)
}

fn bad_ones(scene: &Scene<'_>) -> CaseResult {
    let mut pair = waiting(scene, required(scene))?;
    let mismatched = Some(scene.pki.mismatched.clone());
    let refused = pair.client.session_mut().set_client_certificate(mismatched);
    let kind = ErrorKind::Config(ConfigProblem::KeyMismatch);
    check::fails_with("a key of another", refused, kind)?;
    check::status("after a bad one", pair.client.handshake()?, WANTS)?;
    let identity = &scene.pki.client;
    let session = pair.client.session_mut();
    session.set_client_certificate(Some(identity.clone()))?;
    seen(&mut pair, Some(identity))
}

fn keep_apart(scene: &Scene<'_>) -> CaseResult {
    let client = client(scene)?;
    let server = server(scene, ClientAuthentication::Optional(scene.pki.roots()))?;
    let pki = scene.pki;
    let identities = [
        Some(&pki.client),
        Some(&pki.second_client),
        None,
        Some(&pki.client),
    ];
    let mut pairs = Vec::new();
    for _ in identities {
        let mut pair = pair(scene, &*client, &*server)?;
        until_asked(&mut pair)?;
        pairs.push(pair);
    }
    // All are asked before the first answers.
    for (pair, identity) in pairs.iter_mut().zip(identities) {
        let session = pair.client.session_mut();
        session.set_client_certificate(identity.cloned())?;
    }
    for (pair, identity) in pairs.iter_mut().zip(identities).rev() {
        seen(pair, identity)?;
    }
    // The context presents nothing on its own afterwards.
    let mut last = pair(scene, &*client, &*server)?;
    until_asked(&mut last)?;
    last.client.session_mut().set_client_certificate(None)?;
    seen(&mut last, None)
}

fn resumption(scene: &Scene<'_>) -> CaseResult {
    let client = client(scene)?;
    let asks = server(scene, required(scene))?;
    for identity in [&scene.pki.client, &scene.pki.second_client] {
        let mut pair = pair(scene, &*client, &*asks)?;
        until_asked(&mut pair)?;
        let session = pair.client.session_mut();
        session.set_client_certificate(Some(identity.clone()))?;
        seen(&mut pair, Some(identity))?;
        let resumed = pair.client.session().resumed();
        check::equal("resumed with what another chose", resumed, Some(false))?;
    }
    let feature = match scene.is_tls13() {
        true => Feature::Tls13Resumption,
        false => Feature::Tls12Resumption,
    };
    // A server that does not ask is resumed as ever.
    let plain = server(scene, ClientAuthentication::None)?;
    for expected in [false, scene.has(feature)] {
        let mut pair = pair(scene, &*client, &*plain)?;
        seen(&mut pair, None)?;
        let resumed = pair.client.session().resumed();
        check::equal("resumed where nothing was asked", resumed, Some(expected))?;
    }
    Ok(())
}

fn on_another_thread(scene: &Scene<'_>) -> CaseResult {
    let identity = &scene.pki.client;
    let mut pair = waiting(scene, required(scene))?;
    let session = pair.client.session_mut();
    thread::scope(|scope| {
        let choose = scope.spawn(move || session.set_client_certificate(Some(identity.clone())));
        choose.join().expect("nothing panics")
    })?;
    seen(&mut pair, Some(identity))?;
    Ok(())
}

/// It is dropped here or on another thread, before there is an answer, or before that was acted on.
fn dropped(scene: &Scene<'_>) -> CaseResult {
    for answer in [None, Some(None), Some(Some(&scene.pki.client))] {
        for drops in DROPS {
            let mut pair = waiting(scene, required(scene))?;
            if let Some(identity) = answer {
                let session = pair.client.session_mut();
                session.set_client_certificate(identity.cloned())?;
            }
            dropped_silently(&mut pair, Side::Client, drops)
                .map_err(|failure| failure.during(format_args!("the answer is {answer:?}")))?;
        }
    }
    Ok(())
}

fn server_refused(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.identity = scene.pki.untrusted_server.clone();
    server.client_authentication = required(scene);
    let server = scene.backend.server(server)?;
    let outcome = pair(scene, &*client(scene)?, &*server)?.settle()?;
    let error = outcome.client.failure("the client")?;
    check::kind(
        "the client",
        error,
        ErrorKind::Certificate(P::UnknownIssuer),
    )
}

fn after_the_verdict(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.late_credentials = true;
    client.peer_verification = PeerVerification::Suspended;
    let client = scene.backend.client(client)?;
    let mut pair = pair(scene, &*client, &*server(scene, required(scene))?)?;
    until_waiting(&mut pair, Side::Client)?;
    let session = pair.client.session_mut();
    let early = session.set_client_certificate(None);
    check::fails_with("an answer to what comes next", early, NOT_SUSPENDED)?;
    session.set_validation_result(Verdict::Accept)?;
    until_asked(&mut pair)?;
    let identity = &scene.pki.client;
    let session = pair.client.session_mut();
    session.set_client_certificate(Some(identity.clone()))?;
    seen(&mut pair, Some(identity))
}

fn plain(scene: &Scene<'_>) -> CaseResult {
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    client.late_credentials = true;
    client.parameters.socket_transport = SocketTransport::Plain;
    server.client_authentication = required(scene);
    let mut pair = scene.pair_with(client, server)?;
    until_asked(&mut pair)?;
    check::status("asked again", pair.client.handshake()?, WANTS)?;
    issuer_is_the_root(scene, &pair)?;
    let identity = &scene.pki.client;
    let session = pair.client.session_mut();
    session.set_client_certificate(Some(identity.clone()))?;
    seen(&mut pair, Some(identity))
}
