//! The session traits, and the contract every implementation keeps.
//!
//! Clauses are numbered K1 to K20; the conformance suite names the clause each of its cases holds
//! a backend to. Those that concern one call stand on that call, the others here:
//!
//! * **K4, bounded.** Pending ciphertext is bounded by
//!   [`pending_output_bound`](crate::config::Parameters::pending_output_bound) and at most one
//!   record more, and allocated only while used. Per session, at most 32 consecutive records
//!   without application data, 32 KeyUpdates without application data between them, 4 warning
//!   alerts, 64 KiB of ClientHello, 128 KiB of one handshake message, and 16 tickets kept. Beyond:
//!   a fatal error with the fitting alert.
//! * **K8, no leak between sessions.** Nothing that another session, or another user of the same
//!   library, leaves on the thread influences a session, and a session leaves nothing behind.
//! * **K9, no panic** reaches the caller from anything a peer sends.
//! * **K11, unsupported is loud.** What is outside the backend's capabilities is refused when the
//!   context is built, or at the call before the engine is touched; never ignored.
//! * **K13, suspensions are durable.** While a session waits for its caller (`WantCredentials`,
//!   `NeedsCertificateValidation`, `NeedsServerContext`), `handshake` gives that status on every call,
//!   and once a handshake is complete `read`, `write`, `shutdown` and the requests do too; before,
//!   they are `Misuse` as ever. Such calls consume nothing and emit nothing, once what was pending
//!   before has left (`WantWrite`). The end of the transport, and its errors, are told after the
//!   answer. The answer may come from another thread, with the session moved there; the next call
//!   goes on, and needs no input.
//! * **K14, verification is never skipped.** After the peer's certificate nothing of the handshake
//!   leaves before the verdict, no data is delivered or taken, and nothing that could be resumed is
//!   kept or given away.
//! * **K16, one step per call.** Work is bounded by the bytes given or held; counts are true;
//!   one-byte input and one-byte output make progress.
//! * **K18.** A TLS 1.3 client that writes before it has read its tickets works.
//! * **K20.** `read`, `write` and a would-block `read` allocate nothing beyond the engine's own,
//!   take no lock, format nothing.

use std::fmt::Debug;
#[cfg(unix)]
use std::io::{IoSlice, IoSliceMut};
#[cfg(unix)]
use std::os::fd::AsFd;

use rustls_pki_types::CertificateDer;

#[cfg(unix)]
pub use crate::detach::{DetachError, Detached};

use crate::backend::DynContext;
use crate::binding::ChannelBinding;
use crate::capabilities::Feature;
use crate::client_hello::ClientHello;
use crate::config::{Identity, Verdict};
use crate::error::{CertificateProblem, Error, ErrorKind, Misuse, Operation, Result};
use crate::facts::Facts;
use crate::iana::{AlertDescription, CipherSuite, Group, ProtocolVersion};
use crate::status::{PostHandshakeAuth, Progress, Status};

/// Which side of the connection a context or session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that sends the ClientHello.
    Client,
    /// The side that answers it.
    Server,
}

/// What buffer and socket sessions have in common: everything but moving bytes.
///
/// Dropping a session does no I/O and never blocks (K7).
pub trait Session: Debug + Send {
    /// Which side this session is.
    fn role(&self) -> Role;

    /// What the handshake settled. `None` until `handshake` has given `Complete`, and for ever if
    /// the handshake failed; constant afterwards (K10), save for what [`Facts`] says of peers that
    /// authenticate after the handshake.
    fn facts(&self) -> Option<&Facts>;

    /// How many bytes of ciphertext the session holds for the peer.
    fn pending_output(&self) -> usize;

    /// How many bytes held in the session `read` can turn into progress without the transport;
    /// 0 after `read` gave `WantRead`, even if a part of a record is held (K6).
    fn buffered(&self) -> usize;

    /// The error the session failed with, returned from every further call (K5).
    fn failure(&self) -> Option<&Error>;

    /// Whether our close_notify has left the session, or, after a quiet shutdown, would have.
    fn close_notify_sent(&self) -> bool;

    /// Whether the peer's authenticated close_notify was seen.
    fn close_notify_received(&self) -> bool;

    /// Changes the keys this side sends with, and asks the peer to change its own: a KeyUpdate with
    /// `update_requested` (RFC 8446 section 4.6.3). What is written from then on is under the new
    /// keys; the peer's answer is taken by a later `read`, and nothing tells of it.
    ///
    /// Does no I/O: the message is pending output, and leaves with the next `drain`, `flush`,
    /// `write` or `shutdown`. `Complete` once it is queued. Nothing is queued, and the call is to be
    /// repeated, after `WantWrite`, when the bound on pending output is reached (K4), and after
    /// `WantRead`, when the engine must first see the rest of a message that has begun: rustls does
    /// not tell that it must, and the session fails with `Protocol` instead. With
    /// [`SocketTransport::Plain`](crate::config::SocketTransport::Plain) the engine holds one
    /// message at the most, so that `WantWrite` comes as soon as the socket has not taken the one
    /// before; a reply that was owed is sent first, and a `read` may send the message too. There the
    /// answer to a peer's KeyUpdate may wait for the next `write`, as RFC 8446 section 4.6.3 allows;
    /// otherwise a session that only reads answers too.
    ///
    /// Engines endure only so many KeyUpdates in a row, answers included (K4: 32). So a session
    /// sends 16 at the most without application data written in between; and once it has asked 16
    /// times without application data read in between, it no longer asks, and changes its own keys
    /// alone (`update_not_requested`), so that one side can write for ever to a peer that stays
    /// silent. An engine that cannot change its own keys alone refuses instead
    /// (`Misuse(TooManyKeyUpdates)`); the documentation of its backend says so. A peer may endure
    /// fewer KeyUpdates than that, in a row or in a time; no session can know.
    ///
    /// # Errors
    ///
    /// `Misuse(HandshakeIncomplete)`, `Misuse(WriteAfterShutdown)` and `Misuse(TooManyKeyUpdates)`,
    /// which leave the session as it was; `Unsupported(KeyUpdate)` if the backend lacks
    /// [`Feature::KeyUpdate`], or TLS 1.2 was negotiated, which has no
    /// KeyUpdate; and the session's failure.
    fn request_key_update(&mut self) -> Result<Status>;

    /// The certificates that the peer presents and nobody has accepted, leaf first; only while the
    /// session gives [`NeedsCertificateValidation`](Status::NeedsCertificateValidation).
    fn unverified_peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        None
    }

    /// What the library's own verification of that chain came to; only while the session gives
    /// [`NeedsCertificateValidation`](Status::NeedsCertificateValidation). It was made when the
    /// session was suspended, and is not made again.
    fn default_validation(&self) -> Option<std::result::Result<(), CertificateProblem>> {
        None
    }

    /// Decides about the peer as the library's own verification did, and gives what that was. The
    /// next call of the session acts on it.
    ///
    /// # Errors
    ///
    /// As [`Self::set_validation_result`].
    fn accept_with_default_validation(
        &mut self,
    ) -> Result<std::result::Result<(), CertificateProblem>> {
        let Some(outcome) = self.default_validation() else {
            return Err(unasked(self, Operation::Validate));
        };
        self.set_validation_result(outcome.into())?;
        Ok(outcome)
    }

    /// Decides about the peer whose certificate waits for it. The next call of the session acts on
    /// it: after [`Verdict::Reject`] the peer gets the problem's alert, and the session fails with
    /// `Certificate`, as after any fatal error (K5); its facts stay `None`, or after the handshake as
    /// they were.
    ///
    /// # Errors
    ///
    /// `Misuse(NotSuspended)` unless the session gives
    /// [`NeedsCertificateValidation`](Status::NeedsCertificateValidation), which leaves it as it
    /// was; and the session's failure.
    fn set_validation_result(&mut self, _verdict: Verdict) -> Result<()> {
        Err(unasked(self, Operation::Validate))
    }

    /// The distinguished names of the authorities whose certificates the server takes, in DER, as it
    /// sent them; there may be none. `None` until the session has given
    /// [`WantCredentials`](Status::WantCredentials); constant afterwards.
    fn acceptable_issuers(&self) -> Option<&[Vec<u8>]> {
        None
    }

    /// Names the certificate to present to the server that asks for one, or none. The next call of
    /// the session acts on it. Nobody but this session ever uses it. A session asks once at the most
    /// in a handshake, and again whenever the server asks after it: each answer is for one request.
    ///
    /// # Errors
    ///
    /// `Misuse(NotSuspended)` unless the session gives
    /// [`WantCredentials`](Status::WantCredentials); `Config` if the certificate or key cannot be
    /// used, or do not belong together, which leaves the session suspended; and the session's
    /// failure.
    fn set_client_certificate(&mut self, _identity: Option<Identity>) -> Result<()> {
        Err(unasked(self, Operation::Credentials))
    }

    /// What the client offers, on a server of a [`Deferred`](crate::Deferred) context, from when it
    /// was parsed: before a context is chosen and ever after (K10). If the server asks for another
    /// ClientHello (RFC 8446 section 4.1.4) this remains the first.
    ///
    /// `None` on any other session: on clients, and on servers whose context was chosen beforehand,
    /// where the engine reads the ClientHello and nobody keeps it.
    fn client_hello(&self) -> Option<&ClientHello> {
        None
    }

    /// Answers [`NeedsServerContext`](crate::Status::NeedsServerContext): the session goes on with
    /// this context, its certificate, versions, protocols and client authentication (K13). A session
    /// of the context is made now, and the next `handshake`, which may have empty input, hands it
    /// the ClientHello; no engine's session ever changes its context. Does no I/O.
    ///
    /// # Errors
    ///
    /// These change nothing, and another context may be given: `Misuse(NotSuspended)` if none is
    /// asked for (only a server of a [`Deferred`](crate::Deferred) context asks, once);
    /// `Misuse(WrongRole)` for a client context; `Misuse(WrongBackend)`; `Misuse(DeferredContext)`
    /// for one that is itself still to be chosen; in socket mode
    /// `Unsupported(DeferredServerContext)` for one with
    /// [`SocketTransport::Plain`](crate::config::SocketTransport::Plain), and `Io` if the process
    /// has no descriptor left.
    ///
    /// The session's failure. Whatever making a session gives, with which this one has then failed;
    /// the client is told `internal_error`. A socket session that owns its descriptor goes on with a
    /// duplicate of it then, which has another number: ask `as_fd` again. With `epoll` a registration
    /// under the old number can no longer be removed, and reports until the session is dropped.
    fn set_context(&mut self, _context: &dyn DynContext) -> Result<()> {
        Err(unasked(self, Operation::Handshake))
    }

    /// Answers [`NeedsServerContext`](crate::Status::NeedsServerContext) without a context: the
    /// session ends with this fatal alert, such as `unrecognized_name`, and from then on gives
    /// `Refused`, once the alert has left (K5). Does no I/O: the alert leaves with the next
    /// `handshake`, `drain` or `flush`.
    ///
    /// # Errors
    ///
    /// `Misuse(NotSuspended)` as for [`set_context`](Self::set_context), `Misuse(ClosureAlert)` for
    /// `close_notify` and `user_canceled`, which are no errors (RFC 8446 section 6.1); these change
    /// nothing. The session's failure.
    fn refuse_client_hello(&mut self, _alert: AlertDescription) -> Result<()> {
        Err(unasked(self, Operation::Handshake))
    }

    /// Asks the client for a certificate, now that the handshake is complete: a server sends a
    /// CertificateRequest (RFC 8446 section 4.6.2), or with TLS 1.2 a HelloRequest, to which the
    /// client answers by a renegotiation (RFC 5246 section 7.4.1.1) in which it is asked.
    /// [`post_handshake_auth`](Self::post_handshake_auth) says what came of it.
    ///
    /// Does no I/O: the message is pending output, and leaves with the next `drain`, `flush`, `write`
    /// or `shutdown`. `Complete` once it is queued, and the answer `Pending`; or, if the client
    /// cannot be asked, with nothing queued and `PeerNotCapable`. Nothing is queued, and the call is
    /// to be repeated, after `WantWrite`, when the bound on pending output is reached (K4), and after
    /// `WantRead`, when the engine must first see the rest of what the client has begun to send.
    ///
    /// Reading and writing go on while the answer is pending; a `read` takes it. Within the client's
    /// answer itself, which nothing may interrupt, `write` gives `WantRead`. Where the caller decides
    /// ([`PeerVerification::Suspended`](crate::config::PeerVerification)), that `read` gives
    /// `NeedsCertificateValidation`, and nothing goes on until the verdict (K13). What the client presents
    /// is verified against the roots of the server's
    /// [`ClientAuthentication`](crate::config::ClientAuthentication) and refused like any other; it
    /// replaces [`Facts::peer_certificates`]. A client that has authenticated before may not present
    /// another certificate: that is a fatal error. A client that presents none has `Declined`, and
    /// the session goes on; where a certificate is `Required`, that ends it with
    /// certificate_required, as in the handshake. With TLS 1.2 a client that was authenticated cannot
    /// decline, for the new session would be nobody's; and one that refuses to renegotiate at all
    /// should have declined, but is the end of the session with the engines that can ask: they fail
    /// it with `Protocol` and handshake_failure.
    ///
    /// A session that is resumed is whose it was when its ticket was issued: those from before the
    /// answer carry no identity, or the earlier one (K12).
    ///
    /// # Errors
    ///
    /// `Misuse(WrongRole)` on a client, `Misuse(HandshakeIncomplete)`, `Misuse(WriteAfterShutdown)`,
    /// `Misuse(NoClientRoots)`, and `Misuse(RequestPending)`, which leave the session as it was; so
    /// does `Unsupported`, with `PostHandshakeAuth` or `RenegotiationServer` as the negotiated
    /// version has it, if the backend cannot ask or the configuration does not allow renegotiation;
    /// and the session's failure.
    fn request_client_certificate(&mut self) -> Result<Status> {
        let kind = ErrorKind::Unsupported(Feature::PostHandshakeAuth);
        Err(Error::new(kind, Operation::RequestCertificate)
            .with_detail("the backend does not provide it"))
    }

    /// Where the last [`request_client_certificate`](Self::request_client_certificate) stands.
    fn post_handshake_auth(&self) -> PostHandshakeAuth {
        PostHandshakeAuth::NotRequested
    }

    /// Fills `output` with keying material of this connection, which both sides derive alike for the
    /// same label, context and length (RFC 5705; RFC 8446 section 7.5). It stays the same for as long
    /// as the connection lasts, KeyUpdates and shutdown included; only a renegotiation changes it.
    ///
    /// `label` is registered, or begins with `EXPERIMENTAL` (RFC 5705 section 4). No context and an
    /// empty one are different in TLS 1.2, and the same in TLS 1.3. In TLS 1.2 what is exported is
    /// only as unique as the master secret: to bind something to the connection, use
    /// [`channel_binding`](Self::channel_binding), which refuses where that is not unique
    /// (RFC 7627).
    ///
    /// What all engines take and give is allowed in both versions: labels of 1 to 249 bytes of
    /// ASCII that do not begin as one of TLS 1.2's own does (`client finished`, `server finished`,
    /// `master secret`, `extended master secret`, `key expansion`); contexts of up to 512 bytes;
    /// and 1 byte of output or more, up to 255 times what the hash of the cipher suite has: 8,160,
    /// or 12,240 with SHA-384.
    ///
    /// # Errors
    ///
    /// `Misuse(HandshakeIncomplete)`; `Misuse(ExporterLabel)` and `Misuse(ExporterLength)` for what
    /// is not allowed, before the engine is touched; `Unsupported(Exporter)`, also as long as a TLS 1.2
    /// connection is being renegotiated, whose keys are neither the old nor the new ones; the
    /// session's failure; `Backend`. After an error `output` holds nothing that means anything.
    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<()> {
        let (_, _, _) = (output, label, context);
        Err(lacking(Feature::Exporter, Operation::Export))
    }

    /// The value that binds an authentication above TLS to this connection, the same on both sides;
    /// `None` where the binding is not defined for it. See [`ChannelBinding`] for what each is, and
    /// where.
    ///
    /// # Errors
    ///
    /// `Misuse(HandshakeIncomplete)`; `Unsupported` with the binding's
    /// [feature](ChannelBinding::feature) if the backend lacks it, or cannot tell with what hash the
    /// server's certificate is signed; `Unsupported(ExtendedMasterSecret)` if the connection would
    /// need that secret and does not have it, so that the value would prove nothing; the session's
    /// failure; `Backend`.
    fn channel_binding(&self, binding: ChannelBinding) -> Result<Option<Vec<u8>>> {
        Err(lacking(binding.feature(), Operation::ChannelBinding))
    }

    /// Whether `handshake` has given `Complete`.
    fn is_handshake_complete(&self) -> bool {
        self.facts().is_some()
    }

    /// The negotiated version, once the handshake is complete.
    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.facts().map(|facts| facts.protocol_version)
    }

    /// The negotiated cipher suite, once the handshake is complete.
    fn cipher_suite(&self) -> Option<CipherSuite> {
        self.facts().map(|facts| facts.cipher_suite)
    }

    /// The negotiated group; see [`Facts::group`].
    fn group(&self) -> Option<Group> {
        self.facts()?.group
    }

    /// The negotiated application protocol, if any, once the handshake is complete.
    fn alpn(&self) -> Option<&[u8]> {
        self.facts()?.alpn.as_deref()
    }

    /// The server name indication, if any, once the handshake is complete.
    fn server_name(&self) -> Option<&str> {
        self.facts()?.server_name.as_deref()
    }

    /// Whether a session was resumed, once the handshake is complete.
    fn resumed(&self) -> Option<bool> {
        self.facts().map(|facts| facts.resumed)
    }

    /// The peer's verified chain, leaf first; see [`Facts::peer_certificates`].
    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.facts()?.peer_certificates.as_deref()
    }

    /// What this side presented, leaf first; see [`Facts::local_certificates`].
    fn local_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.facts()?.local_certificates.as_deref()
    }
}

/// A session of a backend that has never heard of a feature.
#[cold]
fn lacking(feature: Feature, operation: Operation) -> Error {
    Error::new(ErrorKind::Unsupported(feature), operation)
        .with_detail("the backend does not provide it")
}

/// The answer to an answer that nobody has asked for.
#[cold]
pub(crate) fn unasked<S: Session + ?Sized>(session: &S, operation: Operation) -> Error {
    match session.failure() {
        Some(failure) => failure.clone(),
        None => Error::misuse(Misuse::NotSuspended, operation),
    }
}

/// A session without I/O: the caller passes ciphertext in and out.
///
/// No call blocks. `WantRead`: call again with more input, or tell of its end with
/// [`input_eof`](Self::input_eof). `WantWrite`: [`drain`](Self::drain), send, call again.
///
/// **Fatal errors (K5).** A call that meets one and has an alert to send gives `WantWrite`, with
/// true counts, and so does every later call until the alert has been drained; from then on every
/// call gives the same error. A fatal error without an alert to send is given at once, and the
/// input of that call is void. Plaintext decrypted before is delivered first. `drain` works after
/// a fatal error.
pub trait BufferSession: Session {
    /// Takes one step of the handshake: `input` is ciphertext from the peer, which may be
    /// decrypted in place; ciphertext for the peer goes to `output`.
    ///
    /// Pending output goes first: no input is consumed until it is drained (K1). `Complete` once
    /// the handshake is complete and all its output has left the session; from then on always
    /// `Complete`, without touching input or output. Bytes not consumed belong to `read`.
    ///
    /// # Errors
    ///
    /// Everything but `Config`, `Unsupported` and `Io`.
    fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress>;

    /// Decrypts: `input` is ciphertext from the peer, which may be decrypted in place; application
    /// data goes to `plaintext`.
    ///
    /// `Complete` with the bytes produced; what did not fit is kept for the next call, for which
    /// `input` may be empty. `WantRead` when all input was consumed and nothing is left to deliver.
    /// `WantWrite` only if a reply is owed to the peer and there is no room for it within the bound
    /// on pending output and 4 KiB more; otherwise the reply is pending output, to be drained even
    /// if nothing is written, for the peer may wait for it. `Closed` after an authenticated
    /// close_notify, at which point bytes that follow it are left with the caller (K2). An empty
    /// `plaintext` gives `Complete` and consumes nothing (K17).
    ///
    /// # Errors
    ///
    /// `Misuse(HandshakeIncomplete)`; `Truncated` after `input_eof` without close_notify;
    /// `PeerAlert`, `Protocol`, `Certificate`, `Backend`.
    fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress>;

    /// Encrypts: takes bytes of `plaintext`, puts ciphertext into `output` and keeps what does not
    /// fit, up to the bound on pending output.
    ///
    /// `Complete` with the number of bytes taken, which may be fewer than given; they need never be
    /// presented again (K3). `WantWrite` with 0 taken when the bound is reached. Earlier pending
    /// ciphertext always leaves first. An empty `plaintext` gives `Complete` (K17). `WantRead` with 0
    /// taken only within a renegotiation, or within the client's answer to
    /// [`request_client_certificate`](Session::request_client_certificate): `read`, and call again.
    ///
    /// # Errors
    ///
    /// `Misuse(HandshakeIncomplete)`, `Misuse(WriteAfterShutdown)`, and the session's failure.
    fn write(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<Progress>;

    /// Ends our side of the connection with a close_notify (RFC 8446 section 6.1); reading goes on
    /// (K7).
    ///
    /// `WantWrite` until the close_notify has left the session, `Complete` while the peer's is
    /// outstanding, `Closed` once both were seen. Further calls send nothing. A quiet shutdown
    /// sends no close_notify, and is `Closed` once what was written before has left.
    ///
    /// # Errors
    ///
    /// `Misuse(HandshakeIncomplete)`, and the session's failure.
    fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress>;

    /// Moves pending ciphertext to `output`: `Complete` once none is left, else `WantWrite`. Never
    /// touches the engine, never fails, and works after a fatal error.
    fn drain(&mut self, output: &mut [u8]) -> Progress;

    /// Tells the session that the transport has ended: once what was received before is used up,
    /// calls that need more fail with `Truncated`, in the handshake too, and before any alert the
    /// engine would like to send (K2).
    fn input_eof(&mut self);
}

/// A session that drives a non-blocking stream socket itself.
///
/// No call blocks. `WantRead` and `WantWrite` say for which readiness of the descriptor to wait
/// before calling again; `WantRead` is given only after the transport would have blocked or gave
/// fewer bytes than asked, so edge-triggered loops are safe (K6). No SIGPIPE is raised and
/// interrupted system calls are repeated (K19). An owning session closes the descriptor exactly
/// once, when it is dropped; a borrowing one never.
///
/// **Fatal errors (K5).** A call that meets one and has an alert to send tries to send it, gives
/// `WantWrite` while it cannot, and then the error; every later call gives the same error.
#[cfg(unix)]
pub trait SocketSession: Session + AsFd {
    /// Takes the handshake as far as the socket allows; see [`BufferSession::handshake`].
    ///
    /// # Errors
    ///
    /// Everything but `Config` and `Unsupported`.
    fn handshake(&mut self) -> Result<Status>;

    /// Takes ciphertext that the caller itself has received from the socket, such as what came
    /// behind the last words of a protocol before TLS: it comes before what the socket gives.
    ///
    /// # Errors
    ///
    /// `Misuse(HandshakeBegun)` once `handshake` was called; `Config(Limit)` for more than
    /// [`MAX_UNREAD`] bytes in all; `Unsupported(Unread)` where the engine itself reads the socket.
    fn unread(&mut self, ciphertext: &[u8]) -> Result<()>;

    /// Reads and decrypts; [`Progress::produced`] counts the application data. See
    /// [`BufferSession::read`].
    ///
    /// # Errors
    ///
    /// As [`BufferSession::read`], and `Io`, `Reset`.
    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress>;

    /// Reads into several buffers, in order; see [`Self::read`].
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress>;

    /// Encrypts and sends as much as the socket takes; [`Progress::consumed`] counts the plaintext
    /// taken. See [`BufferSession::write`]. `Complete` may leave ciphertext pending: `flush`.
    ///
    /// # Errors
    ///
    /// As [`BufferSession::write`], and `Io`, `Reset`.
    fn write(&mut self, plaintext: &[u8]) -> Result<Progress>;

    /// Writes from several buffers, in order, as if they were one; see [`Self::write`].
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress>;

    /// Sends pending ciphertext: `Complete` once none is left, else `WantWrite`. Never touches the
    /// engine, and works after a fatal error.
    ///
    /// # Errors
    ///
    /// `Io`, `Reset`.
    fn flush(&mut self) -> Result<Status>;

    /// Ends our side of the connection with a close_notify; see [`BufferSession::shutdown`].
    ///
    /// # Errors
    ///
    /// As [`BufferSession::shutdown`], and `Io`, `Reset`.
    fn shutdown(&mut self) -> Result<Status>;

    /// Splits a session whose handshake is complete into a half that reads and one that writes, which
    /// two threads may use at once. [`ReadHalf::reunite`](crate::ReadHalf::reunite) puts them together again.
    ///
    /// Each call of a half takes one lock for as long as it works, never while anybody waits for the
    /// socket, as no call does; and it moves 64 KiB at the most, so that neither half waits long for
    /// the other. What goes for the calls of a session goes for those of its halves, and:
    ///
    /// * Each thread waits with its own half, which has a descriptor of its own for that, of the same
    ///   socket: a split session has two. The reader waits to read after `WantRead`; after `WantWrite`,
    ///   which says that the peer is owed a reply for which there is no room, it waits to write.
    /// * A reply that the socket has not taken is pending output, whichever half it came from, and
    ///   leaves with the next `write` or `flush` of either. A reader whose other half may be idle
    ///   waits to write too while there is some.
    /// * A `write` that gives `WantRead` (renegotiation, and a client's certificate after the
    ///   handshake) is repeated when the reader has read on.
    /// * A failure is that of both: the other half gives the same error at its next call. Who waits
    ///   for the socket is woken by it if the connection is gone, and otherwise not.
    /// * `shutdown` of the writer leaves the reader as it is. Dropping one half sends nothing, and the
    ///   peer notices nothing: the session ends, without a close_notify unless one was sent, when
    ///   the other half is dropped too.
    ///
    /// What it costs, measured with 256 MiB each way between two sessions of OpenSSL 3.0 in one
    /// process, a release build, TLS 1.3, 64 KiB a call, over a pair of Unix sockets with buffers of
    /// 256 KiB, on two cores that had nothing else to do, in turn with whole sessions, medians of
    /// seven rounds. A thread for each half that had something to do, against one for each whole
    /// session. One way 0.97 of the time of whole sessions (0.80 to 1.07): the lock itself is lost in
    /// the noise. Both ways at once 1.44 (1.16 to 1.61): four threads then wait for one another where
    /// two did everything in turn. So halves are for programs that want two threads, not for speed.
    ///
    /// There is no such thing for buffer sessions: what two threads take out of one has to be sent in
    /// that order, so that they would need a lock of their own around it.
    ///
    /// # Errors
    ///
    /// The session comes back with `Misuse(HandshakeIncomplete)`; with its failure; or with `Io`, if
    /// the process has no descriptor left.
    fn split(
        self,
    ) -> std::result::Result<(crate::ReadHalf<Self>, crate::WriteHalf<Self>), crate::SplitError<Self>>
    where
        Self: Sized,
    {
        crate::split::split(self)
    }

    /// Takes the session apart: the descriptor, and application data received and not yet read.
    ///
    /// # Errors
    ///
    /// The session itself comes back, with `Misuse(CiphertextHeld)` while it holds ciphertext in
    /// either direction, a part of a record included, or `Misuse(BorrowedDescriptor)`.
    fn into_fd<'session>(self: Box<Self>) -> std::result::Result<Detached, DetachError<'session>>
    where
        Self: 'session;
}

/// The most bytes that [`SocketSession::unread`] takes.
#[cfg(unix)]
pub const MAX_UNREAD: usize = 68 * 1024;
