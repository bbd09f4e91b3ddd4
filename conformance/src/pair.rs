//! A client and a server with a wire between them, and what drives them.

use std::time::{Duration, Instant};

use tls_core::{Error, Result, Status};

use crate::case::{CaseResult, Failure, describe};
use crate::check;
use crate::endpoint::{Endpoint, Step};
use crate::wire::Wire;

/// The most rounds any driver takes.
const STEP_BUDGET: u64 = 20_000_000;
/// Rounds without any movement after which nothing will move any more; in memory and over Unix
/// sockets what was sent has arrived when the call returns.
const IDLE_ROUNDS: u32 = 3;
/// Over TCP the kernel may take a moment: rounds of a millisecond.
const IDLE_ROUNDS_TCP: u32 = 100;

/// The client's or the server's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

impl Side {
    /// Both, for cases that do the same from each.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// `client` or `server`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Where one side stands when nothing moves any more.
#[derive(Debug, Clone)]
pub enum End {
    /// The handshake is complete and the session works.
    Open,
    /// `read` gave `Closed`.
    Closed,
    /// The session failed.
    Failed(Error),
    /// The session waits, and nothing will come.
    Waiting(Status),
}

impl End {
    /// The error of a side that failed.
    ///
    /// # Errors
    ///
    /// `assertion`, with where the side stands instead.
    pub fn failure(&self, what: &str) -> CaseResult<&Error> {
        match self {
            Self::Failed(error) => Ok(error),
            other => Err(Failure::assertion(format!(
                "{what}: expected a failure, met {other:?}"
            ))),
        }
    }
}

/// Where both sides stand when nothing moves any more.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The client.
    pub client: End,
    /// The server.
    pub server: End,
}

impl Outcome {
    /// One of the two.
    pub fn of(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

/// A client and a server with a scripted wire between them.
///
/// Drivers move bytes until what they wait for has happened. When nothing moves any more before
/// that, they fail with `hang` and say where both sides stand.
#[derive(Debug)]
pub struct Pair {
    /// The client.
    pub client: Endpoint,
    /// The server.
    pub server: Endpoint,
    /// What is between them.
    pub wire: Wire,
    /// The size of the buffers that drivers read into, in bytes; 16 KiB unless set.
    pub read_size: usize,
    /// Whether a `write` may want to read first, as it may within a renegotiation and the answer to a
    /// request for a client certificate; not unless set.
    pub write_may_read: bool,
    pub(crate) over_tcp: bool,
    pub(crate) deadline: Instant,
}

impl Pair {
    pub(crate) fn new(
        client: Endpoint,
        server: Endpoint,
        wire: Wire,
        over_tcp: bool,
        deadline: Instant,
    ) -> Self {
        Self {
            client,
            server,
            wire,
            read_size: 16 * 1024,
            write_may_read: false,
            over_tcp,
            deadline,
        }
    }

    /// One of the two endpoints.
    pub fn side(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Carries bytes over the wire once, in both directions; gives how many moved.
    ///
    /// # Errors
    ///
    /// `harness`.
    pub fn relay(&mut self) -> CaseResult<usize> {
        Ok(self.wire.relay()?)
    }

    /// Carries bytes over the wire until none moves, without calling the sessions.
    ///
    /// # Errors
    ///
    /// `harness`.
    pub fn deliver(&mut self) -> CaseResult {
        let mut idle = Idle::new(self);
        while !idle.is_over(self.wire.relay()? > 0) {}
        Ok(())
    }

    /// Offers buffer sessions one byte of input and one byte of room at a time, and delivers one
    /// byte at a time in both modes.
    pub fn one_byte_at_a_time(&mut self) {
        self.wire.set_quota(1);
        for side in Side::BOTH {
            let endpoint = self.side(side);
            endpoint.input_chunk = 1;
            endpoint.output_chunk = 1;
        }
    }

    /// Repeats `step`, flushes both sides and carries bytes, until `step` gives a value.
    ///
    /// `what` says what is waited for.
    ///
    /// # Errors
    ///
    /// `hang` when nothing moves any more, or the step or time budget is used up; whatever `step`
    /// fails with.
    pub fn pump_until<T>(
        &mut self,
        what: &str,
        mut step: impl FnMut(&mut Self) -> CaseResult<Option<T>>,
    ) -> CaseResult<T> {
        match self.pump(what, &mut step)? {
            Some(value) => Ok(value),
            None => Err(Failure::hang(format!(
                "{what}: nothing moves any more ({})",
                self.standing()
            ))),
        }
    }

    /// As [`pump_until`](Self::pump_until), but `None` when nothing moves any more.
    ///
    /// # Errors
    ///
    /// As [`pump_until`](Self::pump_until), save that standing still is none.
    pub fn pump<T>(
        &mut self,
        what: &str,
        mut step: impl FnMut(&mut Self) -> CaseResult<Option<T>>,
    ) -> CaseResult<Option<T>> {
        let mut idle = Idle::new(self);
        for _ in 0..STEP_BUDGET {
            let before = self.activity();
            if let Some(value) = step(self)? {
                return Ok(Some(value));
            }
            self.flush_both();
            let carried = self.wire.relay()?;
            if idle.is_over(carried > 0 || self.activity() != before) {
                return Ok(None);
            }
            if Instant::now() > self.deadline {
                break;
            }
        }
        Err(Failure::hang(format!(
            "{what}: not done within the time and steps of a case ({})",
            self.standing()
        )))
    }

    /// Takes both sides through the handshake.
    ///
    /// # Errors
    ///
    /// The first error of either side, or `hang`.
    pub fn handshake(&mut self) -> CaseResult {
        let outcome = self.handshake_outcome()?;
        for side in Side::BOTH {
            match outcome.of(side) {
                End::Open => {}
                End::Failed(error) => {
                    return Err(Failure::from(error.clone()).during(format_args!(
                        "handshake of the {} (other side: {:?})",
                        side.name(),
                        outcome.of(side.other())
                    )));
                }
                end => {
                    return Err(Failure::hang(format!(
                        "handshake: the {} ended as {end:?} ({})",
                        side.name(),
                        self.standing()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Takes both sides through the handshake as far as it goes, and says where each stands. A
    /// TLS 1.3 client can be `Open` here and learn afterwards that it was refused:
    /// [`settle`](Self::settle).
    ///
    /// # Errors
    ///
    /// `hang` if the budget is used up while bytes still move; `harness`.
    pub fn handshake_outcome(&mut self) -> CaseResult<Outcome> {
        let mut ends = [const { None }; 2];
        self.pump("handshake", |pair| {
            for (end, side) in ends.iter_mut().zip(Side::BOTH) {
                if matches!(end, None | Some(End::Waiting(_))) {
                    *end = Some(match pair.side(side).handshake() {
                        Ok(Status::Complete) => End::Open,
                        Ok(status) => End::Waiting(status),
                        Err(error) => End::Failed(error),
                    });
                }
            }
            let done = ends
                .iter()
                .all(|end| matches!(end, Some(End::Open | End::Failed(_))));
            Ok(done.then_some(()))
        })?;
        let [client, server] = ends.map(|end| end.expect("every pump takes a step"));
        Ok(Outcome { client, server })
    }

    /// Takes the handshake as far as it goes, then reads on both sides (and drops what is read)
    /// until nothing moves: late failures show, also a TLS 1.3 server's refusal of a client.
    ///
    /// # Errors
    ///
    /// As [`handshake_outcome`](Self::handshake_outcome).
    pub fn settle(&mut self) -> CaseResult<Outcome> {
        let mut outcome = self.handshake_outcome()?;
        let mut buffer = vec![0; self.read_size];
        self.pump("reading after the handshake", |pair| {
            for side in Side::BOTH {
                let end = match side {
                    Side::Client => &mut outcome.client,
                    Side::Server => &mut outcome.server,
                };
                match end {
                    End::Open => match pair.side(side).read(&mut buffer) {
                        Ok(step) if step.status == Status::Closed => *end = End::Closed,
                        Ok(_) => {}
                        Err(error) => *end = End::Failed(error),
                    },
                    End::Waiting(_) => match pair.side(side).handshake() {
                        Ok(Status::Complete) => *end = End::Open,
                        Ok(status) => *end = End::Waiting(status),
                        Err(error) => *end = End::Failed(error),
                    },
                    End::Closed | End::Failed(_) => {}
                }
            }
            Ok(None::<()>)
        })?;
        Ok(outcome)
    }

    /// Sends bytes from one side and expects the other to read exactly them.
    ///
    /// # Errors
    ///
    /// Any error of either side, a difference, or `hang`.
    pub fn transfer(&mut self, from: Side, data: &[u8]) -> CaseResult {
        match from {
            Side::Client => self.transfer_both(data, &[]),
            Side::Server => self.transfer_both(&[], data),
        }
    }

    /// Sends bytes from both sides at once and expects each to read exactly what the other sent.
    ///
    /// # Errors
    ///
    /// As [`transfer`](Self::transfer).
    pub fn transfer_both(&mut self, from_client: &[u8], from_server: &[u8]) -> CaseResult {
        let sent = [from_client, from_server];
        let mut taken = [0; 2];
        let mut received = [Vec::new(), Vec::new()];
        let mut buffer = vec![0; self.read_size];
        let may_read = self.write_may_read;
        self.pump_until("transfer", |pair| {
            for (index, side) in Side::BOTH.into_iter().enumerate() {
                let endpoint = pair.side(side);
                let rest = &sent[index][taken[index]..];
                let mut reads_first = false;
                if !rest.is_empty() {
                    let step = endpoint
                        .write(rest)
                        .map_err(|error| named(error, side, "write"))?;
                    taken[index] += accepted(step, side, may_read)?;
                    reads_first = step.status == Status::WantRead;
                }
                if reads_first || received[index].len() < sent[1 - index].len() {
                    let step = endpoint
                        .read(&mut buffer)
                        .map_err(|error| named(error, side, "read"))?;
                    if step.status == Status::Closed {
                        return Err(Failure::assertion(format!(
                            "the {} met the end of the data after {} of {} bytes",
                            side.name(),
                            received[index].len(),
                            sent[1 - index].len()
                        )));
                    }
                    received[index].extend_from_slice(&buffer[..step.bytes]);
                }
            }
            let done = (0..2).all(|index| {
                taken[index] == sent[index].len() && received[index].len() >= sent[1 - index].len()
            });
            Ok(done.then_some(()))
        })?;
        check::same_bytes("what the server read", &received[1], sent[0])?;
        check::same_bytes("what the client read", &received[0], sent[1])
    }

    /// Sends a few bytes each way: the connection works.
    ///
    /// # Errors
    ///
    /// As [`transfer`](Self::transfer).
    pub fn ping_pong(&mut self) -> CaseResult {
        self.transfer(Side::Client, b"ping")?;
        self.transfer(Side::Server, b"pong")
    }

    /// Writes everything, and lets it leave the session. The other side's session is not called,
    /// so what does not fit into the transport is a `hang`.
    ///
    /// # Errors
    ///
    /// The side's error, or `hang`.
    pub fn write_all(&mut self, side: Side, data: &[u8]) -> CaseResult {
        let mut taken = 0;
        let may_read = self.write_may_read;
        self.pump_until("write", |pair| {
            let endpoint = pair.side(side);
            if taken < data.len() {
                let step = endpoint
                    .write(&data[taken..])
                    .map_err(|error| named(error, side, "write"))?;
                taken += accepted(step, side, may_read)?;
            }
            let done = taken == data.len() && endpoint.session().pending_output() == 0;
            Ok(done.then_some(()))
        })
    }

    /// Reads until a number of bytes is there.
    ///
    /// # Errors
    ///
    /// The side's error, `assertion` at an early end, or `hang`.
    pub fn read_exact(&mut self, side: Side, length: usize) -> CaseResult<Vec<u8>> {
        let mut received = vec![0; length];
        let mut filled = 0;
        self.pump_until("read", |pair| {
            if filled == length {
                return Ok(Some(()));
            }
            let step = pair
                .side(side)
                .read(&mut received[filled..])
                .map_err(|error| named(error, side, "read"))?;
            if step.status == Status::Closed {
                return Err(Failure::assertion(format!(
                    "the {} met the end of the data after {filled} of {length} bytes",
                    side.name()
                )));
            }
            filled += step.bytes;
            Ok((filled == length).then_some(()))
        })?;
        Ok(received)
    }

    /// Reads until the end: what was read, and whether the end was `Closed` or an error.
    ///
    /// # Errors
    ///
    /// `hang` if there is no end.
    pub fn read_to_end(&mut self, side: Side) -> CaseResult<(Vec<u8>, Result<()>)> {
        let mut received = Vec::new();
        let mut buffer = vec![0; self.read_size];
        let end = self.pump_until("the end of the data", |pair| {
            Ok(match pair.side(side).read(&mut buffer) {
                Ok(step) => {
                    received.extend_from_slice(&buffer[..step.bytes]);
                    (step.status == Status::Closed).then_some(Ok(()))
                }
                Err(error) => Some(Err(error)),
            })
        })?;
        Ok((received, end))
    }

    /// Repeats a call on one side until it gives an error, and gives the error: for what must
    /// fail after its alert has left.
    ///
    /// # Errors
    ///
    /// `hang` if it never fails.
    pub fn until_error<T>(
        &mut self,
        side: Side,
        what: &str,
        mut call: impl FnMut(&mut Endpoint) -> Result<T>,
    ) -> CaseResult<Error> {
        self.pump_until(what, |pair| Ok(call(pair.side(side)).err()))
    }

    /// Shuts one side down until its close_notify has left: `Complete` or `Closed`.
    ///
    /// # Errors
    ///
    /// The side's error, or `hang`.
    pub fn shutdown(&mut self, side: Side) -> CaseResult<Status> {
        self.pump_until("shutdown", |pair| {
            let status = pair
                .side(side)
                .shutdown()
                .map_err(|error| named(error, side, "shutdown"))?;
            Ok((status != Status::WantWrite).then_some(status))
        })
    }

    /// A failed session may have its alert left to send, so failures to flush say nothing here.
    fn flush_both(&mut self) {
        for side in Side::BOTH {
            let endpoint = self.side(side);
            if !endpoint.is_closed() && endpoint.session().pending_output() > 0 {
                let _ = endpoint.flush();
            }
        }
    }

    fn activity(&self) -> u64 {
        self.client.activity() + self.server.activity()
    }

    /// Where both sides stand, in one line.
    fn standing(&self) -> String {
        let one = |endpoint: &Endpoint| {
            if endpoint.is_closed() {
                return "closed".to_owned();
            }
            let session = endpoint.session();
            format!(
                "last {:?}, {} bytes pending, {} buffered, {}",
                endpoint.last_status(),
                session.pending_output(),
                session.buffered(),
                session
                    .failure()
                    .map_or_else(|| "not failed".to_owned(), describe)
            )
        };
        format!(
            "client: {}; server: {}; on the wire: {} to the server, {} to the client",
            one(&self.client),
            one(&self.server),
            self.wire.to_server.in_flight(),
            self.wire.to_client.in_flight()
        )
    }
}

/// The bytes a `write` took, in keeping with K3.
fn accepted(step: Step, side: Side, may_read: bool) -> CaseResult<usize> {
    match step.status {
        Status::Complete if step.bytes > 0 => Ok(step.bytes),
        Status::WantWrite if step.bytes == 0 => Ok(0),
        Status::WantRead if step.bytes == 0 && may_read => Ok(0),
        _ => Err(Failure::assertion(format!(
            "write of the {} gave {step:?}; K3 allows Complete with bytes, WantWrite without",
            side.name()
        ))),
    }
}

fn named(error: Error, side: Side, call: &str) -> Failure {
    Failure::from(error).during(format_args!("{call} of the {}", side.name()))
}

/// Counts rounds without movement.
struct Idle {
    rounds: u32,
    over_tcp: bool,
}

impl Idle {
    fn new(pair: &Pair) -> Self {
        Self {
            rounds: 0,
            over_tcp: pair.over_tcp,
        }
    }

    fn is_over(&mut self, moved: bool) -> bool {
        if moved {
            self.rounds = 0;
            return false;
        }
        self.rounds += 1;
        if !self.over_tcp {
            return self.rounds >= IDLE_ROUNDS;
        }
        std::thread::sleep(Duration::from_millis(1));
        self.rounds >= IDLE_ROUNDS_TCP
    }
}
