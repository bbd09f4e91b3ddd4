//! How a session fails: which error a call comes to, and when the caller is told.

use std::io;

use tls_core::iana::ProtocolVersion;
use tls_core::{Alert, AlertDirection, Error, ErrorKind, Operation, Progress, Result, Status};

use crate::classify::Class;
use crate::core::Core;
use crate::diagnosis::Diagnosis;
use crate::engine::Engine;
use crate::ritual::Outcome;

const TOO_SHORT: &str = "a record too short to have been sealed";

impl<E: Engine> Core<E> {
    /// The error for a call that did not succeed.
    #[cold]
    pub(crate) fn error(&mut self, outcome: &Outcome, operation: Operation) -> Error {
        if let Some(message) = self.link.engine_mut().take_panic() {
            return Error::new(ErrorKind::Backend, operation).with_detail(message);
        }
        let rejected = self.link.engine().observed().questions().rejected();
        if let (Some(problem), Class::Failed | Class::EndOfTransport) = (rejected, outcome.class) {
            return Error::new(ErrorKind::Certificate(problem), operation)
                .with_detail("the peer was put to the verdict, and rejected");
        }
        match outcome.class {
            // LibreSSL says nothing at all of such a record.
            Class::EndOfTransport if self.ends_too_short(outcome) => {
                Error::new(ErrorKind::Protocol, operation).with_detail(TOO_SHORT)
            }
            Class::EndOfTransport if self.link.engine().observed().alert_sent().is_none() => {
                Error::new(ErrorKind::Truncated, operation)
            }
            Class::Os(errno) => Error::io(io::Error::from_raw_os_error(errno), operation),
            Class::Unexpected(code) => Error::new(ErrorKind::Backend, operation)
                .with_detail(format!("the library waits for something else: {code}")),
            Class::WantRead
            | Class::WantWrite
            | Class::WantCertificate
            | Class::WantVerdict
            | Class::Done(_)
            | Class::CloseNotify => {
                Error::new(ErrorKind::Backend, operation).with_detail("the library cannot go on")
            }
            // A library that sends an alert and gives no reason answers as at the end of its
            // transport.
            Class::EndOfTransport | Class::Failed => {
                let Diagnosis {
                    kind,
                    detail,
                    alert_received,
                } = self.link.engine().diagnose(&outcome.codes);
                self.link.engine().clear_errors();
                let error = match kind {
                    ErrorKind::Backend if self.too_short() => {
                        Error::new(ErrorKind::Protocol, operation).with_detail(TOO_SHORT)
                    }
                    _ => Error::new(kind, operation).with_detail(detail),
                };
                match alert_received {
                    Some(description) => error.with_alert(Alert {
                        description,
                        direction: AlertDirection::Received,
                    }),
                    None => error,
                }
            }
        }
    }

    /// Whether the record that the library was given whole cannot have been sealed by what TLS 1.2
    /// has, and it sent no alert. Where it reads by itself, this is all that it has no words for.
    fn ends_too_short(&self, outcome: &Outcome) -> bool {
        let framing = self.link.wire().framing();
        let sent = self.link.engine().observed().alert_sent();
        let mut facts = self.lifecycle.facts().into_iter();
        let tls12 = facts.all(|facts| facts.protocol_version == ProtocolVersion::TLS1_2);
        let too_short = match self.link.is_attached() {
            true => framing.too_short() && !framing.in_record(),
            false => outcome.speechless,
        };
        tls12 && too_short && sent.is_none()
    }

    /// Whether the last record that came cannot have been sealed.
    fn too_short(&self) -> bool {
        self.link.wire().framing().too_short() || self.link.engine().observed().too_short()
    }

    #[cold]
    pub(crate) fn fail_with(
        &mut self,
        outcome: &Outcome,
        operation: Operation,
        total: Progress,
    ) -> Result<Progress> {
        let error = self.error(outcome, operation);
        self.fail(error, total)
    }

    /// Data decrypted in the same call is delivered first.
    #[cold]
    pub(crate) fn fail_reading(&mut self, error: Error, total: Progress) -> Result<Progress> {
        let data = total.produced;
        let verdict = self.fail(
            error,
            Progress {
                produced: 0,
                ..total
            },
        );
        if data > 0 {
            return Ok(total);
        }
        verdict
    }

    /// The session has failed. The error waits until an alert of ours has left, be it by the output
    /// of this call, which an error would hide.
    #[cold]
    pub(crate) fn fail(&mut self, error: Error, total: Progress) -> Result<Progress> {
        let sent = self.link.engine().observed().alert_sent();
        let error = match (sent, error.alert()) {
            (Some(description), None) => error.with_alert(Alert {
                description,
                direction: AlertDirection::Sent,
            }),
            _ => error,
        };
        let announces = sent.is_some() && error.alert().is_some_and(is_sent);
        let waits = Progress {
            status: Status::WantWrite,
            ..total
        };
        let verdict = self.lifecycle.fail(error, announces, self.pending());
        match verdict {
            Ok(_) => Ok(waits),
            Err(_) if announces && total.produced > 0 => Ok(waits),
            Err(error) => Err(error),
        }
    }

    /// The transport ended in the middle: nothing that is pending matters any more.
    #[cold]
    pub(crate) fn truncated<T>(&mut self, operation: Operation) -> Result<T> {
        Err(self.abandon(Error::new(ErrorKind::Truncated, operation)))
    }

    /// The transport failed: the session fails at once, what is pending is dropped. Gives the
    /// first error of the session.
    #[cold]
    pub(crate) fn abandon(&mut self, error: Error) -> Error {
        self.link.wire_mut().pending.clear();
        self.lifecycle.abandon_alert();
        let first = self.lifecycle.fail(error.clone(), false, 0);
        first.err().unwrap_or(error)
    }
}

fn is_sent(alert: Alert) -> bool {
    alert.direction == AlertDirection::Sent
}
