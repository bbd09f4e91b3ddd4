//! Which sessions are resumed, and which are not.

use std::thread::sleep;
use std::time::Duration;

use backend_rustls::RustlsContext;
use tls_core::config::ClientAuthentication;
use tls_core::iana::ProtocolVersion;
use tls_core::{Session, SessionOptions};

use crate::pair::{Pair, VERSIONS, configured, to_server};
use crate::pki::Authority;

fn resumed(client: &RustlsContext, server: &RustlsContext, options: SessionOptions) -> bool {
    let mut pair = Pair::with_options(client, server, options);
    pair.handshake().unwrap();
    let resumed = pair.client.session.resumed().unwrap();
    assert_eq!(pair.server.session.resumed(), Some(resumed));
    resumed
}

fn keyed(key: &[u8]) -> SessionOptions {
    let mut options = to_server();
    options.resumption_key = key.to_vec();
    options
}

#[test]
fn sessions_are_resumed_with_the_peer_that_was_authenticated() {
    let authority = Authority::new();
    for version in VERSIONS {
        for tickets in [true, false] {
            let identity = authority.client();
            let (client, server) = configured(version, &authority, |client, server| {
                server.resumption.tickets = tickets;
                server.client_authentication = ClientAuthentication::Required(authority.roots());
                client.identity = Some(identity.clone());
            });
            let mut first = Pair::new(&client, &server);
            first.handshake().unwrap();
            let mut second = Pair::new(&client, &server);
            second.handshake().unwrap();
            for (first, second) in [
                (&first.client.session, &second.client.session),
                (&first.server.session, &second.server.session),
            ] {
                assert_eq!(first.resumed(), Some(false));
                assert_eq!(second.resumed(), Some(true));
                assert!(first.peer_certificates().is_some());
                assert_eq!(first.peer_certificates(), second.peer_certificates());
            }
            assert_eq!(
                second.client.session.group().is_some(),
                version == ProtocolVersion::TLS1_3
            );
        }
    }
}

#[test]
fn what_is_switched_off_is_neither_offered_nor_accepted() {
    let authority = Authority::new();
    for version in VERSIONS {
        let (client, server) = configured(version, &authority, |_, server| {
            server.resumption.enabled = false;
        });
        let (forgetful, willing) = configured(version, &authority, |client, _| {
            client.resumption.enabled = false;
        });
        for (client, server) in [(&client, &server), (&forgetful, &willing)] {
            assert!(!resumed(client, server, to_server()));
            assert!(!resumed(client, server, to_server()));
        }
    }
}

#[test]
fn a_session_belongs_to_its_context_name_and_key() {
    let authority = Authority::new();
    for version in VERSIONS {
        let (client, server) = configured(version, &authority, |_, _| {});
        let (other_client, other_server) = configured(version, &authority, |_, _| {});
        assert!(!resumed(&client, &server, keyed(b"a")));
        assert!(!resumed(&client, &server, keyed(b"b")));
        assert!(!resumed(&client, &server, to_server()));
        let address = SessionOptions::to_server("127.0.0.1").unwrap();
        assert!(!resumed(&client, &server, address));
        assert!(!resumed(&other_client, &server, keyed(b"a")));
        assert!(resumed(&client, &server, keyed(b"a")));
        assert!(resumed(&client, &server, keyed(b"b")));
        assert!(resumed(&client, &server, to_server()));
        assert!(!resumed(&client, &other_server, keyed(b"a")));
    }
}

#[test]
fn without_a_name_nothing_is_resumed() {
    let authority = Authority::new();
    for version in VERSIONS {
        let (client, server) = configured(version, &authority, |client, _| {
            client.dangerous.accept_any_name = true;
        });
        for _ in 0..2 {
            assert!(!resumed(&client, &server, SessionOptions::new()));
        }
    }
}

#[test]
fn a_tls13_ticket_is_used_once() {
    let authority = Authority::new();
    let (client, server) = configured(ProtocolVersion::TLS1_3, &authority, |_, _| {});
    assert!(!resumed(&client, &server, to_server()));
    // Two tickets came; sessions whose own tickets are never read use them up.
    for expected in [true, true, false] {
        let mut pair = Pair::new(&client, &server);
        pair.handshake_in_pieces(16_384, 16_384).unwrap();
        assert_eq!(pair.client.session.resumed(), Some(expected));
    }
}

#[test]
fn a_session_is_not_resumed_once_it_is_too_old() {
    let authority = Authority::new();
    let mut pairs = Vec::new();
    for version in VERSIONS {
        for tickets in [true, false] {
            let (client, server) = configured(version, &authority, |_, server| {
                server.resumption.tickets = tickets;
                server.resumption.timeout = Duration::from_secs(1);
            });
            assert!(!resumed(&client, &server, to_server()));
            assert!(resumed(&client, &server, to_server()));
            pairs.push((client, server));
        }
    }
    // The cases share one wait. A TLS 1.2 session may have been renewed when it was resumed.
    sleep(Duration::from_millis(1_010));
    for (client, server) in pairs {
        assert!(!resumed(&client, &server, to_server()));
    }
}

#[test]
fn the_cache_is_bounded() {
    let authority = Authority::new();
    let (client, server) = configured(ProtocolVersion::TLS1_2, &authority, |_, server| {
        server.resumption.tickets = false;
        server.resumption.cache_size = 2;
    });
    for key in [b"a", b"b", b"c"] {
        assert!(!resumed(&client, &server, keyed(key)));
    }
    assert!(
        !resumed(&client, &server, keyed(b"a")),
        "the oldest is gone"
    );
    assert!(resumed(&client, &server, keyed(b"c")));
}
