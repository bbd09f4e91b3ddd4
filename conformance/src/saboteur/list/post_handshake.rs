//! What asking for a client certificate after the handshake, and renegotiating, may get wrong.

use std::sync::OnceLock;

use tls_core::config::{ClientAuthentication, Identity, Roots};
use tls_core::{
    ErrorKind, Facts, Feature, Misuse, PostHandshakeAuth as State, Progress, Result, Session,
    Status, Verdict,
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

/// What servers need that wait for a verdict after the handshake.
const WAITS: &[Feature] = &[
    Feature::PostHandshakeAuth,
    Feature::SuspendedVerificationServer,
];
/// What clients need that choose after the handshake.
const CHOOSES: &[Feature] = &[Feature::PostHandshakeAuth, Feature::LateClientCredentials];

/// Whether a session waits for its caller, after its handshake.
fn waits(session: &dyn Session) -> bool {
    session.facts().is_some() && session.default_validation().is_some()
}

/// Says only once what a read waits for.
struct TellsOnce(Status, bool);

impl Hook for TellsOnce {
    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        let progress = call.read(plaintext)?;
        if progress.status == self.0 && std::mem::replace(&mut self.1, true) {
            return idle(Status::WantRead);
        }
        Ok(progress)
    }
}

/// Takes data that nobody may have yet, and loses it.
struct WritesUndecided;

impl Hook for WritesUndecided {
    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        match waits(call.session()) {
            true => Ok(Progress::new(Status::Complete, plaintext.len(), 0)),
            false => call.write(plaintext),
        }
    }
}

/// Passes for closed while it waits.
struct ClosesUndecided;

impl Hook for ClosesUndecided {
    fn shutdown(&mut self, call: &mut dyn Call) -> Result<Progress> {
        match waits(call.session()) {
            true => idle(Status::Complete),
            false => call.shutdown(),
        }
    }
}

/// Accepts whom it has let in already.
struct AcceptsLate;

impl Hook for AcceptsLate {
    fn set_validation_result(&mut self, session: &mut dyn Session, verdict: Verdict) -> Result<()> {
        let verdict = match waits(session) {
            true => Verdict::Accept,
            false => verdict,
        };
        session.set_validation_result(verdict)
    }
}

/// Presents what it has chosen first, whatever is chosen later.
#[derive(Default)]
struct KeepsChoice(Option<Option<Identity>>);

impl Hook for KeepsChoice {
    fn set_client_certificate(
        &mut self,
        session: &mut dyn Session,
        identity: Option<Identity>,
    ) -> Result<()> {
        let first = self.0.clone().unwrap_or_else(|| identity.clone());
        session.set_client_certificate(first)?;
        self.0.get_or_insert(identity);
        Ok(())
    }
}

pub(super) static SABOTAGES: &[Sabotage] = &[
    Sabotage {
        hook: || Box::new(TellsOnce(Status::NeedsCertificateValidation, false)),
        requires: WAITS,
        ..Sabotage::new("K13", "a read says only once that it waits for a verdict")
    },
    Sabotage {
        hook: || Box::new(TellsOnce(Status::WantCredentials, false)),
        requires: CHOOSES,
        ..Sabotage::new("K13", "a read says only once that it waits for credentials")
    },
    Sabotage {
        hook: || Box::new(WritesUndecided),
        requires: WAITS,
        ..Sabotage::new("K14", "data is taken while a late verdict is awaited")
    },
    Sabotage {
        hook: || Box::new(ClosesUndecided),
        requires: WAITS,
        ..Sabotage::new("K13", "a session is closed while a late verdict is awaited")
    },
    Sabotage {
        hook: || Box::new(AcceptsLate),
        requires: WAITS,
        ..Sabotage::new("K14", "whoever authenticates late is accepted")
    },
    Sabotage {
        hook: || Box::new(KeepsChoice::default()),
        requires: CHOOSES,
        ..Sabotage::new("K13", "credentials are chosen once for all requests")
    },
    Sabotage {
        client: |backend, mut config| {
            if config.late_credentials || config.peer_verification.is_suspended() {
                config.parameters.allow_renegotiation = false;
            }
            backend.client(config)
        },
        requires: &[
            Feature::RenegotiationClient,
            Feature::LateClientCredentials,
            Feature::SuspendedVerificationClient,
        ],
        ..Sabotage::new(
            "K11",
            "a client that waits and renegotiates does the one alone",
        )
    },
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
