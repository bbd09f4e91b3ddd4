//! The questions only the caller can answer: whether the peer is accepted, and what to present.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use tls_core::config::{PeerVerification, UnverifiedPeer};
use tls_core::iana::AlertDescription;
use tls_core::pki_types::{CertificateDer, ServerName, UnixTime};
use tls_core::support::guarded;
use tls_core::{CertificateProblem, Verdict};

use super::{Outcome, Request, Tape, Unverified, with};
use crate::context::is_nobody;
use crate::error::certificate_problem;
use crate::presented;

thread_local! {
    /// Why the last peer was refused, where rustls has no error for it.
    static REFUSAL: Cell<Option<Refusal>> = const { Cell::new(None) };
}

/// Why the caller refused a peer.
pub(crate) enum Refusal {
    Verdict(CertificateProblem),
    /// A verifier has no verdict: it panicked, and said this.
    Panic(String),
}

/// What the caller had against the peer, if the call into rustls that ends now was told.
pub(crate) fn take_refusal() -> Option<Refusal> {
    REFUSAL.take()
}

/// Verifies as its default does, and leaves the decision to whom the configuration names.
#[derive(Debug)]
pub(crate) struct Decided<V: ?Sized> {
    pub(crate) decides: PeerVerification,
    pub(crate) default: Arc<V>,
}

impl<V: ?Sized> Decided<V> {
    /// Decides about a chain; `verify` is the default.
    fn decide(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: Option<&ServerName<'_>>,
        verify: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let before = with(|tape| tape.outcome_of(end_entity, intermediates));
        if let Some(outcome) = before.flatten() {
            return outcome.into();
        }
        with(|tape| tape.judged = owned(end_entity, intermediates));
        let default = verify();
        let outcome = match &self.decides {
            PeerVerification::Verifier(verifier) => {
                let chain = owned(end_entity, intermediates);
                let name = server_name.map(ServerName::to_owned);
                let default = default.as_ref().map_err(certificate_problem).copied();
                let peer = UnverifiedPeer::new(&chain, name.as_ref(), default);
                // A verifier may drive sessions of its own, and they are none of this tape's.
                let verify = || guarded(|| verifier.verify(&peer));
                match Tape::during(&mut None, verify) {
                    Ok(verdict) => verdict.into(),
                    Err(panic) => {
                        let words = format!("the verifier {panic}");
                        REFUSAL.set(Some(Refusal::Panic(words)));
                        Outcome::Refused(Error::General("there is no verdict".into()))
                    }
                }
            }
            PeerVerification::Suspended => {
                let chain = owned(end_entity, intermediates);
                with(|tape| {
                    tape.mark();
                    tape.unverified = Some(Unverified { chain, default });
                });
                return Err(Error::General("the verdict is outstanding".into()));
            }
            _ => match default {
                Ok(()) => Outcome::Accepted,
                Err(error) => Outcome::Refused(error),
            },
        };
        with(|tape| tape.outcome = Some(outcome.clone()));
        outcome.into()
    }
}

fn owned(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = Vec::with_capacity(1 + intermediates.len());
    chain.push(end_entity.clone().into_owned());
    chain.extend(intermediates.iter().map(|it| it.clone().into_owned()));
    chain
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Accepted,
            Verdict::Reject(problem) => Self::Rejected(problem),
        }
    }
}

impl From<Outcome> for Result<(), Error> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted => Ok(()),
            Outcome::Refused(error) => Err(error),
            Outcome::Rejected(problem) => {
                REFUSAL.set(Some(Refusal::Verdict(problem)));
                Err(Error::InvalidCertificate(with_alert(problem.alert())))
            }
        }
    }
}

/// An error for which rustls sends this alert.
fn with_alert(alert: AlertDescription) -> CertificateError {
    match alert {
        AlertDescription::CERTIFICATE_EXPIRED => CertificateError::Expired,
        AlertDescription::CERTIFICATE_REVOKED => CertificateError::Revoked,
        AlertDescription::UNKNOWN_CA => CertificateError::UnknownIssuer,
        AlertDescription::UNSUPPORTED_CERTIFICATE => CertificateError::InvalidPurpose,
        AlertDescription::BAD_CERTIFICATE => CertificateError::BadEncoding,
        _ => CertificateError::Other(OtherError(Arc::new(Rejection))),
    }
}

#[derive(Debug)]
struct Rejection;

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller rejected the certificate")
    }
}

impl std::error::Error for Rejection {}

/// What is never the caller's to decide: the signature over the handshake.
macro_rules! default_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.default
                .verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.default
                .verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.default.supported_verify_schemes()
        }
    };
}

impl ServerCertVerifier for Decided<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = || {
            self.default
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(|_| ())
        };
        let named = (!is_nobody(server_name)).then_some(server_name);
        self.decide(end_entity, intermediates, named, verify)?;
        Ok(ServerCertVerified::assertion())
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.default.root_hint_subjects()
    }

    default_signatures!();
}

impl ClientCertVerifier for Decided<dyn ClientCertVerifier> {
    fn offer_client_auth(&self) -> bool {
        self.default.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.default.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.default.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verify = || {
            self.default
                .verify_client_cert(end_entity, intermediates, now)
                .map(|_| ())
        };
        self.decide(end_entity, intermediates, None, verify)?;
        Ok(ClientCertVerified::assertion())
    }

    default_signatures!();
}

/// Presents what the caller names once the server has asked.
#[derive(Debug)]
pub(crate) struct LateCredentials;

impl ResolvesClientCert for LateCredentials {
    /// Without an answer, rustls goes on as if there were no certificate, and verifies the server
    /// first. What it would send then never leaves.
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        with(|tape| {
            tape.server_asked = true;
            if let Some(credentials) = &tape.credentials {
                if let Some(credentials) = credentials {
                    presented::note(credentials, schemes);
                }
                return credentials.clone();
            }
            tape.mark();
            let issuers = root_hint_subjects.iter().map(|issuer| issuer.to_vec());
            tape.request = Some(Request {
                issuers: issuers.collect(),
            });
            None
        })?
    }

    fn has_certs(&self) -> bool {
        true
    }
}
