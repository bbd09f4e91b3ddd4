//! A small engine for tests: records in clear, with the manners of a libssl.
//!
//! Its handshake is a flight of records from each side, the client's first. What is particular is
//! said by the content type and first byte of a record after the handshake: see [`Mock::process`].

#![allow(unsafe_code, reason = "it plays the C library, in tests only")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{c_int, c_ulong, c_void};
use std::ptr;

use tls_core::iana::{AlertDescription, CipherSuite, ProtocolVersion};
use tls_core::{ErrorKind, Facts, Result, Role};

use crate::bio::{bio_read, bio_write};
use crate::classify::{RECEIVED_SHUTDOWN, SENT_SHUTDOWN, ssl_error};
use crate::diagnosis::Diagnosis;
use crate::engine::Engine;
use crate::ffi::{BioRetry, LibSsl};
use crate::observed::{Observed, READ_ALERT};

thread_local! {
    static QUEUE: RefCell<VecDeque<c_ulong>> = const { RefCell::new(VecDeque::new()) };
}

/// Puts an error into this thread's queue, as another user of the library might.
pub(crate) fn leave_error(code: c_ulong) {
    QUEUE.with_borrow_mut(|queue| queue.push_back(code));
}

pub(crate) fn errors_left() -> usize {
    QUEUE.with_borrow(VecDeque::len)
}

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// The first byte of a handshake record after the handshake: it wants a reply.
pub(crate) const WANTS_REPLY: u8 = b'K';
/// The reply.
pub(crate) const REPLY: u8 = b'R';
/// A KeyUpdate of its own.
pub(crate) const UPDATE: u8 = b'U';
/// A reason of the mock: the peer's bytes make no sense.
pub(crate) const NONSENSE: c_ulong = 7;
/// From here on a reason is the peer's fatal alert.
const ALERTS: c_ulong = 1000;

pub(crate) fn record(content_type: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let header = [content_type, 3, 3, length[0], length[1]];
    [&header, payload].concat()
}

/// The mock's BIO: the pointer it carries, and its retry flag.
#[derive(Debug)]
pub(crate) struct MockBio {
    data: *mut c_void,
    retry: Cell<Option<BioRetry>>,
}

#[derive(Debug)]
pub(crate) struct Mock {
    role: Role,
    bio: Box<MockBio>,
    /// Records still to be written, each all or nothing; the first may be a retried one.
    flight: VecDeque<Vec<u8>>,
    /// Records of the peer's flight still to come.
    expected: usize,
    started: bool,
    partial: Vec<u8>,
    decrypted: VecDeque<u8>,
    shutdown: c_int,
    wants: c_int,
    pub(crate) observed: Observed,
    broken: bool,
    /// What the engine does next instead of what it is asked.
    pub(crate) next: Option<Next>,
}

/// Something unusual.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    /// Fails like this, for `SSL_get_error`, without an error in the queue.
    Error(c_int),
    /// Panics within a callback of the backend.
    Panic,
}

// SAFETY: the pointer is the session's, which is `Send` for its own part.
unsafe impl Send for Mock {}

impl Mock {
    /// A side whose flight is so many records of 1,000 bytes, as the peer's is.
    pub(crate) fn new(role: Role, flight: usize) -> Self {
        Self {
            role,
            bio: Box::new(MockBio {
                data: ptr::null_mut(),
                retry: Cell::new(None),
            }),
            flight: VecDeque::new(),
            expected: flight,
            started: false,
            partial: Vec::new(),
            decrypted: VecDeque::new(),
            shutdown: 0,
            wants: 0,
            observed: Observed::default(),
            broken: false,
            next: None,
        }
    }

    fn bio(&mut self) -> *mut MockBio {
        ptr::from_mut(&mut *self.bio)
    }

    fn fail(&mut self, code: c_ulong, alert: Option<u8>) -> c_int {
        self.broken = true;
        leave_error(code);
        // Another one behind it, that says less.
        leave_error(1);
        if let Some(alert) = alert {
            self.flight.push_back(record(ALERT, &[2, alert]));
            self.observed.see_sent([2, alert]);
            self.send();
        }
        self.wants = ssl_error::SSL;
        -1
    }

    /// Writes what is queued; `false` if the BIO does not take it.
    fn send(&mut self) -> bool {
        while let Some(bytes) = self.flight.front() {
            let length = c_int::try_from(bytes.len()).unwrap();
            let start = bytes.as_ptr().cast();
            let bio = ptr::from_mut(&mut *self.bio);
            // SAFETY: the BIO carries what `attach` was given, and the bytes are there.
            let written = unsafe { bio_write::<Self>(bio, start, length) };
            if written < 0 {
                assert_eq!(self.bio.retry.get(), Some(BioRetry::Write));
                self.wants = ssl_error::WANT_WRITE;
                return false;
            }
            assert_eq!(written, length, "all or nothing");
            self.flight.pop_front();
        }
        true
    }

    /// One record, header first; `None` if the BIO has no more.
    fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let wanted = match self.partial.get(..5) {
                None => 5,
                Some(header) => 5 + usize::from(u16::from_be_bytes([header[3], header[4]])),
            };
            let too_long = wanted > 5 + (1 << 14) + 256;
            let unknown = self.partial.len() == 5 && !(20..24).contains(&self.partial[0]);
            let whole = self.partial.len() == wanted && wanted > 5;
            if whole || unknown || too_long || self.is_empty_record() {
                let mut whole = std::mem::take(&mut self.partial);
                let payload = whole.split_off(5);
                return Some((if too_long { 0xff } else { whole[0] }, payload));
            }
            let mut piece = vec![0u8; wanted - self.partial.len()];
            let length = c_int::try_from(piece.len()).unwrap();
            let bio = self.bio();
            // SAFETY: as in `send`; there is room for so many bytes.
            let read = unsafe { bio_read::<Self>(bio, piece.as_mut_ptr().cast(), length) };
            if read < 0 {
                assert_eq!(self.bio.retry.get(), Some(BioRetry::Read));
                self.wants = ssl_error::WANT_READ;
                return None;
            }
            assert!(read > 0 && read <= length, "the end is never shown");
            piece.truncate(usize::try_from(read).unwrap());
            self.partial.extend(piece);
        }
    }

    fn is_empty_record(&self) -> bool {
        self.partial.len() == 5 && self.partial[3..] == [0, 0]
    }

    /// What a record after the handshake does; `Some` ends the call.
    fn process(&mut self, content_type: u8, payload: &[u8]) -> Option<c_int> {
        match (content_type, payload) {
            (DATA, data) => {
                self.decrypted.extend(data);
                None
            }
            (HANDSHAKE, [WANTS_REPLY, ..]) => {
                self.flight.push_back(record(HANDSHAKE, &[REPLY; 20]));
                None
            }
            (HANDSHAKE, _) => None,
            (ALERT, [1, 0]) => {
                self.shutdown |= RECEIVED_SHUTDOWN;
                self.wants = ssl_error::ZERO_RETURN;
                Some(0)
            }
            (ALERT, &[1, alert]) => {
                let value = c_int::from_be_bytes([0, 0, 1, alert]);
                self.observed.see_event(READ_ALERT, value);
                None
            }
            (ALERT, [_, alert]) => Some(self.fail(ALERTS + c_ulong::from(*alert), None)),
            (0xff, _) => Some(self.fail(NONSENSE, Some(22))),
            _ => Some(self.fail(NONSENSE, Some(10))),
        }
    }

    fn unusual(&mut self) -> Option<c_int> {
        // A library whose queue is not empty takes it for its own failure.
        if errors_left() > 0 || self.broken {
            self.wants = ssl_error::SSL;
            return Some(-1);
        }
        match self.next.take()? {
            Next::Error(code) => self.wants = code,
            Next::Panic => {
                self.wants = ssl_error::SSL;
                self.next = Some(Next::Panic);
            }
        }
        Some(-1)
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        if let Some(bytes) = self.flight.front().cloned() {
            // Whatever the library still does with its BIO, its memory must be there.
            let length = c_int::try_from(bytes.len()).unwrap();
            let bio = self.bio();
            // SAFETY: as in `send`.
            unsafe { bio_write::<Self>(bio, bytes.as_ptr().cast(), length) };
        }
    }
}

// SAFETY: `read` stays within its buffer, and `bio_data` gives back what `attach` was given. There
// is no `SSL*`.
unsafe impl LibSsl for Mock {
    type Bio = MockBio;

    fn observed(&self) -> &Observed {
        &self.observed
    }

    fn handshake(&mut self) -> c_int {
        if let Some(ret) = self.unusual() {
            return ret;
        }
        if !self.started && (self.role == Role::Client || self.expected == 0) {
            self.started = true;
            let flight = (0..self.expected.max(3)).map(|_| record(HANDSHAKE, &[b'F'; 1000]));
            self.flight.extend(flight);
        }
        if !self.send() {
            return -1;
        }
        while self.expected > 0 {
            let Some((content_type, payload)) = self.receive() else {
                return -1;
            };
            if content_type != HANDSHAKE {
                return self
                    .process(content_type, &payload)
                    .unwrap_or_else(|| self.fail(NONSENSE, Some(10)));
            }
            self.expected -= 1;
        }
        if self.started && self.flight.is_empty() {
            return 1;
        }
        self.handshake()
    }

    fn read(&mut self, buffer: &mut [u8]) -> c_int {
        if self.decrypted.is_empty() {
            if let Some(ret) = self.unusual() {
                return ret;
            }
        }
        while self.decrypted.is_empty() {
            if !self.send() {
                return -1;
            }
            if self.shutdown & RECEIVED_SHUTDOWN != 0 {
                self.wants = ssl_error::ZERO_RETURN;
                return 0;
            }
            let Some((content_type, payload)) = self.receive() else {
                return -1;
            };
            if let Some(ret) = self.process(content_type, &payload) {
                return ret;
            }
        }
        let length = self.decrypted.len().min(buffer.len());
        for (slot, byte) in buffer.iter_mut().zip(self.decrypted.drain(..length)) {
            *slot = byte;
        }
        c_int::try_from(length).unwrap()
    }

    fn write(&mut self, buffer: &[u8]) -> c_int {
        if let Some(ret) = self.unusual() {
            return ret;
        }
        self.flight.push_back(record(DATA, buffer));
        assert!(self.send(), "never refused inside SSL_write");
        // Success, and still something in the queue: libraries do that.
        leave_error(1);
        c_int::try_from(buffer.len()).unwrap()
    }

    fn shutdown(&mut self) -> c_int {
        assert_eq!(self.shutdown & SENT_SHUTDOWN, 0, "asked once");
        if let Some(ret) = self.unusual() {
            return ret;
        }
        self.shutdown |= SENT_SHUTDOWN;
        self.flight.push_back(record(ALERT, &[1, 0]));
        assert!(self.send(), "never refused inside SSL_shutdown");
        c_int::from(self.shutdown & RECEIVED_SHUTDOWN != 0)
    }

    fn schedule_key_update(&mut self, asks: bool) -> c_int {
        assert!(self.flight.is_empty(), "what is owed goes first");
        let message = [UPDATE, 0, 0, 1, u8::from(asks)];
        self.flight.push_back(record(HANDSHAKE, &message));
        1
    }

    fn error_of(&self, ret: c_int) -> c_int {
        assert!(ret <= 0);
        match errors_left() {
            0 => self.wants,
            _ => ssl_error::SSL,
        }
    }

    fn pending(&self) -> usize {
        self.decrypted.len()
    }

    fn shutdown_state(&self) -> c_int {
        self.shutdown
    }

    fn set_shutdown_state(&mut self, state: c_int) {
        self.shutdown = state;
    }

    fn clear_errors(&self) {
        QUEUE.with_borrow_mut(VecDeque::clear);
    }

    fn peek_error(&self) -> c_ulong {
        QUEUE.with_borrow(|queue| queue.front().copied().unwrap_or(0))
    }

    fn pop_error(&self) -> c_ulong {
        QUEUE.with_borrow_mut(|queue| queue.pop_front().unwrap_or(0))
    }

    unsafe fn attach(&mut self, data: *mut c_void) -> bool {
        self.bio.data = data;
        true
    }

    #[cfg(unix)]
    fn attach_fd(&mut self, _: std::os::fd::RawFd) -> bool {
        false
    }

    fn bytes_received(&self) -> u64 {
        0
    }

    fn bytes_sent(&self) -> u64 {
        0
    }

    unsafe fn bio_data(bio: *mut Self::Bio) -> *mut c_void {
        // SAFETY: the BIO is the mock's own.
        unsafe { (*bio).data }
    }

    unsafe fn bio_retry(bio: *mut Self::Bio, retry: Option<BioRetry>) {
        // SAFETY: as above.
        unsafe { (*bio).retry.set(retry) };
    }
}

impl Engine for Mock {
    fn in_handshake(&self) -> bool {
        self.expected > 0
    }

    fn facts(&self) -> Result<Facts> {
        leave_error(1);
        Ok(Facts::new(
            ProtocolVersion::TLS1_3,
            CipherSuite::TLS_AES_128_GCM_SHA256,
        ))
    }

    fn has_extended_master_secret(&self) -> bool {
        leave_error(2);
        true
    }

    fn first_finished(&self, _role: Role) -> Option<Vec<u8>> {
        None
    }

    fn export(&self, output: &mut [u8], label: &str, context: Option<&[u8]>) -> bool {
        leave_error(3);
        output.fill(label.len() as u8 + context.map_or(0, |context| context.len() as u8 + 1));
        label != "refused"
    }

    fn diagnose(&self, codes: &[c_ulong]) -> Diagnosis {
        match codes.first() {
            Some(&code) if code >= ALERTS => Diagnosis {
                alert_received: u8::try_from(code - ALERTS).ok().map(AlertDescription),
                ..Diagnosis::new(ErrorKind::PeerAlert, "")
            },
            Some(&NONSENSE) => Diagnosis::new(ErrorKind::Protocol, "nonsense"),
            _ => Diagnosis::new(ErrorKind::Backend, format!("{codes:?}")),
        }
    }

    fn take_panic(&mut self) -> Option<std::borrow::Cow<'static, str>> {
        matches!(self.next.take(), Some(Next::Panic)).then(|| "it panicked".into())
    }
}
