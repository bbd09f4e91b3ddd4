//! What happens before there is an engine: the ClientHello, the choice, and what can go wrong.

use super::context::Choose;
use crate::backend::{Context, DynContext};
use crate::binding::ChannelBinding;
use crate::capabilities::Support;
use crate::client_hello::{ClientHello, ClientHelloReader};
use crate::config::SessionOptions;
use crate::error::{Alert, AlertDirection, Error, ErrorKind, Misuse, Operation, Result};
use crate::facts::Facts;
use crate::iana::AlertDescription;
use crate::session::{Role, Session, unasked};
use crate::status::{Progress, Status};
use crate::support::{Lifecycle, Requests};

/// The length of an alert that is not encrypted, with its record header, in bytes.
const ALERT_RECORD: usize = 7;

/// A session before its context was chosen.
#[derive(Debug)]
pub(super) struct First<C> {
    choose: Choose<C>,
    /// For the session that is to come.
    pub(super) options: SessionOptions,
    reader: ClientHelloReader,
    hello: Option<ClientHello>,
    pub(super) lifecycle: Lifecycle,
    alert: [u8; ALERT_RECORD],
    /// How much of the alert has not left; 0 as long as there is none.
    unsent: usize,
}

impl<C: Context> First<C> {
    pub(super) fn new(choose: Choose<C>, options: SessionOptions) -> Self {
        Self {
            choose,
            options,
            reader: ClientHelloReader::new(),
            hello: None,
            lifecycle: Lifecycle::new(),
            alert: [0; ALERT_RECORD],
            unsent: 0,
        }
    }

    /// The ClientHello as it was received, once it is there.
    pub(super) fn records(&self) -> &[u8] {
        self.hello.as_ref().map_or(&[], ClientHello::as_bytes)
    }

    /// Bytes from the client that were taken.
    pub(super) fn held(&self) -> usize {
        self.hello
            .as_ref()
            .map_or_else(|| self.reader.held(), |hello| hello.as_bytes().len())
    }

    /// How many bytes of input are of use now; 0 if none are.
    pub(super) fn wanted(&self) -> Result<usize> {
        match self.hello {
            Some(_) => Ok(0),
            None => self.reader.wanted(),
        }
    }

    /// Takes input until the ClientHello is there.
    pub(super) fn handshake(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        if let Some(verdict) = self.lifecycle.gate_handshake(self.unsent) {
            let status = verdict?;
            return Ok(Progress::new(status, 0, self.drain(output).produced));
        }
        if self.hello.is_some() {
            return Ok(Progress::idle(Status::NeedsServerContext));
        }
        if self.lifecycle.input_ended() && !input.is_empty() {
            return Err(Error::misuse(Misuse::InputAfterEof, Operation::Handshake));
        }
        let (consumed, read) = match self.reader.read(input) {
            Ok(taken) => (taken, self.reader.finish()),
            // What is refused is used up.
            Err(error) => (input.len(), Err(error)),
        };
        let status = match read {
            Ok(Some(hello)) => {
                self.hello = Some(hello);
                Status::NeedsServerContext
            }
            Ok(None) if self.lifecycle.input_ended() => {
                let truncated = Error::new(ErrorKind::Truncated, Operation::Handshake);
                return Err(self.abandon(truncated));
            }
            Ok(None) => Status::WantRead,
            Err(error) => self.refuse(error)?,
        };
        let produced = self.drain(output).produced;
        Ok(Progress::new(status, consumed, produced))
    }

    /// What `read` gives: a refusal, always. `room` in bytes.
    pub(super) fn gate_read(&self, room: usize) -> Result<Progress> {
        let verdict = self.lifecycle.gate_read(room, self.unsent);
        refusal(verdict, Operation::Read)
    }

    /// What `write` gives: a refusal, always. `length` in bytes.
    pub(super) fn gate_write(&self, length: usize) -> Result<Progress> {
        let verdict = self.lifecycle.gate_write(length, self.unsent);
        refusal(verdict, Operation::Write)
    }

    /// What `shutdown` gives: a refusal, always.
    pub(super) fn gate_shutdown(&self) -> Result<Progress> {
        let verdict = self.lifecycle.gate_shutdown(self.unsent);
        refusal(verdict, Operation::Shutdown)
    }

    /// The chosen context, or why it cannot be used.
    pub(super) fn choose(&self, context: &dyn DynContext) -> Result<C> {
        self.check_suspended()?;
        if context.role() != Role::Server {
            return Err(Error::misuse(Misuse::WrongRole, Operation::Handshake));
        }
        if context.is_deferred() {
            return Err(Error::misuse(Misuse::DeferredContext, Operation::Handshake));
        }
        (self.choose)(context)
            .ok_or_else(|| Error::misuse(Misuse::WrongBackend, Operation::Handshake))
    }

    /// The chosen context made no session; the client is told that it is not to blame.
    #[cold]
    pub(super) fn refuse_without_session(&mut self, error: Error) -> Error {
        let error = error.with_alert(sent(AlertDescription::INTERNAL_ERROR));
        match self.refuse(error.clone()) {
            Ok(_) => error,
            Err(kept) => kept,
        }
    }

    fn check_suspended(&self) -> Result<()> {
        match self.hello {
            Some(_) if self.lifecycle.failure().is_none() => Ok(()),
            _ => Err(unasked(self, Operation::Handshake)),
        }
    }

    /// The part of the alert that has not left.
    #[cfg(unix)]
    pub(super) fn unsent(&self) -> &[u8] {
        &self.alert[ALERT_RECORD - self.unsent..]
    }

    /// This much of the alert has left.
    pub(super) fn sent(&mut self, length: usize) {
        self.unsent -= length;
    }

    pub(super) fn drain(&mut self, output: &mut [u8]) -> Progress {
        let length = self.unsent.min(output.len());
        let start = ALERT_RECORD - self.unsent;
        output[..length].copy_from_slice(&self.alert[start..start + length]);
        self.sent(length);
        let status = match self.unsent {
            0 => Status::Complete,
            _ => Status::WantWrite,
        };
        Progress::new(status, 0, length)
    }

    /// Ends the session with an error that nobody is told of.
    #[cold]
    pub(super) fn abandon(&mut self, error: Error) -> Error {
        self.unsent = 0;
        self.lifecycle.abandon_alert();
        match self.lifecycle.fail(error.clone(), false, 0) {
            Err(kept) => kept,
            Ok(_) => error,
        }
    }

    /// Ends the session with the alert of the error. Nothing was agreed on, so it is in the clear:
    /// RFC 8446 sections 5.1 and 6.
    #[cold]
    fn refuse(&mut self, error: Error) -> Result<Status> {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        let description = error
            .alert()
            .map_or(AlertDescription::INTERNAL_ERROR, |alert| alert.description);
        self.alert = [ALERT, 3, 3, 0, 2, FATAL, description.0];
        self.unsent = ALERT_RECORD;
        self.lifecycle.fail(error, true, ALERT_RECORD)
    }
}

fn sent(description: AlertDescription) -> Alert {
    Alert {
        description,
        direction: AlertDirection::Sent,
    }
}

impl<C: Context> Session for First<C> {
    fn role(&self) -> Role {
        Role::Server
    }

    fn facts(&self) -> Option<&Facts> {
        None
    }

    fn pending_output(&self) -> usize {
        self.unsent
    }

    fn buffered(&self) -> usize {
        0
    }

    fn failure(&self) -> Option<&Error> {
        self.lifecycle.failure()
    }

    fn close_notify_sent(&self) -> bool {
        false
    }

    fn close_notify_received(&self) -> bool {
        false
    }

    fn request_key_update(&mut self) -> Result<Status> {
        let verdict = (self.lifecycle).gate_key_update(Support::Native, self.unsent, usize::MAX);
        refusal(verdict, Operation::KeyUpdate).map(|progress| progress.status)
    }

    fn request_client_certificate(&mut self) -> Result<Status> {
        let requests = Requests {
            role: Role::Server,
            tls13: Support::Native,
            tls12: Support::Native,
            has_roots: true,
        };
        let verdict = (self.lifecycle).gate_client_certificate(requests, self.unsent, usize::MAX);
        refusal(verdict, Operation::RequestCertificate).map(|progress| progress.status)
    }

    fn export_keying_material(&self, _: &mut [u8], _: &[u8], _: Option<&[u8]>) -> Result<()> {
        self.lifecycle.settled(Operation::Export).map(drop)
    }

    fn channel_binding(&self, _: ChannelBinding) -> Result<Option<Vec<u8>>> {
        let settled = self.lifecycle.settled(Operation::ChannelBinding);
        settled.map(|_| None)
    }

    fn client_hello(&self) -> Option<&ClientHello> {
        self.hello.as_ref()
    }

    fn refuse_client_hello(&mut self, alert: AlertDescription) -> Result<()> {
        self.check_suspended()?;
        if [
            AlertDescription::CLOSE_NOTIFY,
            AlertDescription::USER_CANCELED,
        ]
        .contains(&alert)
        {
            return Err(Error::misuse(Misuse::ClosureAlert, Operation::Handshake));
        }
        let refused = Error::new(ErrorKind::Refused, Operation::Handshake);
        self.refuse(refused.with_alert(sent(alert))).map(|_| ())
    }
}

/// The gates let nothing through before the handshake is complete.
fn refusal(verdict: Option<Result<Status>>, operation: Operation) -> Result<Progress> {
    match verdict {
        Some(verdict) => verdict.map(Progress::idle),
        None => Err(Error::misuse(Misuse::HandshakeIncomplete, operation)),
    }
}
