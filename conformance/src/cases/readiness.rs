//! Event loops that call a session only when its descriptor became ready.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tls_core::Status;

use crate::case::{Case, CaseResult, Failure, Modes};
use crate::check;
use crate::endpoint::Endpoint;
use crate::pair::{Pair, Side};
use crate::scene::Scene;

/// How many bytes each side sends.
const LENGTH: usize = 600_000;
/// Rounds without an event and without a byte on the wire after which nothing will come.
const IDLE_ROUNDS: u32 = 5;

pub(super) const CASES: &[Case] = &[Case {
    rfc: "contract K6",
    clauses: &["K6", "K1", "K19"],
    items: &["behaviours 189"],
    modes: Modes::SocketOnly,
    ..Case::new(
        "readiness.edge_triggered_loops_lose_nothing",
        edge_triggered,
    )
}];

/// One side of a connection as an edge-triggered loop drives it.
struct Loop {
    data: Vec<u8>,
    taken: usize,
    received: Vec<u8>,
    expected: usize,
    shut_down: bool,
    closed: bool,
}

impl Loop {
    fn new(seed: u8) -> Self {
        Self {
            data: super::pattern(LENGTH, seed),
            taken: 0,
            received: Vec::new(),
            expected: LENGTH,
            shut_down: false,
            closed: false,
        }
    }

    /// What a loop does at an edge: everything, until the session asks to wait for each direction.
    fn edge(&mut self, endpoint: &mut Endpoint) -> CaseResult {
        if endpoint.handshake()? != Status::Complete {
            return Ok(());
        }
        self.write(endpoint)?;
        let mut buffer = [0; 10_000];
        while !self.closed {
            let step = endpoint.read(&mut buffer)?;
            self.received.extend_from_slice(&buffer[..step.bytes]);
            match step.status {
                Status::Closed => self.closed = true,
                Status::Complete => {}
                _ => break,
            }
        }
        // A reply of the session's own may be pending since.
        self.write(endpoint)
    }

    fn write(&mut self, endpoint: &mut Endpoint) -> CaseResult {
        while self.taken < self.data.len() {
            let step = endpoint.write(&self.data[self.taken..])?;
            self.taken += step.bytes;
            if step.status != Status::Complete {
                return Ok(());
            }
        }
        if !self.shut_down {
            self.shut_down = endpoint.shutdown()? != Status::WantWrite;
        }
        endpoint.flush()?;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.closed && self.shut_down && self.received.len() >= self.expected
    }
}

fn edge_triggered(scene: &Scene<'_>) -> CaseResult {
    let mut pair = scene.build().window(8 * 1024).pair()?;
    let watch = watch(&pair)?;
    let mut loops = [Loop::new(1), Loop::new(2)];
    let mut idle = 0;
    while !loops.iter().all(Loop::is_done) {
        let ready = ready(&watch)?;
        for &side in &ready {
            loops[side as usize].edge(pair.side(side))?;
        }
        let moved = pair.relay()?;
        idle = if moved > 0 || !ready.is_empty() {
            0
        } else {
            idle + 1
        };
        if idle >= IDLE_ROUNDS || Instant::now() > pair.deadline {
            let met = loops.map(|it| (it.taken, it.received.len(), it.shut_down, it.closed));
            return Err(Failure::hang(format!(
                "no edge comes any more; taken, read, shut down, closed: {met:?}"
            )));
        }
    }
    let [client, server] = loops;
    check::same_bytes("what the client read", &client.received, &server.data)?;
    check::same_bytes("what the server read", &server.received, &client.data)
}

fn watch(pair: &Pair) -> CaseResult<OwnedFd> {
    let system = |errno: rustix::io::Errno| Failure::from(std::io::Error::from(errno));
    let watch = epoll::create(CreateFlags::CLOEXEC).map_err(system)?;
    for (side, endpoint) in Side::BOTH.into_iter().zip([&pair.client, &pair.server]) {
        epoll::add(
            &watch,
            endpoint.descriptor()?,
            EventData::new_u64(side as u64),
            EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
        )
        .map_err(system)?;
    }
    Ok(watch)
}

/// The sides whose descriptors became ready since the last question.
fn ready(watch: &OwnedFd) -> CaseResult<Vec<Side>> {
    let none = Event {
        flags: EventFlags::empty(),
        data: EventData::new_u64(0),
    };
    let mut events = [none; 2];
    let at_once = Timespec::default();
    let count = epoll::wait(watch, &mut events, Some(&at_once))
        .map_err(|errno| Failure::from(std::io::Error::from(errno)))?;
    Ok(events[..count]
        .iter()
        .map(|event| match event.data.u64() {
            0 => Side::Client,
            _ => Side::Server,
        })
        .collect())
}
