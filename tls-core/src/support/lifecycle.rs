//! Where a session stands: the rules of the contract that do not depend on the engine.

use rustls_pki_types::CertificateDer;

use super::suspension::Suspension;
use crate::capabilities::{Feature, Support};
use crate::error::{Error, ErrorKind, Misuse, Operation, Result};
use crate::facts::Facts;
use crate::iana::ProtocolVersion;
use crate::session::Role;
use crate::status::{PostHandshakeAuth, Status};

/// How many bytes above the bound on pending output a reply to the peer may take (K1).
pub const OUTPUT_RESERVE: usize = 4 * 1024;

/// How many KeyUpdates a session sends without application data written in between, and how many
/// answers it asks for without any read. A peer counts our answers too, and this side the peer's: 32
/// are endured (K4), and so many may be on their way when both ask.
const MAX_KEY_UPDATES: u8 = 16;

/// Where a session stands: handshaking, open or failed, and which close_notify has been seen.
///
/// Each call of a session asks its gate first; what the gate answers is the call's result, and the
/// engine is not touched. Sticky errors, the before-handshake rule, empty buffers, shutdown and
/// truncation are decided here, the same for every backend.
#[derive(Debug, Default)]
pub struct Lifecycle {
    facts: Option<Box<Facts>>,
    failure: Option<Failure>,
    close_notify: CloseNotify,
    close_notify_received: bool,
    input_ended: bool,
    /// KeyUpdates sent since application data was last written.
    unwritten_updates: u8,
    /// KeyUpdates that ask for the peer's, since application data was last read.
    unread_updates: u8,
    /// Only on sessions that were ever suspended.
    suspension: Option<Box<Suspension>>,
    post_handshake_auth: PostHandshakeAuth,
}

/// What a request for a client certificate depends on besides where the session stands.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    /// Which side the session is.
    pub role: Role,
    /// Whether it can ask with TLS 1.3.
    pub tls13: Support,
    /// Whether it can ask, and may, with TLS 1.2.
    pub tls12: Support,
    /// Whether it has roots to verify the answer against.
    pub has_roots: bool,
}

#[derive(Debug)]
struct Failure {
    error: Error,
    /// An alert was queued behind the output, and the error waits for it to leave.
    announces: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum CloseNotify {
    #[default]
    None,
    Queued,
    Sent,
}

impl Lifecycle {
    /// A session whose handshake has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `handshake` gives without touching the engine, if anything. `pending_output` in bytes.
    #[inline]
    pub fn gate_handshake(&self, pending_output: usize) -> Option<Result<Status>> {
        if let Some(verdict) = self.gate_failure(pending_output) {
            return Some(verdict);
        }
        if let Some(status) = self.suspended(pending_output) {
            return Some(Ok(status));
        }
        self.facts.as_ref().map(|_| Ok(Status::Complete))
    }

    /// What `read` gives without touching the engine, if anything. `plaintext_len`: room for
    /// plaintext, in bytes. Plaintext held from before a failure goes first: ask only when none is
    /// held.
    #[inline]
    pub fn gate_read(&self, plaintext_len: usize, pending_output: usize) -> Option<Result<Status>> {
        if let Some(verdict) = self.gate_failure(pending_output) {
            return Some(verdict);
        }
        if self.facts.is_none() {
            return Some(Err(incomplete(Operation::Read)));
        }
        if let Some(status) = self.suspended(pending_output) {
            return Some(Ok(status));
        }
        if plaintext_len == 0 {
            return Some(Ok(Status::Complete));
        }
        self.close_notify_received.then_some(Ok(Status::Closed))
    }

    /// What `write` gives without touching the engine, if anything. `plaintext_len` in bytes.
    #[inline]
    pub fn gate_write(
        &self,
        plaintext_len: usize,
        pending_output: usize,
    ) -> Option<Result<Status>> {
        if let Some(verdict) = self.gate_failure(pending_output) {
            return Some(verdict);
        }
        if self.facts.is_none() {
            return Some(Err(incomplete(Operation::Write)));
        }
        if let Some(status) = self.suspended(pending_output) {
            return Some(Ok(status));
        }
        if self.is_closing() {
            return Some(Err(Error::misuse(
                Misuse::WriteAfterShutdown,
                Operation::Write,
            )));
        }
        (plaintext_len == 0).then_some(Ok(Status::Complete))
    }

    /// What `shutdown` gives without touching the engine, if anything. After `None` the session
    /// queues its close_notify, calls [`Self::queue_close_notify`], drains, and gives
    /// [`Self::shutdown_status`].
    pub fn gate_shutdown(&self, pending_output: usize) -> Option<Result<Status>> {
        if let Some(verdict) = self.gate_failure(pending_output) {
            return Some(verdict);
        }
        if self.facts.is_none() {
            return Some(Err(incomplete(Operation::Shutdown)));
        }
        self.suspended(pending_output).map(Ok)
    }

    /// What `request_key_update` gives without touching the engine, if anything: `support` is the
    /// backend's for [`Feature::KeyUpdate`], `pending_output` and its `bound` are in bytes. After
    /// `None` the session queues its message and calls [`Self::key_update_queued`].
    pub fn gate_key_update(
        &self,
        support: Support,
        pending_output: usize,
        bound: usize,
    ) -> Option<Result<Status>> {
        if let Some(verdict) = self.gate_failure(pending_output) {
            return Some(verdict);
        }
        let operation = Operation::KeyUpdate;
        let Some(facts) = &self.facts else {
            return Some(Err(incomplete(operation)));
        };
        if let Some(status) = self.suspended(pending_output) {
            return Some(Ok(status));
        }
        if self.is_closing() {
            return Some(Err(Error::misuse(Misuse::WriteAfterShutdown, operation)));
        }
        let lacks = match support {
            Support::Unsupported(reason) => Some(reason),
            _ if facts.protocol_version != ProtocolVersion::TLS1_3 => {
                Some("TLS 1.2 has no KeyUpdate")
            }
            _ => None,
        };
        if let Some(reason) = lacks {
            let kind = ErrorKind::Unsupported(Feature::KeyUpdate);
            return Some(Err(Error::new(kind, operation).with_detail(reason)));
        }
        if self.unwritten_updates >= MAX_KEY_UPDATES {
            return Some(Err(Error::misuse(Misuse::TooManyKeyUpdates, operation)));
        }
        (pending_output >= bound).then_some(Ok(Status::WantWrite))
    }

    /// What `request_client_certificate` gives without touching the engine, if anything:
    /// `requests` says what the backend can and the configuration allows, `pending_output` and
    /// its `bound` are in bytes. After `None` the session asks the engine, and tells of the result by
    /// [`Self::set_post_handshake_auth`].
    pub fn gate_client_certificate(
        &self,
        requests: Requests,
        pending_output: usize,
        bound: usize,
    ) -> Option<Result<Status>> {
        if let Some(verdict) = self.gate_failure(pending_output) {
            return Some(verdict);
        }
        let operation = Operation::RequestCertificate;
        let misuse = |misuse| Some(Err(Error::misuse(misuse, operation)));
        if requests.role == Role::Client {
            return misuse(Misuse::WrongRole);
        }
        let Some(facts) = &self.facts else {
            return Some(Err(incomplete(operation)));
        };
        if let Some(status) = self.suspended(pending_output) {
            return Some(Ok(status));
        }
        if self.is_closing() {
            return misuse(Misuse::WriteAfterShutdown);
        }
        let (feature, support) = match facts.protocol_version {
            ProtocolVersion::TLS1_3 => (Feature::PostHandshakeAuth, requests.tls13),
            _ => (Feature::RenegotiationServer, requests.tls12),
        };
        if let Support::Unsupported(reason) = support {
            let kind = ErrorKind::Unsupported(feature);
            return Some(Err(Error::new(kind, operation).with_detail(reason)));
        }
        if !requests.has_roots {
            return misuse(Misuse::NoClientRoots);
        }
        if self.post_handshake_auth == PostHandshakeAuth::Pending {
            return misuse(Misuse::RequestPending);
        }
        (pending_output >= bound).then_some(Ok(Status::WantWrite))
    }

    /// See [`Session::post_handshake_auth`](crate::Session::post_handshake_auth).
    pub fn post_handshake_auth(&self) -> PostHandshakeAuth {
        self.post_handshake_auth
    }

    /// A client certificate was asked for, or the answer is there.
    pub fn set_post_handshake_auth(&mut self, state: PostHandshakeAuth) {
        self.post_handshake_auth = state;
    }

    /// The peer has authenticated anew, and was verified. Its identity has not changed: the session
    /// has seen to that.
    pub fn replace_peer_certificates(&mut self, chain: Vec<CertificateDer<'static>>) {
        if let Some(facts) = &mut self.facts {
            facts.peer_certificates = Some(chain);
        }
    }

    /// Whether the next KeyUpdate may ask for the peer's: one that sends no data in between has
    /// answered enough. Without asking, a side that only writes can go on for ever.
    pub fn may_ask_for_keys(&self) -> bool {
        self.unread_updates < MAX_KEY_UPDATES
    }

    /// A KeyUpdate is queued; `asks` for the peer's.
    pub fn key_update_queued(&mut self, asks: bool) {
        self.unwritten_updates += 1;
        self.unread_updates += u8::from(asks);
    }

    /// Application data was taken from the caller.
    #[inline]
    pub fn data_written(&mut self) {
        self.unwritten_updates = 0;
    }

    /// Application data was delivered to the caller.
    #[inline]
    pub fn data_read(&mut self) {
        self.unread_updates = 0;
    }

    /// What the handshake settled, for calls that ask the engine about it: exporters and bindings.
    ///
    /// # Errors
    ///
    /// The session's failure, at once; `Misuse(HandshakeIncomplete)`.
    pub fn settled(&self, operation: Operation) -> Result<&Facts> {
        if let Some(failure) = self.failure() {
            return Err(failure.clone());
        }
        self.facts().ok_or_else(|| incomplete(operation))
    }

    fn gate_failure(&self, pending_output: usize) -> Option<Result<Status>> {
        let failure = self.failure.as_ref()?;
        if failure.announces && pending_output > 0 {
            return Some(Ok(Status::WantWrite));
        }
        Some(Err(failure.error.clone()))
    }

    /// The handshake is complete and its output has left the session.
    pub fn complete_handshake(&mut self, facts: Facts) {
        debug_assert!(self.facts.is_none(), "facts are frozen");
        self.facts = Some(Box::new(facts));
    }

    /// The session has failed; the first failure stays. If its alert is queued in the pending
    /// output (`announces`), the error is given once the output has left, otherwise at once.
    /// Returns what the call that failed gives.
    pub fn fail(&mut self, error: Error, announces: bool, pending_output: usize) -> Result<Status> {
        let failure = self.failure.get_or_insert(Failure { error, announces });
        if failure.announces && pending_output > 0 {
            return Ok(Status::WantWrite);
        }
        Err(failure.error.clone())
    }

    /// Takes back that an alert is on its way: the transport is gone.
    pub fn abandon_alert(&mut self) {
        if let Some(failure) = &mut self.failure {
            failure.announces = false;
        }
    }

    /// The close_notify of this side is queued; `false` if it already was, and nothing may be sent.
    pub fn queue_close_notify(&mut self) -> bool {
        if self.close_notify != CloseNotify::None {
            return false;
        }
        self.close_notify = CloseNotify::Queued;
        true
    }

    /// The output was drained, or nothing is to be sent: a queued close_notify has left.
    #[inline]
    pub fn output_drained(&mut self) {
        if self.close_notify == CloseNotify::Queued {
            self.close_notify = CloseNotify::Sent;
        }
    }

    /// What `shutdown` gives, given how far both close_notify alerts are.
    pub fn shutdown_status(&self, quiet: bool) -> Status {
        match self.close_notify {
            CloseNotify::None | CloseNotify::Queued => Status::WantWrite,
            CloseNotify::Sent if quiet || self.close_notify_received => Status::Closed,
            CloseNotify::Sent => Status::Complete,
        }
    }

    pub(super) fn suspension(&self) -> Option<&Suspension> {
        self.suspension.as_deref()
    }

    pub(super) fn suspension_mut(&mut self) -> &mut Suspension {
        self.suspension.get_or_insert_default()
    }

    /// The peer's authenticated close_notify was seen.
    pub fn receive_close_notify(&mut self) {
        self.close_notify_received = true;
    }

    /// The transport has ended.
    pub fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Whether the transport has ended.
    #[inline]
    pub fn input_ended(&self) -> bool {
        self.input_ended
    }

    /// See [`Session::facts`](crate::Session::facts).
    #[inline]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// See [`Session::failure`](crate::Session::failure).
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// Whether the close_notify of this side is queued, or has left.
    pub fn is_closing(&self) -> bool {
        self.close_notify != CloseNotify::None
    }

    /// See [`Session::close_notify_sent`](crate::Session::close_notify_sent).
    pub fn close_notify_sent(&self) -> bool {
        self.close_notify == CloseNotify::Sent
    }

    /// See [`Session::close_notify_received`](crate::Session::close_notify_received).
    pub fn close_notify_received(&self) -> bool {
        self.close_notify_received
    }
}

#[cold]
fn incomplete(operation: Operation) -> Error {
    Error::misuse(Misuse::HandshakeIncomplete, operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::iana::{CipherSuite, ProtocolVersion};

    fn open() -> Lifecycle {
        let mut lifecycle = Lifecycle::new();
        lifecycle.complete_handshake(Facts::new(
            ProtocolVersion::TLS1_3,
            CipherSuite::TLS_AES_128_GCM_SHA256,
        ));
        lifecycle
    }

    #[test]
    fn nothing_but_the_handshake_before_it_is_complete() {
        let lifecycle = Lifecycle::new();
        let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
        assert!(lifecycle.gate_handshake(0).is_none());
        for verdict in [
            lifecycle.gate_read(0, 0),
            lifecycle.gate_write(0, 0),
            lifecycle.gate_shutdown(0),
        ] {
            assert_eq!(verdict.unwrap().unwrap_err().kind(), incomplete);
        }
    }

    #[test]
    fn empty_buffers_complete_unless_the_session_failed() {
        let mut lifecycle = open();
        assert_eq!(
            lifecycle.gate_read(0, 0).unwrap().unwrap(),
            Status::Complete
        );
        assert_eq!(
            lifecycle.gate_write(0, 0).unwrap().unwrap(),
            Status::Complete
        );
        let error = Error::new(ErrorKind::Protocol, Operation::Read);
        assert!(lifecycle.fail(error, false, 0).is_err());
        assert!(lifecycle.gate_read(0, 0).unwrap().is_err());
        assert!(lifecycle.gate_write(0, 0).unwrap().is_err());
    }

    #[test]
    fn an_error_waits_for_its_alert_and_then_stays() {
        let mut lifecycle = open();
        let error = Error::new(ErrorKind::Protocol, Operation::Read);
        assert_eq!(lifecycle.fail(error, true, 7).unwrap(), Status::WantWrite);
        assert_eq!(
            lifecycle.gate_handshake(1).unwrap().unwrap(),
            Status::WantWrite
        );
        for _ in 0..3 {
            let kind = lifecycle.gate_write(5, 0).unwrap().unwrap_err().kind();
            assert_eq!(kind, ErrorKind::Protocol);
        }
        let second = Error::new(ErrorKind::Truncated, Operation::Read);
        let kind = lifecycle.fail(second, false, 0).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::Protocol, "the first failure stays");
    }

    #[test]
    fn key_updates_have_their_place_and_their_number() {
        let ask = |lifecycle: &Lifecycle, support| lifecycle.gate_key_update(support, 5, 10);
        let kind = |verdict: Option<Result<Status>>| verdict.unwrap().unwrap_err().kind();
        let native = Support::Native;
        let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
        let unsupported = ErrorKind::Unsupported(Feature::KeyUpdate);
        let too_many = ErrorKind::Misuse(Misuse::TooManyKeyUpdates);
        assert_eq!(kind(ask(&Lifecycle::new(), native)), incomplete);

        let mut lifecycle = open();
        assert!(ask(&lifecycle, native).is_none());
        assert_eq!(
            kind(ask(&lifecycle, Support::Unsupported("no"))),
            unsupported
        );
        let full = lifecycle.gate_key_update(native, 10, 10);
        assert_eq!(full.unwrap().unwrap(), Status::WantWrite);
        for _ in 0..16 {
            assert!(ask(&lifecycle, native).is_none() && lifecycle.may_ask_for_keys());
            lifecycle.key_update_queued(true);
        }
        assert_eq!(kind(ask(&lifecycle, native)), too_many);
        for _ in 0..100 {
            lifecycle.data_written();
            assert!(ask(&lifecycle, native).is_none());
            assert!(!lifecycle.may_ask_for_keys(), "nothing was read");
            lifecycle.key_update_queued(false);
        }
        lifecycle.data_read();
        assert!(lifecycle.may_ask_for_keys());
        lifecycle.data_written();

        lifecycle.queue_close_notify();
        let after = ErrorKind::Misuse(Misuse::WriteAfterShutdown);
        assert_eq!(kind(ask(&lifecycle, native)), after);
        let error = Error::new(ErrorKind::Protocol, Operation::Read);
        assert!(lifecycle.fail(error, false, 0).is_err());
        assert_eq!(kind(ask(&lifecycle, native)), ErrorKind::Protocol);

        let mut old = Lifecycle::new();
        old.complete_handshake(Facts::new(
            ProtocolVersion::TLS1_2,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ));
        assert_eq!(kind(ask(&old, native)), unsupported);
    }

    #[test]
    fn client_certificates_are_asked_for_where_that_can_be() {
        let native = Requests {
            role: Role::Server,
            tls13: Support::Native,
            tls12: Support::Unsupported("no"),
            has_roots: true,
        };
        let kind = |lifecycle: &Lifecycle, requests| {
            let verdict = lifecycle.gate_client_certificate(requests, 5, 10);
            verdict.unwrap().unwrap_err().kind()
        };
        let misuse = ErrorKind::Misuse;
        let incomplete = kind(&Lifecycle::new(), native);
        assert_eq!(incomplete, misuse(Misuse::HandshakeIncomplete));

        let mut lifecycle = open();
        let gate =
            |lifecycle: &Lifecycle, pending| lifecycle.gate_client_certificate(native, pending, 10);
        assert!(gate(&lifecycle, 9).is_none());
        let full = gate(&lifecycle, 10).unwrap().unwrap();
        assert_eq!(full, Status::WantWrite);
        for (requests, expected) in [
            (
                Requests {
                    role: Role::Client,
                    ..native
                },
                misuse(Misuse::WrongRole),
            ),
            (
                Requests {
                    tls13: Support::Unsupported("no"),
                    ..native
                },
                ErrorKind::Unsupported(Feature::PostHandshakeAuth),
            ),
            (
                Requests {
                    has_roots: false,
                    ..native
                },
                misuse(Misuse::NoClientRoots),
            ),
        ] {
            assert_eq!(kind(&lifecycle, requests), expected);
        }
        for (state, asks) in [
            (PostHandshakeAuth::Pending, false),
            (PostHandshakeAuth::Received, true),
            (PostHandshakeAuth::Declined, true),
            (PostHandshakeAuth::PeerNotCapable, true),
        ] {
            lifecycle.set_post_handshake_auth(state);
            assert_eq!(gate(&lifecycle, 0).is_none(), asks, "{state:?}");
        }
        lifecycle.set_post_handshake_auth(PostHandshakeAuth::Pending);
        assert_eq!(kind(&lifecycle, native), misuse(Misuse::RequestPending));
        lifecycle.queue_close_notify();
        assert_eq!(kind(&lifecycle, native), misuse(Misuse::WriteAfterShutdown));

        let mut old = Lifecycle::new();
        old.complete_handshake(Facts::new(
            ProtocolVersion::TLS1_2,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ));
        let unsupported = ErrorKind::Unsupported(Feature::RenegotiationServer);
        assert_eq!(kind(&old, native), unsupported);
    }

    #[test]
    fn shutdown_is_half_close_and_sends_once() {
        let mut lifecycle = open();
        assert!(lifecycle.queue_close_notify());
        assert!(!lifecycle.queue_close_notify());
        assert_eq!(lifecycle.shutdown_status(false), Status::WantWrite);
        lifecycle.output_drained();
        assert_eq!(lifecycle.shutdown_status(false), Status::Complete);
        assert!(lifecycle.gate_read(1, 0).is_none(), "reading goes on");
        assert!(lifecycle.gate_write(1, 0).unwrap().is_err());
        lifecycle.receive_close_notify();
        assert_eq!(lifecycle.shutdown_status(false), Status::Closed);
        assert_eq!(lifecycle.gate_read(1, 0).unwrap().unwrap(), Status::Closed);
    }
}
