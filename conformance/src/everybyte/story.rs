//! One connection from its first byte to its last: a handshake, data both ways, new keys, and a
//! shutdown from both sides. Each side goes through its part whatever becomes of the other.

use tls_core::config::DEFAULT_PENDING_OUTPUT_BOUND;
use tls_core::{DynContext, Error, Facts, Result, Status};

use crate::case::{CaseResult, Failure};
use crate::cases::pattern;
use crate::check;
use crate::endpoint::Endpoint;
use crate::ensure;
use crate::pair::{Pair, Side};
use crate::pki::Pki;
use crate::wire::Wire;

/// The most rounds a connection takes, even if it moves a byte in each.
const MOST_ROUNDS: usize = 60_000;
/// Rounds without movement after which nothing will move any more.
const IDLE_ROUNDS: u32 = 2 * LAZY_ROUNDS as u32;
/// A lazy side is called only every so-many rounds, so that several things have arrived by then.
const LAZY_ROUNDS: usize = 3;
/// Over TCP the kernel may take a moment: so many rounds more, of a millisecond each.
const IDLE_ROUNDS_TCP: u32 = 100;
/// The most ciphertext a session holds for its peer (K4): the bound, one record, and the reserve
/// for replies, in bytes.
const MOST_PENDING: usize = DEFAULT_PENDING_OUTPUT_BOUND + 18 * 1024 + 4 * 1024;
/// The most received bytes a session holds that can be read: the same, and what a socket session
/// reads ahead.
const MOST_BUFFERED: usize = 2 * MOST_PENDING;
/// The most questions that one side is asked: there are three.
const MOST_QUESTIONS: usize = 3;

/// What each side says, and when.
#[derive(Clone)]
pub(super) struct Script {
    /// How many bytes each side sends at first: client, server.
    pub(super) first: [usize; 2],
    /// How many it sends after that.
    pub(super) second: [usize; 2],
    /// Whether each side asks for new keys in between.
    pub(super) new_keys: bool,
    /// The context of the server, if it asks for one.
    pub(super) context: Option<Box<dyn DynContext>>,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Handshake,
    /// Up to this many bytes in all.
    Write(usize),
    /// Until this many bytes were read in all.
    Read(usize),
    NewKeys,
    Shutdown,
    ReadToEnd,
}

impl Script {
    /// The part of one side. The client shuts down first; the server has the last word.
    fn acts(&self, side: Side) -> Vec<Act> {
        let (own, other) = match side {
            Side::Client => (0, 1),
            Side::Server => (1, 0),
        };
        let (all, theirs) = (
            self.first[own] + self.second[own],
            self.first[other] + self.second[other],
        );
        let mut acts = match side {
            Side::Client => vec![
                Act::Handshake,
                Act::Write(self.first[own]),
                Act::Read(self.first[other]),
                Act::NewKeys,
                Act::Write(all),
                Act::Shutdown,
                Act::ReadToEnd,
            ],
            Side::Server => vec![
                Act::Handshake,
                Act::Read(self.first[other]),
                Act::Write(self.first[own]),
                Act::Read(theirs),
                Act::NewKeys,
                Act::Write(all),
                Act::ReadToEnd,
                Act::Shutdown,
            ],
        };
        acts.retain(|act| self.new_keys || !matches!(act, Act::NewKeys));
        acts
    }

    /// What a side sends.
    fn data(&self, side: Side) -> Vec<u8> {
        let (own, seed) = match side {
            Side::Client => (0, 1),
            Side::Server => (1, 2),
        };
        pattern(self.first[own] + self.second[own], seed)
    }
}

/// What became of one side.
#[derive(Debug)]
pub(super) struct Part {
    /// Whether it came to the end of its part, with `Closed`; else the error.
    pub(super) end: std::result::Result<(), Error>,
    /// What it was to send.
    pub(super) data: Vec<u8>,
    /// How much of that its session took.
    pub(super) taken: usize,
    /// What it read.
    pub(super) received: Vec<u8>,
    /// The facts it had in the end.
    pub(super) facts: Option<Facts>,
    /// What it asked, in order.
    pub(super) asked: Vec<Status>,
    /// Where its lane stood, and how many bytes were taken, each time that nothing was pending.
    pub(super) marks: Vec<(usize, usize)>,
}

/// A connection that is over.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) client: Part,
    pub(super) server: Part,
    pub(super) wire: Wire,
}

impl Told {
    pub(super) fn of(&self, side: Side) -> &Part {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

/// Takes a pair through the script. When nothing moves any more, both lanes are ended: a session
/// then has to come to an end.
///
/// A `lazy` side lets things pile up before it. `between` is called in each round, and may put
/// something on the wire.
///
/// # Errors
///
/// `hang` if a side never ends; `assertion` if a failure does not stay, if more is held than K4
/// allows, or if a clean end is followed by something else.
pub(super) fn tell(
    mut pair: Pair,
    script: &Script,
    lazy: Option<Side>,
    mut between: impl FnMut(&mut Wire),
) -> CaseResult<Told> {
    let mut actors = Side::BOTH.map(|side| Actor::new(side, script));
    let mut buffer = vec![0; pair.read_size];
    let (mut idle, mut cut) = (0, false);
    for round in 0..MOST_ROUNDS {
        let before: usize = actors.iter().map(Actor::come).sum();
        for actor in &mut actors {
            let endpoint = pair.side(actor.side);
            let rests = lazy == Some(actor.side) && round % LAZY_ROUNDS != 0;
            if !endpoint.is_closed() && !rests {
                actor.poll(endpoint, &mut buffer);
                holds_little(endpoint)?;
            }
        }
        let carried = pair.relay()?;
        between(&mut pair.wire);
        for actor in &mut actors {
            actor.look(&mut pair)?;
        }
        if actors.iter().all(|actor| pair.side(actor.side).is_closed()) {
            let [client, server] = actors.map(Actor::part);
            let wire = pair.wire;
            return Ok(Told {
                client,
                server,
                wire,
            });
        }
        if carried > 0 || actors.iter().map(Actor::come).sum::<usize>() != before {
            idle = 0;
            continue;
        }
        idle += 1;
        if idle > IDLE_ROUNDS && pair.over_tcp {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if idle > IDLE_ROUNDS + if pair.over_tcp { IDLE_ROUNDS_TCP } else { 0 } {
            if cut {
                break;
            }
            pair.wire.to_server.cut();
            pair.wire.to_client.cut();
            (idle, cut) = (0, true);
        }
    }
    let at = actors.map(|actor| match &actor.end {
        Some(end) => format!("{end:?}"),
        None => format!("in {:?}", actor.acts.get(actor.at)),
    });
    Err(Failure::hang(format!(
        "the transport has ended, and a session has not: client {}, server {}",
        at[0], at[1]
    )))
}

/// What a session holds stays within the bounds.
fn holds_little(endpoint: &Endpoint) -> CaseResult {
    let session = endpoint.session();
    let (pending, buffered) = (session.pending_output(), session.buffered());
    ensure!(
        pending <= MOST_PENDING,
        "{pending} bytes are pending, at most {MOST_PENDING} may be"
    );
    ensure!(
        buffered <= MOST_BUFFERED,
        "{buffered} bytes are buffered, at most {MOST_BUFFERED} may be"
    );
    Ok(())
}

/// One side, and how far it has come.
struct Actor {
    side: Side,
    acts: Vec<Act>,
    at: usize,
    data: Vec<u8>,
    taken: usize,
    received: Vec<u8>,
    marks: Vec<(usize, usize)>,
    facts: Option<Facts>,
    context: Option<Box<dyn DynContext>>,
    asked: Vec<Status>,
    end: Option<std::result::Result<(), Error>>,
}

/// What an act came to.
enum Went {
    On,
    Nowhere,
    /// The peer's close_notify was read where data was expected.
    Over,
}

impl Actor {
    fn new(side: Side, script: &Script) -> Self {
        Self {
            side,
            acts: script.acts(side),
            at: 0,
            data: script.data(side),
            taken: 0,
            received: Vec::new(),
            marks: Vec::new(),
            facts: None,
            context: script.context.clone(),
            asked: Vec::new(),
            end: None,
        }
    }

    /// How far it has come: grows with all it does.
    fn come(&self) -> usize {
        self.at + self.taken + self.received.len() + usize::from(self.end.is_some())
    }

    /// Goes on as far as what has arrived allows.
    fn poll(&mut self, endpoint: &mut Endpoint, buffer: &mut [u8]) {
        while self.end.is_none() {
            let Some(act) = self.acts.get(self.at).copied() else {
                self.end = Some(Ok(()));
                return;
            };
            match self.act(act, endpoint, buffer) {
                // What was written is carried first, so that `marks` tells of it alone.
                Ok(Went::On) if matches!(act, Act::Write(_)) => {
                    self.at += 1;
                    return;
                }
                Ok(Went::On) => self.at += 1,
                Ok(Went::Nowhere) => return,
                Ok(Went::Over) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }

    fn act(&mut self, act: Act, endpoint: &mut Endpoint, buffer: &mut [u8]) -> Result<Went> {
        let done = match act {
            Act::Handshake => self.handshake(endpoint)?,
            Act::Write(to) => {
                if self.taken < to {
                    self.taken += endpoint.write(&self.data[self.taken..to])?.bytes;
                }
                self.taken == to && endpoint.flush()? == Status::Complete
            }
            Act::Read(to) => return self.read(to, endpoint, buffer),
            Act::NewKeys => match endpoint.request_key_update()? {
                Status::WantRead => return self.read(usize::MAX, endpoint, buffer),
                Status::WantWrite => {
                    let _ = endpoint.flush()?;
                    false
                }
                _ => true,
            },
            Act::Shutdown => endpoint.shutdown()? != Status::WantWrite,
            Act::ReadToEnd => {
                return Ok(match self.read(usize::MAX, endpoint, buffer)? {
                    Went::Over => Went::On,
                    went => went,
                });
            }
        };
        Ok(if done { Went::On } else { Went::Nowhere })
    }

    /// Answers at once what it is asked: a chain is as good as the library says.
    fn handshake(&mut self, endpoint: &mut Endpoint) -> Result<bool> {
        let mut status = endpoint.handshake()?;
        while self.asked.len() < MOST_QUESTIONS {
            let session = endpoint.session_mut();
            match (status, &self.context) {
                (Status::NeedsServerContext, Some(context)) => session.set_context(&**context)?,
                (Status::NeedsCertificateValidation, _) => {
                    // What it said comes with the handshake's own failure.
                    let _ = session.accept_with_default_validation()?;
                }
                (Status::WantCredentials, _) => {
                    session.set_client_certificate(Some(Pki::shared().client.clone()))?;
                }
                _ => break,
            }
            self.asked.push(status);
            status = endpoint.handshake()?;
        }
        Ok(status == Status::Complete)
    }

    fn read(&mut self, to: usize, endpoint: &mut Endpoint, buffer: &mut [u8]) -> Result<Went> {
        while self.received.len() < to {
            let step = endpoint.read(buffer)?;
            self.received.extend_from_slice(&buffer[..step.bytes]);
            match step.status {
                Status::Closed => return Ok(Went::Over),
                Status::Complete if step.bytes > 0 => {}
                _ => {
                    // A reply may be owed, to a peer that waits for it.
                    if endpoint.session().pending_output() > 0 {
                        let _ = endpoint.flush()?;
                    }
                    return Ok(Went::Nowhere);
                }
            }
        }
        Ok(Went::On)
    }

    /// Notes where the side stands; once it has ended, sees that it stays so, and drops the session,
    /// as a program would.
    fn look(&mut self, pair: &mut Pair) -> CaseResult {
        if pair.side(self.side).is_closed() {
            return Ok(());
        }
        let sent = pair.wire.from(self.side).sent();
        let endpoint = pair.side(self.side);
        let mark = (sent, self.taken);
        if endpoint.session().pending_output() == 0 && self.marks.last() != Some(&mark) {
            self.marks.push(mark);
        }
        let Some(end) = &self.end else {
            return Ok(());
        };
        let stays = match end {
            Ok(()) => closed_stays(endpoint),
            Err(error) => failure_stays(endpoint, error),
        };
        stays.map_err(|failure| failure.during(format_args!("the {}, ended", self.side.name())))?;
        self.facts = endpoint.session().facts().cloned();
        endpoint.close();
        Ok(())
    }

    fn part(self) -> Part {
        Part {
            end: self.end.expect("only called when both have ended"),
            data: self.data,
            taken: self.taken,
            received: self.received,
            facts: self.facts,
            asked: self.asked,
            marks: self.marks,
        }
    }
}

fn failure_stays(endpoint: &mut Endpoint, error: &Error) -> CaseResult {
    let kind = error.kind();
    check::fails_with("a read", endpoint.read(&mut [0; 8]), kind)?;
    check::fails_with("a write", endpoint.write(b"x"), kind)?;
    check::fails_with("shutdown", endpoint.shutdown(), kind)?;
    check::fails_with("handshake", endpoint.handshake(), kind)?;
    check::equal(
        "the failure told",
        endpoint.session().failure().map(Error::kind),
        Some(kind),
    )
}

fn closed_stays(endpoint: &mut Endpoint) -> CaseResult {
    let step = endpoint.read(&mut [0; 8])?;
    check::status("a read", step.status, Status::Closed)?;
    check::equal("bytes of a read", step.bytes, 0)?;
    ensure!(
        endpoint.session().close_notify_received(),
        "the close_notify is told"
    );
    Ok(())
}
