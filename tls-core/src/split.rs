//! A socket session in two halves, for two threads.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Misuse, Operation, Result};
use crate::facts::Facts;
use crate::session::{Session, SocketSession};
use crate::status::{Progress, Status};

/// How much application data one call moves at the most, in bytes: for no longer than that the other
/// half has to wait.
const MOST: usize = 64 * 1024;
/// How many buffers one call moves data between at the most.
const MOST_BUFFERS: usize = 16;

/// Who waits for the lock: one bit for each half.
const READER: u8 = 1;
const WRITER: u8 = 2;

/// The half of a [split](SocketSession::split) session that reads.
///
/// If the session waits for an answer of its caller, calls of both halves say so (K13), and either
/// takes it, by [`with_mut`](Self::with_mut).
pub struct ReadHalf<S>(Arc<Shared<S>>);

/// The half of a [split](SocketSession::split) session that writes.
pub struct WriteHalf<S>(Arc<Shared<S>>);

struct Shared<S> {
    session: Mutex<S>,
    waiting: AtomicU8,
    facts: Facts,
    /// Of the same socket as the session's: that is behind the lock.
    descriptor: OwnedFd,
}

/// A session that cannot be split, and why.
#[derive(Debug)]
pub struct SplitError<S> {
    /// The session, unchanged.
    pub session: S,
    /// Why it cannot be split.
    pub error: Error,
}

/// Two halves that are not of one session.
#[derive(Debug)]
pub struct ReuniteError<S> {
    /// The one half, unchanged.
    pub reader: ReadHalf<S>,
    /// The other.
    pub writer: WriteHalf<S>,
}

/// See [`SocketSession::split`].
pub(crate) fn split<S: SocketSession>(
    session: S,
) -> std::result::Result<(ReadHalf<S>, WriteHalf<S>), SplitError<S>> {
    let operation = Operation::Split;
    let facts = match (session.failure(), session.facts()) {
        (Some(failure), _) => Err(failure.clone()),
        (None, None) => Err(Error::misuse(Misuse::HandshakeIncomplete, operation)),
        (None, Some(facts)) => Ok(facts.clone()),
    };
    let descriptor = || session.as_fd().try_clone_to_owned();
    let parts = facts.and_then(|facts| {
        let descriptor = descriptor().map_err(|error| Error::io(error, operation))?;
        Ok((facts, descriptor))
    });
    let (facts, descriptor) = match parts {
        Ok(parts) => parts,
        Err(error) => return Err(SplitError { session, error }),
    };
    let shared = Arc::new(Shared {
        session: Mutex::new(session),
        waiting: AtomicU8::new(0),
        facts,
        descriptor,
    });
    Ok((ReadHalf(Arc::clone(&shared)), WriteHalf(shared)))
}

impl<S> Shared<S> {
    /// The session, for one call, on behalf of one half. A panic of an earlier call does not count:
    /// a session that was in the middle of something has failed by itself.
    ///
    /// A half that calls again and again lets the other one in between.
    fn lock(&self, half: u8) -> MutexGuard<'_, S> {
        if self.waiting.load(Ordering::Relaxed) & !half != 0 {
            std::thread::yield_now();
        }
        if let Ok(session) = self.session.try_lock() {
            return session;
        }
        self.waiting.fetch_or(half, Ordering::Relaxed);
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_and(!half, Ordering::Relaxed);
        session
    }
}

impl<S: SocketSession> ReadHalf<S> {
    /// Reads and decrypts up to 64 KiB; see [`SocketSession::read`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        let most = plaintext.len().min(MOST);
        self.0.lock(READER).read(&mut plaintext[..most])
    }

    /// Reads into several buffers, up to 64 KiB and 16 of them; see
    /// [`SocketSession::read_vectored`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress> {
        let mut some: [_; MOST_BUFFERS] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let (mut used, mut room) = (0, MOST);
        let filled = buffers.iter_mut().filter(|buffer| !buffer.is_empty());
        for (place, buffer) in some.iter_mut().zip(filled) {
            let length = buffer.len().min(room);
            *place = IoSliceMut::new(&mut buffer[..length]);
            room -= length;
            used += usize::from(length > 0);
        }
        self.0.lock(READER).read_vectored(&mut some[..used])
    }

    /// How many bytes `read` can turn into progress without the socket; see
    /// [`Session::buffered`].
    pub fn buffered(&self) -> usize {
        self.0.lock(READER).buffered()
    }

    /// Puts both halves together again. The other thread has given up its half, so nobody waits.
    ///
    /// # Errors
    ///
    /// Both halves come back if they are not of one session.
    pub fn reunite(self, writer: WriteHalf<S>) -> std::result::Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, &writer.0) {
            return Err(ReuniteError {
                reader: self,
                writer,
            });
        }
        drop(writer);
        let reader = self;
        match Arc::try_unwrap(reader.0) {
            Ok(shared) => Ok(shared
                .session
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)),
            Err(_) => unreachable!("a session has two halves, and both were given up"),
        }
    }
}

impl<S: SocketSession> WriteHalf<S> {
    /// Encrypts and sends up to 64 KiB; see [`SocketSession::write`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        let most = plaintext.len().min(MOST);
        self.0.lock(WRITER).write(&plaintext[..most])
    }

    /// Writes from several buffers, up to 64 KiB and 16 of them; see
    /// [`SocketSession::write_vectored`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        let mut some = [IoSlice::new(&[]); MOST_BUFFERS];
        let (mut used, mut left) = (0, MOST);
        let filled = buffers.iter().filter(|buffer| !buffer.is_empty());
        for (place, buffer) in some.iter_mut().zip(filled) {
            let length = buffer.len().min(left);
            *place = IoSlice::new(&buffer[..length]);
            left -= length;
            used += usize::from(length > 0);
        }
        self.0.lock(WRITER).write_vectored(&some[..used])
    }

    /// Ends our side of the connection with a close_notify; the other half reads on. See
    /// [`SocketSession::shutdown`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn shutdown(&mut self) -> Result<Status> {
        self.0.lock(WRITER).shutdown()
    }

    /// Changes the keys this side sends with; see
    /// [`Session::request_key_update`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn request_key_update(&mut self) -> Result<Status> {
        self.0.lock(WRITER).request_key_update()
    }
}

/// What both halves have.
macro_rules! both_halves {
    ($half:ident, $bit:ident) => {
        impl<S: SocketSession> $half<S> {
            /// Sends pending ciphertext, whichever half it comes from; see
            /// [`SocketSession::flush`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn flush(&mut self) -> Result<Status> {
                self.0.lock($bit).flush()
            }

            /// How many bytes of ciphertext the session holds for the peer, whichever half they
            /// come from.
            pub fn pending_output(&self) -> usize {
                self.0.lock($bit).pending_output()
            }

            /// The error the session failed with, the same for both halves.
            pub fn failure(&self) -> Option<Error> {
                self.0.lock($bit).failure().cloned()
            }

            /// What the handshake settled, as of the split; see [`Session::facts`].
            pub fn facts(&self) -> &Facts {
                &self.0.facts
            }

            /// Asks the session for anything else, exporters and channel bindings for instance. The
            /// other half waits meanwhile: the function must not, and must leave both halves alone.
            pub fn with<T>(&self, ask: impl FnOnce(&S) -> T) -> T {
                ask(&self.0.lock($bit))
            }

            /// Tells the session anything else: asks the client for a certificate, or answers what
            /// the session waits for. For the function goes the same as for [`Self::with`].
            pub fn with_mut<T>(&mut self, tell: impl FnOnce(&mut dyn Session) -> T) -> T {
                tell(&mut *self.0.lock($bit))
            }
        }

        /// A descriptor of the socket, to wait with, which needs no lock.
        impl<S> AsFd for $half<S> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.descriptor.as_fd()
            }
        }

        impl<S> fmt::Debug for $half<S> {
            /// Without the session: that would need the lock.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($half))
                    .field("descriptor", &self.0.descriptor)
                    .finish_non_exhaustive()
            }
        }
    };
}

both_halves!(ReadHalf, READER);
both_halves!(WriteHalf, WRITER);
