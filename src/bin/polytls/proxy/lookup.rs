//! Finding the context for a client, away from the event loops: a look-up may take its time, and
//! delays only the connection that waits for it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mio::Waker;
use polytls::iana::AlertDescription;
use polytls::{ClientHello, DynContext};
use tokio::runtime::{Builder, Runtime};

/// How many look-ups run at once; more wait for their turn.
const THREADS: usize = 256;

/// How long a thread waits for the next look-up. In effect for ever: once there is one, the system
/// can refuse us another without harm.
const KEEP_THREADS: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The context for a client, or the alert to refuse it with.
pub(crate) type Found = Result<Box<dyn DynContext>, AlertDescription>;

/// Knows which context is for which client.
pub(crate) trait Lookup: Send + Sync {
    /// Finds the context for what a client offers. It may block.
    fn find(&self, hello: &ClientHello) -> Found;

    /// Takes up what has changed since, or says in the log why it cannot. It may block.
    fn reload(&self);
}

/// The threads on which look-ups run.
pub(super) struct Lookups {
    lookup: Arc<dyn Lookup>,
    /// There until this is dropped.
    runtime: Option<Runtime>,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

impl Lookups {
    /// Starts with one thread. At most this many clients may wait at once.
    pub(super) fn start(lookup: Arc<dyn Lookup>, most: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("lookup")
            .max_blocking_threads(THREADS)
            .thread_keep_alive(KEEP_THREADS)
            .build()?;
        runtime.spawn_blocking(|| ());
        Ok(Self {
            lookup,
            runtime: Some(runtime),
            waiting: Arc::new(AtomicUsize::new(0)),
            most,
        })
    }

    /// Takes up what has changed; returns at once.
    pub(super) fn reload(&self) {
        let lookup = Arc::clone(&self.lookup);
        self.run(move || lookup.reload());
    }

    fn run(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn_blocking(job);
        }
    }
}

impl Drop for Lookups {
    /// Whoever is in the middle of a look-up is not waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Where the connections of one worker ask.
pub(super) struct Desk {
    pub(super) lookups: Arc<Lookups>,
    pub(super) answers: Sender<Answer>,
    pub(super) waker: Arc<Waker>,
}

impl Desk {
    /// Asks for a connection's context; the answer comes to the worker, unless what this returns is
    /// dropped before.
    pub(super) fn ask(&self, slot: usize, id: u64, hello: &ClientHello) -> Asked {
        let asked = Asked(Arc::new(()));
        let reply = Reply {
            asked: Arc::downgrade(&asked.0),
            answers: self.answers.clone(),
            waker: Arc::clone(&self.waker),
            slot,
            id,
            found: Err(AlertDescription::INTERNAL_ERROR),
            waiting: Arc::clone(&self.lookups.waiting),
        };
        // Connections that gave up may still be in line: it must not grow without bound.
        if self.lookups.waiting.fetch_add(1, Relaxed) >= self.lookups.most {
            return asked;
        }
        let lookup = Arc::clone(&self.lookups.lookup);
        let hello = hello.clone();
        self.lookups.run(move || {
            if reply.is_awaited() {
                reply.bring(lookup.find(&hello));
            }
        });
        asked
    }
}

/// A look-up that somebody waits for, until this is dropped.
#[derive(Debug)]
pub(super) struct Asked(Arc<()>);

/// What came of a look-up.
pub(super) struct Answer {
    pub(super) slot: usize,
    pub(super) id: u64,
    pub(super) found: Found,
}

/// Brings the answer to the worker when it is dropped, after a panic too.
struct Reply {
    asked: Weak<()>,
    answers: Sender<Answer>,
    waker: Arc<Waker>,
    slot: usize,
    id: u64,
    found: Found,
    waiting: Arc<AtomicUsize>,
}

impl Reply {
    fn bring(mut self, found: Found) {
        self.found = found;
    }

    fn is_awaited(&self) -> bool {
        self.asked.strong_count() > 0
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Relaxed);
        if !self.is_awaited() {
            return;
        }
        let answer = Answer {
            slot: self.slot,
            id: self.id,
            found: std::mem::replace(&mut self.found, Err(AlertDescription::INTERNAL_ERROR)),
        };
        // Fails only if the worker is gone, and then nobody waits.
        if self.answers.send(answer).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
