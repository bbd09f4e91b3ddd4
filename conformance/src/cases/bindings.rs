//! Exporters, channel bindings, and what this side has presented.

use ring::digest::{self, digest};
use tls_core::config::{ClientAuthentication, Identity};
use tls_core::{
    ChannelBinding, DynContext, ErrorKind, Feature, Misuse, PostHandshakeAuth, Session, Status,
};

use crate::case::{Case, CaseResult, Failure, Versions};
use crate::check;
use crate::ensure;
use crate::forge::Forge;
use crate::pair::{End, Pair, Side};
use crate::scene::Scene;

const LABEL: &[u8] = b"EXPERIMENTAL polytls";
const OTHER_LABEL: &[u8] = b"EXPERIMENTAL polytls 2";
const CONTEXTS: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"context")];
/// The label of `tls-exporter`. RFC 9266 section 2.
const BINDING: &[u8] = b"EXPORTER-Channel-Binding";

const EXPORTER: Case = Case {
    rfc: "RFC 5705 4, RFC 8446 7.5",
    clauses: &["K10"],
    items: &["behaviours 173"],
    requires: &[Feature::Exporter],
    ..Case::new("", equal_on_both_sides)
};

const BOUND: Case = Case {
    clauses: &["K10"],
    items: &["seed-api 77", "behaviours 175"],
    ..Case::new("", tls_exporter)
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "bindings.exports_are_equal_on_both_sides",
        run: equal_on_both_sides,
        ..EXPORTER
    },
    Case {
        name: "bindings.exports_are_what_the_rfc_says",
        run: known_answers,
        ..EXPORTER
    },
    Case {
        name: "bindings.exports_stay_the_same",
        run: stay_the_same,
        ..EXPORTER
    },
    Case {
        name: "bindings.exports_have_limits",
        clauses: &["K11"],
        items: &["behaviours 174"],
        run: limits,
        ..EXPORTER
    },
    Case {
        name: "bindings.nothing_before_the_handshake",
        clauses: &["K17"],
        run: before_the_handshake,
        ..EXPORTER
    },
    Case {
        name: "bindings.of_a_deferred_server",
        requires: &[
            Feature::Exporter,
            Feature::TlsServerEndPoint,
            Feature::DeferredServerContext,
        ],
        run: of_a_deferred_server,
        ..EXPORTER
    },
    Case {
        rfc: "RFC 5705 4, RFC 5746",
        requires: &[
            Feature::Exporter,
            Feature::RenegotiationServer,
            Feature::RenegotiationClient,
        ],
        versions: Versions::TLS12,
        name: "bindings.nothing_of_keys_that_are_changing",
        run: while_renegotiating,
        ..EXPORTER
    },
    Case {
        name: "bindings.nothing_after_a_failure",
        clauses: &["K5"],
        items: &[],
        run: after_a_failure,
        ..EXPORTER
    },
    Case {
        name: "bindings.tls_unique",
        rfc: "RFC 5929 3.1",
        requires: &[Feature::TlsUnique],
        versions: Versions::TLS12,
        run: tls_unique,
        ..BOUND
    },
    Case {
        name: "bindings.tls_unique_is_undefined_in_tls13",
        rfc: "RFC 8446 C.5",
        clauses: &["K11"],
        requires: &[Feature::TlsUnique],
        versions: Versions::TLS13,
        run: no_tls_unique,
        ..BOUND
    },
    Case {
        name: "bindings.tls_server_end_point",
        rfc: "RFC 5929 4.1",
        requires: &[Feature::TlsServerEndPoint],
        run: server_end_point,
        ..BOUND
    },
    Case {
        name: "bindings.tls_exporter",
        rfc: "RFC 9266 2",
        requires: &[Feature::TlsExporter],
        versions: Versions::TLS13,
        ..BOUND
    },
    Case {
        name: "bindings.tls_exporter_with_extended_master_secret",
        rfc: "RFC 9266 4.2, RFC 7627 5.4",
        requires: &[Feature::TlsExporter, Feature::ExtendedMasterSecret],
        versions: Versions::TLS12,
        ..BOUND
    },
    Case {
        name: "bindings.of_resumed_sessions_tls12",
        rfc: "RFC 5929 3.1, 4.1, RFC 7627 5.3",
        requires: &[Feature::TlsUnique, Feature::Tls12Resumption],
        versions: Versions::TLS12,
        run: resumed,
        ..BOUND
    },
    Case {
        name: "bindings.of_resumed_sessions_tls13",
        rfc: "RFC 5929 4.1, RFC 9266 2",
        requires: &[Feature::TlsExporter, Feature::Tls13Resumption],
        versions: Versions::TLS13,
        run: resumed,
        ..BOUND
    },
    Case {
        name: "bindings.server_tells_what_it_presents",
        rfc: "RFC 8446 4.4.2",
        items: &[],
        run: server_presents,
        ..BOUND
    },
    Case {
        name: "bindings.client_tells_what_it_was_given_late",
        rfc: "RFC 8446 4.4.2",
        items: &[],
        requires: &[
            Feature::LateClientCredentials,
            Feature::ClientAuthentication,
        ],
        run: client_presents_late,
        ..BOUND
    },
    Case {
        name: "bindings.client_tells_what_it_presented",
        rfc: "RFC 8446 4.4.2",
        items: &[],
        requires: &[Feature::ClientCertificate, Feature::ClientAuthentication],
        run: client_presents,
        ..BOUND
    },
];

fn export(
    session: &dyn Session,
    label: &[u8],
    context: Option<&[u8]>,
    length: usize,
) -> CaseResult<Vec<u8>> {
    let mut output = vec![0; length];
    session.export_keying_material(&mut output, label, context)?;
    Ok(output)
}

/// What both sides export, which must be the same.
fn export_both(pair: &mut Pair, label: &[u8], context: Option<&[u8]>) -> CaseResult<Vec<u8>> {
    const LENGTH: usize = 100;
    let client = export(pair.client.session(), label, context, LENGTH)?;
    let server = export(pair.server.session(), label, context, LENGTH)?;
    check::same_bytes("what the server exports", &server, &client)?;
    ensure!(client != [0; LENGTH], "nothing was exported");
    Ok(client)
}

/// Whatever is exported on the way is what both sides export before, or after.
fn while_renegotiating(scene: &Scene<'_>) -> CaseResult {
    let mut server = scene.server_config();
    server.client_authentication = ClientAuthentication::OnRequest(scene.pki.roots());
    server.parameters.allow_renegotiation = true;
    let mut client = scene.client_config();
    client.parameters.allow_renegotiation = true;
    let mut pair = scene.pair_with(client, server)?;
    pair.write_may_read = true;
    pair.handshake()?;
    let before = export_both(&mut pair, LABEL, None)?;
    pair.server.request_client_certificate()?;
    let mut buffer = vec![0; pair.read_size];
    let mut exported = Vec::new();
    let mut refused = 0;
    pair.pump_until("the answer", |pair| {
        for side in Side::BOTH {
            pair.side(side).read(&mut buffer)?;
            let mut value = vec![0; before.len()];
            let session = pair.side(side).session();
            match session.export_keying_material(&mut value, LABEL, None) {
                Ok(()) => exported.push(value),
                Err(error) => {
                    let kind = ErrorKind::Unsupported(Feature::Exporter);
                    check::equal("the refusal", error.kind(), kind)?;
                    refused += 1;
                }
            }
        }
        let state = pair.server.session().post_handshake_auth();
        Ok((state != PostHandshakeAuth::Pending).then_some(()))
    })?;
    pair.ping_pong()?;
    let after = export_both(&mut pair, LABEL, None)?;
    ensure!(refused > 0, "keys were exported while they changed");
    let known = |value: &Vec<u8>| *value == before || *value == after;
    ensure!(
        exported.iter().all(known),
        "something else was exported on the way"
    );
    Ok(())
}

/// The binding on both sides, which must be the same.
fn bind(pair: &Pair, binding: ChannelBinding) -> CaseResult<Option<Vec<u8>>> {
    let client = pair.client.session().channel_binding(binding)?;
    let server = pair.server.session().channel_binding(binding)?;
    check::equal(&format!("{binding} of the server"), &server, &client)?;
    Ok(client)
}

fn bound(pair: &Pair, binding: ChannelBinding) -> CaseResult<Vec<u8>> {
    bind(pair, binding)?.ok_or_else(|| Failure::assertion(format!("there is no {binding}")))
}

fn equal_on_both_sides(scene: &Scene<'_>) -> CaseResult {
    let mut values = Vec::new();
    for _ in 0..2 {
        let mut pair = scene.connected()?;
        for label in [LABEL, OTHER_LABEL] {
            for context in CONTEXTS {
                let value = export_both(&mut pair, label, context)?;
                let again = export_both(&mut pair, label, context)?;
                check::same_bytes("what is exported again", &again, &value)?;
                // TLS 1.3 does not tell an empty context from none.
                if scene.is_tls13() && context == Some(b"") {
                    let none = export_both(&mut pair, label, None)?;
                    check::same_bytes("an empty context", &value, &none)?;
                    continue;
                }
                ensure!(
                    !values.contains(&value),
                    "a label, context and connection of their own have the value of others"
                );
                values.push(value);
            }
        }
    }
    Ok(())
}

fn known_answers(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let forge = Forge::connected(scene, side)?;
        for context in CONTEXTS {
            for length in [1, 32, 33, 500] {
                let value = export(forge.victim.session(), LABEL, context, length)?;
                let expected = forge.expected_export(LABEL, context, length)?;
                check::same_bytes("what is exported", &value, &expected)?;
            }
        }
    }
    Ok(())
}

fn stay_the_same(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    let value = export_both(&mut pair, LABEL, None)?;
    let unchanged = |pair: &mut Pair, when: &str| -> CaseResult {
        let now = export_both(pair, LABEL, None)?;
        check::same_bytes(when, &now, &value)
    };
    pair.ping_pong()?;
    unchanged(&mut pair, "after data")?;
    if scene.is_tls13() && scene.has(Feature::KeyUpdate) {
        pair.client.request_key_update()?;
        pair.ping_pong()?;
        unchanged(&mut pair, "after a KeyUpdate")?;
    }
    pair.shutdown(Side::Client)?;
    unchanged(&mut pair, "after one close_notify")?;
    pair.shutdown(Side::Server)?;
    unchanged(&mut pair, "after both")
}

/// What is not allowed is refused, and the session goes on.
fn limits(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.connected()?;
    let suite = pair.client.session().cipher_suite();
    let name = suite.and_then(tls_core::iana::CipherSuite::name);
    let hash = match name {
        Some(name) if name.ends_with("SHA384") => 48,
        _ => 32,
    };
    let longest_label = [b'l'; 249];
    let longest_context = [b'c'; 512];
    for side in Side::BOTH {
        let session = pair.side(side).session();
        for length in [1, 255 * hash] {
            export(session, &longest_label, Some(&longest_context), length)?;
        }
        let length = |length| session.export_keying_material(&mut vec![0; length], LABEL, None);
        for wrong in [0, 255 * hash + 1, 100_000] {
            let expected = ErrorKind::Misuse(Misuse::ExporterLength);
            check::fails_with(&format!("{wrong} bytes"), length(wrong), expected)?;
        }
        let longer = [&longest_label[..], b"l"].concat();
        let labels: [&[u8]; 9] = [
            b"",
            &longer,
            b"\xff",
            "\u{e9}".as_bytes(),
            b"client finished",
            b"server finished",
            b"master secret",
            b"extended master secret",
            b"key expansion of our own",
        ];
        let expected = ErrorKind::Misuse(Misuse::ExporterLabel);
        for label in labels {
            let refused = session.export_keying_material(&mut [0; 32], label, None);
            let what = format!("the label {:?}", String::from_utf8_lossy(label));
            check::fails_with(&what, refused, expected)?;
        }
        for longer in [513, 65_536] {
            let longer = vec![b'c'; longer];
            let refused = session.export_keying_material(&mut [0; 32], LABEL, Some(&longer));
            check::fails_with("a long context", refused, expected)?;
        }
    }
    pair.ping_pong()
}

/// A session whose context is chosen late has all that others have, from the same moment on.
fn of_a_deferred_server(scene: &Scene<'_>) -> CaseResult {
    let mut pair = super::deferred::suspended(scene)?;
    let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    let session = pair.server.session();
    let early = session.export_keying_material(&mut [0; 32], LABEL, None);
    check::fails_with("an early export", early, incomplete)?;
    let early = session.channel_binding(ChannelBinding::TlsServerEndPoint);
    check::fails_with("an early binding", early, incomplete)?;
    let mut config = scene.server_config();
    config.identity = scene.pki.second_server.clone();
    let context = scene.backend.server(config)?;
    super::deferred::go_on(&mut pair, &*context)?;
    export_both(&mut pair, LABEL, None)?;
    let leaf = &scene.pki.second_server.chain()[0];
    let expected = digest(&digest::SHA256, leaf);
    let value = bound(&pair, ChannelBinding::TlsServerEndPoint)?;
    check::same_bytes("the end point", &value, expected.as_ref())?;
    let presented = pair.server.session().local_certificates();
    check::equal(
        "the leaf presented",
        presented.map(|chain| &chain[0]),
        Some(leaf),
    )
}

fn before_the_handshake(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.pair()?;
    pair.client.handshake()?;
    let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    for side in Side::BOTH {
        let session = pair.side(side).session();
        let early = session.export_keying_material(&mut [0; 32], LABEL, None);
        check::fails_with("an early export", early, incomplete)?;
        for &binding in ChannelBinding::ALL {
            let early = session.channel_binding(binding);
            check::fails_with(&format!("an early {binding}"), early, incomplete)?;
        }
        let presented = session.local_certificates();
        check::equal("certificates presented", presented, None::<&[_]>)?;
    }
    pair.handshake()?;
    export_both(&mut pair, LABEL, None).map(drop)
}

fn after_a_failure(scene: &Scene<'_>) -> CaseResult {
    for side in Side::BOTH {
        let mut forge = Forge::connected(scene, side)?;
        forge.send(99, b"what is this")?;
        let (_, end) = forge.victim_reads()?;
        let kind = end.failure("a record of unknown type")?.kind();
        let session = forge.victim.session();
        let late = session.export_keying_material(&mut [0; 32], LABEL, None);
        check::fails_with("an export after a failure", late, kind)?;
        for &binding in ChannelBinding::ALL {
            let late = session.channel_binding(binding);
            check::fails_with(&format!("{binding} after a failure"), late, kind)?;
        }
    }
    Ok(())
}

fn tls_unique(scene: &Scene<'_>) -> CaseResult {
    let one = bound(&scene.connected()?, ChannelBinding::TlsUnique)?;
    let other = bound(&scene.connected()?, ChannelBinding::TlsUnique)?;
    ensure!(one != other, "two connections have one tls-unique");
    for side in Side::BOTH {
        let forge = Forge::connected(scene, side)?;
        let expected = forge.expected_finished()?;
        let value = forge
            .victim
            .session()
            .channel_binding(ChannelBinding::TlsUnique)?;
        check::equal("the client's Finished", value, Some(expected))?;
    }
    Ok(())
}

fn no_tls_unique(scene: &Scene<'_>) -> CaseResult {
    let binding = bind(&scene.connected()?, ChannelBinding::TlsUnique)?;
    check::equal("tls-unique", binding, None)
}

/// The hash is that of the signature, and of nothing where that has none.
fn server_end_point(scene: &Scene<'_>) -> CaseResult {
    let hash = |algorithm, identity: &Identity| {
        Some(digest(algorithm, &identity.chain()[0]).as_ref().to_vec())
    };
    let pki = scene.pki;
    for (identity, expected) in [
        (&pki.server, hash(&digest::SHA256, &pki.server)),
        (&pki.sha384, hash(&digest::SHA384, &pki.sha384)),
        (&pki.ed25519, None),
    ] {
        let mut server = scene.server_config();
        server.identity = identity.clone();
        let pair = scene.build().server(server).connected()?;
        let value = bind(&pair, ChannelBinding::TlsServerEndPoint)?;
        check::equal("tls-server-end-point", value, expected)?;
    }
    Ok(())
}

fn tls_exporter(scene: &Scene<'_>) -> CaseResult {
    let mut values = Vec::new();
    for _ in 0..2 {
        let mut pair = scene.connected()?;
        let value = bound(&pair, ChannelBinding::TlsExporter)?;
        check::equal("the length of tls-exporter", value.len(), 32)?;
        ensure!(!values.contains(&value), "two connections have one value");
        pair.ping_pong()?;
        let session = pair.client.session();
        let expected = export(session, BINDING, Some(b""), 32)?;
        check::same_bytes("tls-exporter", &value, &expected)?;
        values.push(value);
    }
    for side in Side::BOTH {
        let forge = Forge::connected(scene, side)?;
        let expected = forge.expected_export(BINDING, Some(b""), 32)?;
        let value = forge
            .victim
            .session()
            .channel_binding(ChannelBinding::TlsExporter)?;
        check::equal("tls-exporter", value, Some(expected))?;
    }
    Ok(())
}

/// The end point stays, everything else is that of the new connection.
fn resumed(scene: &Scene<'_>) -> CaseResult {
    let client: Box<dyn DynContext> = scene.backend.client(scene.client_config())?;
    let server = scene.backend.server(scene.server_config())?;
    let of_connection = match scene.is_tls13() {
        true => &[ChannelBinding::TlsExporter][..],
        false => &[ChannelBinding::TlsUnique, ChannelBinding::TlsExporter],
    };
    let leaf = digest(&digest::SHA256, &scene.pki.server.chain()[0]);
    let mut seen = Vec::new();
    for expected in [false, true, true] {
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*server).connected()?;
        pair.ping_pong()?;
        check::equal("resumed", pair.client.session().resumed(), Some(expected))?;
        let end_point = bound(&pair, ChannelBinding::TlsServerEndPoint)?;
        check::same_bytes("the end point", &end_point, leaf.as_ref())?;
        for &binding in of_connection {
            let value = bound(&pair, binding)?;
            ensure!(!seen.contains(&value), "{binding} is that of another");
            seen.push(value);
        }
        let value = export_both(&mut pair, LABEL, None)?;
        ensure!(
            !seen.contains(&value),
            "what is exported is that of another"
        );
        seen.push(value);
        for side in Side::BOTH {
            pair.shutdown(side)?;
        }
    }
    Ok(())
}

/// A server tells its chain, also if it is asked for it again after a resumption.
fn server_presents(scene: &Scene<'_>) -> CaseResult {
    let client = scene.backend.client(scene.client_config())?;
    let server = scene.backend.server(scene.server_config())?;
    for _ in 0..2 {
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*server).connected()?;
        pair.ping_pong()?;
        let presented = pair.server.session().local_certificates();
        check::equal(
            "the server's own",
            presented,
            Some(scene.pki.server.chain()),
        )?;
        let presented = pair.client.session().local_certificates();
        check::equal("a client's without any", presented, None::<&[_]>)?;
        for side in Side::BOTH {
            pair.shutdown(side)?;
        }
    }
    Ok(())
}

/// A client tells its chain only where it was asked for it.
fn client_presents(scene: &Scene<'_>) -> CaseResult {
    let own = scene.pki.client.chain();
    let roots = || scene.pki.roots();
    for (identity, authentication, expected) in [
        (true, ClientAuthentication::Required(roots()), Some(own)),
        (true, ClientAuthentication::Optional(roots()), Some(own)),
        (true, ClientAuthentication::None, None),
        (false, ClientAuthentication::Optional(roots()), None),
    ] {
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        client.identity = identity.then(|| scene.pki.client.clone());
        server.client_authentication = authentication;
        let mut pair = scene.build().client(client).server(server).connected()?;
        pair.ping_pong()?;
        let presented = pair.client.session().local_certificates();
        check::equal("what the client presented", presented, expected)?;
        let seen = pair.server.session().peer_certificates();
        check::equal("what the server saw", seen, expected)?;
        let presented = pair.server.session().local_certificates();
        check::equal(
            "the server's own",
            presented,
            Some(scene.pki.server.chain()),
        )?;
    }
    Ok(())
}

/// The same for a certificate that is chosen once the server has asked for it.
fn client_presents_late(scene: &Scene<'_>) -> CaseResult {
    let own = scene.pki.client.chain();
    for (identity, expected) in [(Some(scene.pki.client.clone()), Some(own)), (None, None)] {
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        client.late_credentials = true;
        server.client_authentication = ClientAuthentication::Optional(scene.pki.roots());
        let mut pair = scene.build().client(client).server(server).pair()?;
        let outcome = pair.handshake_outcome()?;
        ensure!(
            matches!(outcome.client, End::Waiting(Status::WantCredentials)),
            "the client must wait for its certificate, met {:?}",
            outcome.client
        );
        pair.client.session_mut().set_client_certificate(identity)?;
        pair.handshake()?;
        pair.ping_pong()?;
        let presented = pair.client.session().local_certificates();
        check::equal("what the client presented", presented, expected)?;
    }
    Ok(())
}
