//! The main thread: accepts connections, hands each to the least loaded worker, and minds signals.
//!
//! One listener, not one per thread: two proxies cannot share a port by mistake, no connection is
//! stranded in the queue of a thread that stops, and the limit on connections holds for all.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use polytls::DynContext;
use rustix::io::Errno;
use rustix::net::sockopt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use tracing::{debug, error, info, warn};

use super::config::Settings;
use super::limits;
use super::lookup::{Desk, Lookup, Lookups};
use super::shared::Shared;
use super::upstream::Connect;
use super::worker::{self, Accepted, Parts, Worker};

const LISTENER: Token = Token(0);
const SIGNALS: Token = Token(1);
const WAKER: Token = Token(2);

/// How many connections are accepted before signals are looked at.
const BATCH: usize = 64;

/// How long accepting pauses when the system has no descriptor or memory for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The main thread.
pub(super) struct Acceptor {
    poll: Poll,
    listener: Option<TcpListener>,
    signals: Signals,
    workers: Vec<Handle>,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    connector: Arc<dyn Connect>,
    lookups: Option<Arc<Lookups>>,
    /// The listener may have connections: cleared only when accepting would have blocked.
    acceptable: bool,
    /// The system had no room for a connection; try again at this time.
    paused: Option<Instant>,
    /// The limit on connections was reached and that was logged.
    full: bool,
    accepted: u64,
    peak: usize,
}

/// Where the contexts of connections come from.
pub(super) enum Contexts {
    /// All have this one.
    One(Box<dyn DynContext>),
    /// Each has the one that is found for its client; until then, the first.
    Found(Box<dyn DynContext>, Arc<dyn Lookup>),
}

struct Handle {
    sender: Sender<Accepted>,
    waker: Arc<Waker>,
    load: Arc<AtomicUsize>,
}

impl Acceptor {
    /// Registers the listener and starts the workers.
    pub(super) fn start(
        mut listener: TcpListener,
        settings: Settings,
        contexts: Contexts,
        connector: Arc<dyn Connect>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let (context, lookups) = match contexts {
            Contexts::One(context) => (context, None),
            Contexts::Found(context, lookup) => {
                // Without anything to read again, it ends the program as it always did.
                signals.add_signal(SIGHUP)?;
                let lookups = Lookups::start(lookup, settings.max_connections)?;
                (context, Some(Arc::new(lookups)))
            }
        };
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        let shared = Arc::new(Shared::new(Waker::new(registry, WAKER)?));
        let settings = Arc::new(settings);
        let workshop = Workshop {
            shared: &shared,
            settings: &settings,
            context: &*context,
            lookups: lookups.as_ref(),
            connector: &connector,
        };
        let workers = (0..settings.threads.max(1))
            .map(|index| workshop.start(index))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            poll,
            listener: Some(listener),
            signals,
            workers,
            shared,
            settings,
            connector,
            lookups,
            acceptable: true,
            paused: None,
            full: false,
            accepted: 0,
            peak: 0,
        })
    }

    /// Runs until the proxy was told to stop and has stopped.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.acceptable = true,
                    SIGNALS => self.heed_signals(),
                    _ => {}
                }
            }
            let finished = self.shared.finished_workers();
            match self.listener {
                None if finished == self.workers.len() => break,
                None => {}
                Some(_) if finished > 0 => {
                    return Err(io::Error::other("a worker thread ended unexpectedly"));
                }
                Some(_) => self.accept(),
            }
        }
        self.report();
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if self.listener.is_none() || !self.acceptable || self.full {
            return None;
        }
        Some(self.paused.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        }))
    }

    fn heed_signals(&mut self) {
        for signal in self.signals.pending() {
            if signal == SIGHUP {
                if let Some(lookups) = &self.lookups {
                    lookups.reload();
                }
                continue;
            }
            if self.listener.take().is_some() {
                let drain = self.settings.drain_timeout;
                info!(
                    signal,
                    drain_seconds = drain.as_secs_f64(),
                    "stopping: no new connections, open ones may finish"
                );
                self.shared.stop(Instant::now() + drain);
                self.connector.drain();
            } else {
                warn!(signal, "stopping now");
                self.shared.hurry();
            }
            for worker in &self.workers {
                let _ = worker.waker.wake();
            }
        }
    }

    fn accept(&mut self) {
        if self.paused.is_some_and(|until| Instant::now() < until) {
            return;
        }
        for _ in 0..BATCH {
            if !self.acceptable {
                return;
            }
            if !self.shared.has_room(self.settings.max_connections) {
                if !self.full {
                    self.full = true;
                    let limit = self.settings.max_connections;
                    warn!(limit, "as many connections as allowed; accepting pauses");
                }
                return;
            }
            self.full = false;
            self.accept_one();
            if self.paused.is_some() {
                return;
            }
        }
    }

    fn accept_one(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        match listener.accept() {
            Ok((stream, peer)) => {
                if self.paused.take().is_some() {
                    info!("accepting goes on");
                }
                let fd = OwnedFd::from(stream);
                // Both are refinements: a socket without them works.
                let _ = sockopt::set_tcp_nodelay(&fd, true);
                let _ = sockopt::set_socket_keepalive(&fd, true);
                self.accepted += 1;
                self.dispatch(Accepted {
                    id: self.accepted,
                    fd,
                    peer,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.acceptable = false,
            // The connection was gone before it was accepted; the next one may be fine.
            Err(error) if is_about_one_connection(&error) => {
                debug!(%error, "a connection could not be accepted");
            }
            // No descriptor or memory now, and perhaps later.
            Err(error) => {
                if self.paused.is_none() {
                    warn!(%error, "no connection can be accepted now; accepting pauses");
                }
                self.paused = Some(Instant::now() + PAUSE);
            }
        }
    }

    fn dispatch(&mut self, accepted: Accepted) {
        let Some(worker) = self
            .workers
            .iter()
            .min_by_key(|worker| worker.load.load(Relaxed))
        else {
            return;
        };
        self.shared.totals.accepted.fetch_add(1, Relaxed);
        worker.load.fetch_add(1, Relaxed);
        self.peak = self.peak.max(self.shared.enter());
        // Fails only if the worker is gone, which the main loop notices.
        if worker.sender.send(accepted).is_ok() {
            let _ = worker.waker.wake();
        }
    }

    fn report(&self) {
        let totals = &self.shared.totals;
        info!(
            accepted = totals.accepted.load(Relaxed),
            complete = totals.complete.load(Relaxed),
            failed = totals.failed.load(Relaxed),
            peak_connections = self.peak,
            uploaded = totals.uploaded.load(Relaxed),
            downloaded = totals.downloaded.load(Relaxed),
            peak_resident_kib = limits::peak_resident_kib(),
            "stopped"
        );
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::CONNABORTED | Errno::PROTO | Errno::INTR | Errno::PERM)
    )
}

/// What all workers are made of.
struct Workshop<'a> {
    shared: &'a Arc<Shared>,
    settings: &'a Arc<Settings>,
    context: &'a dyn DynContext,
    lookups: Option<&'a Arc<Lookups>>,
    connector: &'a Arc<dyn Connect>,
}

impl Workshop<'_> {
    fn start(&self, index: usize) -> io::Result<Handle> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), worker::WAKER)?);
        let (sender, incoming) = channel();
        let (answers, answered) = channel();
        let load = Arc::new(AtomicUsize::new(0));
        let worker = Worker::new(Parts {
            poll,
            incoming,
            answered,
            desk: self.lookups.map(|lookups| Desk {
                lookups: Arc::clone(lookups),
                answers,
                waker: Arc::clone(&waker),
            }),
            load: Arc::clone(&load),
            shared: Arc::clone(self.shared),
            settings: Arc::clone(self.settings),
            context: self.context.clone_context(),
            connector: Arc::clone(self.connector),
        });
        let farewell = Farewell(Arc::clone(self.shared));
        std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let _farewell = farewell;
                if let Err(error) = worker.run() {
                    error!(%error, "a worker cannot go on");
                }
            })?;
        Ok(Handle {
            sender,
            waker,
            load,
        })
    }
}

/// Tells the acceptor when a worker ends, however it ends.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.finish_worker();
    }
}
