//! Client certificates asked for after the handshake, and renegotiations: what a session makes of
//! the messages that its engine takes by itself while it reads.

use std::ffi::c_int;

use tls_core::iana::ProtocolVersion;
use tls_core::support::Requests;
use tls_core::{
    Error, ErrorKind, Facts, Operation, PostHandshakeAuth, Progress, Result, Status, Support,
};

use crate::classify::{Class, Function};
use crate::core::{Core, panicked};
use crate::engine::Engine;
use crate::ritual::enter;
use crate::wire::Phase;

/// How many renegotiations a peer may start in one session; any more are refused.
const MAX_RENEGOTIATIONS: u8 = 8;

/// What a session's configuration allows after the handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Whether there are roots to verify a client against.
    pub(crate) has_client_roots: bool,
    /// See [`Parameters::allow_renegotiation`](tls_core::config::Parameters::allow_renegotiation).
    pub(crate) allow_renegotiation: bool,
}

/// What came after the handshake so far.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    /// Whether the engine tells of handshake messages.
    watching: bool,
    /// How many Finished messages it had told of when they were looked at.
    seen: u64,
    /// How many renegotiations the peer has started.
    unasked: u8,
}

impl<E: Engine> Core<E> {
    /// What [`Session::request_client_certificate`](tls_core::Session::request_client_certificate)
    /// gives without the library, if anything; `pending` in bytes.
    pub(crate) fn gate_client_certificate(&self, pending: usize) -> Option<Result<Status>> {
        let tls13 = E::POST_HANDSHAKE_AUTH;
        let mut tls12 = E::RENEGOTIATION_SERVER;
        if tls12.is_available() && !self.policy.allow_renegotiation {
            tls12 = Support::Unsupported("the configuration does not allow renegotiation");
        }
        let requests = Requests {
            role: self.role,
            tls13,
            tls12,
            has_roots: self.policy.has_client_roots,
        };
        (self.lifecycle).gate_client_certificate(requests, pending, self.bound)
    }

    /// Queues the request. The library schedules none while it owes a message or reads one, so that
    /// this goes first.
    pub(crate) fn request_client_certificate(&mut self) -> Result<Status> {
        if let Some(verdict) = self.gate_client_certificate(self.pending()) {
            return verdict;
        }
        // Within a record of the peer's a HelloRequest would wait, and nothing would say so.
        if self.link.wire().framing().in_record() && !self.is_tls13() {
            return Ok(Status::WantRead);
        }
        let steps: [fn(&mut E) -> c_int; 3] =
            [E::send_messages, E::schedule_request, E::send_messages];
        self.ask(&steps, |core, step| {
            core.link.wire_mut().begin(Phase::Write);
            let moved = enter(&mut core.link, Function::Ordinary, &mut [], &mut [], step);
            let operation = Operation::RequestCertificate;
            if moved.panicked {
                let failed = core.fail(panicked(operation), Progress::idle(Status::Complete));
                return failed.map(|progress| Some(progress.status));
            }
            match moved.result.class {
                Class::Done(_) => Ok(None),
                Class::WantRead => Ok(Some(Status::WantRead)),
                _ => core
                    .fail_with(&moved.result, operation, Progress::idle(Status::Complete))
                    .map(|progress| Some(progress.status)),
            }
        })
    }

    /// Takes the steps of a request, unless the client cannot be asked. `take` gives the status that
    /// ends the call, if the step has not succeeded.
    pub(crate) fn ask(
        &mut self,
        steps: &[fn(&mut E) -> c_int],
        mut take: impl FnMut(&mut Self, fn(&mut E) -> c_int) -> Result<Option<Status>>,
    ) -> Result<Status> {
        if !self.link.engine().takes_requests() {
            let state = PostHandshakeAuth::PeerNotCapable;
            self.lifecycle.set_post_handshake_auth(state);
            return Ok(Status::Complete);
        }
        self.watch();
        if !self.is_tls13() {
            self.link.engine_mut().allow_renegotiation(true);
        }
        for &step in steps {
            if let Some(status) = take(self, step)? {
                return Ok(status);
            }
        }
        let state = PostHandshakeAuth::Pending;
        self.lifecycle.set_post_handshake_auth(state);
        Ok(Status::Complete)
    }

    fn is_tls13(&self) -> bool {
        let version = self.lifecycle.facts().map(|facts| facts.protocol_version);
        version == Some(ProtocolVersion::TLS1_3)
    }

    /// The first handshake is complete: from now on the peer may start another, where that is
    /// allowed.
    pub(crate) fn begin_renewals(&mut self, facts: &Facts) {
        let renegotiates =
            self.policy.allow_renegotiation && facts.protocol_version < ProtocolVersion::TLS1_3;
        if renegotiates {
            self.watch();
        }
        if renegotiates || self.policy.has_client_roots {
            self.expect_same_peer(facts);
        }
    }

    fn watch(&mut self) {
        if !std::mem::replace(&mut self.renewals.watching, true) {
            self.link.engine_mut().watch_handshakes();
            self.renewals.seen = self.link.engine().observed().handshakes_finished();
        }
    }

    fn expect_same_peer(&mut self, facts: &Facts) {
        if let Some([leaf, ..]) = facts.peer_certificates.as_deref() {
            self.link.engine_mut().expect_peer(leaf);
        }
    }

    /// Whether a handshake message may have changed whom the session is with.
    #[inline]
    pub(crate) fn may_be_renewed(&self) -> bool {
        self.renewals.watching
            && self.link.engine().observed().handshakes_finished() != self.renewals.seen
    }

    /// Looks at what a handshake after the first has settled, once it is complete. The engine has
    /// verified the peer, and has refused one that is another; this looks once more, for whoever
    /// decides about peers in its place. If that is refused, no data of the peer's is given any more.
    #[cold]
    pub(crate) fn renew(&mut self) -> Result<()> {
        let renewed = self.take_renewal();
        if renewed.is_err() {
            self.withhold();
        }
        renewed
    }

    fn take_renewal(&mut self) -> Result<()> {
        if self.lifecycle.facts().is_none() || self.link.engine().in_handshake() {
            return Ok(());
        }
        self.renewals.seen = self.link.engine().observed().handshakes_finished();
        self.check_decided(Operation::Read)?;
        self.link.engine().clear_errors();
        let now = self.link.engine().facts();
        self.link.engine().clear_errors();
        let now = now?;
        let Some(before) = self.lifecycle.facts() else {
            return Ok(());
        };
        if let Some(change) = forbidden_change(before, &now) {
            return Err(Error::new(ErrorKind::Protocol, Operation::Read).with_detail(change));
        }
        let asked = self.lifecycle.post_handshake_auth() == PostHandshakeAuth::Pending;
        if asked {
            // The caller bounds these.
            self.limits.application_data();
            self.lifecycle
                .set_post_handshake_auth(match now.peer_certificates {
                    Some(_) => PostHandshakeAuth::Received,
                    None => PostHandshakeAuth::Declined,
                });
        } else {
            self.renewals.unasked = self.renewals.unasked.saturating_add(1);
        }
        if self.renewals.unasked >= MAX_RENEGOTIATIONS && !self.is_tls13() {
            self.link.engine_mut().allow_renegotiation(false);
        }
        self.expect_same_peer(&now);
        if let Some(chain) = now.peer_certificates {
            self.lifecycle.replace_peer_certificates(chain);
        }
        Ok(())
    }

    /// Whether nothing can be sent of the session's own, for the library is in the middle of a
    /// handshake after the first.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.lifecycle.facts().is_some() && self.link.engine().in_handshake()
    }

    /// Whether a read has failed only because the peer has closed in the middle of a handshake after
    /// the first, which LibreSSL calls a failure.
    #[cold]
    pub(crate) fn is_closed_within(&self) -> bool {
        self.is_interrupted() && self.link.engine().observed().close_notify_received()
    }

    /// See [`Session::post_handshake_auth`](tls_core::Session::post_handshake_auth).
    pub(crate) fn post_handshake_auth(&self) -> PostHandshakeAuth {
        self.lifecycle.post_handshake_auth()
    }
}

/// What a handshake after the first has changed and may not: facts are constant (K10).
fn forbidden_change(before: &Facts, now: &Facts) -> Option<&'static str> {
    let leaf = |facts: &Facts| {
        let chain = facts.peer_certificates.as_deref();
        chain.and_then(<[_]>::first).cloned()
    };
    let tls13 = before.protocol_version == ProtocolVersion::TLS1_3;
    match (leaf(before), leaf(now)) {
        (Some(before), Some(now)) if before != now => {
            return Some("the peer has presented another certificate than before");
        }
        // A request that a TLS 1.3 client declines leaves the keys what they were, and whose.
        (Some(_), None) if !tls13 => {
            return Some("the peer was authenticated, and is not after a renegotiation");
        }
        _ => {}
    }
    let same = before.protocol_version == now.protocol_version
        && before.cipher_suite == now.cipher_suite
        && before.alpn == now.alpn
        && before.server_name == now.server_name;
    (!same).then_some("a renegotiation has changed what the handshake had settled")
}
