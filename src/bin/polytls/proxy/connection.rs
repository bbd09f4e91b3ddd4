//! One connection: a TLS session, a plain socket, and what moves between them.
//!
//! Readiness is edge-triggered: a flag is set by an event and cleared only when a call said that the
//! socket would block (contract K6), so nothing is ever waited for that has already happened.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Token;
use mio::event::Event;
use polytls::{DynContext, Error, ErrorKind, Status};

use super::config::Settings;
use super::ending::{Ending, Summary};
use super::flow::Flow;
use super::linger::Linger;
use super::lookup::{Answer, Asked, Found};
use super::tls_side::TlsSide;
use super::turn::{Readiness, Scratch, Side, Tools, Turn, register, write_tls};
use super::upstream::Upstream;

/// How long a connection to the upstream may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many goes a connection gets before the others have their turn.
const GOES: usize = 8;

/// What one go came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Go {
    Moved,
    Blocked,
}

#[derive(Debug)]
enum Phase {
    Handshake,
    Connect { since: Instant, attempt: usize },
    Relay,
    Linger(Linger),
}

/// How far the choice of a context is, on a server that chooses for each client.
enum Choice {
    Open,
    Asked { _asked: Asked },
    Found(Found),
    Made,
}

pub(super) struct Connection {
    id: u64,
    peer: SocketAddr,
    accepted: Instant,
    last_move: Instant,
    phase: Phase,
    choice: Choice,
    tls: TlsSide,
    client: Readiness,
    upstream: Option<Upstream>,
    server: Readiness,
    /// From the client to the upstream.
    upload: Flow,
    /// From the upstream to the client.
    download: Flow,
    /// Why the upstream takes no more, while its own bytes are still read.
    refused: Option<io::Error>,
    token: Token,
}

impl Connection {
    /// Starts a connection on an accepted socket and registers it. `token` is the client's; the
    /// upstream's is the next one.
    pub(super) fn new(
        id: u64,
        (fd, peer): (std::os::fd::OwnedFd, SocketAddr),
        token: Token,
        context: &dyn DynContext,
        tools: &Tools<'_>,
    ) -> Result<Self, Error> {
        let tls = TlsSide::new(context, tools.settings.mode, fd)?;
        register(tools.registry, &tls, token)
            .map_err(|error| Error::io(error, polytls::Operation::CreateSession))?;
        Ok(Self {
            id,
            peer,
            accepted: tools.now,
            last_move: tools.now,
            phase: Phase::Handshake,
            choice: Choice::Open,
            tls,
            client: Readiness::UNKNOWN,
            upstream: None,
            server: Readiness::UNKNOWN,
            upload: Flow::default(),
            download: Flow::default(),
            refused: None,
            token,
        })
    }

    pub(super) fn note(&mut self, side: Side, event: &Event) {
        match side {
            Side::Client => self.client.note(event),
            Side::Upstream => self.server.note(event),
        }
    }

    /// A context was found: whether it is for this connection.
    pub(super) fn answer(&mut self, answer: Answer) -> bool {
        let awaited = answer.id == self.id && matches!(self.choice, Choice::Asked { .. });
        if awaited {
            self.choice = Choice::Found(answer.found);
        }
        awaited
    }

    /// When the connection must be looked at even if nothing happens.
    pub(super) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        match &self.phase {
            Phase::Handshake => Some(self.accepted + settings.handshake_timeout),
            Phase::Connect { since, .. } => Some(*since + CONNECT_TIMEOUT),
            Phase::Relay => settings.idle_timeout.map(|idle| self.last_move + idle),
            Phase::Linger(linger) => Some(linger.deadline()),
        }
    }

    /// Moves what can be moved, up to a fair share. `ended` is told of the end, once.
    pub(super) fn advance(
        &mut self,
        tools: &mut Tools<'_>,
        ended: &mut dyn FnMut(&Ending, &Summary<'_>),
    ) -> Turn {
        for _ in 0..GOES {
            let go = match &mut self.phase {
                Phase::Handshake => self.handshake(tools),
                Phase::Connect { .. } => self.connect(tools),
                Phase::Relay => self.relay(tools),
                Phase::Linger(_) => match self.linger(tools) {
                    Turn::Done => return Turn::Done,
                    Turn::Wait => Ok(Go::Blocked),
                    Turn::Again => Ok(Go::Moved),
                },
            };
            match go {
                Ok(Go::Moved) => self.last_move = tools.now,
                Ok(Go::Blocked) => return Turn::Wait,
                Err(ending) => {
                    ended(&ending, &self.summary(tools.now));
                    self.end(&ending, tools);
                }
            }
        }
        Turn::Again
    }

    /// The deadline has passed.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        ended: &mut dyn FnMut(&Ending, &Summary<'_>),
    ) -> Turn {
        let ending = match &self.phase {
            Phase::Handshake => Ending::HandshakeTimeout,
            Phase::Connect { .. } => Ending::Connect(io::ErrorKind::TimedOut.into()),
            Phase::Relay => Ending::Idle,
            Phase::Linger(_) => return Turn::Done,
        };
        self.abandon(&ending, now, ended);
        Turn::Done
    }

    /// Ends the connection here and now; neither side can take it for a clean end.
    pub(super) fn abandon(
        &mut self,
        ending: &Ending,
        now: Instant,
        ended: &mut dyn FnMut(&Ending, &Summary<'_>),
    ) {
        if !matches!(self.phase, Phase::Linger(_)) {
            ended(ending, &self.summary(now));
        }
        if let Some(upstream) = self.upstream.take() {
            upstream.abort();
        }
    }

    fn summary(&self, now: Instant) -> Summary<'_> {
        Summary {
            id: self.id,
            peer: self.peer,
            facts: self.tls.facts(),
            uploaded: self.upload.delivered,
            downloaded: self.download.delivered,
            duration: now.saturating_duration_since(self.accepted),
        }
    }

    fn handshake(&mut self, tools: &mut Tools<'_>) -> Result<Go, Ending> {
        if matches!(self.choice, Choice::Found(_))
            && let Choice::Found(found) = std::mem::replace(&mut self.choice, Choice::Made)
        {
            self.tls.choose(found).map_err(Ending::Handshake)?;
        }
        let cipher = &mut tools.scratch.cipher;
        let mut status = self.tls.handshake(cipher).map_err(Ending::Handshake)?;
        if status == Status::WantRead && self.client.read_closed {
            // The end may have come behind a piece that was shorter than asked for.
            status = self.tls.handshake(cipher).map_err(Ending::Handshake)?;
        }
        match status {
            Status::Complete => {
                self.start_connecting(0, None, tools)?;
                Ok(Go::Moved)
            }
            Status::NeedsServerContext => {
                self.ask(tools);
                Ok(Go::Blocked)
            }
            // Every other status of a server's handshake waits for the socket.
            _ => Ok(Go::Blocked),
        }
    }

    /// Asks for the context of this client, once.
    fn ask(&mut self, tools: &Tools<'_>) {
        if let (Choice::Open, Some(desk), Some(hello)) =
            (&self.choice, tools.desk, self.tls.client_hello())
        {
            let asked = desk.ask(self.token.0 / 2, self.id, hello);
            self.choice = Choice::Asked { _asked: asked };
        }
    }

    /// Starts the next attempt to reach the upstream, or fails as the one before did.
    fn start_connecting(
        &mut self,
        mut attempt: usize,
        mut failure: Option<io::Error>,
        tools: &Tools<'_>,
    ) -> Result<(), Ending> {
        let since = match self.phase {
            Phase::Connect { since, .. } => since,
            _ => tools.now,
        };
        loop {
            match tools.connector.connect(attempt) {
                Ok(Some(upstream)) => {
                    let token = Token(self.token.0 + 1);
                    register(tools.registry, &upstream, token).map_err(Ending::Connect)?;
                    self.upstream = Some(upstream);
                    self.phase = Phase::Connect { since, attempt };
                    return Ok(());
                }
                Ok(None) => {
                    let nowhere = || io::ErrorKind::AddrNotAvailable.into();
                    return Err(Ending::Connect(failure.unwrap_or_else(nowhere)));
                }
                Err(error) => failure = Some(error),
            }
            attempt += 1;
        }
    }

    fn connect(&mut self, tools: &Tools<'_>) -> Result<Go, Ending> {
        let (Some(upstream), Phase::Connect { attempt, .. }) = (&mut self.upstream, &self.phase)
        else {
            return Ok(Go::Blocked);
        };
        match upstream.is_connected() {
            Ok(true) => {}
            Ok(false) => return Ok(Go::Blocked),
            Err(error) => {
                let next = attempt + 1;
                self.upstream = None;
                self.start_connecting(next, Some(error), tools)?;
                return Ok(Go::Moved);
            }
        }
        // Whatever was noted came of the attempts.
        self.server = Readiness::UNKNOWN;
        self.phase = Phase::Relay;
        Ok(Go::Moved)
    }

    fn relay(&mut self, tools: &mut Tools<'_>) -> Result<Go, Ending> {
        let downloaded = self.download(tools)?;
        let uploaded = self.upload(tools)?;
        // What was read may call for a reply that no application data carries: an alert.
        self.flush_tls(tools.scratch)?;
        if self.download.is_ended() && self.upload.is_over() {
            return Err(match self.refused.take() {
                None => Ending::Complete,
                Some(error) => Ending::UploadRefused(error),
            });
        }
        Ok(if downloaded || uploaded {
            Go::Moved
        } else {
            Go::Blocked
        })
    }

    /// From the upstream to the client; whether anything moved.
    fn download(&mut self, tools: &mut Tools<'_>) -> Result<bool, Ending> {
        let scratch = &mut *tools.scratch;
        let mut moved = false;
        self.flush_tls(scratch)?;
        if self.client.writable && !self.download.held.is_empty() {
            let taken = write_tls(
                &mut self.tls,
                &mut self.client,
                self.download.held.as_slice(),
                &mut scratch.cipher,
            )?;
            self.download.deliver(taken);
            moved |= taken > 0;
        }
        if self.download.wants_input() && self.client.writable && self.server.readable {
            moved |= self.download_fresh(scratch)?;
        }
        if self.download.must_end_sink() && self.client.writable {
            let status = self
                .tls
                .shutdown(&mut scratch.cipher)
                .map_err(Ending::Client)?;
            match status {
                Status::Complete | Status::Closed => {
                    self.download.sink_ended();
                    moved = true;
                }
                status => self.note_written(status),
            }
        }
        Ok(moved)
    }

    fn flush_tls(&mut self, scratch: &mut Scratch) -> Result<(), Ending> {
        if self.client.writable && self.tls.has_pending_output() {
            let status = self
                .tls
                .flush(&mut scratch.cipher)
                .map_err(Ending::Client)?;
            self.note_written(status);
        }
        Ok(())
    }

    fn download_fresh(&mut self, scratch: &mut Scratch) -> Result<bool, Ending> {
        let Some(upstream) = &self.upstream else {
            return Ok(false);
        };
        let received = match upstream.receive(&mut scratch.plaintext) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.server.block_read();
                return Ok(false);
            }
            Err(error) => return Err(Ending::Upstream(error)),
        };
        if received == 0 {
            // Once the reset was reported to a send, the end that a receive reports is not one.
            if let Some(error) = self.refused.take() {
                return Err(Ending::Upstream(error));
            }
            self.download.source_ended();
            return Ok(true);
        }
        let plaintext = &scratch.plaintext[..received];
        let taken = write_tls(
            &mut self.tls,
            &mut self.client,
            plaintext,
            &mut scratch.cipher,
        )?;
        self.download.count(taken);
        if taken < received {
            self.download.held.keep(&plaintext[taken..]);
        }
        Ok(true)
    }

    /// From the client to the upstream; whether anything moved.
    fn upload(&mut self, tools: &mut Tools<'_>) -> Result<bool, Ending> {
        let mut moved = false;
        if self.server.writable && !self.upload.held.is_empty() {
            let taken = self.send_upstream(None);
            moved |= taken > 0;
        }
        if self.upload.wants_input() && self.client.readable && self.server.writable {
            let (read, ended) = self.read_tls(tools.scratch)?;
            moved |= read > 0 || ended;
            let plaintext = &tools.scratch.plaintext[..read];
            let taken = self.send_upstream(Some(plaintext));
            if taken < read && self.refused.is_none() {
                self.upload.held.keep(&plaintext[taken..]);
            }
            if ended {
                self.upload.source_ended();
            }
        }
        if self.upload.must_end_sink() {
            match self.upstream.as_ref().map(Upstream::end) {
                Some(Err(error)) => self.refuse(error),
                _ => self.upload.sink_ended(),
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Reads what the session has, up to a chunk: how many bytes, and whether the client's
    /// close_notify came behind them.
    fn read_tls(&mut self, scratch: &mut Scratch) -> Result<(usize, bool), Ending> {
        let mut filled = 0;
        let mut retried = false;
        while filled < scratch.plaintext.len() {
            let room = &mut scratch.plaintext[filled..];
            let progress = match self.tls.read(room, &mut scratch.cipher) {
                Ok(progress) => progress,
                // What came before goes first; the error comes again.
                Err(_) if filled > 0 => break,
                Err(error) => return Err(Ending::Client(error)),
            };
            filled += progress.produced;
            match progress.status {
                Status::Complete if progress.produced > 0 => {}
                Status::Closed => return Ok((filled, true)),
                Status::WantRead if self.client.read_closed && !retried => retried = true,
                Status::WantRead => {
                    // The end of the transport was announced, and is not announced again.
                    if !self.client.read_closed {
                        self.client.block_read();
                    }
                    break;
                }
                Status::WantWrite => {
                    let status = self
                        .tls
                        .flush(&mut scratch.cipher)
                        .map_err(Ending::Client)?;
                    self.note_written(status);
                    if status != Status::Complete || retried {
                        break;
                    }
                    retried = true;
                }
                _ => break,
            }
        }
        Ok((filled, false))
    }

    /// Sends what is held, or fresh bytes, to the upstream: how many it took.
    fn send_upstream(&mut self, fresh: Option<&[u8]>) -> usize {
        let Some(upstream) = &self.upstream else {
            return 0;
        };
        let bytes = fresh.unwrap_or_else(|| self.upload.held.as_slice());
        let taken = match upstream.send(bytes) {
            Ok(taken) => taken,
            Err(error) => {
                self.refuse(error);
                return 0;
            }
        };
        if taken < bytes.len() {
            self.server.block_write();
        }
        match fresh {
            Some(_) => self.upload.count(taken),
            None => self.upload.deliver(taken),
        }
        taken
    }

    /// The upstream takes no more. What it sent before is still there to be read, and ends in the
    /// reset.
    fn refuse(&mut self, error: io::Error) {
        self.refused = Some(error);
        self.upload.break_off();
        self.server.readable = true;
    }

    fn note_written(&mut self, status: Status) {
        if status == Status::WantWrite {
            self.client.block_write();
        }
    }

    /// Prepares the end: who is told what, and who is not.
    fn end(&mut self, ending: &Ending, tools: &Tools<'_>) {
        let mut client_is_gone = false;
        match ending {
            Ending::Handshake(error) | Ending::Client(error) => {
                client_is_gone = matches!(error.kind(), ErrorKind::Reset | ErrorKind::Io);
                self.download.break_off();
                if !self.upload.is_complete() {
                    // What the client sent is not complete, and must not look so.
                    if let Some(upstream) = self.upstream.take() {
                        upstream.abort();
                    }
                }
            }
            // The client must not take what it got for all there is: no close_notify.
            _ => self.upstream = None,
        }
        self.phase = Phase::Linger(Linger::new(tools.now, client_is_gone));
    }

    fn linger(&mut self, tools: &mut Tools<'_>) -> Turn {
        let Phase::Linger(linger) = &mut self.phase else {
            return Turn::Wait;
        };
        let client = linger.client(
            &mut self.tls,
            &mut self.client,
            &mut self.download,
            tools.scratch,
        );
        let upstream = Linger::upstream(
            &mut self.upstream,
            &mut self.server,
            &mut self.upload,
            &mut tools.scratch.plaintext,
        );
        match (client, upstream) {
            (Turn::Done, Turn::Done) => Turn::Done,
            (Turn::Again, _) | (_, Turn::Again) => Turn::Again,
            _ => Turn::Wait,
        }
    }
}
