//! Resumption belongs to the context, and to the policy a session was made under (contract K12).

mod common;

use std::thread::sleep;
use std::time::Duration;

use backend_openssl::{OpenSsl, OpenSslContext};
use common::{
    Mode, Pair, Pki, SERVER_NAME, capabilities, client_config, everywhere, server_config, to,
};
use tls_core::config::{ClientAuthentication, ServerConfig};
use tls_core::iana::ProtocolVersion;
use tls_core::{Backend, CertificateProblem, ClientConfig, ErrorKind, Facts, SessionOptions};

/// A client and a server context; each call of `connect` is one connection.
struct Contexts {
    client: OpenSslContext,
    server: OpenSslContext,
    mode: Mode,
}

impl Contexts {
    fn new(mode: Mode, client: ClientConfig, server: ServerConfig) -> Self {
        Self {
            client: client_context(client),
            server: server_context(server),
            mode,
        }
    }

    fn connect(&self) -> (Facts, Facts) {
        self.connect_with(to(SERVER_NAME))
    }

    fn connect_with(&self, options: SessionOptions) -> (Facts, Facts) {
        Pair::new(self.mode, &self.client, &self.server, options)
            .settle()
            .succeeded()
    }

    /// Connects, and tells whether both sides resumed; they must agree.
    #[track_caller]
    fn resumes(&self) -> bool {
        agreed(self.connect())
    }
}

#[track_caller]
fn agreed((client, server): (Facts, Facts)) -> bool {
    assert_eq!(client.resumed, server.resumed);
    client.resumed
}

fn client_context(config: ClientConfig) -> OpenSslContext {
    OpenSsl::new().client(config).expect("a client context")
}

fn server_context(config: ServerConfig) -> OpenSslContext {
    OpenSsl::new().server(config).expect("a server context")
}

/// Whether the library resumes this version at all.
fn can_resume(version: ProtocolVersion) -> bool {
    match version {
        ProtocolVersion::TLS1_2 => capabilities().tls12_resumption.is_available(),
        _ => capabilities().tls13_resumption.is_available(),
    }
}

fn stateful(mut config: ServerConfig) -> ServerConfig {
    config.resumption.tickets = false;
    config
}

#[test]
fn the_second_connection_resumes_the_first() {
    let pki = Pki::new();
    let leaf = pki.server();
    everywhere(|mode, version| {
        for server in [
            server_config(leaf.clone()),
            stateful(server_config(leaf.clone())),
        ] {
            let contexts = Contexts::new(mode, client_config(&pki, version), server);
            let (first, _) = contexts.connect();
            assert!(!first.resumed);
            for _ in 0..4 {
                let (client, server) = contexts.connect();
                assert_eq!(client.resumed, can_resume(version));
                assert_eq!(server.resumed, can_resume(version));
                assert_eq!(client.peer_certificates.as_deref(), Some(&leaf.chain[..]));
                assert_eq!(client.server_name.as_deref(), Some(SERVER_NAME));
                assert_eq!(server.server_name.as_deref(), Some(SERVER_NAME));
                let exchanged = version == ProtocolVersion::TLS1_3 || !client.resumed;
                assert_eq!(client.group.is_some(), exchanged && tells_groups());
                assert_eq!(client.group, server.group);
            }
        }
    });
}

fn tells_groups() -> bool {
    capabilities().negotiated_group.is_available()
}

#[test]
fn a_resumed_client_is_the_one_that_was_authenticated() {
    let pki = Pki::new();
    let own = pki.client();
    everywhere(|mode, version| {
        let mut client = client_config(&pki, version);
        client.identity = Some(own.clone().identity());
        let mut server = server_config(pki.server());
        server.client_authentication = ClientAuthentication::Required(pki.roots());
        let contexts = Contexts::new(mode, client, server);
        for round in 0..3 {
            let (client, server) = contexts.connect();
            assert_eq!(client.resumed, round > 0 && can_resume(version));
            assert_eq!(server.peer_certificates.as_deref(), Some(&own.chain[..]));
        }
    });
}

#[test]
fn either_side_can_turn_it_off() {
    let pki = Pki::new();
    everywhere(|mode, version| {
        let mut server = server_config(pki.server());
        server.resumption.enabled = false;
        let contexts = Contexts::new(mode, client_config(&pki, version), server);
        assert!(!contexts.resumes() && !contexts.resumes());

        let mut client = client_config(&pki, version);
        client.resumption.enabled = false;
        for server in [
            server_config(pki.server()),
            stateful(server_config(pki.server())),
        ] {
            let contexts = Contexts::new(mode, client.clone(), server);
            assert!(!contexts.resumes() && !contexts.resumes());
        }
    });
}

#[test]
fn a_tls13_ticket_is_used_once() {
    if !can_resume(ProtocolVersion::TLS1_3) {
        return;
    }
    let pki = Pki::new();
    let contexts = Contexts::new(
        Mode::Buffer,
        client_config(&pki, ProtocolVersion::TLS1_3),
        server_config(pki.server()),
    );
    let given = contexts.connect();
    assert!(!agreed(given));
    // Tickets that are read by no one: sessions that are made and dropped take one each.
    let offers = |count: usize| {
        for _ in 0..count {
            let session = tls_core::Context::buffer_session(&contexts.client, to(SERVER_NAME));
            drop(session.expect("a session"));
        }
    };
    offers(2);
    assert!(!contexts.resumes(), "OpenSSL gives two tickets");
}

#[test]
fn old_sessions_are_not_resumed() {
    let pki = Pki::new();
    let mut waiting = Vec::new();
    everywhere_into(&mut waiting, |mode, version| {
        [false, true].map(|tickets| {
            let mut server = server_config(pki.server());
            server.resumption.tickets = tickets;
            server.resumption.timeout = Duration::from_secs(1);
            let contexts = Contexts::new(mode, client_config(&pki, version), server);
            assert!(!contexts.resumes());
            contexts
        })
    });
    // The engine counts whole seconds.
    sleep(Duration::from_millis(2_500));
    for contexts in waiting.iter().flatten() {
        assert!(!contexts.resumes());
    }
}

fn everywhere_into<T>(into: &mut Vec<T>, make: impl Fn(Mode, ProtocolVersion) -> T) {
    let made = std::cell::RefCell::new(into);
    everywhere(|mode, version| made.borrow_mut().push(make(mode, version)));
}

#[test]
fn a_ticket_of_another_context_means_a_full_handshake() {
    let pki = Pki::new();
    let leaf = pki.server();
    everywhere(|mode, version| {
        for kind in [|config| config, stateful] {
            let mut contexts = Contexts::new(
                mode,
                client_config(&pki, version),
                kind(server_config(leaf.clone())),
            );
            assert!(!contexts.resumes());
            contexts.server = server_context(kind(server_config(leaf.clone())));
            assert!(!contexts.resumes());
        }
    });
}

#[test]
fn a_ticket_does_not_get_around_client_authentication() {
    let pki = Pki::new();
    let leaf = pki.server();
    everywhere(|mode, version| {
        let contexts = Contexts::new(
            mode,
            client_config(&pki, version),
            server_config(leaf.clone()),
        );
        assert!(!contexts.resumes());
        let mut strict = server_config(leaf.clone());
        strict.client_authentication = ClientAuthentication::Required(pki.roots());
        let strict = server_context(strict);
        let outcome = Pair::new(mode, &contexts.client, &strict, to(SERVER_NAME)).settle();
        assert_eq!(
            outcome.server.kind(),
            ErrorKind::Certificate(CertificateProblem::Missing)
        );
    });
}

#[test]
fn sessions_are_kept_apart_by_server_and_key() {
    let pki = Pki::new();
    let names = [SERVER_NAME, "second.example"];
    everywhere(|mode, version| {
        let contexts = Contexts::new(
            mode,
            client_config(&pki, version),
            server_config(pki.server_for(&names)),
        );
        let mut keyed = to(SERVER_NAME);
        keyed.resumption_key = b"someone else".to_vec();
        let connect = |options: &SessionOptions| agreed(contexts.connect_with(options.clone()));
        assert!(!connect(&to(SERVER_NAME)));
        assert!(!connect(&to(names[1])));
        assert!(!connect(&keyed));
        for options in [to(SERVER_NAME), to(names[1]), keyed] {
            assert_eq!(connect(&options), can_resume(version));
        }
    });
}

#[test]
fn the_oldest_server_makes_room_in_a_full_store() {
    let pki = Pki::new();
    let names = [SERVER_NAME, "second.example"];
    everywhere(|mode, version| {
        let mut client = client_config(&pki, version);
        client.resumption.store_size = 1;
        let contexts = Contexts::new(mode, client, server_config(pki.server_for(&names)));
        let connect = |name: &str| agreed(contexts.connect_with(to(name)));
        assert!(!connect(names[0]));
        assert!(!connect(names[1]));
        assert!(!connect(names[0]), "its session made room");
    });
}

#[test]
fn a_client_that_was_refused_keeps_no_session() {
    let pki = Pki::new();
    everywhere(|mode, version| {
        let mut strict = server_config(pki.server());
        strict.client_authentication = ClientAuthentication::Required(pki.roots());
        let client = client_context(client_config(&pki, version));
        let strict = server_context(strict);
        for _ in 0..2 {
            let outcome = Pair::new(mode, &client, &strict, to(SERVER_NAME)).settle();
            assert_eq!(
                outcome.server.kind(),
                ErrorKind::Certificate(CertificateProblem::Missing)
            );
        }
    });
}

#[test]
fn without_a_name_or_key_nothing_is_kept() {
    let pki = Pki::new();
    everywhere(|mode, version| {
        let mut client = client_config(&pki, version);
        client.dangerous.accept_any_name = true;
        let contexts = Contexts::new(mode, client, server_config(pki.server()));
        for _ in 0..2 {
            assert!(!agreed(contexts.connect_with(SessionOptions::new())));
        }
        let mut keyed = SessionOptions::new();
        keyed.resumption_key = b"this server".to_vec();
        assert!(!agreed(contexts.connect_with(keyed.clone())));
        assert_eq!(agreed(contexts.connect_with(keyed)), can_resume(version));
    });
}

#[test]
fn a_cache_keeps_no_more_than_its_size() {
    let pki = Pki::new();
    let mut server = stateful(server_config(pki.server()));
    server.resumption.cache_size = 2;
    let mut contexts = Contexts::new(
        Mode::Buffer,
        client_config(&pki, ProtocolVersion::TLS1_2),
        server,
    );
    assert!(!contexts.resumes());
    let first = contexts.client.clone();
    for _ in 0..2 {
        contexts.client = client_context(client_config(&pki, ProtocolVersion::TLS1_2));
        assert!(!contexts.resumes());
    }
    assert!(contexts.resumes(), "the newest is kept");
    contexts.client = first;
    assert!(!contexts.resumes(), "the oldest made room");
}
