//! Exporters, channel bindings, and what this side has presented.

use std::sync::Arc;

use tls_core::pki_types::CertificateDer;
use tls_core::support::{self, Keying};
use tls_core::{ChannelBinding, Error, ErrorKind, Operation, Result, Role, Support};

use crate::core::Core;
use crate::engine::Engine;

impl<E: Engine> Core<E> {
    /// What this side has presented, of what it was given: a client is not always asked.
    pub(crate) fn presented(&self) -> Option<Arc<[CertificateDer<'static>]>> {
        let sent = self.link.engine().observed().certificate_sent();
        self.local_certificates
            .clone()
            .filter(|_| self.role == Role::Server || sent)
    }

    /// See [`Session::export_keying_material`](tls_core::Session::export_keying_material).
    pub(crate) fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<()> {
        support::export_keying_material(&self.lifecycle, self, output, label, context)
    }

    /// See [`Session::channel_binding`](tls_core::Session::channel_binding).
    pub(crate) fn channel_binding(&self, binding: ChannelBinding) -> Result<Option<Vec<u8>>> {
        support::channel_binding(&self.lifecycle, self.role, self, binding)
    }

    /// Asks the library something, and leaves nothing in its error queue (K8).
    fn isolated<T>(&self, ask: impl FnOnce(&E) -> T) -> T {
        let engine = self.link.engine();
        engine.clear_errors();
        let answer = ask(engine);
        engine.clear_errors();
        answer
    }
}

impl<E: Engine> Keying for Core<E> {
    const TLS_UNIQUE: Support = E::TLS_UNIQUE;

    fn export(&self, output: &mut [u8], label: &str, context: Option<&[u8]>) -> Result<()> {
        match self.isolated(|engine| engine.export(output, label, context)) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Backend, Operation::Export)
                .with_detail("the library exports no keying material")),
        }
    }

    fn has_extended_master_secret(&self) -> bool {
        self.isolated(E::has_extended_master_secret)
    }

    fn may_renegotiate(&self) -> bool {
        self.policy.allow_renegotiation
    }

    fn is_renegotiating(&self) -> bool {
        self.is_interrupted()
    }

    fn first_finished(&self) -> Option<Vec<u8>> {
        self.isolated(|engine| engine.first_finished(self.role))
    }
}

/// The first Finished of a handshake, out of what `SSL_get_finished` gives and what
/// `SSL_get_peer_finished` does: the client's, or the server's if a session was `resumed`.
pub fn first_finished(
    role: Role,
    resumed: bool,
    own: impl FnOnce(&mut [u8]) -> usize,
    peers: impl FnOnce(&mut [u8]) -> usize,
) -> Option<Vec<u8>> {
    let mut value = vec![0; LONGEST_FINISHED];
    let length = match (role == Role::Client) != resumed {
        true => own(&mut value),
        false => peers(&mut value),
    };
    value.truncate(length);
    (1..=LONGEST_FINISHED).contains(&length).then_some(value)
}

/// In bytes: no hash of a cipher suite is longer.
const LONGEST_FINISHED: usize = 64;
