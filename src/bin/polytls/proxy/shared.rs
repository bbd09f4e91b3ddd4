//! What the acceptor and the workers share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use mio::Waker;

use super::ending::Totals;

pub(super) struct Shared {
    pub(super) totals: Totals,
    active: AtomicUsize,
    finished_workers: AtomicUsize,
    /// The acceptor waits for a connection to end.
    waiting: AtomicBool,
    acceptor: Waker,
    /// Set once when the proxy stops: when open connections are closed.
    stop: OnceLock<Instant>,
    /// A second request to stop: close them now.
    hurry: AtomicBool,
}

impl Shared {
    pub(super) fn new(acceptor: Waker) -> Self {
        Self {
            totals: Totals::default(),
            active: AtomicUsize::new(0),
            finished_workers: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            acceptor,
            stop: OnceLock::new(),
            hurry: AtomicBool::new(false),
        }
    }

    /// Counts a connection in: how many there are now.
    pub(super) fn enter(&self) -> usize {
        self.active.fetch_add(1, SeqCst) + 1
    }

    /// Counts a connection out, and wakes the acceptor if it waits for that.
    pub(super) fn leave(&self) {
        self.active.fetch_sub(1, SeqCst);
        if self.waiting.swap(false, SeqCst) {
            self.wake_acceptor();
        }
    }

    /// Whether there is room for one more connection; if not, the acceptor will be woken when there
    /// is.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        if self.active.load(SeqCst) < limit {
            return true;
        }
        self.waiting.store(true, SeqCst);
        // One may have left before it could see that someone waits.
        self.active.load(SeqCst) < limit
    }

    /// Counts a worker that ended.
    pub(super) fn finish_worker(&self) {
        self.finished_workers.fetch_add(1, SeqCst);
        self.wake_acceptor();
    }

    /// How many workers have ended.
    pub(super) fn finished_workers(&self) -> usize {
        self.finished_workers.load(SeqCst)
    }

    fn wake_acceptor(&self) {
        // Fails only where the poll is gone, and then nobody waits.
        let _ = self.acceptor.wake();
    }

    /// The proxy stops: open connections may go on until this time.
    pub(super) fn stop(&self, deadline: Instant) {
        let _ = self.stop.set(deadline);
    }

    /// The proxy stops now.
    pub(super) fn hurry(&self) {
        self.hurry.store(true, SeqCst);
    }

    /// Whether the proxy stops, and until when open connections may go on.
    pub(super) fn stopping(&self, now: Instant) -> Option<Instant> {
        let deadline = *self.stop.get()?;
        Some(if self.hurry.load(SeqCst) {
            now
        } else {
            deadline
        })
    }
}
