//! Who is accepted, and what the refused are told.

use tls_core::config::{ClientAuthentication, Identity};
use tls_core::iana::AlertDescription;
use tls_core::{CertificateProblem, Error, ErrorKind, Session, SessionOptions};

use crate::pair::{Pair, VERSIONS, configured, to_server};
use crate::pki::Authority;

fn server_refused(
    identity: Identity,
    authority: &Authority,
    options: &SessionOptions,
) -> Vec<Error> {
    let mut errors = Vec::new();
    for version in VERSIONS {
        let (client, server) = configured(version, authority, |_, server| {
            server.identity = identity.clone();
        });
        let mut pair = Pair::with_options(&client, &server, options.clone());
        let (client, server) = pair.outcomes(16_384, 16_384);
        let (client, server) = (client.unwrap_err(), server.unwrap_err());
        assert_eq!(server.kind(), ErrorKind::PeerAlert);
        assert_eq!(
            server.alert().unwrap().description,
            client.alert().unwrap().description,
            "what is reported was sent"
        );
        assert_eq!(pair.client.session.peer_certificates(), None);
        errors.push(client);
    }
    errors
}

#[test]
fn an_authority_that_serves_is_refused_in_words() {
    let authority = Authority::new();
    let identity = authority.authority_as_server();
    for error in server_refused(identity, &authority, &to_server()) {
        let problem = ErrorKind::Certificate(CertificateProblem::WrongPurpose);
        assert_eq!(error.kind(), problem);
        assert!(error.detail().contains("CA:TRUE"), "{error}");
    }
}

#[test]
fn servers_are_refused_with_the_fitting_alert() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let elsewhere = SessionOptions::to_server("elsewhere.test").unwrap();
    let address = SessionOptions::to_server("127.0.0.2").unwrap();
    for (identity, options, problem, alert) in [
        (
            authority.expired(),
            to_server(),
            CertificateProblem::Expired,
            AlertDescription::CERTIFICATE_EXPIRED,
        ),
        (
            stranger.server(),
            to_server(),
            CertificateProblem::UnknownIssuer,
            AlertDescription::UNKNOWN_CA,
        ),
        (
            authority.server(),
            elsewhere,
            CertificateProblem::NameMismatch,
            AlertDescription::BAD_CERTIFICATE,
        ),
        (
            authority.server(),
            address,
            CertificateProblem::NameMismatch,
            AlertDescription::BAD_CERTIFICATE,
        ),
        (
            authority.common_name_only(),
            to_server(),
            CertificateProblem::NameMismatch,
            AlertDescription::BAD_CERTIFICATE,
        ),
        (
            authority.client(),
            to_server(),
            CertificateProblem::WrongPurpose,
            AlertDescription::UNSUPPORTED_CERTIFICATE,
        ),
    ] {
        for error in server_refused(identity, &authority, &options) {
            assert_eq!(error.kind(), ErrorKind::Certificate(problem), "{error}");
            assert_eq!(error.alert().unwrap().description, alert);
        }
    }
}

#[test]
fn any_name_is_not_any_certificate() {
    let authority = Authority::new();
    let stranger = Authority::new();
    for version in VERSIONS {
        let (client, server) = configured(version, &authority, |client, _| {
            client.dangerous.accept_any_name = true;
        });
        let elsewhere = SessionOptions::to_server("elsewhere.test").unwrap();
        for options in [elsewhere, SessionOptions::new()] {
            Pair::with_options(&client, &server, options)
                .handshake()
                .unwrap();
        }
        let (client, server) = configured(version, &authority, |client, server| {
            client.dangerous.accept_any_name = true;
            server.identity = stranger.server();
        });
        let error = Pair::new(&client, &server).outcomes(16_384, 16_384).0;
        assert_eq!(
            error.unwrap_err().kind(),
            ErrorKind::Certificate(CertificateProblem::UnknownIssuer)
        );
    }
}

#[test]
fn any_certificate_is_accepted_where_that_is_asked_for() {
    let authority = Authority::new();
    for version in VERSIONS {
        let (client, server) = configured(version, &authority, |client, server| {
            client.roots = Default::default();
            client.dangerous.accept_any_certificate = true;
            server.identity = authority.expired();
        });
        for options in [to_server(), SessionOptions::new()] {
            let mut pair = Pair::with_options(&client, &server, options);
            pair.handshake().unwrap();
            assert!(pair.client.session.peer_certificates().is_some());
        }
    }
}

#[test]
fn clients_are_asked_and_always_verified() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let asks: [fn(&Authority) -> ClientAuthentication; 3] = [
        |_| ClientAuthentication::None,
        |authority| ClientAuthentication::Optional(authority.roots()),
        |authority| ClientAuthentication::Required(authority.roots()),
    ];
    for version in VERSIONS {
        for (asked, ask) in asks.iter().enumerate() {
            let shake = |identity: Option<Identity>| {
                let (client, server) = configured(version, &authority, |client, server| {
                    server.client_authentication = ask(&authority);
                    client.identity = identity;
                });
                let mut pair = Pair::new(&client, &server);
                let (_, outcome) = pair.outcomes(16_384, 16_384);
                let error = pair.client.read_error_if_any(&mut pair.server.inbox);
                (outcome, error, pair)
            };

            let known = authority.client();
            let (outcome, _, pair) = shake(Some(known.clone()));
            outcome.unwrap();
            let seen = pair.server.session.peer_certificates();
            assert_eq!(seen.is_some(), asked > 0);
            if let Some(seen) = seen {
                assert_eq!(seen, known.chain());
            }

            let (outcome, error, _) = shake(None);
            if asked < 2 {
                outcome.unwrap();
            } else {
                let refused = outcome.unwrap_err();
                let missing = ErrorKind::Certificate(CertificateProblem::Missing);
                assert_eq!(refused.kind(), missing);
                let alert = refused.alert().unwrap().description;
                assert_eq!(alert, AlertDescription::CERTIFICATE_REQUIRED);
                assert_eq!(error.unwrap().alert().unwrap().description, alert);
            }

            for (identity, problem) in [
                (stranger.client(), CertificateProblem::UnknownIssuer),
                (authority.server(), CertificateProblem::WrongPurpose),
            ] {
                let (outcome, error, _) = shake(Some(identity));
                if asked == 0 {
                    outcome.unwrap();
                    continue;
                }
                let refused = outcome.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Certificate(problem));
                let alert = refused.alert().unwrap().description;
                assert_eq!(error.unwrap().alert().unwrap().description, alert);
            }
        }
    }
}
