//! Pipes in memory that are short, that block, and that fail, as told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// How many bytes ever went in and came out.
    written: usize,
    taken: usize,
    closed: bool,
}

/// One end of a connection in memory, which never blocks the thread.
#[derive(Debug)]
pub(super) struct End {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    pub(super) limits: Limits,
    /// How many times this end was read from.
    pub(super) reads: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many bytes one call moves at most.
    pub(super) piece: usize,
    /// How many bytes the outgoing pipe holds.
    pub(super) capacity: usize,
    /// Would block once, when so many bytes have been read in all.
    pub(super) read_pause: Option<usize>,
    /// Would block once, when so many bytes have been written in all.
    pub(super) write_pause: Option<usize>,
    /// Fails with this for ever, once as many bytes have been written.
    pub(super) write_failure: Option<(usize, io::ErrorKind)>,
    /// Is interrupted before every second call.
    pub(super) interrupts: Option<bool>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            piece: usize::MAX,
            capacity: usize::MAX,
            read_pause: None,
            write_pause: None,
            write_failure: None,
            interrupts: None,
        }
    }
}

/// Both ends of a connection.
pub(super) fn pair() -> (End, End) {
    let (there, back) = <(Rc<RefCell<Pipe>>, Rc<RefCell<Pipe>>)>::default();
    let end = |incoming: &Rc<_>, outgoing: &Rc<_>| End {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        limits: Limits::default(),
        reads: 0,
    };
    (end(&back, &there), end(&there, &back))
}

impl End {
    /// Ends what this end sends.
    pub(super) fn close(&self) {
        self.outgoing.borrow_mut().closed = true;
    }

    /// How many bytes were read from and written to this end.
    pub(super) fn moved(&self) -> (usize, usize) {
        (self.incoming.borrow().taken, self.outgoing.borrow().written)
    }

    /// Takes everything that has arrived, whatever the limits.
    pub(super) fn take_all(&self) -> Vec<u8> {
        let mut pipe = self.incoming.borrow_mut();
        pipe.taken += pipe.bytes.len();
        pipe.bytes.drain(..).collect()
    }

    /// Puts bytes on the wire, whatever the limits.
    pub(super) fn put(&self, bytes: &[u8]) {
        self.outgoing.borrow_mut().bytes.extend(bytes);
    }

    fn interrupt(&mut self) -> io::Result<()> {
        if let Some(now) = &mut self.limits.interrupts {
            *now = !*now;
            if *now {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        self.interrupt()?;
        let mut pipe = self.incoming.borrow_mut();
        let mut count = buffer.len().min(self.limits.piece).min(pipe.bytes.len());
        if let Some(pause) = self.limits.read_pause {
            if pause == pipe.taken {
                self.limits.read_pause = None;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            count = count.min(pause.saturating_sub(pipe.taken).max(1));
        }
        if count == 0 && !pipe.closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(pipe.bytes.drain(..count)) {
            *to = from;
        }
        pipe.taken += count;
        Ok(count)
    }
}

impl Write for End {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.interrupt()?;
        let mut pipe = self.outgoing.borrow_mut();
        let free = self.limits.capacity.saturating_sub(pipe.bytes.len());
        let mut count = buffer.len().min(self.limits.piece).min(free);
        if let Some((after, kind)) = self.limits.write_failure {
            if pipe.written >= after {
                return Err(kind.into());
            }
            count = count.min(after - pipe.written);
        }
        if let Some(pause) = self.limits.write_pause {
            if pause == pipe.written {
                self.limits.write_pause = None;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            count = count.min(pause.saturating_sub(pipe.written).max(1));
        }
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.bytes.extend(&buffer[..count]);
        pipe.written += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
