//! The session without I/O.

use super::context::Choose;
use super::first::First;
use crate::backend::{Context, DynContext};
use crate::config::SessionOptions;
use crate::error::{Error, Operation, Result};
use crate::session::{BufferSession, Role, Session, unasked};
use crate::status::{Progress, Status};

/// A session of a [`Deferred`](super::Deferred) context, without I/O.
#[derive(Debug)]
pub struct DeferredBufferSession<C: Context> {
    first: First<C>,
    /// There once the context was chosen.
    session: Option<C::Buffer>,
    replay: Replay,
}

impl<C: Context> DeferredBufferSession<C> {
    pub(super) fn new(choose: Choose<C>, options: SessionOptions) -> Self {
        Self {
            first: First::new(choose, options),
            session: None,
            replay: Replay::default(),
        }
    }

    /// What speaks for this session now.
    fn current(&self) -> &dyn Session {
        match &self.session {
            Some(session) => session,
            None => &self.first,
        }
    }

    fn current_mut(&mut self) -> &mut dyn Session {
        match &mut self.session {
            Some(session) => session,
            None => &mut self.first,
        }
    }
}

/// What a session of the chosen context takes before any input of the caller's.
#[derive(Debug, Default)]
struct Replay {
    /// The ClientHello's records, as if they came from the peer now.
    bytes: Vec<u8>,
    taken: usize,
}

impl Replay {
    /// How many bytes are still to be taken.
    fn left(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One step of the handshake with what is left; nothing of the caller's input is used.
    fn step(&mut self, session: &mut impl BufferSession, output: &mut [u8]) -> Result<Progress> {
        let mut progress = session.handshake(&mut self.bytes[self.taken..], output)?;
        self.taken += progress.consumed;
        if self.taken == self.bytes.len() {
            *self = Self::default();
        }
        progress.consumed = 0;
        Ok(progress)
    }
}

impl<C: Context> BufferSession for DeferredBufferSession<C> {
    fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress> {
        let Some(session) = &mut self.session else {
            return self.first.handshake(input, output);
        };
        let mut produced = 0;
        while !self.replay.is_over() {
            let left = self.replay.left();
            let mut progress = match self.replay.step(session, &mut output[produced..]) {
                // What was produced leaves first; the session gives its failure again.
                Err(_) if produced > 0 => Progress::idle(Status::WantWrite),
                progress => progress?,
            };
            produced += progress.produced;
            progress.produced = produced;
            if self.replay.is_over() && self.first.lifecycle.input_ended() {
                session.input_eof();
            }
            // A session that takes nothing of what it is given would be asked for ever.
            if progress.status != Status::WantRead || self.replay.left() == left {
                return Ok(progress);
            }
        }
        match session.handshake(input, &mut output[produced..]) {
            Err(_) if produced > 0 => Ok(Progress::new(Status::WantWrite, 0, produced)),
            progress => {
                let mut progress = progress?;
                progress.produced += produced;
                Ok(progress)
            }
        }
    }

    fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress> {
        match &mut self.session {
            Some(session) => session.read(input, plaintext),
            None => self.first.gate_read(plaintext.len()),
        }
    }

    fn write(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<Progress> {
        match &mut self.session {
            Some(session) => session.write(plaintext, output),
            None => self.first.gate_write(plaintext.len()),
        }
    }

    fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress> {
        match &mut self.session {
            Some(session) => session.shutdown(output),
            None => self.first.gate_shutdown(),
        }
    }

    fn drain(&mut self, output: &mut [u8]) -> Progress {
        match &mut self.session {
            Some(session) => session.drain(output),
            None => self.first.drain(output),
        }
    }

    fn input_eof(&mut self) {
        self.first.lifecycle.end_input();
        // What was received before the end comes first.
        if let Some(session) = self.session.as_mut().filter(|_| self.replay.is_over()) {
            session.input_eof();
        }
    }
}

impl<C: Context> Session for DeferredBufferSession<C> {
    forward_session!(self);

    fn set_context(&mut self, context: &dyn DynContext) -> Result<()> {
        if self.session.is_some() {
            return Err(unasked(self, Operation::Handshake));
        }
        let context = self.first.choose(context)?;
        let session = context
            .buffer_session(self.first.options.clone())
            .map_err(|error| self.first.refuse_without_session(error))?;
        self.session = Some(session);
        self.replay.bytes = self.first.records().to_vec();
        Ok(())
    }
}
