//! What comes of answers.

use conformance::Pki;
use tls_core::config::{ClientAuthentication, PeerVerification, Roots};
use tls_core::{AlertDirection, CertificateProblem, ErrorKind, Session, Status, Verdict};

use crate::pair::{Pair, VERSIONS, asking, backends};

#[test]
fn both_sides_ask_each_of_their_questions_once() {
    for (backend, version) in cells() {
        for pieces in [
            (16 * 1024, 16 * 1024),
            (1, 16 * 1024),
            (16 * 1024, 1),
            (1, 1),
        ] {
            let mut pair = Pair::of(&*backend, asking(version));
            pair.pieces = pieces;
            pair.complete();
            assert_eq!(
                pair.client.asked,
                [Status::NeedsCertificateValidation, Status::WantCredentials]
            );
            assert_eq!(pair.server.asked, [Status::NeedsCertificateValidation]);
            let pki = Pki::shared();
            assert_eq!(
                pair.server.session.peer_certificates(),
                Some(pki.client.chain())
            );
            assert_eq!(
                pair.client.session.peer_certificates(),
                Some(pki.server.chain())
            );
            assert_eq!(pair.client.session.resumed(), Some(false));
        }
    }
}

#[test]
fn the_reason_of_a_rejection_is_the_error_and_its_alert() {
    for (backend, version) in cells() {
        for &problem in CertificateProblem::ALL {
            for of_client in [true, false] {
                let mut pair = Pair::of(&*backend, asking(version));
                let rejects = match of_client {
                    true => &mut pair.server,
                    false => &mut pair.client,
                };
                rejects.answers(Verdict::Reject(problem));
                pair.shake_hands();
                let (rejects, rejected) = match of_client {
                    true => (&pair.server, &mut pair.client),
                    false => (&pair.client, &mut pair.server),
                };
                let error = rejects.error();
                assert_eq!(error.kind(), ErrorKind::Certificate(problem));
                let alert = error.alert().unwrap();
                assert_eq!(alert.direction, AlertDirection::Sent);
                assert_eq!(alert.description, problem.alert());
                // With TLS 1.3 a client has completed before its certificate is looked at.
                let heard = match &rejected.outcome {
                    Some(Err(error)) => error.clone(),
                    _ => rejected
                        .session
                        .read(&mut rejected.inbox, &mut [0; 10])
                        .unwrap_err(),
                };
                assert_eq!(heard.kind(), ErrorKind::PeerAlert);
                assert_eq!(heard.alert().unwrap().description, problem.alert());
                assert!(rejects.session.peer_certificates().is_none());
            }
        }
    }
}

#[test]
fn a_client_may_present_nothing() {
    for (backend, version) in cells() {
        let (client, mut server) = asking(version);
        server.client_authentication = ClientAuthentication::Optional(Pki::shared().roots());
        let mut pair = Pair::of(&*backend, (client, server));
        pair.client.presents(None);
        pair.complete();
        assert!(pair.server.asked.is_empty(), "there is nothing to verify");
        assert!(pair.server.session.peer_certificates().is_none());

        let mut pair = Pair::of(&*backend, asking(version));
        pair.client.presents(None);
        pair.shake_hands();
        let missing = ErrorKind::Certificate(CertificateProblem::Missing);
        assert_eq!(pair.server.error().kind(), missing);
    }
}

#[test]
fn a_certificate_that_cannot_be_used_leaves_the_session_waiting() {
    for (backend, version) in cells() {
        let (mut client, server) = asking(version);
        client.peer_verification = PeerVerification::Default;
        let mut pair = Pair::of(&*backend, (client, server));
        let session = &mut pair.client.session;
        let mut room = [0; 16 * 1024];
        let hello = session.handshake(&mut [], &mut room).unwrap();
        let mut flight = [0; 16 * 1024];
        let answer = pair
            .server
            .session
            .handshake(&mut room[..hello.produced], &mut flight)
            .unwrap();
        let flight = &mut flight[..answer.produced];
        let asks = session.handshake(flight, &mut room).unwrap();
        assert_eq!(asks.status, Status::WantCredentials);
        let mismatched = Pki::shared().mismatched.clone();
        let error = session
            .set_client_certificate(Some(mismatched))
            .unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Config(_)), "{error}");
        let again = session.handshake(&mut [], &mut room).unwrap();
        assert_eq!(again.status, Status::WantCredentials);
        session.set_client_certificate(None).unwrap();
        assert!(session.set_client_certificate(None).is_err());
    }
}

/// The default verification fails before the caller is asked what to present to such a server.
#[test]
fn nobody_is_asked_for_credentials_for_a_server_that_fails() {
    for (backend, version) in cells() {
        let (mut client, mut server) = asking(version);
        client.peer_verification = PeerVerification::Default;
        server.identity = Pki::shared().untrusted_server.clone();
        let mut pair = Pair::of(&*backend, (client, server));
        pair.shake_hands();
        assert!(pair.client.asked.is_empty());
        let unknown = ErrorKind::Certificate(CertificateProblem::UnknownIssuer);
        assert_eq!(pair.client.error().kind(), unknown);
    }
}

#[test]
fn without_roots_the_outcome_is_an_unknown_issuer_and_the_caller_decides() {
    for (backend, version) in cells() {
        let (mut client, mut server) = asking(version);
        client.roots = Roots::default();
        server.client_authentication = ClientAuthentication::Required(Roots::default());
        let mut pair = Pair::of(&*backend, (client, server));
        pair.complete();
    }
}

#[test]
fn a_session_may_be_dropped_while_it_waits() {
    for (backend, version) in cells() {
        let mut pair = Pair::of(&*backend, asking(version));
        let mut room = [0; 16 * 1024];
        let (client, server) = (&mut pair.client.session, &mut pair.server.session);
        let hello = client.handshake(&mut [], &mut room).unwrap();
        let mut flight = [0; 16 * 1024];
        let answer = server
            .handshake(&mut room[..hello.produced], &mut flight)
            .unwrap();
        let asks = client
            .handshake(&mut flight[..answer.produced], &mut room)
            .unwrap();
        assert_eq!(asks.status, Status::NeedsCertificateValidation);
        drop(pair);
    }
}

#[test]
fn a_server_that_chose_its_context_asks_as_that_one_does() {
    for (backend, version) in cells() {
        for pieces in [(16 * 1024, 16 * 1024), (1, 1)] {
            let (client, server) = asking(version);
            let client = backend.client(client).unwrap();
            let deferred = backend.deferred_server().unwrap();
            let mut pair = Pair::new(&*client, &*deferred);
            pair.pieces = pieces;
            pair.server.context = Some(backend.server(server).unwrap());
            pair.complete();
            assert_eq!(
                pair.server.asked,
                [
                    Status::NeedsServerContext,
                    Status::NeedsCertificateValidation
                ]
            );
        }
    }
}

fn cells() -> impl Iterator<
    Item = (
        Box<dyn tls_core::DynBackend>,
        tls_core::iana::ProtocolVersion,
    ),
> {
    VERSIONS.into_iter().flat_map(|version| {
        backends()
            .into_iter()
            .map(move |backend| (backend, version))
    })
}
