//! Verdicts on peers, and certificates chosen late.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tls_core::config::{Identity, PeerVerification, UnverifiedPeer, Verifier};
use tls_core::pki_types::CertificateDer;
use tls_core::{
    CertificateProblem, Error, ErrorKind, Feature, Misuse, Progress, Result, Session, Status,
    Verdict,
};

use super::super::Sabotage;
use super::super::hooks::{Hook, OnHandshake, OnResult};
use super::idle;
use crate::pki::Pki;

const VERIFIER: &[Feature] = &[Feature::Verifier];
const CLIENT: &[Feature] = &[Feature::SuspendedVerificationClient];
const SERVER: &[Feature] = &[Feature::SuspendedVerificationServer];
const LATE: &[Feature] = &[Feature::LateClientCredentials];

type Outcome = std::result::Result<(), CertificateProblem>;

/// Says only once what the session waits for.
fn tells_once(waits_for: Status) -> Box<dyn Hook> {
    let mut told = false;
    Box::new(OnHandshake::new(move |call| {
        let progress = call.handshake()?;
        if progress.status != waits_for {
            return Ok(progress);
        }
        if std::mem::replace(&mut told, true) {
            return idle(Status::WantRead);
        }
        Ok(progress)
    }))
}

/// Takes for granted what the session asks.
fn answers_itself(waits_for: Status, answer: fn(&mut dyn Session) -> Result<()>) -> Box<dyn Hook> {
    Box::new(OnHandshake::new(move |call| {
        let progress = call.handshake()?;
        if progress.status != waits_for {
            return Ok(progress);
        }
        answer(call.session_mut())?;
        Ok(Progress {
            status: Status::WantRead,
            ..progress
        })
    }))
}

/// Takes an answer for good that the session has not asked for.
fn shrugs(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::Misuse(Misuse::NotSuspended) => Ok(()),
        result => result,
    }
}

/// Changes the verdict on its way.
struct Judges(fn(&mut dyn Session, Verdict) -> Result<()>);

impl Hook for Judges {
    fn set_validation_result(&mut self, session: &mut dyn Session, verdict: Verdict) -> Result<()> {
        self.0(session, verdict)
    }
}

/// Says this of the library's own verification.
struct Claims(fn(Outcome) -> Outcome);

impl Hook for Claims {
    fn default_validation(&self, session: &dyn Session) -> Option<Outcome> {
        session.default_validation().map(self.0)
    }
}

/// Shows another chain to decide about.
struct Shows(fn() -> Option<&'static [CertificateDer<'static>]>);

impl Hook for Shows {
    fn unverified_peer_certificates<'a>(
        &'a self,
        session: &'a dyn Session,
    ) -> Option<&'a [CertificateDer<'static>]> {
        session
            .unverified_peer_certificates()
            .and_then(|_| self.0())
    }
}

/// Still shows the chain to decide about when that is done, or before there is one.
struct ShowsAlways;

impl Hook for ShowsAlways {
    fn unverified_peer_certificates<'a>(
        &'a self,
        session: &'a dyn Session,
    ) -> Option<&'a [CertificateDer<'static>]> {
        let chain = session.unverified_peer_certificates();
        chain.or_else(|| Some(Pki::shared().client.chain()))
    }
}

/// Changes the choice of a certificate on its way.
struct Chooses(fn(&mut dyn Session, Option<Identity>) -> Result<()>);

impl Hook for Chooses {
    fn set_client_certificate(
        &mut self,
        session: &mut dyn Session,
        identity: Option<Identity>,
    ) -> Result<()> {
        self.0(session, identity)
    }
}

/// Tells other issuers than the server has named.
struct Names(Option<Vec<Vec<u8>>>);

impl Hook for Names {
    fn acceptable_issuers<'a>(&'a self, _session: &'a dyn Session) -> Option<&'a [Vec<u8>]> {
        self.0.as_deref()
    }
}

/// Has every session present what the last one chose.
fn chooses_for_all(session: &mut dyn Session, identity: Option<Identity>) -> Result<()> {
    static LAST: Mutex<Option<Identity>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let before = match identity {
        Some(identity) => last.replace(identity.clone()).or(Some(identity)),
        None => last.clone(),
    };
    session.set_client_certificate(before)
}

/// Stands between a library and a verifier.
#[derive(Debug)]
struct Between {
    verifier: Arc<dyn Verifier>,
    asks: fn(&dyn Verifier, &UnverifiedPeer<'_>) -> Verdict,
}

impl Verifier for Between {
    fn verify(&self, peer: &UnverifiedPeer<'_>) -> Verdict {
        (self.asks)(&*self.verifier, peer)
    }
}

fn between(
    verification: &mut PeerVerification,
    asks: fn(&dyn Verifier, &UnverifiedPeer<'_>) -> Verdict,
) {
    if let PeerVerification::Verifier(verifier) = verification {
        let verifier = verifier.clone();
        *verification = PeerVerification::Verifier(Arc::new(Between { verifier, asks }));
    }
}

/// What stands between the library and the verifiers of both sides.
macro_rules! between_verifiers {
    ($clause:literal, $what:literal, $asks:expr) => {
        Sabotage {
            requires: VERIFIER,
            client: |backend, mut config| {
                between(&mut config.peer_verification, $asks);
                backend.client(config)
            },
            server: |backend, mut config| {
                between(&mut config.peer_verification, $asks);
                backend.server(config)
            },
            ..Sabotage::new($clause, $what)
        }
    };
}

fn reversed(verifier: &dyn Verifier, peer: &UnverifiedPeer<'_>) -> Verdict {
    let chain: Vec<_> = peer.chain.iter().rev().cloned().collect();
    verifier.verify(&UnverifiedPeer::new(&chain, peer.server_name, peer.default))
}

fn takes_panics_for_consent(verifier: &dyn Verifier, peer: &UnverifiedPeer<'_>) -> Verdict {
    let verdict = catch_unwind(AssertUnwindSafe(|| verifier.verify(peer)));
    verdict.unwrap_or(Verdict::Accept)
}

pub(super) static SABOTAGES: &[Sabotage] = &[
    Sabotage {
        requires: VERIFIER,
        client: |backend, mut config| {
            config.peer_verification = PeerVerification::Default;
            backend.client(config)
        },
        server: |backend, mut config| {
            config.peer_verification = PeerVerification::Default;
            backend.server(config)
        },
        ..Sabotage::new("K14", "verifiers are not asked")
    },
    between_verifiers!("K14", "verifiers are asked twice", |verifier, peer| {
        let _ = verifier.verify(peer);
        verifier.verify(peer)
    }),
    between_verifiers!(
        "K14",
        "what verifiers reject is accepted",
        |verifier, peer| {
            let _ = verifier.verify(peer);
            Verdict::Accept
        }
    ),
    between_verifiers!("K14", "verifiers see the chain root first", reversed),
    between_verifiers!(
        "K14",
        "verifiers are told that all is well",
        |verifier, peer| {
            verifier.verify(&UnverifiedPeer::new(peer.chain, peer.server_name, Ok(())))
        }
    ),
    between_verifiers!(
        "K14",
        "verifiers are not told the name",
        |verifier, peer| { verifier.verify(&UnverifiedPeer::new(peer.chain, None, peer.default)) }
    ),
    between_verifiers!(
        "K9",
        "the panic of a verifier accepts",
        takes_panics_for_consent
    ),
    between_verifiers!(
        "K14",
        "verifiers reject for another reason",
        |verifier, peer| {
            match verifier.verify(peer) {
                Verdict::Reject(_) => Verdict::Reject(CertificateProblem::Other),
                accepted => accepted,
            }
        }
    ),
    Sabotage {
        requires: VERIFIER,
        client: |backend, config| {
            if config.roots.is_empty() {
                return Err(Error::config(
                    tls_core::ConfigProblem::TrustRoots,
                    "no roots",
                ));
            }
            backend.client(config)
        },
        ..Sabotage::new("K14", "verifiers need roots")
    },
    Sabotage {
        requires: CLIENT,
        hook: || tells_once(Status::NeedsCertificateValidation),
        ..Sabotage::new("K13", "a client says only once that it waits for a verdict")
    },
    Sabotage {
        requires: SERVER,
        hook: || tells_once(Status::NeedsCertificateValidation),
        ..Sabotage::new("K13", "a server says only once that it waits for a verdict")
    },
    Sabotage {
        requires: CLIENT,
        hook: || {
            answers_itself(Status::NeedsCertificateValidation, |session| {
                session.set_validation_result(Verdict::Accept)
            })
        },
        ..Sabotage::new("K14", "a session that should wait for a verdict accepts")
    },
    Sabotage {
        requires: CLIENT,
        hook: || {
            Box::new(OnResult::new(|session, result| {
                if session.unverified_peer_certificates().is_none() {
                    return result;
                }
                result.or_else(|_| idle(Status::WantRead))
            }))
        },
        ..Sabotage::new("K13", "data may be read and written before the verdict")
    },
    Sabotage {
        requires: CLIENT,
        hook: || {
            Box::new(OnHandshake::new(|call| {
                let offered = call.input_length().unwrap_or(0);
                let mut progress = call.handshake()?;
                if progress.status == Status::NeedsCertificateValidation {
                    progress.consumed = offered;
                }
                Ok(progress)
            }))
        },
        only_case: Some("verification.client_waits_and_accepts"),
        ..Sabotage::new("K13", "a session that waits consumes its input")
    },
    Sabotage {
        requires: CLIENT,
        hook: || {
            Box::new(Judges(|session, _| {
                session.set_validation_result(Verdict::Accept)
            }))
        },
        ..Sabotage::new("K14", "a rejection accepts")
    },
    Sabotage {
        requires: CLIENT,
        hook: || {
            Box::new(Judges(|session, verdict| {
                session.set_validation_result(match verdict {
                    Verdict::Reject(_) => Verdict::Reject(CertificateProblem::Weak),
                    accepted => accepted,
                })
            }))
        },
        ..Sabotage::new("K14", "every rejection has the same reason")
    },
    Sabotage {
        requires: CLIENT,
        hook: || {
            Box::new(Judges(|session, verdict| {
                shrugs(session.set_validation_result(verdict))
            }))
        },
        ..Sabotage::new("K13", "a verdict may be given unasked")
    },
    Sabotage {
        requires: CLIENT,
        hook: || Box::new(Claims(|_| Ok(()))),
        ..Sabotage::new(
            "K14",
            "the library's own verification is said to be content",
        )
    },
    Sabotage {
        requires: CLIENT,
        hook: || Box::new(Shows(|| None)),
        ..Sabotage::new("K10", "the chain to decide about is not shown")
    },
    Sabotage {
        requires: CLIENT,
        hook: || Box::new(Shows(|| Some(&Pki::shared().server.chain()[..1]))),
        ..Sabotage::new("K10", "of the chain to decide about only the leaf is shown")
    },
    Sabotage {
        requires: CLIENT,
        hook: || Box::new(ShowsAlways),
        ..Sabotage::new("K10", "a chain to decide about is shown when there is none")
    },
    Sabotage {
        requires: LATE,
        hook: || tells_once(Status::WantCredentials),
        ..Sabotage::new("K13", "a client says only once that it wants a certificate")
    },
    Sabotage {
        requires: LATE,
        hook: || {
            answers_itself(Status::WantCredentials, |session| {
                session.set_client_certificate(None)
            })
        },
        ..Sabotage::new(
            "K13",
            "a client that should ask for a certificate presents none",
        )
    },
    Sabotage {
        requires: LATE,
        hook: || Box::new(Chooses(|session, _| session.set_client_certificate(None))),
        ..Sabotage::new("K13", "the certificate that was chosen is not presented")
    },
    Sabotage {
        requires: LATE,
        hook: || Box::new(Chooses(chooses_for_all)),
        ..Sabotage::new("K15", "a session presents what another has chosen")
    },
    Sabotage {
        requires: LATE,
        hook: || {
            Box::new(Chooses(|session, identity| {
                shrugs(session.set_client_certificate(identity))
            }))
        },
        ..Sabotage::new("K13", "a certificate may be chosen unasked")
    },
    Sabotage {
        requires: LATE,
        hook: || Box::new(Names(Some(Vec::new()))),
        ..Sabotage::new("K10", "the issuers that the server takes are not told")
    },
    Sabotage {
        requires: LATE,
        hook: || Box::new(Names(None)),
        ..Sabotage::new("K10", "that the server takes any issuer is not told")
    },
];
