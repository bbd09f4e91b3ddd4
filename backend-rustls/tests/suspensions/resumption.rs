//! Resumption, where a handshake may have to be done again: offered and taken, offered and refused.

use tls_core::config::{ClientAuthentication, PeerVerification};
use tls_core::iana::{Group, ProtocolVersion};
use tls_core::{ClientConfig, DynBackend, DynContext, ServerConfig, Session, Status};

use crate::pair::{Pair, VERSIONS, asking, backends};

const VERDICT: Status = Status::NeedsCertificateValidation;

#[test]
fn a_resumed_session_asks_nothing() {
    for backend in backends() {
        for version in VERSIONS {
            for tickets in [true, false] {
                let (mut client, mut server) = asking(version);
                client.late_credentials = false;
                client.identity = Some(conformance::Pki::shared().client.clone());
                server.resumption.tickets = tickets;
                let client = backend.client(client).unwrap();
                let server = backend.server(server).unwrap();
                for resumed in [false, true, true] {
                    let mut pair = Pair::new(&*client, &*server);
                    pair.complete();
                    assert_eq!(pair.client.session.resumed(), Some(resumed), "{version}");
                    let asked = if resumed { vec![] } else { vec![VERDICT] };
                    assert_eq!((&pair.client.asked, &pair.server.asked), (&asked, &asked));
                    assert!(pair.server.session.peer_certificates().is_some());
                }
            }
        }
    }
}

/// What was offered is refused by a server that does not know it, so that both sides ask again.
#[test]
fn refused_by_another_server() {
    refused("another server", VERSIONS, |_| {}, |_| {});
}

#[test]
fn refused_by_a_server_with_another_group() {
    refused(
        "another group",
        [ProtocolVersion::TLS1_3],
        |client| client.parameters.groups = Some(vec![Group::X25519, Group::SECP384R1]),
        |server| server.parameters.groups = Some(vec![Group::SECP384R1]),
    );
}

/// Under TLS 1.2 a client signs the hellos themselves, not their hash.
#[test]
fn refused_by_a_server_of_the_older_version() {
    refused(
        "TLS 1.2",
        [ProtocolVersion::TLS1_3],
        |client| client.parameters.min_version = ProtocolVersion::TLS1_2,
        |server| {
            server.parameters.min_version = ProtocolVersion::TLS1_2;
            server.parameters.max_version = ProtocolVersion::TLS1_2;
        },
    );
}

#[test]
fn refused_where_a_hello_takes_several_records() {
    refused(
        "a long hello",
        VERSIONS,
        |client| client.parameters.alpn = vec![vec![b'a'; 250]; 200],
        |_| {},
    );
}

/// While a session waits, another one of its context leaves a newer session and another group in the
/// store, and takes what was there.
#[test]
fn what_others_store_meanwhile_changes_nothing() {
    for version in VERSIONS {
        for backend in backends() {
            let change = |client: &mut ClientConfig| {
                client.parameters.groups = Some(vec![Group::X25519, Group::SECP256R1]);
            };
            let (client, known, unknown) = contexts(&*backend, version, change, |_| {});
            // One that asks for nothing: of those that do, nothing is stored.
            let (_, mut other) = asking(version);
            other.client_authentication = ClientAuthentication::None;
            other.peer_verification = PeerVerification::Default;
            other.parameters.groups = Some(vec![Group::SECP256R1]);
            let other = backend.server(other).unwrap();
            Pair::new(&*client, &*known).complete();
            let mut waits = Pair::new(&*client, &*unknown);
            waits.shake_hands_until_asked();
            for server in [&known, &other] {
                Pair::new(&*client, &**server).complete();
            }
            waits.complete();
            assert_eq!(waits.client.asked, [VERDICT, Status::WantCredentials]);
        }
    }
}

/// One server knows the session, the next does not, and is otherwise as `second` makes it.
fn refused(
    what: &str,
    versions: impl IntoIterator<Item = ProtocolVersion>,
    change: fn(&mut ClientConfig),
    second: fn(&mut ServerConfig),
) {
    for version in versions {
        for backend in backends() {
            for pieces in [(16 * 1024, 16 * 1024), (1, 16 * 1024), (1, 1)] {
                let (client, known, unknown) = contexts(&*backend, version, change, second);
                let mut pair = Pair::new(&*client, &*known);
                pair.complete();
                assert_eq!(pair.client.asked, [VERDICT]);
                let mut pair = Pair::new(&*client, &*unknown);
                pair.pieces = pieces;
                pair.complete();
                assert_eq!(pair.client.session.resumed(), Some(false), "{what}");
                assert_eq!(pair.client.asked, [VERDICT, Status::WantCredentials]);
                assert_eq!(pair.server.asked, [VERDICT]);
            }
        }
    }
}

/// A client, a server that gives it tickets and asks for nothing, and one that asks.
fn contexts(
    backend: &dyn DynBackend,
    version: ProtocolVersion,
    change: fn(&mut ClientConfig),
    second: fn(&mut ServerConfig),
) -> (
    Box<dyn DynContext>,
    Box<dyn DynContext>,
    Box<dyn DynContext>,
) {
    let (mut client, mut unknown) = asking(version);
    change(&mut client);
    let mut known = unknown.clone();
    known.client_authentication = ClientAuthentication::None;
    known.peer_verification = PeerVerification::Default;
    second(&mut unknown);
    (
        backend.client(client).unwrap(),
        backend.server(known).unwrap(),
        backend.server(unknown).unwrap(),
    )
}
