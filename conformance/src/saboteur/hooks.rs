//! What a saboteur does to the calls of a session.

use std::collections::VecDeque;
use std::sync::OnceLock;

use tls_core::config::Identity;
use tls_core::iana::AlertDescription;
use tls_core::pki_types::CertificateDer;
use tls_core::{
    CertificateProblem, ChannelBinding, ClientHello, DynContext, Facts, PostHandshakeAuth,
    Progress, Result, Role, Session, SocketSession, Status, Verdict,
};

/// One call on its way to the real session, in either mode.
pub(crate) trait Call {
    /// The real session.
    fn session(&self) -> &dyn Session;
    /// The real session, for answers to what it asks.
    fn session_mut(&mut self) -> &mut dyn Session;
    /// How much ciphertext the caller offers; `None` in socket mode.
    fn input_length(&self) -> Option<usize>;
    fn handshake(&mut self) -> Result<Progress>;
    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress>;
    fn write(&mut self, plaintext: &[u8]) -> Result<Progress>;
    fn shutdown(&mut self) -> Result<Progress>;
    fn flush(&mut self) -> Result<Progress>;
    fn request_key_update(&mut self) -> Result<Progress>;
    fn request_client_certificate(&mut self) -> Result<Progress>;
}

/// What a saboteur does to the calls of one session; nothing, unless said otherwise.
pub(crate) trait Hook: Send {
    fn handshake(&mut self, call: &mut dyn Call) -> Result<Progress> {
        call.handshake()
    }

    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        call.read(plaintext)
    }

    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        call.write(plaintext)
    }

    fn shutdown(&mut self, call: &mut dyn Call) -> Result<Progress> {
        call.shutdown()
    }

    fn flush(&mut self, call: &mut dyn Call) -> Result<Progress> {
        call.flush()
    }

    fn request_key_update(&mut self, call: &mut dyn Call) -> Result<Progress> {
        call.request_key_update()
    }

    fn request_client_certificate(&mut self, call: &mut dyn Call) -> Result<Progress> {
        call.request_client_certificate()
    }

    fn post_handshake_auth(&self, session: &dyn Session) -> PostHandshakeAuth {
        session.post_handshake_auth()
    }

    fn facts<'a>(&'a self, session: &'a dyn Session) -> Option<&'a Facts> {
        session.facts()
    }

    fn client_hello<'a>(&'a self, session: &'a dyn Session) -> Option<&'a ClientHello> {
        session.client_hello()
    }

    fn unverified_peer_certificates<'a>(
        &'a self,
        session: &'a dyn Session,
    ) -> Option<&'a [CertificateDer<'static>]> {
        session.unverified_peer_certificates()
    }

    fn default_validation(
        &self,
        session: &dyn Session,
    ) -> Option<std::result::Result<(), CertificateProblem>> {
        session.default_validation()
    }

    fn set_validation_result(&mut self, session: &mut dyn Session, verdict: Verdict) -> Result<()> {
        session.set_validation_result(verdict)
    }

    fn acceptable_issuers<'a>(&'a self, session: &'a dyn Session) -> Option<&'a [Vec<u8>]> {
        session.acceptable_issuers()
    }

    fn set_client_certificate(
        &mut self,
        session: &mut dyn Session,
        identity: Option<Identity>,
    ) -> Result<()> {
        session.set_client_certificate(identity)
    }

    fn set_context(&mut self, session: &mut dyn Session, context: &dyn DynContext) -> Result<()> {
        session.set_context(context)
    }

    fn refuse_client_hello(
        &mut self,
        session: &mut dyn Session,
        alert: AlertDescription,
    ) -> Result<()> {
        session.refuse_client_hello(alert)
    }

    fn unread(&mut self, session: &mut dyn SocketSession, ciphertext: &[u8]) -> Result<()> {
        session.unread(ciphertext)
    }

    fn pending_output(&self, session: &dyn Session) -> usize {
        session.pending_output()
    }

    fn buffered(&self, session: &dyn Session) -> usize {
        session.buffered()
    }

    fn export(
        &self,
        session: &dyn Session,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<()> {
        session.export_keying_material(output, label, context)
    }

    fn channel_binding(
        &self,
        session: &dyn Session,
        binding: ChannelBinding,
    ) -> Result<Option<Vec<u8>>> {
        session.channel_binding(binding)
    }

    fn passes_eof(&self) -> bool {
        true
    }

    fn shuts_down_on_drop(&self) -> bool {
        false
    }
}

/// Does nothing.
pub(super) struct Honest;

impl Hook for Honest {}

/// Changes `handshake`.
pub(super) struct OnHandshake<F>(F);

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> OnHandshake<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> Hook for OnHandshake<F> {
    fn handshake(&mut self, call: &mut dyn Call) -> Result<Progress> {
        self.0(call)
    }
}

/// Changes `read`.
pub(super) struct OnRead<F>(F);

impl<F: FnMut(&mut dyn Call, &mut [u8]) -> Result<Progress> + Send> OnRead<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F: FnMut(&mut dyn Call, &mut [u8]) -> Result<Progress> + Send> Hook for OnRead<F> {
    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        self.0(call, plaintext)
    }
}

/// Changes `write`.
pub(super) struct OnWrite<F>(F);

impl<F: FnMut(&mut dyn Call, &[u8]) -> Result<Progress> + Send> OnWrite<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F: FnMut(&mut dyn Call, &[u8]) -> Result<Progress> + Send> Hook for OnWrite<F> {
    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        self.0(call, plaintext)
    }
}

/// Changes `shutdown`.
pub(super) struct OnShutdown<F>(F);

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> OnShutdown<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> Hook for OnShutdown<F> {
    fn shutdown(&mut self, call: &mut dyn Call) -> Result<Progress> {
        self.0(call)
    }
}

/// Changes `request_key_update`.
pub(super) struct OnKeyUpdate<F>(F);

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> OnKeyUpdate<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> Hook for OnKeyUpdate<F> {
    fn request_key_update(&mut self, call: &mut dyn Call) -> Result<Progress> {
        self.0(call)
    }
}

/// Changes `request_client_certificate`.
pub(super) struct OnRequest<F>(F);

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> OnRequest<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F: FnMut(&mut dyn Call) -> Result<Progress> + Send> Hook for OnRequest<F> {
    fn request_client_certificate(&mut self, call: &mut dyn Call) -> Result<Progress> {
        self.0(call)
    }
}

/// Changes `post_handshake_auth`.
pub(super) struct OnState<F>(F);

impl<F: Fn(PostHandshakeAuth) -> PostHandshakeAuth + Send> OnState<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F: Fn(PostHandshakeAuth) -> PostHandshakeAuth + Send> Hook for OnState<F> {
    fn post_handshake_auth(&self, session: &dyn Session) -> PostHandshakeAuth {
        self.0(session.post_handshake_auth())
    }
}

/// Changes what every call gives.
pub(super) struct OnResult<F>(F);

impl<F: FnMut(&dyn Session, Result<Progress>) -> Result<Progress> + Send> OnResult<F> {
    pub(super) fn new(hook: F) -> Self {
        Self(hook)
    }
}

impl<F> Hook for OnResult<F>
where
    F: FnMut(&dyn Session, Result<Progress>) -> Result<Progress> + Send,
{
    fn handshake(&mut self, call: &mut dyn Call) -> Result<Progress> {
        let result = call.handshake();
        self.0(call.session(), result)
    }

    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        let result = call.read(plaintext);
        self.0(call.session(), result)
    }

    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        let result = call.write(plaintext);
        self.0(call.session(), result)
    }

    fn shutdown(&mut self, call: &mut dyn Call) -> Result<Progress> {
        let result = call.shutdown();
        self.0(call.session(), result)
    }
}

/// Changes the facts, once they are there.
pub(super) struct OnFacts {
    change: fn(&mut Facts),
    changed: OnceLock<Facts>,
}

impl OnFacts {
    pub(super) fn new(change: fn(&mut Facts)) -> Self {
        Self {
            change,
            changed: OnceLock::new(),
        }
    }
}

impl Hook for OnFacts {
    fn facts<'a>(&'a self, session: &'a dyn Session) -> Option<&'a Facts> {
        let facts = session.facts()?;
        Some(self.changed.get_or_init(|| {
            let mut facts = facts.clone();
            (self.change)(&mut facts);
            facts
        }))
    }
}

/// Tells these facts whenever the session has none.
pub(super) struct EarlyFacts(pub(super) Facts);

impl Hook for EarlyFacts {
    fn facts<'a>(&'a self, session: &'a dyn Session) -> Option<&'a Facts> {
        Some(session.facts().unwrap_or(&self.0))
    }
}

/// Tells no facts any more once the peer has shut down.
pub(super) struct ForgetsFacts;

impl Hook for ForgetsFacts {
    fn facts<'a>(&'a self, session: &'a dyn Session) -> Option<&'a Facts> {
        if session.close_notify_received() {
            return None;
        }
        session.facts()
    }
}

/// Says that one byte more is buffered than is.
pub(super) struct BufferedMore;

impl Hook for BufferedMore {
    fn buffered(&self, session: &dyn Session) -> usize {
        session.buffered() + 1
    }
}

/// Says that nothing is pending.
pub(super) struct PendingNothing;

impl Hook for PendingNothing {
    fn pending_output(&self, _session: &dyn Session) -> usize {
        0
    }
}

/// Does not tell the session of the end of input.
pub(super) struct DeafToEof;

impl Hook for DeafToEof {
    fn passes_eof(&self) -> bool {
        false
    }
}

/// Sends a close_notify when it is dropped.
pub(super) struct ShutsDownOnDrop;

impl Hook for ShutsDownOnDrop {
    fn shuts_down_on_drop(&self) -> bool {
        true
    }
}

/// Gives `Closed` once this side has shut down.
pub(super) struct ForgetsUnread(pub(super) bool);

impl Hook for ForgetsUnread {
    fn shutdown(&mut self, call: &mut dyn Call) -> Result<Progress> {
        self.0 = true;
        call.shutdown()
    }

    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        if self.0 {
            return Ok(Progress::idle(Status::Closed));
        }
        call.read(plaintext)
    }
}

/// Decrypts all there is before it delivers any of it, so that a failure overtakes data.
#[derive(Default)]
pub(super) struct ReadsAhead(VecDeque<u8>);

impl Hook for ReadsAhead {
    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        let mut chunk = [0; 1024];
        let mut consumed = 0;
        let status = loop {
            let progress = call.read(&mut chunk)?;
            consumed += progress.consumed;
            self.0.extend(&chunk[..progress.produced]);
            if progress.status != Status::Complete || progress.produced == 0 {
                break progress.status;
            }
        };
        let produced = self.0.len().min(plaintext.len());
        if produced == 0 {
            return Ok(Progress::new(status, consumed, 0));
        }
        for (place, byte) in plaintext.iter_mut().zip(self.0.drain(..produced)) {
            *place = byte;
        }
        Ok(Progress::new(Status::Complete, consumed, produced))
    }
}

/// Writes only after it has read.
pub(super) struct ReadsFirst(pub(super) bool);

impl Hook for ReadsFirst {
    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        self.0 = true;
        call.read(plaintext)
    }

    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        if !self.0 && call.session().role() == Role::Client {
            return Ok(Progress::idle(Status::WantWrite));
        }
        call.write(plaintext)
    }
}

/// Makes no progress with fewer bytes of input than a record header has.
pub(super) struct WantsHeaders;

impl WantsHeaders {
    fn starves(call: &dyn Call) -> bool {
        matches!(call.input_length(), Some(1..=4))
    }
}

impl Hook for WantsHeaders {
    fn handshake(&mut self, call: &mut dyn Call) -> Result<Progress> {
        if Self::starves(call) {
            return Ok(Progress::idle(Status::WantRead));
        }
        call.handshake()
    }

    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        if Self::starves(call) {
            return Ok(Progress::idle(Status::WantRead));
        }
        call.read(plaintext)
    }
}
