//! Handshakes that can be done again, so that a session can wait for its caller.
//!
//! The session keeps the peer's bytes as they are fed, and its own that have left. An attempt that
//! reaches an open question is thrown away with all that it has put out since; its answer goes on
//! the tape, and a new connection is fed the same bytes. What it says first must be what has left
//! already, byte for byte: then the two are the same to the peer. Once the handshake is complete all
//! of this is freed, and the connection is an ordinary one.
//!
//! The price is one more handshake for each question, without the key exchange and the signatures of
//! this side, which the tape has.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, Connection, ServerConnection};
use tls_core::pki_types::ServerName;
use tls_core::support::{RECORD_HEADER, RecordHeader};
use tls_core::{Role, Verdict};

use crate::engine::Engine;
use crate::failed::Failed;
use crate::tape::stores::TapedClientStore;
use crate::tape::{Request, Tape, Unverified};

/// The most bytes of the peer's a session records, and one record more (K4): twice what rustls takes
/// of one message.
const MAX_RECORDED: usize = 128 * 1024;

/// What a session starts from.
pub(crate) struct Start {
    pub(crate) side: Side,
    /// Whether the session may have to wait for its caller.
    pub(crate) suspends: bool,
}

pub(crate) enum Side {
    Client {
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
        /// The session's own store, if the server's asking for a certificate closes it.
        store: Option<Arc<TapedClientStore>>,
    },
    Server(Arc<rustls::ServerConfig>),
}

impl Side {
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Client { .. } => Role::Client,
            Self::Server(_) => Role::Server,
        }
    }

    fn connection(&self) -> Result<Connection, Failed> {
        let made = match self {
            Self::Client { config, name, .. } => {
                ClientConnection::new(config.clone(), name.clone()).map(Connection::from)
            }
            Self::Server(config) => ServerConnection::new(config.clone()).map(Connection::from),
        };
        made.map_err(Failed::engine)
    }
}

impl Start {
    /// Starts the engine, and with it what it takes to start again.
    pub(crate) fn begin(self, reply_bound: usize) -> Result<(Option<Box<Replay>>, Engine), Failed> {
        if !self.suspends {
            return Ok((None, Engine::new(self.side.connection()?, reply_bound)?));
        }
        let mut replay = Box::new(Replay {
            side: self.side,
            reply_bound,
            tape: Some(Box::default()),
            input: Vec::new(),
            said: Vec::new(),
            answered: false,
        });
        let engine = replay.attempt()?;
        Ok((Some(replay), engine))
    }
}

/// What it takes to do a handshake again.
pub(crate) struct Replay {
    side: Side,
    reply_bound: usize,
    tape: Option<Box<Tape>>,
    /// What was fed.
    input: Vec<u8>,
    /// What has left.
    said: Vec<u8>,
    /// An answer has come that no attempt has had.
    answered: bool,
}

/// What came of feeding an attempt.
pub(crate) enum Fed {
    Done,
    Failed(Failed),
    /// The attempt has reached a question, and is over.
    Asks(Question),
}

impl From<Result<(), Failed>> for Fed {
    #[inline]
    fn from(fed: Result<(), Failed>) -> Self {
        match fed {
            Ok(()) => Self::Done,
            Err(failed) => Self::Failed(failed),
        }
    }
}

pub(crate) enum Question {
    Verdict(Unverified),
    Credentials(Request),
}

impl Replay {
    fn attempt(&mut self) -> Result<Engine, Failed> {
        let (side, reply_bound) = (&self.side, self.reply_bound);
        Tape::during(&mut self.tape, || {
            Engine::new(side.connection()?, reply_bound)
        })
    }

    /// Feeds the engine the rest of one record, and keeps it.
    pub(crate) fn feed(&mut self, engine: &mut Engine, input: &[u8]) -> (usize, Fed) {
        if self.input.len() >= MAX_RECORDED && engine.is_between_records() {
            let limit = "the peer's handshake has more than 128 KiB";
            let failed = Tape::during(&mut self.tape, || engine.refuse_handshake(limit));
            return (0, Fed::Failed(failed));
        }
        let (taken, fed) = Tape::during(&mut self.tape, || engine.feed(input));
        self.input.extend_from_slice(&input[..taken]);
        (taken, self.outcome(engine, fed))
    }

    /// What has left cannot be taken back: the next attempt must say it too.
    pub(crate) fn has_left(&mut self, output: &[u8]) {
        self.said.extend_from_slice(output);
    }

    pub(crate) fn decide(&mut self, verdict: Verdict) {
        if let Some(tape) = &mut self.tape {
            tape.decide(verdict);
            self.answered = true;
        }
    }

    pub(crate) fn present(&mut self, credentials: Option<Arc<CertifiedKey>>) {
        if let Some(tape) = &mut self.tape {
            tape.present(credentials);
            self.answered = true;
        }
    }

    /// Whether the handshake must be done again before it can go on.
    pub(crate) fn is_due(&self) -> bool {
        self.answered
    }

    /// Does the handshake again, as far as it was.
    pub(crate) fn again(&mut self, engine: &mut Engine) -> Fed {
        self.answered = false;
        if let Some(tape) = &mut self.tape {
            tape.rewind();
        }
        *engine = match self.attempt() {
            Ok(engine) => engine,
            Err(failed) => return Fed::Failed(failed),
        };
        let (mut at, mut said) = (0, 0);
        let mut fed = Ok(());
        loop {
            said = self.repeat(engine, said);
            if at == self.input.len() || fed.is_err() || self.diverged() {
                break;
            }
            let rest = &self.input[at..];
            let (taken, verdict) = Tape::during(&mut self.tape, || engine.feed(rest));
            (at, fed) = (at + taken, verdict);
        }
        let complete = at == self.input.len() && said == self.said.len();
        let used_up = self.tape.as_ref().is_some_and(|tape| tape.is_used_up());
        if !complete || !used_up || self.diverged() {
            engine.discard_output();
            return Fed::Failed(Failed::diverged());
        }
        self.outcome(engine, fed)
    }

    fn diverged(&self) -> bool {
        self.tape.as_ref().is_none_or(|tape| tape.diverged())
    }

    /// Has the engine say again what was said from this byte on, record by record; gives how far it
    /// has said the same.
    fn repeat(&mut self, engine: &mut Engine, mut at: usize) -> usize {
        while engine.pending_output() > 0 && at < self.said.len() {
            let mut record = next_record(engine);
            let said = &self.said[at..];
            if said.starts_with(&record) {
                at += record.len();
                continue;
            }
            while engine.pending_output() > 0 {
                record.extend(next_record(engine));
            }
            let hellos = only_client_hello(&record).zip(client_hello(said));
            let Some(tape) = &mut self.tape else {
                return at;
            };
            match hellos {
                Some((unsaid, (hello, length))) if tape.stand_in(&unsaid, &hello) => {
                    at += length;
                }
                _ => {
                    tape.diverge();
                    return at;
                }
            }
        }
        at
    }

    /// What an attempt came to. One that has gone on as if without a certificate is over when it
    /// puts something out; if the server fails verification before, it fails.
    fn outcome(&mut self, engine: &mut Engine, fed: Result<(), Failed>) -> Fed {
        let Some(tape) = &mut self.tape else {
            return Fed::Failed(Failed::diverged());
        };
        let question = match (tape.take_unverified(), fed) {
            (Some(unverified), _) => Question::Verdict(unverified),
            (None, Err(failed)) => return Fed::Failed(failed),
            (None, Ok(())) if engine.pending_output() == 0 => return Fed::Done,
            (None, Ok(())) => match tape.take_request() {
                Some(request) => Question::Credentials(request),
                None => return Fed::Done,
            },
        };
        engine.discard_output();
        Fed::Asks(question)
    }

    /// The handshake is complete: what this session will be able to store is decided.
    pub(crate) fn finish(self) {
        let asked = self.tape.is_some_and(|tape| tape.server_asked());
        if let (
            true,
            Side::Client {
                store: Some(store), ..
            },
        ) = (asked, self.side)
        {
            store.close();
        }
    }

    /// The provider of a client, to load a key with.
    pub(crate) fn crypto(&self) -> &CryptoProvider {
        match &self.side {
            Side::Client { config, .. } => config.crypto_provider(),
            Side::Server(config) => config.crypto_provider(),
        }
    }
}

impl fmt::Debug for Replay {
    /// What it starts from and has recorded holds secrets: only how much that is is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("input", &self.input.len())
            .field("said", &self.said.len())
            .finish_non_exhaustive()
    }
}

/// Takes one record out of what an engine has to say.
fn next_record(engine: &mut Engine) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEADER];
    let drained = engine.drain(&mut record);
    let length = RecordHeader::parse(&record).map_or(drained, RecordHeader::record);
    record.resize(length, 0);
    engine.drain(&mut record[drained..]);
    record
}

/// The ClientHello that these records are, if they are nothing besides: what is behind it would not be
/// said again.
fn only_client_hello(records: &[u8]) -> Option<Vec<u8>> {
    let (hello, length) = client_hello(records)?;
    (length == records.len()).then_some(hello)
}

/// The ClientHello that records begin with, and how many bytes of theirs it takes.
fn client_hello(records: &[u8]) -> Option<(Vec<u8>, usize)> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;

    let (mut hello, mut at) = (Vec::new(), 0);
    loop {
        let header = RecordHeader::parse(&records[at..])?;
        let record = records.get(at..at + header.record())?;
        at += record.len();
        hello.extend_from_slice(&record[RECORD_HEADER..]);
        let [kind, high, middle, low] = *hello.first_chunk()?;
        if header.content_type != HANDSHAKE || kind != CLIENT_HELLO {
            return None;
        }
        let length = 4 + usize::from(high) * 65536 + usize::from(middle) * 256 + usize::from(low);
        if hello.len() >= length {
            return (hello.len() == length).then_some((hello, at));
        }
    }
}

#[cfg(test)]
mod tests;
