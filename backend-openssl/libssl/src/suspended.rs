//! A session that waits for its caller: what the library asked, and what it is told.

use tls_core::config::Identity;
use tls_core::{Error, ErrorKind, Operation, Progress, Result, Status, Verdict};

use crate::classify::Class;
use crate::core::Core;
use crate::engine::Engine;

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
        Ok(())
    }

    pub(crate) fn set_client_certificate(&mut self, identity: Option<Identity>) -> Result<()> {
        self.lifecycle.check_wants_credentials()?;
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
