//! What a session keeps while it may have to start again, and what comes of it if that is wrong.

#![cfg(any(feature = "aws-lc-rs", feature = "ring"))]

use tls_core::config::{ClientAuthentication, Identity, PeerVerification, Roots};
use tls_core::iana::ProtocolVersion;
use tls_core::pki_types::PrivateKeyDer;
use tls_core::{
    Backend, BufferSession, ClientConfig, Context, ErrorKind, ServerConfig, Session,
    SessionOptions, Status, Verdict,
};

#[cfg(feature = "aws-lc-rs")]
use crate::Rustls as Provided;
#[cfg(not(feature = "aws-lc-rs"))]
use crate::RustlsRing as Provided;
use crate::{RustlsContext, RustlsSession};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3];

fn contexts(version: ProtocolVersion, suspended: bool) -> (RustlsContext, RustlsContext) {
    let made = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let identity = Identity::from_der(vec![made.cert.der().clone()], key).unwrap();
    let mut client = ClientConfig::new(Roots::given([made.cert.der().clone()]));
    client.identity = Some(identity.clone());
    let mut server = ServerConfig::new(identity);
    if suspended {
        client.peer_verification = PeerVerification::Suspended;
        server.client_authentication = ClientAuthentication::Required(Roots::default());
        server.peer_verification = PeerVerification::Suspended;
    }
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.min_version = version;
        parameters.max_version = version;
    }
    let backend = Provided::new();
    (
        Backend::client(&backend, client).unwrap(),
        Backend::server(&backend, server).unwrap(),
    )
}

fn sessions(version: ProtocolVersion, suspended: bool) -> [RustlsSession; 2] {
    let (client, server) = contexts(version, suspended);
    let options = SessionOptions::to_server("server.test").unwrap();
    [
        client.buffer_session(options).unwrap(),
        server.buffer_session(SessionOptions::new()).unwrap(),
    ]
}

/// Moves what there is, until neither goes on; gives what each came to last.
fn shake_hands(sessions: &mut [RustlsSession; 2], inboxes: &mut [Vec<u8>; 2]) -> [Status; 2] {
    let mut last = [Status::WantRead; 2];
    for _ in 0..10 {
        for at in [0, 1] {
            let mut room = [0; 16 * 1024];
            let progress = sessions[at].handshake(&mut inboxes[at], &mut room).unwrap();
            inboxes[at].drain(..progress.consumed);
            inboxes[1 - at].extend_from_slice(&room[..progress.produced]);
            last[at] = progress.status;
        }
    }
    last
}

/// Sessions of which the client, and then the server, waits for a verdict.
fn waiting(version: ProtocolVersion, server: bool) -> ([RustlsSession; 2], [Vec<u8>; 2]) {
    let mut sessions = sessions(version, true);
    let mut inboxes = [Vec::new(), Vec::new()];
    let waits = Status::NeedsCertificateValidation;
    assert_eq!(shake_hands(&mut sessions, &mut inboxes)[0], waits);
    if server {
        sessions[0].set_validation_result(Verdict::Accept).unwrap();
        assert_eq!(shake_hands(&mut sessions, &mut inboxes)[1], waits);
    }
    (sessions, inboxes)
}

#[test]
fn what_is_kept_is_freed_once_the_handshake_is_complete() {
    for version in VERSIONS {
        let (mut sessions, mut inboxes) = waiting(version, true);
        let replay = sessions[1].replay().unwrap();
        assert!(!replay.input.is_empty() && !replay.said.is_empty());
        sessions[1].set_validation_result(Verdict::Accept).unwrap();
        let ends = shake_hands(&mut sessions, &mut inboxes);
        assert_eq!(ends, [Status::Complete; 2]);
        assert!(sessions.iter().all(|session| session.replay().is_none()));
    }
}

#[test]
fn nothing_is_kept_where_nobody_asks() {
    for version in VERSIONS {
        let mut sessions = sessions(version, false);
        assert!(sessions.iter().all(|session| session.replay().is_none()));
        let ends = shake_hands(&mut sessions, &mut [Vec::new(), Vec::new()]);
        assert_eq!(ends, [Status::Complete; 2]);
    }
}

#[test]
fn nothing_is_kept_of_a_session_that_has_failed() {
    let (mut sessions, mut inboxes) = waiting(ProtocolVersion::TLS1_3, false);
    let problem = tls_core::CertificateProblem::Revoked;
    let rejects = Verdict::Reject(problem);
    sessions[0].set_validation_result(rejects).unwrap();
    let mut room = [0; 100];
    let progress = sessions[0].handshake(&mut inboxes[0], &mut room).unwrap();
    assert_eq!(progress.status, Status::WantWrite);
    assert!(sessions[0].replay().is_none());

    // The server's Finished is still to come.
    let (mut sessions, _) = waiting(ProtocolVersion::TLS1_2, false);
    sessions[0].input_eof();
    sessions[0].set_validation_result(Verdict::Accept).unwrap();
    let outcomes = (0..100).map(|_| sessions[0].handshake(&mut [], &mut room));
    let error = outcomes.last().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(sessions[0].replay().is_none());
}

/// Whatever is not the same the second time, the peer hears nothing of it.
#[test]
fn a_handshake_that_is_not_the_same_again_fails() {
    type Change = fn(&mut super::Replay);
    let changes: [(&str, Change); 6] = [
        ("what has left was something else", |replay| {
            replay.said[20] ^= 1;
        }),
        ("more has left than there is to say", |replay| {
            replay.said.push(0);
        }),
        ("the peer said something else", |replay| {
            let last = replay.input.len() - 1;
            replay.input[last] ^= 1;
        }),
        ("the verdict is on another chain", |replay| {
            replay.tape.as_mut().unwrap().judge_another();
        }),
        ("the provider was asked for less", |replay| {
            replay.tape.as_mut().unwrap().forget_first();
        }),
        ("the provider was asked for more", |replay| {
            replay.tape.as_mut().unwrap().repeat_last();
        }),
    ];
    for version in VERSIONS {
        for server in [false, true] {
            for (what, change) in changes {
                let (mut sessions, mut inboxes) = waiting(version, server);
                let at = usize::from(server);
                change(sessions[at].replay_mut().unwrap());
                sessions[at].set_validation_result(Verdict::Accept).unwrap();
                let mut room = [0; 16 * 1024];
                let outcome = sessions[at].handshake(&mut inboxes[at], &mut room);
                if what == "the peer said something else" {
                    // rustls may find that out by itself, and say so.
                    assert!(
                        outcome.is_err() || sessions[at].failure().is_some(),
                        "{what}"
                    );
                    continue;
                }
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Backend, "{version}, {at}: {what}");
                assert_eq!(sessions[at].pending_output(), 0, "{what}");
                assert!(sessions[at].facts().is_none(), "{what}");
            }
        }
    }
}

#[test]
fn a_hello_stands_in_for_one_that_has_nothing_behind_it() {
    for version in VERSIONS {
        let [mut client, _] = sessions(version, true);
        let mut room = [0; 16 * 1024];
        let progress = client.handshake(&mut [], &mut room).unwrap();
        let mut records = room[..progress.produced].to_vec();
        let hello = super::only_client_hello(&records).unwrap();
        assert!(records.ends_with(&hello));
        // A change_cipher_spec.
        records.extend([20, 3, 3, 0, 1, 1]);
        assert_eq!(super::only_client_hello(&records), None);
    }
}
