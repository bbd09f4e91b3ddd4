//! One session's rules over its engine: what both modes share.

use std::sync::Arc;

use tls_core::iana::AlertDescription;
use tls_core::pki_types::CertificateDer;
use tls_core::support::Lifecycle;
use tls_core::{Error, ErrorKind, Facts, Misuse, Operation, Progress, Result, Role, Status};

use crate::Setup;
use crate::bio::{Link, Moved};
use crate::classify::{Class, Function, SENT_SHUTDOWN};
use crate::engine::Engine;
use crate::limits::{Excess, Limits, MAX_LENGTH, poison};
use crate::post_handshake::{Policy, Renewals};
use crate::ritual::enter;
use crate::wire::{Phase, Wire};

/// How much plaintext the engine is given at once: one record.
pub(crate) const CHUNK: usize = 16 * 1024;

/// An engine, where its session stands, and what its peer may still do.
#[derive(Debug)]
pub(crate) struct Core<E: Engine> {
    pub(crate) link: Link<E>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) limits: Limits,
    pub(crate) bound: usize,
    pub(crate) quiet: bool,
    pub(crate) role: Role,
    pub(crate) policy: Policy,
    pub(crate) renewals: Renewals,
    /// What this side presents, if it is asked.
    pub(crate) local_certificates: Option<Arc<[CertificateDer<'static>]>>,
    /// What the handshake settled, until its last output has left.
    settled: Option<Facts>,
    /// The caller has answered the library, which has not been called since.
    pub(crate) answered: bool,
    /// A handshake after the first was refused: what came behind it is nobody's data.
    withheld: bool,
}

impl<E: Engine> Core<E> {
    /// Takes an engine that knows its role and has no transport yet.
    pub(crate) fn new(mut engine: E, setup: &Setup) -> Self {
        let bound = setup.pending_output_bound;
        if setup.role == Role::Client && setup.local_certificates.is_some() {
            engine.watch_handshakes();
        }
        Self {
            link: Link::new(engine, Wire::new(setup.role, bound)),
            lifecycle: Lifecycle::new(),
            limits: Limits::default(),
            bound,
            quiet: setup.quiet_shutdown,
            role: setup.role,
            policy: setup.policy,
            renewals: Renewals::default(),
            local_certificates: setup.local_certificates.clone(),
            settled: None,
            answered: false,
            withheld: false,
        }
    }

    pub(crate) fn pending(&self) -> usize {
        self.link.wire().pending.len()
    }

    /// What `read` can turn into progress without the transport, of what the engine holds and of
    /// `received`.
    pub(crate) fn buffered(&self, received: &[u8]) -> usize {
        if self.lifecycle.facts().is_none() || self.withheld {
            return 0;
        }
        let decrypted = self.link.engine().pending();
        if self.lifecycle.failure().is_some() || self.lifecycle.close_notify_received() {
            return decrypted;
        }
        decrypted + self.link.wire().framing().complete_prefix(received)
    }

    /// Moves pending output to `output`.
    pub(crate) fn drain(&mut self, output: &mut [u8]) -> Progress {
        let produced = self.link.wire_mut().pending.move_to(output);
        let status = match self.pending() {
            0 => {
                self.lifecycle.output_drained();
                Status::Complete
            }
            _ => Status::WantWrite,
        };
        Progress::new(status, 0, produced)
    }

    pub(crate) fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress> {
        if let Some(verdict) = self.lifecycle.gate_handshake(self.pending()) {
            return self.gated(verdict, output);
        }
        self.check_input(input, Operation::Handshake)?;
        let mut total = self.drain(output);
        while self.settled.is_none() {
            if self.pending() > 0 {
                total.status = Status::WantWrite;
                return Ok(total);
            }
            self.link.wire_mut().begin(Phase::Handshake);
            let moved = enter(
                &mut self.link,
                Function::Ordinary,
                &mut input[total.consumed..],
                &mut output[total.produced..],
                E::handshake,
            );
            add(&mut total, &moved);
            if moved.panicked {
                return self.fail(panicked(Operation::Handshake), total);
            }
            match moved.result.class {
                Class::Done(_) => {
                    let settled = self.settle();
                    if let Err(error) = settled {
                        return self.fail(error, total);
                    }
                }
                Class::WantRead | Class::WantWrite => {
                    if let Some(excess) = self.handshake_excess(moved.consumed) {
                        return self.overstepped(excess, Operation::Handshake, total);
                    }
                    if self.pending() > 0 || moved.consumed > 0 && total.consumed < input.len() {
                        continue;
                    }
                    return self.starved(input.len(), Operation::Handshake, total);
                }
                asks @ (Class::WantVerdict | Class::WantCertificate) => {
                    return self.suspend(asks, Operation::Handshake, total);
                }
                Class::CloseNotify => {
                    let alert = AlertDescription::CLOSE_NOTIFY;
                    return self.fail(Error::peer_alert(alert, Operation::Handshake), total);
                }
                _ => return self.fail_with(&moved.result, Operation::Handshake, total),
            }
        }
        total.status = self.complete_handshake();
        Ok(total)
    }

    /// The engine says that the handshake is complete.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.check_decided(Operation::Handshake)?;
        self.link.engine().clear_errors();
        let facts = self.link.engine().facts();
        self.link.engine().clear_errors();
        let mut facts = facts?;
        self.begin_renewals(&facts);
        facts.local_certificates = self.presented();
        self.settled = Some(facts);
        self.link.wire_mut().forget_hello();
        Ok(())
    }

    /// Not reached, as long as the library does wait: nobody is accepted by waiting (K14).
    pub(crate) fn check_decided(&self, operation: Operation) -> Result<()> {
        if self.link.engine().observed().questions().is_undecided() {
            return Err(Error::new(ErrorKind::Backend, operation)
                .with_detail("the library did not wait for the verdict"));
        }
        Ok(())
    }

    /// The handshake is complete for the caller once its last output has left.
    pub(crate) fn complete_handshake(&mut self) -> Status {
        if self.pending() > 0 {
            return Status::WantWrite;
        }
        if let Some(facts) = self.settled.take() {
            self.lifecycle.complete_handshake(facts);
        }
        Status::Complete
    }

    fn handshake_excess(&mut self, consumed: usize) -> Option<Excess> {
        if self.link.wire().hello_excess() && !self.link.wire().framing().in_record() {
            return Some(Excess::ClientHello);
        }
        let warnings = self.link.engine().observed().warnings_received();
        self.limits.handshake(consumed, warnings).err()
    }

    pub(crate) fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress> {
        let mut total = Progress::idle(Status::Complete);
        if self.lifecycle.failure().is_some() && !plaintext.is_empty() {
            total.produced = self.leftovers(plaintext);
            if total.produced > 0 {
                return Ok(total);
            }
        }
        if let Some(verdict) = self.lifecycle.gate_read(plaintext.len(), self.pending()) {
            return verdict.map(Progress::idle);
        }
        self.check_input(input, Operation::Read)?;
        if self.link.wire().refused() {
            if !self.link.wire().has_room_for_reply() {
                return Ok(Progress::idle(Status::WantWrite));
            }
        } else if input.is_empty() && self.link.engine().pending() == 0 && !self.answered {
            // The engine has used up all it was given.
            return self.starved(0, Operation::Read, total);
        }
        self.answered = false;
        let mut taking = true;
        loop {
            let length = (plaintext.len() - total.produced).min(MAX_LENGTH);
            if length == 0 {
                return Ok(total);
            }
            let target = &mut plaintext[total.produced..][..length];
            let records = self.link.wire().framing().finished();
            self.link.wire_mut().begin(Phase::Read);
            let moved = enter(
                &mut self.link,
                Function::Ordinary,
                &mut input[total.consumed..],
                &mut [],
                |engine| engine.read(target),
            );
            total.consumed += moved.consumed;
            if moved.panicked {
                return self.fail_reading(panicked(Operation::Read), total);
            }
            if self.may_be_renewed() {
                if let Err(error) = self.renew() {
                    return self.turned_away(error, total);
                }
            }
            match moved.result.class {
                Class::Done(count) => {
                    total.produced += count;
                    self.limits.application_data();
                    self.lifecycle.data_read();
                    if !self.has_more(&input[total.consumed..]) {
                        return Ok(total);
                    }
                }
                Class::WantRead | Class::WantWrite => {
                    let finished = self.link.wire().framing().finished() - records;
                    let warnings = self.link.engine().observed().warnings_received();
                    if let Err(excess) = self.limits.without_data(finished, warnings) {
                        return self.overstepped(excess, Operation::Read, total);
                    }
                    if finished > 0 && !self.link.wire().refused() {
                        if let Err(error) = self.answer() {
                            return self.fail_reading(error, total);
                        }
                    }
                    if self.link.wire().refused() {
                        return Ok(unless_produced(Status::WantWrite, total));
                    }
                    // A call that has only answered the record before may take nothing.
                    let took = moved.consumed > 0;
                    if std::mem::replace(&mut taking, took) | took && total.consumed < input.len() {
                        continue;
                    }
                    return self.starved(input.len(), Operation::Read, total);
                }
                asks @ (Class::WantVerdict | Class::WantCertificate) => {
                    return self.suspend(asks, Operation::Read, total);
                }
                Class::CloseNotify => {
                    self.lifecycle.receive_close_notify();
                    return Ok(unless_produced(Status::Closed, total));
                }
                Class::Failed if self.is_closed_within() => {
                    self.lifecycle.receive_close_notify();
                    return Ok(unless_produced(Status::Closed, total));
                }
                _ => {
                    let error = self.error(&moved.result, Operation::Read);
                    return self.fail_reading(error, total);
                }
            }
        }
    }

    /// Whether the engine can give more data out of what it holds and whole records of `input`.
    fn has_more(&self, input: &[u8]) -> bool {
        self.link.engine().pending() > 0 || self.link.wire().framing().completes(input)
    }

    /// Data that was decrypted before the session failed goes first.
    #[cold]
    pub(crate) fn leftovers(&mut self, plaintext: &mut [u8]) -> usize {
        // Before the end of the handshake there is none, whatever LibreSSL counts: it takes application
        // data that comes in the clear for some.
        let none = self.lifecycle.facts().is_none() || self.withheld;
        let engine = self.link.engine();
        if none || engine.reads_elsewhere() || engine.pending() == 0 {
            return 0;
        }
        let length = plaintext.len().min(MAX_LENGTH);
        let target = &mut plaintext[..length];
        self.link.wire_mut().begin(Phase::Read);
        let moved = enter(
            &mut self.link,
            Function::Ordinary,
            &mut [],
            &mut [],
            |engine| engine.read(target),
        );
        match moved.result.class {
            Class::Done(count) => count,
            _ => 0,
        }
    }

    /// Drops what the engine has decrypted, and gives no more of it. A library may decrypt the record
    /// behind a Finished in the call that takes the Finished, and would give that before it looked at
    /// anything else.
    #[cold]
    pub(crate) fn withhold(&mut self) {
        let mut room = vec![0; CHUNK];
        while self.leftovers(&mut room) > 0 {}
        self.withheld = true;
    }

    /// Everything the engine has decrypted and not given yet.
    #[cfg(unix)]
    pub(crate) fn take_plaintext(&mut self) -> Vec<u8> {
        let mut plaintext = vec![0; self.link.engine().pending()];
        let length = match plaintext.is_empty() {
            true => 0,
            false => self.leftovers(&mut plaintext),
        };
        plaintext.truncate(length);
        plaintext
    }

    /// The engine needs more than the `given` bytes of input.
    fn starved(&mut self, given: usize, operation: Operation, total: Progress) -> Result<Progress> {
        if total.consumed < given {
            let error = Error::new(ErrorKind::Backend, operation)
                .with_detail("the library does not take its input");
            return self.fail(error, total);
        }
        let reading = operation == Operation::Read;
        if reading && total.produced > 0 {
            return Ok(total);
        }
        if self.lifecycle.input_ended() {
            return self.truncated(operation);
        }
        Ok(Progress {
            status: Status::WantRead,
            ..total
        })
    }

    /// Encrypts until `target` bytes are pending.
    pub(crate) fn write(
        &mut self,
        plaintext: &[u8],
        output: &mut [u8],
        target: usize,
    ) -> Result<Progress> {
        if let Some(verdict) = self.lifecycle.gate_write(plaintext.len(), self.pending()) {
            return self.gated(verdict, output);
        }
        let mut total = self.drain(output);
        while total.consumed < plaintext.len() && self.pending() < target {
            let rest = &plaintext[total.consumed..];
            let chunk = &rest[..rest.len().min(CHUNK)];
            self.link.wire_mut().begin(Phase::Write);
            let moved = enter(
                &mut self.link,
                Function::Ordinary,
                &mut [],
                &mut output[total.produced..],
                |engine| engine.write(chunk),
            );
            total.produced += moved.produced;
            if moved.panicked {
                return self.fail(panicked(Operation::Write), total);
            }
            if self.may_be_renewed() {
                if let Err(error) = self.renew() {
                    return self.turned_away(error, total);
                }
            }
            match moved.result.class {
                Class::Done(count) => {
                    total.consumed += count;
                    self.lifecycle.data_written();
                }
                // Not reached with a BIO that refuses nothing, but for a library that must first
                // read: the caller does so.
                Class::WantRead if total.consumed == 0 => {
                    total.status = Status::WantRead;
                    return Ok(total);
                }
                Class::WantRead | Class::WantWrite => break,
                // Of a handshake after the first, which a write may go on with.
                asks @ (Class::WantVerdict | Class::WantCertificate) => {
                    return self.suspend(asks, Operation::Write, total);
                }
                _ => return self.fail_with(&moved.result, Operation::Write, total),
            }
        }
        total.status = match total.consumed {
            0 => Status::WantWrite,
            _ => Status::Complete,
        };
        Ok(total)
    }

    pub(crate) fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress> {
        if let Some(verdict) = self.lifecycle.gate_shutdown(self.pending()) {
            return self.gated(verdict, output);
        }
        let mut total = self.drain(output);
        if !self.lifecycle.is_closing() && self.is_interrupted() {
            if !self.lifecycle.close_notify_received() {
                total.status = Status::WantRead;
                return Ok(total);
            }
            self.close_silently();
        }
        if self.lifecycle.queue_close_notify() && !self.shut_quietly() {
            if self.link.wire().refused() {
                self.reply(output, &mut total);
            }
            self.link.wire_mut().begin(Phase::Write);
            let moved = enter(
                &mut self.link,
                Function::Shutdown,
                &mut [],
                &mut output[total.produced..],
                E::shutdown,
            );
            add(&mut total, &moved);
            if !matches!(moved.result.class, Class::Done(_)) {
                return self.fail_with(&moved.result, Operation::Shutdown, total);
            }
        }
        if self.pending() == 0 {
            self.lifecycle.output_drained();
        }
        total.status = self.lifecycle.shutdown_status(self.quiet);
        Ok(total)
    }

    /// A reply that found no room goes before the close_notify: the library closes nothing while
    /// it owes one. If it cannot be written either, closing will say so.
    #[cold]
    fn reply(&mut self, output: &mut [u8], total: &mut Progress) {
        self.link.wire_mut().begin(Phase::Write);
        let moved = enter(
            &mut self.link,
            Function::Ordinary,
            &mut [],
            &mut output[total.produced..],
            E::send_messages,
        );
        add(total, &moved);
    }

    /// The peer has closed in the middle of a handshake after the first, which will never end: the
    /// library sends no close_notify within one.
    #[cold]
    pub(crate) fn close_silently(&mut self) {
        self.quiet = true;
    }

    /// Tells the engine that nothing is to be sent; `false` unless the shutdown is quiet. Setting
    /// only our half keeps reading possible, and the session fit to be resumed.
    pub(crate) fn shut_quietly(&mut self) -> bool {
        if self.quiet {
            let state = self.link.engine().shutdown_state();
            self.link
                .engine_mut()
                .set_shutdown_state(state | SENT_SHUTDOWN);
        }
        self.quiet
    }

    /// What a gate answered; an alert that is waiting leaves by any call that has output.
    fn gated(&mut self, verdict: Result<Status>, output: &mut [u8]) -> Result<Progress> {
        let status = verdict?;
        if status != Status::WantWrite {
            return Ok(Progress::idle(status));
        }
        let drained = self.drain(output);
        Ok(Progress { status, ..drained })
    }

    fn check_input(&self, input: &[u8], operation: Operation) -> Result<()> {
        if self.lifecycle.input_ended() && !input.is_empty() {
            return Err(Error::misuse(Misuse::InputAfterEof, operation));
        }
        Ok(())
    }

    /// The peer has overstepped a limit: the engine is made to say so, and the session ends.
    #[cold]
    pub(crate) fn overstepped(
        &mut self,
        excess: Excess,
        operation: Operation,
        total: Progress,
    ) -> Result<Progress> {
        self.turned_away(overstepped(excess, operation), total)
    }

    /// The session ends for a reason of its own, and the engine is made to send an alert.
    #[cold]
    pub(crate) fn turned_away(&mut self, error: Error, mut total: Progress) -> Result<Progress> {
        let operation = error.operation();
        if self.link.wire().framing().in_record() {
            // Within a record the engine cannot be made to send anything.
            return self.fail(error, total);
        }
        let version = self.lifecycle.facts().map(|facts| facts.protocol_version);
        self.link.wire_mut().poison(poison(version));
        self.link.wire_mut().begin(Phase::Write);
        let moved = enter(
            &mut self.link,
            Function::Ordinary,
            &mut [],
            &mut [],
            |engine| match operation {
                Operation::Handshake => engine.handshake(),
                _ => engine.read(&mut [0]),
            },
        );
        add(&mut total, &moved);
        self.fail(error, total)
    }
}

fn add<R>(total: &mut Progress, moved: &Moved<R>) {
    total.consumed += moved.consumed;
    total.produced += moved.produced;
}

fn unless_produced(status: Status, total: Progress) -> Progress {
    if total.produced > 0 {
        return total;
    }
    Progress { status, ..total }
}

#[cold]
pub(crate) fn panicked(operation: Operation) -> Error {
    Error::new(ErrorKind::Backend, operation).with_detail("a callback panicked")
}

#[cold]
pub(crate) fn overstepped(excess: Excess, operation: Operation) -> Error {
    Error::new(ErrorKind::Protocol, operation).with_detail(excess.detail())
}
