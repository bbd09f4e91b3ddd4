//! Sessions without I/O.

use std::sync::Arc;

use tls_core::config::{Identity, Parameters, Verdict};
use tls_core::pki_types::CertificateDer;
use tls_core::support::{self, Lifecycle};
use tls_core::{
    BufferSession, CertificateProblem, ChannelBinding, Error, ErrorKind, Facts, Misuse, Operation,
    Progress, Result, Role, Session, Status,
};

use crate::caps;
use crate::context::certified_key;
use crate::engine::Engine;
use crate::error::certificate_problem;
use crate::failed::Failed;
use crate::replay::{Fed, Question, Replay, Start};
use crate::tape::provider::taped_key;
use crate::tape::verify::take_refusal;

/// A session of rustls; see [`BufferSession`].
///
/// Beyond the bound on pending output it holds one record at the most, and an answer or alert of
/// less than 100 bytes.
#[derive(Debug)]
pub struct RustlsSession {
    role: Role,
    engine: Engine,
    /// Until the handshake is complete, in contexts that suspend their sessions.
    replay: Option<Box<Replay>>,
    lifecycle: Lifecycle,
    /// The server name a client sends.
    sent_name: Option<String>,
    /// What this side presents, if it is asked.
    local_certificates: Option<Arc<[CertificateDer<'static>]>>,
    quiet_shutdown: bool,
    pending_output_bound: usize,
}

impl RustlsSession {
    /// Starts the engine; `sent_name` is the server name a client sends.
    pub(crate) fn new(
        start: Start,
        sent_name: Option<String>,
        identity: Option<&Identity>,
        parameters: &Parameters,
    ) -> Result<Self> {
        let role = start.side.role();
        let bound = parameters.pending_output_bound;
        let (replay, engine) = start
            .begin(bound)
            .map_err(|failed| failed.into_error(Operation::CreateSession))?;
        Ok(Self {
            role,
            engine,
            replay,
            lifecycle: Lifecycle::new(),
            sent_name,
            local_certificates: identity.map(Identity::shared_chain),
            quiet_shutdown: parameters.quiet_shutdown,
            pending_output_bound: bound,
        })
    }

    /// Feeds the engine the rest of one record.
    fn feed(&mut self, input: &[u8], operation: Operation) -> (usize, Result<Option<Status>>) {
        let (taken, fed) = match &mut self.replay {
            None => {
                let (taken, fed) = self.engine.feed(input);
                (taken, fed.into())
            }
            Some(replay) => replay.feed(&mut self.engine, input),
        };
        if self.engine.peer_closed() {
            self.lifecycle.receive_close_notify();
        }
        (taken, self.act_on(fed, operation))
    }

    /// Goes on after an answer of the caller's: the handshake is done again with it.
    fn go_on(&mut self, operation: Operation) -> Result<Option<Status>> {
        match &mut self.replay {
            Some(replay) if replay.is_due() => {
                let fed = replay.again(&mut self.engine);
                self.act_on(fed, operation)
            }
            _ => Ok(None),
        }
    }

    /// What feeding the engine means for the session; `None` if it goes on.
    fn act_on(&mut self, fed: Fed, operation: Operation) -> Result<Option<Status>> {
        let pending_output = self.engine.pending_output();
        let question = match fed {
            Fed::Done => {
                if !self.engine.is_handshaking() {
                    if let Some(replay) = self.replay.take() {
                        replay.finish();
                    }
                }
                return Ok(None);
            }
            Fed::Failed(failed) => {
                let failed = match take_refusal() {
                    Some(refusal) => failed.refused(refusal),
                    None => failed,
                };
                return self.fail(failed, operation).map(Some);
            }
            Fed::Asks(question) => question,
        };
        Ok(Some(match question {
            Question::Verdict(unverified) => {
                let default = unverified
                    .default
                    .map_err(|error| certificate_problem(&error));
                let chain = unverified.chain;
                self.lifecycle
                    .suspend_for_validation(chain, default, pending_output)
            }
            Question::Credentials(request) => self
                .lifecycle
                .suspend_for_credentials(request.issuers, pending_output),
        }))
    }

    #[cold]
    fn fail(&mut self, failed: Failed, operation: Operation) -> Result<Status> {
        self.replay = None;
        let announces = failed.announces();
        let error = failed.into_error(operation);
        let pending_output = self.engine.pending_output();
        self.lifecycle.fail(error, announces, pending_output)
    }

    /// What a call that needs more input gives.
    fn want_read(&mut self, operation: Operation) -> Result<Status> {
        if !self.lifecycle.input_ended() {
            return Ok(Status::WantRead);
        }
        // Nobody is left to hear the rest.
        self.engine.discard_output();
        self.replay = None;
        let truncated = Error::new(ErrorKind::Truncated, operation);
        self.lifecycle.fail(truncated, false, 0)
    }

    /// What a gate answered. An alert that waits leaves by any call that has output.
    fn gated(&mut self, verdict: Result<Status>, output: &mut [u8]) -> Result<Progress> {
        let status = verdict?;
        let produced = match status {
            Status::WantWrite => self.drain_into(output),
            _ => 0,
        };
        Ok(Progress::new(status, 0, produced))
    }

    fn check_input(&self, input: &[u8], operation: Operation) -> Result<()> {
        if self.lifecycle.input_ended() && !input.is_empty() {
            return Err(Error::misuse(Misuse::InputAfterEof, operation));
        }
        Ok(())
    }

    fn drain_into(&mut self, output: &mut [u8]) -> usize {
        let drained = self.engine.drain(output);
        if let Some(replay) = &mut self.replay {
            replay.has_left(&output[..drained]);
        }
        if self.engine.pending_output() == 0 {
            self.lifecycle.output_drained();
        }
        drained
    }

    #[cold]
    fn complete_handshake(&mut self) -> Result<Status> {
        let Some(mut facts) = self.engine.facts(self.sent_name.as_deref()) else {
            let error = Error::new(ErrorKind::Backend, Operation::Handshake)
                .with_detail("rustls completed a handshake without a cipher suite");
            return self.lifecycle.fail(error, false, 0);
        };
        if self.engine.presented() {
            facts.local_certificates = self.local_certificates.take();
        }
        self.lifecycle.complete_handshake(facts);
        Ok(Status::Complete)
    }
}

impl Session for RustlsSession {
    fn role(&self) -> Role {
        self.role
    }

    fn facts(&self) -> Option<&Facts> {
        self.lifecycle.facts()
    }

    fn pending_output(&self) -> usize {
        self.engine.pending_output()
    }

    fn buffered(&self) -> usize {
        self.engine.plaintext()
    }

    fn failure(&self) -> Option<&Error> {
        self.lifecycle.failure()
    }

    fn close_notify_sent(&self) -> bool {
        self.lifecycle.close_notify_sent()
    }

    fn close_notify_received(&self) -> bool {
        self.lifecycle.close_notify_received()
    }

    fn unverified_peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.lifecycle.unverified_peer_certificates()
    }

    fn default_validation(&self) -> Option<std::result::Result<(), CertificateProblem>> {
        self.lifecycle.default_validation()
    }

    fn set_validation_result(&mut self, verdict: Verdict) -> Result<()> {
        self.lifecycle.resolve_validation()?;
        if let Some(replay) = &mut self.replay {
            replay.decide(verdict);
        }
        Ok(())
    }

    fn acceptable_issuers(&self) -> Option<&[Vec<u8>]> {
        self.lifecycle.acceptable_issuers()
    }

    fn set_client_certificate(&mut self, identity: Option<Identity>) -> Result<()> {
        self.lifecycle.check_wants_credentials()?;
        let Some(replay) = &mut self.replay else {
            return Ok(());
        };
        let identity = identity.as_ref();
        let credentials = identity.map(|identity| certified_key(identity, replay.crypto()));
        let credentials = credentials.transpose()?.map(taped_key);
        self.local_certificates = identity.map(Identity::shared_chain);
        replay.present(credentials.map(Arc::new));
        self.lifecycle.resolve_credentials()
    }

    fn request_key_update(&mut self) -> Result<Status> {
        let (held, bound) = (self.pending_output(), self.pending_output_bound);
        let gate = self
            .lifecycle
            .gate_key_update(caps::KEY_UPDATE, held, bound);
        if let Some(verdict) = gate {
            return verdict;
        }
        // rustls changes no keys without asking for the peer's, and counts the answers.
        if !self.lifecycle.may_ask_for_keys() {
            let misuse = Misuse::TooManyKeyUpdates;
            return Err(Error::misuse(misuse, Operation::KeyUpdate));
        }
        if let Err(failed) = self.engine.request_key_update() {
            return self.fail(failed, Operation::KeyUpdate);
        }
        self.lifecycle.key_update_queued(true);
        Ok(Status::Complete)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<()> {
        support::export_keying_material(&self.lifecycle, &self.engine, output, label, context)
    }

    fn channel_binding(&self, binding: ChannelBinding) -> Result<Option<Vec<u8>>> {
        support::channel_binding(&self.lifecycle, self.role, &self.engine, binding)
    }
}

impl BufferSession for RustlsSession {
    fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress> {
        let operation = Operation::Handshake;
        let mut progress = Progress::idle(Status::WantWrite);
        if let Some(verdict) = self.lifecycle.gate_handshake(self.pending_output()) {
            return self.gated(verdict, output);
        }
        self.check_input(input, operation)?;
        if let Some(status) = self.go_on(operation)? {
            progress.produced = self.drain_into(output);
            return settle(Ok(status), progress);
        }
        loop {
            progress.produced += self.drain_into(&mut output[progress.produced..]);
            if self.pending_output() > 0 {
                return Ok(progress);
            }
            if !self.engine.is_handshaking() {
                progress.status = self.complete_handshake()?;
                return Ok(progress);
            }
            let rest = &input[progress.consumed..];
            if rest.is_empty() {
                return settle(self.want_read(operation), progress);
            }
            let (taken, verdict) = self.feed(rest, operation);
            progress.consumed += taken;
            match verdict {
                Ok(None) => {}
                Ok(Some(status)) => {
                    progress.produced += self.drain_into(&mut output[progress.produced..]);
                    return settle(Ok(status), progress);
                }
                Err(error) => return settle(Err(error), progress),
            }
        }
    }

    fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress> {
        let operation = Operation::Read;
        let mut progress = Progress::idle(Status::Complete);
        let deliverable = self.engine.plaintext() > 0 && self.lifecycle.facts().is_some();
        if !deliverable || plaintext.is_empty() {
            let pending_output = self.pending_output();
            if let Some(verdict) = self.lifecycle.gate_read(plaintext.len(), pending_output) {
                return settle(verdict, progress);
            }
        }
        self.check_input(input, operation)?;
        loop {
            let room = &mut plaintext[progress.produced..];
            let produced = self.engine.take_plaintext(room);
            if produced > 0 {
                self.lifecycle.data_read();
            }
            progress.produced += produced;
            let rest = &input[progress.consumed..];
            if progress.produced == plaintext.len() || rest.is_empty() && progress.produced > 0 {
                return Ok(progress);
            }
            if self.lifecycle.close_notify_received() {
                break;
            }
            if rest.is_empty() {
                return settle(self.want_read(operation), progress);
            }
            let (taken, verdict) = self.feed(rest, operation);
            progress.consumed += taken;
            match verdict {
                Ok(None) => {}
                // What was decrypted before goes first; the failure is kept.
                _ if progress.produced > 0 => return Ok(progress),
                Ok(Some(status)) => return settle(Ok(status), progress),
                Err(error) => return Err(error),
            }
        }
        if progress.produced == 0 {
            progress.status = Status::Closed;
        }
        Ok(progress)
    }

    fn write(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<Progress> {
        let mut progress = Progress::idle(Status::Complete);
        let pending_output = self.pending_output();
        if let Some(verdict) = self.lifecycle.gate_write(plaintext.len(), pending_output) {
            return self.gated(verdict, output);
        }
        loop {
            progress.produced += self.drain_into(&mut output[progress.produced..]);
            let rest = &plaintext[progress.consumed..];
            if rest.is_empty() {
                return Ok(progress);
            }
            if self.pending_output() >= self.pending_output_bound {
                break;
            }
            match self.engine.write(rest) {
                Ok(taken) => {
                    progress.consumed += taken;
                    self.lifecycle.data_written();
                }
                Err(failed) => {
                    let verdict = self.fail(failed, Operation::Write);
                    if progress.consumed == 0 {
                        return settle(verdict, progress);
                    }
                    return Ok(progress);
                }
            }
        }
        if progress.consumed == 0 {
            progress.status = Status::WantWrite;
        }
        Ok(progress)
    }

    fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress> {
        let mut progress = Progress::idle(Status::WantWrite);
        if let Some(verdict) = self.lifecycle.gate_shutdown(self.pending_output()) {
            return self.gated(verdict, output);
        }
        let first = self.lifecycle.queue_close_notify();
        if first && !self.quiet_shutdown {
            if let Err(failed) = self.engine.send_close_notify() {
                return settle(self.fail(failed, Operation::Shutdown), progress);
            }
        }
        progress.produced = self.drain_into(output);
        progress.status = self.lifecycle.shutdown_status(self.quiet_shutdown);
        Ok(progress)
    }

    fn drain(&mut self, output: &mut [u8]) -> Progress {
        let drained = self.drain_into(output);
        let status = match self.pending_output() {
            0 => Status::Complete,
            _ => Status::WantWrite,
        };
        Progress::new(status, 0, drained)
    }

    fn input_eof(&mut self) {
        self.lifecycle.end_input();
    }
}

/// Puts a verdict and the bytes moved together.
fn settle(verdict: Result<Status>, progress: Progress) -> Result<Progress> {
    verdict.map(|status| Progress { status, ..progress })
}

#[cfg(test)]
impl RustlsSession {
    pub(crate) fn replay(&self) -> Option<&Replay> {
        self.replay.as_deref()
    }

    pub(crate) fn replay_mut(&mut self) -> Option<&mut Replay> {
        self.replay.as_deref_mut()
    }
}
