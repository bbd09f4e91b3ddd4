//! One event loop, and the connections it has.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use polytls::DynContext;
use tracing::warn;

use super::config::Settings;
use super::connection::Connection;
use super::ending::{Ending, Summary, Totals};
use super::lookup::{Answer, Desk};
use super::shared::Shared;
use super::timers::Timers;
use super::turn::{Scratch, Side, Tools, Turn};
use super::upstream::Connect;

/// The token of the waker; connections have smaller ones.
pub(super) const WAKER: Token = Token(usize::MAX);

/// A connection for a worker.
pub(super) struct Accepted {
    pub(super) id: u64,
    pub(super) fd: OwnedFd,
    pub(super) peer: SocketAddr,
}

/// What a worker is made of.
pub(super) struct Parts {
    pub(super) poll: Poll,
    pub(super) incoming: Receiver<Accepted>,
    /// Contexts that were looked up for connections of this worker.
    pub(super) answered: Receiver<Answer>,
    /// Where to ask for them, if each connection has its own.
    pub(super) desk: Option<Desk>,
    pub(super) load: Arc<AtomicUsize>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    pub(super) context: Box<dyn DynContext>,
    pub(super) connector: Arc<dyn Connect>,
}

pub(super) struct Worker {
    parts: Parts,
    entries: Vec<Entry>,
    free: Vec<usize>,
    /// Slots whose turn it is, in order, each once.
    ready: VecDeque<usize>,
    timers: Timers,
    scratch: Scratch,
}

#[derive(Default)]
struct Entry {
    connection: Option<Connection>,
    queued: bool,
}

impl Worker {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            entries: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            timers: Timers::default(),
            scratch: Scratch::new(),
        }
    }

    /// Runs until the proxy stops.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.timeout();
            match self.parts.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                self.note(event);
            }
            let stopping = self.parts.shared.stopping(now);
            self.take_accepted(now);
            self.take_answers();
            self.run_ready(now);
            self.run_timers(now);
            if stopping.is_some_and(|deadline| self.finish(deadline, now)) {
                return Ok(());
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let stop = self.parts.shared.stopping(now);
        let next = [self.timers.next(), stop].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    fn note(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token == WAKER {
            return;
        }
        let slot = token.0 / 2;
        let side = if token.0.is_multiple_of(2) {
            Side::Client
        } else {
            Side::Upstream
        };
        // A connection that ended in this round may have left events behind.
        let Some(connection) = &mut self.entries[slot].connection else {
            return;
        };
        connection.note(side, event);
        self.enqueue(slot);
    }

    fn enqueue(&mut self, slot: usize) {
        let entry = &mut self.entries[slot];
        if !entry.queued {
            entry.queued = true;
            self.ready.push_back(slot);
        }
    }

    fn take_accepted(&mut self, now: Instant) {
        while let Ok(accepted) = self.parts.incoming.try_recv() {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.entries.push(Entry::default());
                self.entries.len() - 1
            });
            let tools = Tools {
                registry: self.parts.poll.registry(),
                connector: &*self.parts.connector,
                desk: self.parts.desk.as_ref(),
                settings: &self.parts.settings,
                scratch: &mut self.scratch,
                now,
            };
            let peer = accepted.peer;
            let started = Connection::new(
                accepted.id,
                (accepted.fd, peer),
                Token(2 * slot),
                &*self.parts.context,
                &tools,
            );
            match started {
                Ok(connection) => {
                    self.timers
                        .set(slot, connection.deadline(&self.parts.settings));
                    self.entries[slot].connection = Some(connection);
                    self.enqueue(slot);
                }
                Err(error) => {
                    warn!(id = accepted.id, %peer, %error, "no session for an accepted connection");
                    self.parts.shared.totals.failed.fetch_add(1, Relaxed);
                    self.release(slot);
                }
            }
        }
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.parts.answered.try_recv() {
            let slot = answer.slot;
            // The connection that asked may have ended, and another have its place.
            let connection = self.entries[slot].connection.as_mut();
            if connection.is_some_and(|connection| connection.answer(answer)) {
                self.enqueue(slot);
            }
        }
    }

    /// One turn for each connection that was ready when the round began.
    fn run_ready(&mut self, now: Instant) {
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else {
                return;
            };
            let entry = &mut self.entries[slot];
            entry.queued = false;
            let Some(connection) = &mut entry.connection else {
                continue;
            };
            let mut tools = Tools {
                registry: self.parts.poll.registry(),
                connector: &*self.parts.connector,
                desk: self.parts.desk.as_ref(),
                settings: &self.parts.settings,
                scratch: &mut self.scratch,
                now,
            };
            let turn = connection.advance(&mut tools, &mut record(&self.parts.shared.totals));
            match turn {
                Turn::Done => self.remove(slot),
                turn => {
                    let deadline = connection.deadline(&self.parts.settings);
                    self.timers.set(slot, deadline);
                    if turn == Turn::Again {
                        self.enqueue(slot);
                    }
                }
            }
        }
    }

    fn run_timers(&mut self, now: Instant) {
        while let Some(slot) = self.timers.pop_expired(now) {
            if let Some(connection) = &mut self.entries[slot].connection {
                connection.expire(now, &mut record(&self.parts.shared.totals));
                self.remove(slot);
            }
        }
    }

    /// The proxy stops: whether there is nothing left to do.
    fn finish(&mut self, deadline: Instant, now: Instant) -> bool {
        if now >= deadline {
            for slot in 0..self.entries.len() {
                if let Some(connection) = &mut self.entries[slot].connection {
                    connection.abandon(
                        &Ending::Stopped,
                        now,
                        &mut record(&self.parts.shared.totals),
                    );
                    self.remove(slot);
                }
            }
        }
        self.free.len() == self.entries.len()
    }

    fn remove(&mut self, slot: usize) {
        self.entries[slot].connection = None;
        self.timers.set(slot, None);
        self.release(slot);
    }

    fn release(&mut self, slot: usize) {
        self.free.push(slot);
        self.parts.load.fetch_sub(1, Relaxed);
        self.parts.shared.leave();
    }
}

fn record(totals: &Totals) -> impl FnMut(&Ending, &Summary<'_>) {
    |ending, summary| {
        totals.count(ending, summary);
        summary.log(ending);
    }
}
