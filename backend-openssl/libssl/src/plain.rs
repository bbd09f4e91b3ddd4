//! The plain socket mode: the library itself reads and writes the descriptor (`SSL_set_fd`).

use std::ffi::c_int;
use std::os::fd::RawFd;

use tls_core::iana::AlertDescription;
use tls_core::support::RECORD_HEADER;
use tls_core::{Error, ErrorKind, Operation, PostHandshakeAuth, Progress, Result, Status};

use crate::buffer::Buffer;
use crate::classify::{Class, Function};
use crate::core::{CHUNK, Core, overstepped};
use crate::engine::Engine;
use crate::ffi::sigpipe;
use crate::limits::MAX_LENGTH;
use crate::ritual::{Outcome, enter};

/// How often a call that was interrupted is repeated.
const MOST_REPEATS: u32 = 64;

/// What the session keeps beside the engine.
///
/// When the socket takes a record only in part, the library wants the same bytes again. They count
/// as taken, and this copy is what it gets, before any new plaintext (K3).
#[derive(Debug)]
pub(crate) struct Plain {
    in_flight: Buffer,
    /// The close_notify was refused by the socket and has to be asked for again.
    closing: bool,
    /// A KeyUpdate or a request is scheduled, and was not seen to leave.
    updating: bool,
    /// The last call that wanted to read had moved something.
    unsettled: bool,
    /// The process does not ignore SIGPIPE (K19). Asked once, when the session is made.
    shield: bool,
}

impl Plain {
    /// Gives the engine the descriptor as its transport.
    pub(crate) fn attach<E: Engine>(core: &mut Core<E>, fd: RawFd) -> Result<Self> {
        if !core.link.engine_mut().attach_fd(fd) {
            return Err(Error::new(ErrorKind::Backend, Operation::CreateSession)
                .with_detail("the library cannot use the descriptor"));
        }
        Ok(Self {
            in_flight: Buffer::default(),
            closing: false,
            updating: false,
            unsettled: false,
            shield: !sigpipe::is_ignored(),
        })
    }

    /// How much ciphertext the library holds, at least: it does not say how long its record is.
    pub(crate) fn pending(&self) -> usize {
        match self.in_flight.len() {
            0 if self.closing || self.updating => RECORD_HEADER,
            0 => 0,
            length => RECORD_HEADER + length,
        }
    }

    pub(crate) fn handshake<E: Engine>(&mut self, core: &mut Core<E>) -> Result<Status> {
        if let Some(verdict) = core.lifecycle.gate_handshake(core.pending()) {
            return verdict;
        }
        let operation = Operation::Handshake;
        loop {
            let before = core.link.engine().bytes_received();
            let outcome = self.call(core, E::handshake);
            let after = core.link.engine().bytes_received();
            return match outcome.class {
                Class::Done(_) => {
                    if let Err(error) = core.settle() {
                        return fail(core, error);
                    }
                    Ok(core.complete_handshake())
                }
                waits @ (Class::WantRead | Class::WantWrite) => {
                    let bytes = usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX);
                    let warnings = core.link.engine().observed().warnings_received();
                    if let Err(excess) = core.limits.handshake(bytes, warnings) {
                        return fail(core, overstepped(excess, operation));
                    }
                    // LibreSSL takes a few records that carry no message, and then ends the call,
                    // whatever the socket holds.
                    if waits == Class::WantRead && bytes > 0 {
                        continue;
                    }
                    Ok(waited_for(waits))
                }
                asks @ (Class::WantVerdict | Class::WantCertificate) => {
                    suspend(core, asks, operation)
                }
                Class::CloseNotify => {
                    let alert = AlertDescription::CLOSE_NOTIFY;
                    fail(core, Error::peer_alert(alert, operation))
                }
                _ => fail_with(core, &outcome, operation),
            };
        }
    }

    pub(crate) fn read<E: Engine>(
        &mut self,
        core: &mut Core<E>,
        plaintext: &mut [u8],
    ) -> Result<Progress> {
        if core.lifecycle.failure().is_some() && !plaintext.is_empty() {
            let produced = core.leftovers(plaintext);
            if produced > 0 {
                return Ok(Progress::new(Status::Complete, 0, produced));
            }
        }
        if let Some(verdict) = core.lifecycle.gate_read(plaintext.len(), core.pending()) {
            return verdict.map(Progress::idle);
        }
        let length = plaintext.len().min(MAX_LENGTH);
        loop {
            let before = moved(core);
            let records = core.link.engine().observed().records_received();
            let outcome = self.call(core, |engine| engine.read(&mut plaintext[..length]));
            if core.may_be_renewed() {
                if let Err(error) = core.renew() {
                    return self.turned_away(core, error).map(Progress::idle);
                }
            }
            match outcome.class {
                Class::Done(count) => {
                    core.limits.application_data();
                    core.lifecycle.data_read();
                    return Ok(Progress::new(Status::Complete, 0, count));
                }
                waits @ (Class::WantRead | Class::WantWrite) => {
                    let records = core.link.engine().observed().records_received() - records;
                    let warnings = core.link.engine().observed().warnings_received();
                    if let Err(excess) = core.limits.without_data(records, warnings) {
                        let error = overstepped(excess, Operation::Read);
                        return self.turned_away(core, error).map(Progress::idle);
                    }
                    // An answer to a KeyUpdate is left to the library, which may keep it for the next
                    // write: while one waits for the socket, it would read nothing.
                    if waits == Class::WantRead && self.goes_on(moved(core) != before) {
                        continue;
                    }
                    return Ok(Progress::idle(waited_for(waits)));
                }
                asks @ (Class::WantVerdict | Class::WantCertificate) => {
                    return suspend(core, asks, Operation::Read).map(Progress::idle);
                }
                Class::CloseNotify => {
                    core.lifecycle.receive_close_notify();
                    return Ok(Progress::idle(Status::Closed));
                }
                Class::Failed if core.is_closed_within() => {
                    core.lifecycle.receive_close_notify();
                    return Ok(Progress::idle(Status::Closed));
                }
                _ => {
                    return fail_with(core, &outcome, Operation::Read).map(Progress::idle);
                }
            }
        }
    }

    /// Whether a call that wants to read may have been ended by something else than a socket that
    /// would block. A record without data ends a call too; and OpenSSL, having answered one, ends
    /// the next call without moving a byte, whatever the socket holds.
    fn goes_on(&mut self, moved: bool) -> bool {
        std::mem::replace(&mut self.unsettled, moved) || moved
    }

    pub(crate) fn write<E: Engine>(
        &mut self,
        core: &mut Core<E>,
        plaintext: &[u8],
    ) -> Result<Progress> {
        if let Some(verdict) = core.lifecycle.gate_write(plaintext.len(), core.pending()) {
            return verdict.map(Progress::idle);
        }
        let status = self.finish_record(core, Operation::Write)?;
        if status != Status::Complete {
            return Ok(Progress::idle(status));
        }
        let mut taken = 0;
        while taken < plaintext.len() {
            let rest = &plaintext[taken..];
            let chunk = &rest[..rest.len().min(CHUNK)];
            let outcome = self.call(core, |engine| engine.write(chunk));
            if core.may_be_renewed() {
                if let Err(error) = core.renew() {
                    return self.turned_away(core, error).map(Progress::idle);
                }
            }
            match outcome.class {
                Class::Done(count) => taken += count,
                // The record may be sealed: from here on it is the session's.
                Class::WantWrite => {
                    self.in_flight.append(chunk);
                    taken += chunk.len();
                    break;
                }
                Class::WantRead if taken == 0 => return Ok(Progress::idle(Status::WantRead)),
                Class::WantRead => break,
                _ => {
                    return fail_with(core, &outcome, Operation::Write).map(Progress::idle);
                }
            }
        }
        core.lifecycle.data_written();
        Ok(Progress::new(Status::Complete, taken, 0))
    }

    /// Schedules the message, which leaves with the next call that sends. What the library owes
    /// already goes first: it schedules nothing meanwhile.
    pub(crate) fn request_key_update<E: Engine>(&mut self, core: &mut Core<E>) -> Result<Status> {
        if let Some(verdict) = core.gate_key_update(core.pending()) {
            return verdict;
        }
        let operation = Operation::KeyUpdate;
        let status = self.finish_record(core, operation)?;
        if status != Status::Complete {
            return Ok(status);
        }
        let asks = core.lifecycle.may_ask_for_keys();
        let schedule = |engine: &mut E| engine.schedule_key_update(asks);
        let steps: [&dyn Fn(&mut E) -> c_int; 2] = [&E::send_messages, &schedule];
        for step in steps {
            let outcome = self.call(core, step);
            match outcome.class {
                Class::Done(_) => {}
                waits @ (Class::WantRead | Class::WantWrite) => return Ok(waited_for(waits)),
                _ => return fail_with(core, &outcome, operation),
            }
        }
        self.updating = true;
        core.lifecycle.key_update_queued(asks);
        Ok(Status::Complete)
    }

    /// Schedules the request, which leaves with the next call that sends, as a KeyUpdate does.
    pub(crate) fn request_client_certificate<E: Engine>(
        &mut self,
        core: &mut Core<E>,
    ) -> Result<Status> {
        if let Some(verdict) = core.gate_client_certificate(core.pending()) {
            return verdict;
        }
        let operation = Operation::RequestCertificate;
        let status = self.finish_record(core, operation)?;
        if status != Status::Complete {
            return Ok(status);
        }
        let steps: [fn(&mut E) -> c_int; 2] = [E::send_messages, E::schedule_request];
        let status = core.ask(&steps, |core, step| {
            let outcome = self.call(core, step);
            match outcome.class {
                Class::Done(_) => Ok(None),
                waits @ (Class::WantRead | Class::WantWrite) => Ok(Some(waited_for(waits))),
                _ => fail_with(core, &outcome, operation).map(Some),
            }
        })?;
        self.updating |= core.post_handshake_auth() == PostHandshakeAuth::Pending;
        Ok(status)
    }

    /// Completes the record that the socket took in part.
    pub(crate) fn flush<E: Engine>(&mut self, core: &mut Core<E>) -> Result<Status> {
        if core.lifecycle.failure().is_some() {
            // The library sends nothing more.
            self.in_flight.clear();
            self.closing = false;
            self.updating = false;
            return Ok(Status::Complete);
        }
        let status = self.finish_record(core, Operation::Flush)?;
        if status == Status::Complete && self.closing {
            return self.send_close_notify(core, Operation::Flush);
        }
        Ok(status)
    }

    pub(crate) fn shutdown<E: Engine>(&mut self, core: &mut Core<E>) -> Result<Status> {
        if let Some(verdict) = core.lifecycle.gate_shutdown(core.pending()) {
            return verdict;
        }
        if !core.lifecycle.is_closing() && core.is_interrupted() && self.updating {
            // A message of ours that waits to be sent looks like a handshake to the library.
            let status = self.finish_record(core, Operation::Shutdown)?;
            if status != Status::Complete {
                return Ok(status);
            }
        }
        if !core.lifecycle.is_closing() && core.is_interrupted() {
            if !core.lifecycle.close_notify_received() {
                return Ok(Status::WantRead);
            }
            core.close_silently();
        }
        if core.lifecycle.queue_close_notify() {
            self.closing = !core.shut_quietly();
        }
        let status = self.finish_record(core, Operation::Shutdown)?;
        if status != Status::Complete {
            return Ok(status);
        }
        if self.closing {
            let status = self.send_close_notify(core, Operation::Shutdown)?;
            if status != Status::Complete {
                return Ok(status);
            }
        }
        core.lifecycle.output_drained();
        Ok(core.lifecycle.shutdown_status(core.quiet))
    }

    fn call<E: Engine>(&self, core: &mut Core<E>, call: impl FnMut(&mut E) -> c_int) -> Outcome {
        self.enter(core, Function::Ordinary, call)
    }

    /// Repeats what was interrupted: the library would have the caller wait for a socket that is
    /// ready (K19). Bounded, as errno may be that of an earlier call.
    fn enter<E: Engine>(
        &self,
        core: &mut Core<E>,
        function: Function,
        mut call: impl FnMut(&mut E) -> c_int,
    ) -> Outcome {
        let mut repeats = 0;
        loop {
            let mut once = || enter(&mut core.link, function, &mut [], &mut [], &mut call).result;
            let outcome = if self.shield {
                sigpipe::blocked(once)
            } else {
                once()
            };
            if !outcome.interrupted || repeats == MOST_REPEATS {
                return outcome;
            }
            repeats += 1;
        }
    }

    fn finish_record<E: Engine>(
        &mut self,
        core: &mut Core<E>,
        operation: Operation,
    ) -> Result<Status> {
        if self.updating {
            let outcome = self.call(core, E::send_messages);
            match outcome.class {
                Class::Done(_) => self.updating = false,
                waits @ (Class::WantRead | Class::WantWrite) => return Ok(waited_for(waits)),
                _ => return fail_with(core, &outcome, operation),
            }
        }
        while !self.in_flight.is_empty() {
            let outcome = self.call(core, |engine| engine.write(self.in_flight.filled()));
            match outcome.class {
                Class::Done(count) => self.in_flight.consume(count),
                waits @ (Class::WantRead | Class::WantWrite) => return Ok(waited_for(waits)),
                _ => return fail_with(core, &outcome, operation),
            }
        }
        Ok(Status::Complete)
    }

    fn send_close_notify<E: Engine>(
        &mut self,
        core: &mut Core<E>,
        operation: Operation,
    ) -> Result<Status> {
        let outcome = self.enter(core, Function::Shutdown, E::shutdown);
        match outcome.class {
            Class::Done(_) => {
                self.closing = false;
                core.lifecycle.output_drained();
                Ok(Status::Complete)
            }
            // Sent; what it waits for is the peer's.
            Class::WantRead => {
                self.closing = false;
                core.lifecycle.output_drained();
                Ok(Status::Complete)
            }
            Class::WantWrite => Ok(Status::WantWrite),
            _ => fail_with(core, &outcome, operation),
        }
    }

    /// The engine gets the session's own BIO, through which it can be made to send an alert.
    #[cold]
    fn turned_away<E: Engine>(&mut self, core: &mut Core<E>, error: Error) -> Result<Status> {
        if !self.in_flight.is_empty() || core.link.attach().is_err() {
            return fail(core, error);
        }
        core.turned_away(error, Progress::idle(Status::Complete))
            .map(|progress| progress.status)
    }
}

/// What the library has received and sent, in bytes.
fn moved<E: Engine>(core: &Core<E>) -> (u64, u64) {
    let engine = core.link.engine();
    (engine.bytes_received(), engine.bytes_sent())
}

fn waited_for(class: Class) -> Status {
    match class {
        Class::WantWrite => Status::WantWrite,
        _ => Status::WantRead,
    }
}

#[cold]
fn suspend<E: Engine>(core: &mut Core<E>, asks: Class, operation: Operation) -> Result<Status> {
    let verdict = core.suspend(asks, operation, Progress::idle(Status::Complete));
    verdict.map(|progress| progress.status)
}

#[cold]
fn fail_with<E: Engine>(
    core: &mut Core<E>,
    outcome: &Outcome,
    operation: Operation,
) -> Result<Status> {
    let error = core.error(outcome, operation);
    fail(core, error)
}

/// The library has sent its alert, or tried to, by the time the error is here.
#[cold]
fn fail<E: Engine>(core: &mut Core<E>, error: Error) -> Result<Status> {
    let verdict = core.fail(error, Progress::idle(Status::Complete));
    verdict.map(|progress| progress.status)
}
