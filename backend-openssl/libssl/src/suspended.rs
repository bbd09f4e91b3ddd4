//! A session that waits for its caller: what the library asked, and what it is told.

use tls_core::config::Identity;
use tls_core::{Error, ErrorKind, Operation, Progress, Result, Status, Verdict};

use crate::classify::{Class, Function};
use crate::core::{Core, panicked};
use crate::engine::Engine;
use crate::ritual::enter;
use crate::wire::Phase;

impl<E: Engine> Core<E> {
    /// The library asks something that only the caller can answer.
    #[cold]
    pub(crate) fn suspend(
        &mut self,
        asks: Class,
        operation: Operation,
        total: Progress,
    ) -> Result<Progress> {
        let Some(status) = self.suspended_by(asks) else {
            let error = Error::new(ErrorKind::Backend, operation)
                .with_detail("the library asks what nobody is to answer");
            return self.fail(error, total);
        };
        // Data that came before is delivered first; the next call meets the suspension.
        let delivers = operation == Operation::Read && total.produced > 0;
        Ok(if delivers {
            total
        } else {
            Progress { status, ..total }
        })
    }

    fn suspended_by(&mut self, asks: Class) -> Option<Status> {
        let pending = self.pending();
        let engine = self.link.engine();
        if asks == Class::WantCertificate {
            if !engine.observed().questions().wants_certificate() {
                return None;
            }
            let issuers = engine.acceptable_issuers();
            engine.clear_errors();
            return Some(self.lifecycle.suspend_for_credentials(issuers, pending));
        }
        let (chain, default) = engine.observed().questions().take_presented()?;
        Some(
            self.lifecycle
                .suspend_for_validation(chain, default, pending),
        )
    }

    pub(crate) fn set_validation_result(&mut self, verdict: Verdict) -> Result<()> {
        self.lifecycle.resolve_validation()?;
        self.link.engine().observed().questions().decide(verdict);
        self.answered = true;
        if self.lifecycle.facts().is_some() && self.link.engine().reads_elsewhere() {
            self.read_on();
        }
        Ok(())
    }

    /// A read that waits in the library goes on at once, so that no other call finds the library in
    /// the middle of it. What it comes to is kept for the next call.
    fn read_on(&mut self) {
        let total = Progress::idle(Status::Complete);
        self.link.wire_mut().begin(Phase::Read);
        let moved = enter(
            &mut self.link,
            Function::Ordinary,
            &mut [],
            &mut [],
            E::read_on,
        );
        if moved.panicked {
            let _ = self.fail(panicked(Operation::Read), total);
            return;
        }
        if self.may_be_renewed() {
            if let Err(error) = self.renew() {
                let _ = self.turned_away(error, total);
                return;
            }
        }
        match moved.result.class {
            // The next read meets it again.
            Class::Done(_) | Class::WantRead | Class::WantWrite | Class::CloseNotify => {}
            asks @ (Class::WantVerdict | Class::WantCertificate) => {
                let _ = self.suspend(asks, Operation::Read, total);
            }
            _ => {
                let _ = self.fail_with(&moved.result, Operation::Read, total);
            }
        }
    }

    pub(crate) fn set_client_certificate(&mut self, identity: Option<Identity>) -> Result<()> {
        self.lifecycle.check_wants_credentials()?;
        if identity.is_none() && self.local_certificates.take().is_some() {
            self.link.engine_mut().present_nothing();
        }
        if let Some(identity) = identity {
            let engine = self.link.engine_mut();
            engine.clear_errors();
            let presented = engine.present(&identity);
            engine.clear_errors();
            presented?;
            engine.watch_handshakes();
            self.local_certificates = Some(identity.shared_chain());
        }
        self.lifecycle.resolve_credentials()?;
        self.link
            .engine()
            .observed()
            .questions()
            .certificate_chosen();
        self.answered = true;
        Ok(())
    }
}
