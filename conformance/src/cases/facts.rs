//! Negotiated facts: what they say, when, and that both sides say the same.

use tls_core::iana::{CipherSuite, ProtocolVersion};
use tls_core::pki_types::CertificateDer;
use tls_core::{Facts, Feature, Session, SessionOptions, Status};

use crate::case::{Case, CaseResult, Failure};
use crate::check;
use crate::ensure;
use crate::forge::content_type;
use crate::pair::{Pair, Side};
use crate::pki::{SERVER_IP, SERVER_NAME};
use crate::scene::Scene;

/// The handshake type of a ServerHello. RFC 8446 section 4.
const SERVER_HELLO: u8 = 2;

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "contract K10",
        clauses: &["K10"],
        items: &["behaviours 1", "behaviours 179"],
        ..Case::new("facts.none_before_completion", none_before)
    },
    Case {
        rfc: "contract K10",
        clauses: &["K10"],
        ..Case::new("facts.constant_after_completion", constant_after)
    },
    Case {
        rfc: "contract K10",
        clauses: &["K10"],
        items: &["seed-api 25", "seed-api 34"],
        ..Case::new("facts.none_after_a_rejection", none_after_rejection)
    },
    Case {
        rfc: "RFC 8446 4.1.3, RFC 5246 7.4.1.3",
        clauses: &["K10"],
        items: &["behaviours 178"],
        ..Case::new("facts.both_sides_tell_the_same", both_sides)
    },
    Case {
        rfc: "RFC 8446 4.1.3, RFC 5246 7.4.1.3",
        clauses: &["K10"],
        ..Case::new("facts.suite_is_the_one_on_the_wire", suite_on_the_wire)
    },
    Case {
        rfc: "RFC 8446 4.2.7, RFC 8422 5.1",
        clauses: &["K10"],
        requires: &[Feature::NegotiatedGroup],
        ..Case::new("facts.group_is_one_the_engine_has", group)
    },
    Case {
        rfc: "RFC 8446 4.2.1",
        clauses: &["K10", "K11"],
        requires: &[Feature::Tls12, Feature::Tls13],
        ..Case::new("facts.version_is_within_both_ranges", version_range)
    },
    Case {
        rfc: "RFC 8446 4.4.2",
        clauses: &["K10"],
        items: &["seed-api 35", "behaviours 108"],
        ..Case::new("facts.chains_come_leaf_first", chains)
    },
    Case {
        rfc: "RFC 6066 3",
        clauses: &["K10"],
        items: &["behaviours 131"],
        requires: &[Feature::Sni],
        ..Case::new("facts.server_name_is_told_in_lower_case", lower_case)
    },
    Case {
        rfc: "RFC 6066 3",
        clauses: &["K10", "K11"],
        items: &["behaviours 132"],
        requires: &[Feature::SniOff],
        ..Case::new("facts.server_name_can_stay_unsent", name_unsent)
    },
    Case {
        rfc: "RFC 6066 3",
        clauses: &["K10", "K14"],
        items: &["behaviours 131"],
        requires: &[Feature::IpServerName],
        ..Case::new("facts.ip_address_is_no_server_name", ip_address)
    },
];

/// Everything a session tells besides `facts`, as `None` where there is nothing to tell.
fn nothing_told(session: &dyn Session) -> bool {
    session.facts().is_none()
        && !session.is_handshake_complete()
        && session.protocol_version().is_none()
        && session.cipher_suite().is_none()
        && session.group().is_none()
        && session.alpn().is_none()
        && session.server_name().is_none()
        && session.resumed().is_none()
        && session.peer_certificates().is_none()
}

fn none_before(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    let mut complete = [false; 2];
    // A few bytes at a time, so that every state in between is seen.
    pair.wire.set_quota(50);
    pair.pump_until("the handshake", |pair| {
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            let endpoint = pair.side(side);
            if !complete[index] {
                ensure!(
                    nothing_told(endpoint.session()),
                    "nothing is told before the handshake of the {} is complete",
                    side.name()
                );
                complete[index] = endpoint.handshake()? == Status::Complete;
            }
            if complete[index] {
                let session = endpoint.session();
                ensure!(
                    session.facts().is_some() && session.is_handshake_complete(),
                    "the facts are there with Complete"
                );
            }
        }
        Ok((complete == [true; 2]).then_some(()))
    })
}

fn facts_of(pair: &mut Pair, side: Side) -> CaseResult<Facts> {
    let facts = pair.side(side).session().facts().cloned();
    facts.ok_or_else(|| Failure::assertion("there are no facts after the handshake"))
}

fn constant_after(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    let before = [
        facts_of(&mut pair, Side::Client)?,
        facts_of(&mut pair, Side::Server)?,
    ];
    let unchanged = |pair: &mut Pair, when: &str| -> CaseResult {
        for (side, before) in Side::BOTH.into_iter().zip(&before) {
            let facts = facts_of(pair, side)?;
            check::equal(
                &format!("facts of the {} {when}", side.name()),
                &facts,
                before,
            )?;
        }
        Ok(())
    };
    pair.ping_pong()?;
    unchanged(&mut pair, "after some data")?;
    pair.transfer_both(&[1; 50_000], &[2; 50_000])?;
    unchanged(&mut pair, "after more data")?;
    pair.shutdown(Side::Client)?;
    pair.read_to_end(Side::Server)?.1?;
    unchanged(&mut pair, "half closed")?;
    pair.shutdown(Side::Server)?;
    pair.read_to_end(Side::Client)?.1?;
    unchanged(&mut pair, "closed")
}

fn none_after_rejection(scene: &Scene<'_>) -> CaseResult {
    let mut config = scene.client_config();
    config.roots = scene.pki.other_roots();
    let mut pair = scene.pair_with(config, scene.server_config())?;
    let outcome = pair.settle()?;
    outcome.client.failure("an untrusted server")?;
    outcome.server.failure("a client that does not trust it")?;
    for _ in 0..2 {
        ensure!(
            nothing_told(pair.client.session()),
            "nothing is told of a peer that was rejected"
        );
        ensure!(
            pair.client.handshake().is_err() && pair.client.read(&mut [0; 8]).is_err(),
            "the session has failed"
        );
    }
    Ok(())
}

fn both_sides(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    let client = facts_of(&mut pair, Side::Client)?;
    let server = facts_of(&mut pair, Side::Server)?;
    check::equal("the version", client.protocol_version, scene.version)?;
    check::equal(
        "the version, told by the server",
        server.protocol_version,
        scene.version,
    )?;
    check::equal("the suite", client.cipher_suite, server.cipher_suite)?;
    check::equal(
        "whether the suite is one of TLS 1.3",
        client.cipher_suite.is_tls13(),
        scene.is_tls13(),
    )?;
    ensure!(
        scene
            .backend
            .capabilities()
            .cipher_suites
            .contains(&client.cipher_suite),
        "{} is none of the suites the backend says it has",
        client.cipher_suite
    );
    check::equal("the group", client.group, server.group)?;
    check::equal("the protocol", &client.alpn, &None::<Vec<u8>>)?;
    check::equal("the server's protocol", &server.alpn, &None::<Vec<u8>>)?;
    check::equal("resumed", (client.resumed, server.resumed), (false, false))?;
    check::equal("the server name", &client.server_name, &server.server_name)?;
    for session in [pair.client.session(), pair.server.session()] {
        let facts = session.facts().expect("they were there");
        check::equal(
            "the version by itself",
            session.protocol_version(),
            Some(facts.protocol_version),
        )?;
        check::equal(
            "the suite by itself",
            session.cipher_suite(),
            Some(facts.cipher_suite),
        )?;
        check::equal("the group by itself", session.group(), facts.group)?;
        check::equal("resumed by itself", session.resumed(), Some(facts.resumed))?;
    }
    Ok(())
}

fn suite_on_the_wire(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    let flight = pair.wire.from(Side::Server).recorded();
    let Some(suite) = server_hello_suite(flight) else {
        return Err(Failure::new(
            "harness",
            "the server's flight does not begin with a ServerHello",
        ));
    };
    for side in Side::BOTH {
        check::equal(
            "the suite told, beside the one sent",
            facts_of(&mut pair, side)?.cipher_suite,
            suite,
        )?;
    }
    Ok(())
}

/// The suite in the ServerHello (or the HelloRetryRequest, which names the same) that a flight
/// begins with. RFC 8446 section 4.1.3.
fn server_hello_suite(flight: &[u8]) -> Option<CipherSuite> {
    let [
        content_type::HANDSHAKE,
        _,
        _,
        _,
        _,
        SERVER_HELLO,
        _,
        _,
        _,
        rest @ ..,
    ] = flight
    else {
        return None;
    };
    // Behind the legacy version and the random is the session id.
    let rest = rest.get(2 + 32..)?;
    let (length, rest) = rest.split_first()?;
    let suite = rest.get(usize::from(*length)..)?.first_chunk()?;
    Some(CipherSuite(u16::from_be_bytes(*suite)))
}

fn group(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    for side in Side::BOTH {
        let Some(group) = facts_of(&mut pair, side)?.group else {
            return Err(Failure::assertion(format!(
                "the {} tells no group",
                side.name()
            )));
        };
        ensure!(
            scene.backend.capabilities().groups.contains(&group),
            "{group} is none of the groups the backend says it has"
        );
    }
    Ok(())
}

/// One side allows both versions, the other only that of the scene; then both allow both.
fn version_range(scene: &Scene<'_>) -> CaseResult {
    for (wide_client, wide_server) in [(true, false), (false, true), (true, true)] {
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        for (wide, parameters) in [
            (wide_client, &mut client.parameters),
            (wide_server, &mut server.parameters),
        ] {
            if wide {
                parameters.min_version = ProtocolVersion::TLS1_2;
                parameters.max_version = ProtocolVersion::TLS1_3;
            }
        }
        let expected = match (wide_client, wide_server) {
            (true, true) => ProtocolVersion::TLS1_3,
            _ => scene.version,
        };
        let mut pair = scene.build().client(client).server(server).connected()?;
        for side in Side::BOTH {
            let facts = facts_of(&mut pair, side)?;
            check::equal("the version", facts.protocol_version, expected)?;
            check::equal(
                "whether the suite is one of TLS 1.3",
                facts.cipher_suite.is_tls13(),
                expected == ProtocolVersion::TLS1_3,
            )?;
        }
        pair.ping_pong()?;
    }
    Ok(())
}

fn chains(scene: &Scene<'_>) -> CaseResult {
    for identity in [&scene.pki.server, &scene.pki.second_server] {
        let mut server = scene.server_config();
        server.identity = identity.clone();
        let pair = scene.build().server(server).connected()?;
        check::equal(
            "the server's chain, leaf first",
            pair.client.session().peer_certificates(),
            Some(identity.chain()),
        )?;
        check::equal(
            "the chain of a client that was not asked",
            pair.server.session().peer_certificates(),
            None::<&[CertificateDer<'static>]>,
        )?;
    }
    Ok(())
}

fn lower_case(scene: &Scene<'_>) -> CaseResult {
    for name in [SERVER_NAME, "LocalHost", "LOCALHOST"] {
        let options = SessionOptions::to_server(name)?;
        let pair = scene.build().options(options).connected()?;
        for session in [pair.client.session(), pair.server.session()] {
            check::equal("the server name", session.server_name(), Some(SERVER_NAME))?;
        }
    }
    Ok(())
}

fn name_unsent(scene: &Scene<'_>) -> CaseResult {
    let mut client = scene.client_config();
    client.send_sni = false;
    let mut pair = scene.build().client(client).connected()?;
    no_name_told(&mut pair, SERVER_NAME.as_bytes())
}

fn ip_address(scene: &Scene<'_>) -> CaseResult {
    let name = SERVER_IP.to_string();
    let options = SessionOptions::to_server(&name)?;
    let mut pair = scene.build().options(options).connected()?;
    no_name_told(&mut pair, name.as_bytes())
}

/// The name is neither told by the sessions nor to be seen in the ClientHello.
fn no_name_told(pair: &mut Pair, name: &[u8]) -> CaseResult {
    for side in Side::BOTH {
        check::equal(
            "the server name",
            &facts_of(pair, side)?.server_name,
            &None::<String>,
        )?;
    }
    let sent = pair.wire.from(Side::Client).recorded();
    ensure!(
        !sent.windows(name.len()).any(|window| window == name),
        "the name must not be sent"
    );
    pair.ping_pong()
}
