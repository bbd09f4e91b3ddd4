//! Why a connection has failed, and the error its session gives.

use std::io;
use std::sync::Arc;

use tls_core::iana::AlertDescription;
use tls_core::{CertificateProblem, Error, ErrorKind, Operation};

use crate::error::{session_error, with_sent};
use crate::tape::verify::Refusal;

/// The connection has failed: why, and whether an alert that says so is queued.
pub(crate) struct Failed {
    pub(crate) reason: Reason,
    pub(crate) alert: Option<AlertDescription>,
}

pub(crate) enum Reason {
    Engine(rustls::Error),
    NotTls(&'static str, rustls::Error),
    Limit(&'static str),
    Aborted,
    KeysUsedUp,
    AfterClose,
    Panicked,
    Stuck(Option<io::Error>),
    Rejected(CertificateProblem, rustls::Error),
    NoVerdict(String),
    Diverged,
}

impl Failed {
    /// rustls failed where it had nobody to tell.
    pub(crate) fn engine(error: rustls::Error) -> Self {
        Self {
            reason: Reason::Engine(error),
            alert: None,
        }
    }

    /// A handshake done again was another one.
    pub(crate) fn diverged() -> Self {
        Self {
            reason: Reason::Diverged,
            alert: None,
        }
    }

    /// The same, when the caller refused the peer.
    pub(crate) fn refused(self, refusal: Refusal) -> Self {
        let reason = match (self.reason, refusal) {
            (Reason::Engine(error), Refusal::Verdict(problem)) => Reason::Rejected(problem, error),
            (Reason::Engine(_), Refusal::Panic(message)) => Reason::NoVerdict(message),
            (reason, _) => reason,
        };
        Self { reason, ..self }
    }

    /// Whether an alert for the peer is queued behind the other output.
    pub(crate) fn announces(&self) -> bool {
        self.alert.is_some()
    }

    /// The error of the session.
    #[cold]
    pub(crate) fn into_error(self, operation: Operation) -> Error {
        let Self { reason, alert } = self;
        let backend =
            |detail: &'static str| Error::new(ErrorKind::Backend, operation).with_detail(detail);
        match reason {
            Reason::Engine(error) => session_error(error, alert, operation),
            Reason::NotTls(detail, error) => {
                session_error(error, alert, operation).with_detail(detail)
            }
            Reason::Limit(detail) => {
                let error = Error::new(ErrorKind::Protocol, operation).with_detail(detail);
                with_sent(error, alert)
            }
            Reason::Rejected(problem, error) => {
                let rejected = Error::new(ErrorKind::Certificate(problem), operation)
                    .with_detail("the caller rejected the certificate")
                    .with_source(Arc::new(error));
                with_sent(rejected, alert)
            }
            Reason::NoVerdict(message) => {
                let error = Error::new(ErrorKind::Backend, operation).with_detail(message);
                with_sent(error, alert)
            }
            Reason::Diverged => backend("rustls did not do the same handshake again"),
            Reason::Aborted => Error::peer_alert(AlertDescription::CLOSE_NOTIFY, operation)
                .with_detail("the peer gave up the handshake"),
            Reason::KeysUsedUp => backend("the keys have sealed as many records as is safe"),
            Reason::AfterClose => Error::new(ErrorKind::Protocol, operation)
                .with_detail("the peer broke the protocol after the close_notify of this side"),
            Reason::Panicked => backend("rustls panicked"),
            Reason::Stuck(error) => {
                let stuck = Error::new(ErrorKind::Protocol, operation)
                    .with_detail("a message of the peer is larger than rustls takes");
                match error {
                    Some(error) => stuck.with_source(Arc::new(error)),
                    None => stuck,
                }
            }
        }
    }
}
