//! What asking for a client certificate after the handshake, and renegotiating, may get wrong.

use std::sync::OnceLock;

use tls_core::config::{ClientAuthentication, Roots};
use tls_core::{
    ErrorKind, Facts, Feature, Misuse, PostHandshakeAuth as State, Progress, Result, Session,
    Status,
};

use super::super::Sabotage;
use super::super::hooks::{Call, Hook, OnRequest, OnState};
use super::idle;
use crate::pki::Pki;

/// Takes a request for done that the session refuses like this.
fn shrugs_at(call: &mut dyn Call, kind: ErrorKind) -> Result<Progress> {
    match call.request_client_certificate() {
        Err(error) if error.kind() == kind => idle(Status::Complete),
        result => result,
    }
}

/// Tells of the facts as they were when they were first asked for.
#[derive(Default)]
struct FirstFacts(OnceLock<Facts>);

impl Hook for FirstFacts {
    fn facts<'a>(&'a self, session: &'a dyn Session) -> Option<&'a Facts> {
        let facts = session.facts()?;
        Some(self.0.get_or_init(|| facts.clone()))
    }
}

/// Loses the first write after a request.
struct LosesNext(bool);

impl Hook for LosesNext {
    fn request_client_certificate(&mut self, call: &mut dyn Call) -> Result<Progress> {
        self.0 = true;
        call.request_client_certificate()
    }

    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        if std::mem::take(&mut self.0) {
            return Ok(Progress::new(Status::Complete, plaintext.len(), 0));
        }
        call.write(plaintext)
    }
}

/// Neither reads nor writes while the answer is outstanding.
struct WaitsForTheAnswer;

impl Hook for WaitsForTheAnswer {
    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        if call.session().post_handshake_auth() == State::Pending {
            return idle(Status::WantRead);
        }
        call.write(plaintext)
    }
}

/// Fails where the client has closed, or is closed to, before it has answered.
struct FailsUnanswered;

impl Hook for FailsUnanswered {
    fn shutdown(&mut self, call: &mut dyn Call) -> Result<Progress> {
        if call.session().post_handshake_auth() == State::Pending {
            return idle(Status::WantRead);
        }
        call.shutdown()
    }
}

pub(super) static SABOTAGES: &[Sabotage] = &[
    Sabotage {
        hook: || Box::new(OnRequest::new(|_| idle(Status::Complete))),
        ..Sabotage::new("K11", "a request for a client certificate does nothing")
    },
    Sabotage {
        hook: || {
            Box::new(OnRequest::new(|call| {
                let result = call.request_client_certificate();
                let _ = call.flush()?;
                result
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K4", "a request for a client certificate sends")
    },
    Sabotage {
        hook: || {
            Box::new(OnRequest::new(|call| {
                let progress = call.request_client_certificate()?;
                match progress.status {
                    Status::WantWrite => idle(Status::Complete),
                    _ => Ok(progress),
                }
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K4", "a request that found no room is lost")
    },
    Sabotage {
        hook: || {
            Box::new(OnRequest::new(|call| {
                shrugs_at(call, ErrorKind::Misuse(Misuse::RequestPending))
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K17", "a request while another is pending is swallowed")
    },
    Sabotage {
        hook: || {
            Box::new(OnRequest::new(|call| {
                shrugs_at(call, ErrorKind::Misuse(Misuse::WriteAfterShutdown))
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K7", "a request after shutdown is swallowed")
    },
    Sabotage {
        hook: || Box::new(FailsUnanswered),
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K7", "shutdown waits for the answer to a request")
    },
    Sabotage {
        hook: || {
            Box::new(OnRequest::new(|call| match call.session().failure() {
                Some(_) => idle(Status::Complete),
                None => call.request_client_certificate(),
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K5", "a failed session takes a request for a certificate")
    },
    Sabotage {
        hook: || {
            Box::new(OnState::new(|state| match state {
                State::Pending => State::Received,
                state => state,
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K10", "a request that was sent passes for answered")
    },
    Sabotage {
        hook: || {
            Box::new(OnState::new(|state| match state {
                State::Declined => State::Received,
                state => state,
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K14", "a client that declines passes for received")
    },
    Sabotage {
        hook: || {
            Box::new(OnState::new(|state| match state {
                State::PeerNotCapable => State::Pending,
                state => state,
            }))
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K11", "a client that cannot be asked passes for asked")
    },
    Sabotage {
        hook: || Box::new(FirstFacts::default()),
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K10", "a certificate that came late is not told")
    },
    Sabotage {
        hook: || Box::new(LosesNext(false)),
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K3", "what is written behind a request is lost")
    },
    Sabotage {
        hook: || Box::new(WaitsForTheAnswer),
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K16", "nothing is written while a request is pending")
    },
    Sabotage {
        server: |backend, mut config| {
            if let ClientAuthentication::OnRequest(roots) = &mut config.client_authentication {
                let pki = Pki::shared();
                let both = [pki.root.clone(), pki.other_root.clone()];
                *roots = Roots::given(both);
            }
            backend.server(config)
        },
        requires: &[Feature::PostHandshakeAuth],
        ..Sabotage::new("K14", "a client that is asked on request may be anyone's")
    },
    Sabotage {
        client: |backend, mut config| {
            config.parameters.allow_renegotiation = false;
            backend.client(config)
        },
        requires: &[Feature::RenegotiationClient],
        ..Sabotage::new("K11", "clients never renegotiate")
    },
    Sabotage {
        server: |backend, mut config| {
            config.parameters.allow_renegotiation =
                backend.capabilities().renegotiation_server.is_available();
            backend.server(config)
        },
        requires: &[Feature::RenegotiationServer],
        ..Sabotage::new("K11", "servers renegotiate unasked")
    },
];
