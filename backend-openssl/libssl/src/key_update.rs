//! Asking the peer for new keys, and changing ours.

use std::ffi::c_int;

use tls_core::iana::ProtocolVersion;
use tls_core::{Operation, Progress, Result, Status};

use crate::classify::{Class, Function};
use crate::core::{Core, panicked};
use crate::engine::Engine;
use crate::ritual::enter;
use crate::wire::Phase;

impl<E: Engine> Core<E> {
    /// What [`Session::request_key_update`](tls_core::Session::request_key_update) gives without
    /// the library, if anything; `pending` in bytes.
    pub(crate) fn gate_key_update(&self, pending: usize) -> Option<Result<Status>> {
        self.lifecycle
            .gate_key_update(E::KEY_UPDATE, pending, self.bound)
    }

    /// Queues the answer to a record without data: a peer that asked for new keys may wait for it
    /// while the caller writes nothing. Nothing follows a close_notify.
    pub(crate) fn answer(&mut self) -> Result<()> {
        let version = self.lifecycle.facts().map(|facts| facts.protocol_version);
        if version != Some(ProtocolVersion::TLS1_3) || self.lifecycle.is_closing() {
            return Ok(());
        }
        self.link.wire_mut().begin(Phase::Read);
        let moved = enter(
            &mut self.link,
            Function::Ordinary,
            &mut [],
            &mut [],
            E::send_messages,
        );
        if moved.panicked {
            return Err(panicked(Operation::Read));
        }
        match moved.result.class {
            // What is in the middle of a message goes on with it; what found no room is told so.
            Class::Done(_) | Class::WantRead | Class::WantWrite => Ok(()),
            _ => Err(self.error(&moved.result, Operation::Read)),
        }
    }

    /// Queues the message. The library schedules none while it owes another or reads one, so that
    /// one goes first. Where the peer cannot be asked any more, only our own keys change.
    pub(crate) fn request_key_update(&mut self) -> Result<Status> {
        if let Some(verdict) = self.gate_key_update(self.pending()) {
            return verdict;
        }
        let asks = self.lifecycle.may_ask_for_keys();
        let schedule = |engine: &mut E| engine.schedule_key_update(asks);
        let steps: [&dyn Fn(&mut E) -> c_int; 3] =
            [&E::send_messages, &schedule, &E::send_messages];
        for step in steps {
            self.link.wire_mut().begin(Phase::Write);
            let moved = enter(&mut self.link, Function::Ordinary, &mut [], &mut [], step);
            let total = Progress::idle(Status::Complete);
            let operation = Operation::KeyUpdate;
            if moved.panicked {
                return status(self.fail(panicked(operation), total));
            }
            match moved.result.class {
                Class::Done(_) => {}
                Class::WantRead => return Ok(Status::WantRead),
                _ => return status(self.fail_with(&moved.result, operation, total)),
            }
        }
        self.lifecycle.key_update_queued(asks);
        Ok(Status::Complete)
    }
}

fn status(verdict: Result<Progress>) -> Result<Status> {
    verdict.map(|progress| progress.status)
}
