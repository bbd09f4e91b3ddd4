//! The steps of a cell. Each starts with nothing, and says what both sides must tell.

use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::{ChannelBinding, Feature};

use super::protocol::{Answer, Ask, Piece, fingerprints};
use super::stage::{Handshaken, Lack, Stage, StepResult, Stop, is_problem, unsupported};
use crate::case::{CaseResult, Failure, Versions};
use crate::check;
use crate::ensure;
use crate::pair::Side;
use crate::pki::{SECOND_NAME, SERVER_NAME};

/// One step.
pub(super) struct Step {
    pub(super) name: &'static str,
    versions: Versions,
    pub(super) run: fn(&mut Stage<'_>) -> StepResult,
}

const STEPS: &[Step] = &[
    Step::new("handshake", handshake),
    Step::new("alpn", alpn),
    Step::new("sni", sni),
    Step::new("client_certificate", client_certificate),
    Step::new("bindings", bindings),
    Step::new("resumption", resumption),
    Step::new("duplex", duplex),
    Step {
        versions: Versions::TLS13,
        ..Step::new("key_update", key_update)
    },
    Step::new("half_close", half_close),
    Step::new("truncation", truncation),
    Step::new("rejected_server", rejected_server),
    Step::new("rejected_client", rejected_client),
];

impl Step {
    const fn new(name: &'static str, run: fn(&mut Stage<'_>) -> StepResult) -> Self {
        Self {
            name,
            versions: Versions::Both,
            run,
        }
    }
}

/// The steps of a cell of this version.
pub(super) fn steps(version: ProtocolVersion) -> impl Iterator<Item = &'static Step> {
    STEPS
        .iter()
        .filter(move |step| step.versions.includes(version))
}

fn handshake(stage: &mut Stage<'_>) -> StepResult {
    stage.configure(stage.client(), stage.server())?;
    let both = stage.connect()?;
    check::equal("resumed at the first meeting", both.client.resumed, false)?;
    check::equal(
        "a protocol nobody asked for",
        both.client.alpn,
        None::<String>,
    )?;
    let server = fingerprints(stage.pki.server.chain());
    check::equal(
        "the server's chain, as the client tells it",
        both.client.peer_certificates,
        Some(server),
    )?;
    check::equal(
        "the chain of a client that was not asked",
        both.server.peer_certificates,
        None::<Vec<String>>,
    )?;
    stage.ping_pong()?;
    Ok(stage.close()?)
}

/// The server's order decides; and with nothing in common it refuses.
fn alpn(stage: &mut Stage<'_>) -> StepResult {
    let client = stage.client().alpn(&["third", "second", "first"]);
    let server = stage.server().alpn(&["none", "first", "second"]);
    stage.configure(client, server)?;
    let both = stage.connect()?;
    let expected = Some("first".to_owned());
    check::equal("the protocol", both.client.alpn, expected)?;
    stage.ping_pong()?;
    stage.close()?;

    let client = stage.client().alpn(&["one"]);
    let server = stage.server().alpn(&["other"]);
    stage.configure(client, server)?;
    let label = "error:NoSharedParameters(ApplicationProtocol)";
    let alert = AlertDescription::NO_APPLICATION_PROTOCOL;
    Ok(refuses(stage, Side::Server, label, alert)?)
}

fn sni(stage: &mut Stage<'_>) -> StepResult {
    stage.configure(stage.client(), stage.server())?;
    for name in [SERVER_NAME, SECOND_NAME] {
        let both = stage.connect_to(name)?;
        let expected = Some(name.to_owned());
        check::equal("the server name", both.server.server_name, expected)?;
        stage.close()?;
    }
    stage.configure(stage.client().without_sni(), stage.server())?;
    let both = stage.connect()?;
    check::equal(
        "a server name that was not sent",
        both.server.server_name,
        None::<String>,
    )?;
    Ok(stage.close()?)
}

fn client_certificate(stage: &mut Stage<'_>) -> StepResult {
    let client = stage.client().identity(&stage.pki.client);
    let server = stage.server().requiring(&stage.pki.roots());
    stage.configure(client, server)?;
    let both = stage.connect()?;
    let chain = fingerprints(stage.pki.client.chain());
    check::equal(
        "the client's chain, as the server tells it",
        both.server.peer_certificates,
        Some(chain),
    )?;
    let chain = fingerprints(stage.pki.server.chain());
    check::equal(
        "the server's chain, as the client tells it",
        both.client.peer_certificates,
        Some(chain),
    )?;
    stage.ping_pong()?;
    Ok(stage.close()?)
}

/// Both sides export the same, and tell the same bindings, in a resumed session too; where one lacks
/// what a binding needs, that is why there is none.
fn bindings(stage: &mut Stage<'_>) -> StepResult {
    stage.configure(stage.client(), stage.server())?;
    for _ in 0..2 {
        stage.connect()?;
        stage.ping_pong()?;
        agree_on_bindings(stage)?;
        stage.close()?;
    }
    Ok(())
}

fn agree_on_bindings(stage: &mut Stage<'_>) -> CaseResult {
    let answers = stage.ask_both(Ask::Bind, Ask::Bind)?;
    let [
        Answer::Bound {
            exported: by_client,
            bindings: client,
        },
        Answer::Bound {
            exported: by_server,
            bindings: server,
        },
    ] = answers
    else {
        return Err(stage.neither("the bindings", &answers));
    };
    check::equal(
        "what the server exports, and the client",
        by_server,
        by_client,
    )?;
    for &binding in ChannelBinding::ALL {
        let told = [client.get(binding.name()), server.get(binding.name())];
        let mut values = Vec::new();
        for (told, side) in told.into_iter().zip(Side::BOTH) {
            let what = format!("{binding}, as the {} tells it", side.name());
            let expected = expected_binding(stage, side, binding);
            let told = told.ok_or_else(|| Failure::assertion(format!("{what}: nothing")))?;
            let length = told
                .as_ref()
                .map(|value| value.as_ref().map(|text| text.len() / 2));
            check::equal(&what, length, expected.as_ref().map(|length| *length))?;
            values.extend(told.as_ref().ok());
        }
        if let [client, server] = *values {
            let what = format!("{binding} of the server, and the client");
            check::equal(&what, server, client)?;
        }
    }
    Ok(())
}

/// How long a binding is that a side tells, in bytes, or why it refuses.
fn expected_binding(
    stage: &Stage<'_>,
    side: Side,
    binding: ChannelBinding,
) -> Result<Option<usize>, String> {
    if stage.lacks(side, binding.feature()).is_some() {
        return Err(unsupported(binding.feature()));
    }
    let secret = Feature::ExtendedMasterSecret;
    let lacks_secret = Side::BOTH
        .into_iter()
        .any(|side| stage.lacks(side, secret).is_some());
    match binding {
        ChannelBinding::TlsServerEndPoint => Ok(Some(32)),
        ChannelBinding::TlsUnique if stage.is_tls13() => Ok(None),
        _ if !stage.is_tls13() && lacks_secret => Err(unsupported(secret)),
        ChannelBinding::TlsUnique => Ok(Some(12)),
        _ => Ok(Some(32)),
    }
}

/// The second connection resumes the first; where a side lacks that, it is a full handshake again.
fn resumption(stage: &mut Stage<'_>) -> StepResult {
    let feature = match stage.is_tls13() {
        true => Feature::Tls13Resumption,
        false => Feature::Tls12Resumption,
    };
    let lacking = Side::BOTH
        .into_iter()
        .find_map(|side| stage.lacks(side, feature));
    stage.configure(stage.client(), stage.server())?;
    let server = fingerprints(stage.pki.server.chain());
    for expected in [false, lacking.is_none()] {
        let Handshaken { client, .. } = stage.connect()?;
        check::equal("resumed", client.resumed, expected)?;
        check::equal(
            "the server's leaf, as the client tells it",
            client.peer_certificates.unwrap_or_default().first(),
            server.first(),
        )?;
        // The client meets its tickets before the data.
        stage.ping_pong()?;
        stage.close()?;
    }
    match lacking {
        Some(mut lack) => {
            lack.reason += "; the second handshake is a full one";
            Err(Stop::Unsupported(lack))
        }
        None => Ok(()),
    }
}

/// 8 MiB both ways at once.
fn duplex(stage: &mut Stage<'_>) -> StepResult {
    const LENGTH: usize = 8 * 1024 * 1024;
    stage.configure(stage.client(), stage.server())?;
    stage.connect()?;
    stage.transfer(
        Piece {
            length: LENGTH,
            seed: 1,
        },
        Piece {
            length: LENGTH,
            seed: 2,
        },
    )?;
    Ok(stage.close()?)
}

/// Each side alone, then both at once, change their keys and have the other change its own. A side
/// that cannot ask for that answers when it is asked.
fn key_update(stage: &mut Stage<'_>) -> StepResult {
    const ONE: Piece = Piece {
        length: 60_000,
        seed: 7,
    };
    const OTHER: Piece = Piece {
        length: 50_000,
        seed: 8,
    };
    stage.configure(stage.client(), stage.server())?;
    stage.connect()?;
    stage.transfer(ONE, OTHER)?;
    let mut lacking = None;
    for sides in [&[Side::Client][..], &[Side::Server], &Side::BOTH] {
        for &side in sides {
            lacking = request_key_update(stage, side)?.or(lacking);
        }
        stage.transfer(ONE, OTHER)?;
        // What was owed has left with the data before, under the new keys.
        stage.transfer(OTHER, ONE)?;
    }
    stage.close()?;
    match lacking {
        Some(mut lack) => {
            let mut sides = Side::BOTH.into_iter();
            let both = sides.all(|side| stage.lacks(side, Feature::KeyUpdate).is_some());
            lack.reason += match both {
                true => "; and the other side too",
                false => "; it answers those of the other side",
            };
            Err(Stop::Unsupported(lack))
        }
        None => Ok(()),
    }
}

/// Has a side send a KeyUpdate; what it lacks, if it refuses to.
fn request_key_update(stage: &mut Stage<'_>, side: Side) -> CaseResult<Option<Lack>> {
    let what = format!("a KeyUpdate of the {}", side.name());
    let lack = stage.lacks(side, Feature::KeyUpdate);
    match (stage.ask(side, Ask::KeyUpdate)?, lack) {
        (
            Answer::KeyUpdate {
                pending: [before, after],
            },
            None,
        ) => {
            ensure!(after > before, "{what}: nothing was queued");
            Ok(None)
        }
        (Answer::Failed(problem), Some(lack)) => {
            is_problem(&what, &problem, &unsupported(Feature::KeyUpdate), None)?;
            Ok(Some(lack))
        }
        (answer, None) => Err(stage.other(side, &what, &answer)),
        (answer, Some(lack)) => Err(Failure::new(
            "inverse",
            format!("{what}: {}, and gives {}", lack.reason, answer.describe()),
        )),
    }
}

/// What one side ended leaves the other direction open.
fn half_close(stage: &mut Stage<'_>) -> StepResult {
    const LATE: Piece = Piece {
        length: 100_000,
        seed: 5,
    };
    stage.configure(stage.client(), stage.server())?;
    for side in Side::BOTH {
        stage.connect()?;
        stage.ping_pong()?;
        stage.shut_down(side, "Complete")?;
        stage.meets_close(side.other())?;
        match side {
            Side::Client => stage.transfer(Piece::NONE, LATE)?,
            Side::Server => stage.transfer(LATE, Piece::NONE)?,
        }
        stage.shut_down(side.other(), "Closed")?;
        stage.meets_close(side)?;
    }
    Ok(())
}

/// An end without close_notify is no clean end, on either side.
fn truncation(stage: &mut Stage<'_>) -> StepResult {
    const LAST: Piece = Piece {
        length: 3_000,
        seed: 6,
    };
    stage.configure(stage.client(), stage.server())?;
    for side in Side::BOTH {
        stage.connect()?;
        stage.ping_pong()?;
        stage.send(side, LAST)?;
        stage.done(side, Ask::Cut)?;
        let what = format!("what the {} cut", side.name());
        let Some(problem) = stage.read_to_end(side.other(), LAST)? else {
            return Err(Failure::assertion(format!("{what} is taken for a clean end")).into());
        };
        is_problem(&what, &problem, "error:Truncated", None)?;
    }
    Ok(())
}

/// A client refuses a certificate that leads to no root it trusts, and the server is told so.
fn rejected_server(stage: &mut Stage<'_>) -> StepResult {
    let client = stage.client().trusting(&stage.pki.other_roots());
    stage.configure(client, stage.server())?;
    Ok(distrusts(stage, Side::Client)?)
}

/// A server refuses a certificate that leads to no root it trusts, and the client is told so.
fn rejected_client(stage: &mut Stage<'_>) -> StepResult {
    let client = stage.client().identity(&stage.pki.untrusted_client);
    let server = stage.server().requiring(&stage.pki.roots());
    stage.configure(client, server)?;
    Ok(distrusts(stage, Side::Server)?)
}

fn distrusts(stage: &mut Stage<'_>, side: Side) -> CaseResult {
    let label = "error:Certificate(UnknownIssuer)";
    refuses(stage, side, label, AlertDescription::UNKNOWN_CA)
}

/// One side refuses the other in the handshake, with this error and alert.
fn refuses(stage: &mut Stage<'_>, side: Side, label: &str, alert: AlertDescription) -> CaseResult {
    stage.open(SERVER_NAME)?;
    let [client, server] = stage.ask_both(Ask::Handshake, Ask::Handshake)?;
    let (refusing, refused) = match side {
        Side::Client => (client, server),
        Side::Server => (server, client),
    };
    let what = format!("the {} that refuses", side.name());
    let Answer::Failed(problem) = &refusing else {
        return Err(stage.other(side, &what, &refusing));
    };
    is_problem(&what, problem, label, Some((alert, true)))?;
    let what = format!("the {} that is refused", side.other().name());
    let problem = match refused {
        Answer::Failed(problem) => problem,
        // A TLS 1.3 client is done before the server has seen its certificate.
        Answer::Handshaken(_) if side == Side::Server && stage.is_tls13() => {
            match stage.read_to_end(Side::Client, Piece::NONE)? {
                Some(problem) => problem,
                None => {
                    let text = format!("{what}: expected the alert {alert}, met a clean end");
                    return Err(Failure::assertion(text));
                }
            }
        }
        other => return Err(stage.other(side.other(), &what, &other)),
    };
    is_problem(&what, &problem, "error:PeerAlert", Some((alert, false)))
}
