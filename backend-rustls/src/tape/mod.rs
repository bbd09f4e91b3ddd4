//! Doing a handshake again: what rustls asks its provider for, recorded.
//!
//! rustls verifies certificates and picks them in calls that must answer at once. A connection is a
//! function of its configuration, of the peer's bytes, and of what it asks of its provider: random
//! bytes, key exchanges, signatures, the time, stored sessions. So where a session is to wait, all
//! of these are kept on a tape. The attempt that reached the question is thrown away; once there is
//! an answer, a new connection over the same tape is fed the same bytes (see `replay`), says the same
//! bytes, and this time gets its answer.
//!
//! What rustls calls is static or shared by all sessions of a context. So the tape of the session at
//! work lies with the thread, for as long as a call into rustls takes.

pub(crate) mod provider;
pub(crate) mod stores;
mod transcript;
pub(crate) mod verify;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use rustls::client::Tls12ClientSessionValue;
use rustls::crypto::{ActiveKeyExchange, SharedSecret};
use rustls::sign::CertifiedKey;
use rustls::{NamedGroup, SignatureScheme};
use tls_core::pki_types::{CertificateDer, UnixTime};
use tls_core::{CertificateProblem, Verdict};

use transcript::StandIn;

thread_local! {
    /// The tape of the session at work on this thread.
    static AT_WORK: RefCell<Option<Box<Tape>>> = const { RefCell::new(None) };
}

/// What one handshake has asked for, in order, and the questions only the caller can answer.
#[derive(Default)]
pub(crate) struct Tape {
    entries: Vec<Entry>,
    /// How many entries this attempt has used; all of them while it records.
    next: usize,
    /// How many entries there were when this attempt asked its first open question.
    mark: Option<usize>,
    /// The attempt asked for something else than the one before.
    diverged: bool,
    /// The chain that this attempt would have verified.
    unverified: Option<Unverified>,
    /// The chain that was verified, leaf first.
    judged: Vec<CertificateDer<'static>>,
    /// What became of that chain, for good.
    outcome: Option<Outcome>,
    /// The certificate that this attempt would have sent.
    request: Option<Request>,
    /// What to send, once it is known.
    credentials: Option<Option<Arc<CertifiedKey>>>,
    /// The server asked for a certificate.
    server_asked: bool,
    /// This attempt goes without the ticket that the first one took.
    goes_without_ticket: bool,
    /// What stands in for what this attempt says in its place.
    stand_ins: Vec<StandIn>,
}

/// Whether a chain is accepted.
#[derive(Clone)]
pub(crate) enum Outcome {
    Accepted,
    /// By the caller.
    Rejected(CertificateProblem),
    /// By the default verification, or because there was no decision to be had.
    Refused(rustls::Error),
}

/// A chain that nobody has decided on.
pub(crate) struct Unverified {
    /// Leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// What verification by roots and name says.
    pub(crate) default: Result<(), rustls::Error>,
}

/// A server's request for a certificate.
pub(crate) struct Request {
    /// The distinguished names of the issuers that the server takes, in DER.
    pub(crate) issuers: Vec<Vec<u8>>,
}

/// One thing that was asked for, and what came of it. Failures are not kept: they end a session.
enum Entry {
    Random(Vec<u8>),
    Time(UnixTime),
    Share(Share),
    Encapsulated {
        group: NamedGroup,
        peer: Vec<u8>,
        ours: Vec<u8>,
        secret: SharedSecret,
    },
    Signature {
        scheme: SignatureScheme,
        message: Vec<u8>,
        signature: Vec<u8>,
    },
    Hint(Option<NamedGroup>),
    /// Whether there was a TLS 1.3 ticket.
    Ticket(bool),
    Tls12Session(Option<Box<Tls12ClientSessionValue>>),
    /// What a server's store or ticketer gave for a key or ticket: secrets of a session, in what
    /// rustls has to wipe them.
    Stored {
        key: Vec<u8>,
        value: Option<SharedSecret>,
    },
}

/// A key exchange that was begun.
struct Share {
    handle: Handle,
    /// Until an attempt completes it.
    exchange: Option<Box<dyn ActiveKeyExchange>>,
    completed: Option<Completed>,
}

/// What rustls gets for a key exchange that was begun: as often as there are attempts.
#[derive(Clone)]
struct Handle {
    /// Where the exchange is on the tape.
    place: usize,
    group: NamedGroup,
    ours: Vec<u8>,
    /// The classical half of a hybrid, and this side's share of it.
    component: Option<(NamedGroup, Vec<u8>)>,
}

struct Completed {
    /// Whether it was only the classical half of a hybrid.
    component: bool,
    peer: Vec<u8>,
    secret: SharedSecret,
}

impl Tape {
    /// Lets `work` find the tape in `slot`, however it ends.
    pub(crate) fn during<T>(slot: &mut Option<Box<Self>>, work: impl FnOnce() -> T) -> T {
        struct Restore<'slot> {
            slot: &'slot mut Option<Box<Tape>>,
            outer: Option<Box<Tape>>,
        }

        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                *self.slot = AT_WORK.replace(self.outer.take());
            }
        }

        let outer = AT_WORK.replace(slot.take());
        let _restore = Restore { slot, outer };
        work()
    }

    /// Starts the next attempt. What the last one asked for after its open question is forgotten:
    /// with an answer, it may be something else.
    pub(crate) fn rewind(&mut self) {
        if let Some(mark) = self.mark.take() {
            self.entries.truncate(mark);
        }
        self.next = 0;
        self.unverified = None;
        self.request = None;
        self.goes_without_ticket = false;
        self.stand_ins.clear();
    }

    /// Takes one ClientHello for another in the transcript; `false` if only a ticket of which there
    /// is one would make that right, and there was none.
    pub(crate) fn stand_in(&mut self, unsaid: &[u8], said: &[u8]) -> bool {
        let stand_in = match self.goes_without_ticket {
            true => StandIn::new(unsaid, said),
            false => None,
        };
        let stands_in = stand_in.is_some();
        self.stand_ins.extend(stand_in);
        stands_in
    }

    /// Whether the first attempt took a ticket, if this is another one. Together with it rustls
    /// looked at the time, instead of at other sessions.
    fn recall_ticket(&mut self) -> Option<bool> {
        let taken = self.recall(|entry| match entry {
            Entry::Ticket(taken) => Some(*taken),
            _ => None,
        })?;
        self.goes_without_ticket = taken;
        if taken && matches!(self.entries.get(self.next), Some(Entry::Time(_))) {
            self.next += 1;
        }
        Some(taken)
    }

    /// Notes that an attempt was not as the one before.
    pub(crate) fn diverge(&mut self) {
        self.diverged = true;
    }

    /// Whether an attempt was not as the one before.
    pub(crate) fn diverged(&self) -> bool {
        self.diverged
    }

    /// Whether this attempt has asked for all that the one before has.
    pub(crate) fn is_used_up(&self) -> bool {
        self.next == self.entries.len()
    }

    /// The chain that waits for a verdict.
    pub(crate) fn take_unverified(&mut self) -> Option<Unverified> {
        self.unverified.take()
    }

    /// The request that waits for a certificate.
    pub(crate) fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// Whether the server asked for a certificate, answered or not.
    pub(crate) fn server_asked(&self) -> bool {
        self.server_asked
    }

    pub(crate) fn decide(&mut self, verdict: Verdict) {
        self.outcome = Some(verdict.into());
    }

    pub(crate) fn present(&mut self, credentials: Option<Arc<CertifiedKey>>) {
        self.credentials = Some(credentials);
    }

    /// What became of the peer's chain in an attempt before. The outcome is for the chain that it was
    /// given for, and accepts no other.
    fn outcome_of(
        &mut self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Option<Outcome> {
        let outcome = self.outcome.clone()?;
        let judged = self.judged.split_first();
        if judged.is_some_and(|(leaf, rest)| leaf == end_entity && rest == intermediates) {
            return Some(outcome);
        }
        self.diverge();
        let error = rustls::Error::General("another chain was verified".into());
        Some(Outcome::Refused(error))
    }

    /// Notes that an answer is missing.
    fn mark(&mut self) {
        self.mark.get_or_insert(self.next);
    }

    /// What the attempt before got at this point, unless this one goes further. `same` gives it if
    /// the entry is about the same thing.
    fn recall<T>(&mut self, same: impl FnOnce(&mut Entry) -> Option<T>) -> Option<T> {
        let entry = self.entries.get_mut(self.next)?;
        let recalled = same(entry);
        match recalled {
            Some(_) => self.next += 1,
            None => self.diverged = true,
        }
        recalled
    }

    /// Keeps what was got.
    fn note(&mut self, entry: Entry) {
        // After a divergence there is no order to keep, and the attempt fails.
        if !self.diverged {
            self.entries.push(entry);
            self.next = self.entries.len();
        }
    }

    /// The key exchange at a place.
    fn share(&mut self, place: usize) -> Option<&mut Share> {
        match self.entries.get_mut(place) {
            Some(Entry::Share(share)) => Some(share),
            _ => None,
        }
    }
}

/// Lets `act` use the tape of the session at work; `None` if there is none.
fn with<T>(act: impl FnOnce(&mut Tape) -> T) -> Option<T> {
    AT_WORK.with_borrow_mut(|tape| tape.as_deref_mut().map(act))
}

/// What the tape has at this point, or else what `get` gives, which is kept. `get` runs while the
/// tape is not in use: it may be anybody's code.
fn recall_or<T, E>(
    same: impl FnOnce(&mut Entry) -> Option<T>,
    get: impl FnOnce() -> Result<T, E>,
    entry: impl FnOnce(&T) -> Entry,
) -> Result<T, E> {
    if let Some(recalled) = with(|tape| tape.recall(same)).flatten() {
        return Ok(recalled);
    }
    let got = get()?;
    with(|tape| tape.note(entry(&got)));
    Ok(got)
}

impl fmt::Debug for Tape {
    /// A tape holds secrets: only how long it is is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Tape {
    pub(crate) fn forget_first(&mut self) {
        self.entries.remove(0);
        self.mark = self.mark.map(|mark| mark - 1);
    }

    pub(crate) fn judge_another(&mut self) {
        self.judged.push(CertificateDer::from(vec![0]));
    }

    pub(crate) fn repeat_last(&mut self) {
        self.entries.push(Entry::Hint(None));
        self.mark = self.mark.map(|mark| mark + 1);
    }
}
