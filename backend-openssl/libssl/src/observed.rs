//! What the libraries tell by callbacks while they work.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};

use tls_core::iana::AlertDescription;

use crate::framing::Seals;
use crate::questions::Questions;

/// `SSL_CB_READ_ALERT`, the same in the three libraries, and so below.
pub(crate) const READ_ALERT: c_int = 0x4004;
/// `SSL_CB_WRITE_ALERT`.
const WRITE_ALERT: c_int = 0x4008;
/// The content type of alerts, `SSL3_RT_ALERT`: RFC 8446 section 5.1.
const ALERT: c_int = 21;
/// The content type of handshake messages, `SSL3_RT_HANDSHAKE`.
const HANDSHAKE: c_int = 22;
/// The type of Finished: RFC 8446 section 4.
const FINISHED: u8 = 20;
/// The message with the certificates of this side, and its length when there are none: a header, an
/// empty context and an empty list. RFC 8446 section 4.4.2; in TLS 1.2 it is shorter still.
const CERTIFICATE: u8 = 11;
const NO_CERTIFICATE: usize = 4 + 1 + 3;
/// The pseudo content type of a record header, `SSL3_RT_HEADER`.
const RECORD_HEADER: c_int = 0x100;
/// The level of a fatal alert: RFC 8446 section 6.
const FATAL: u8 = 2;
/// No alert: 256 fits no description.
const NO_ALERT: u16 = 256;

/// What one session's library told by its callbacks. They may run on any thread that has the
/// session, and none of the methods can panic.
#[derive(Debug)]
pub struct Observed {
    alert_sent: AtomicU16,
    certificate_sent: AtomicBool,
    warnings: AtomicU32,
    records: AtomicU64,
    finished: AtomicU64,
    questions: Questions,
    sealing_begun: AtomicBool,
    too_short: AtomicBool,
    closed: AtomicBool,
}

/// What a message callback has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The header of a record was read: its five bytes are in the callback's buffer.
    RecordHeader,
    /// An alert was sent: its two bytes are in the callback's buffer.
    AlertSent,
    /// A handshake message was received: the callback's buffer begins with its type.
    HandshakeReceived,
    /// A message of the handshake was sent, which begins with this many bytes in the callback's
    /// buffer.
    HandshakeSent(usize),
}

impl Message {
    /// Reads the arguments of `SSL_set_msg_callback`'s callback; `None` if they tell nothing that
    /// is noted here.
    pub fn of(write: c_int, content_type: c_int, length: usize) -> Option<Self> {
        match (write != 0, content_type, length) {
            (false, RECORD_HEADER, 5) => Some(Self::RecordHeader),
            (true, ALERT, 2) => Some(Self::AlertSent),
            (false, HANDSHAKE, 1..) => Some(Self::HandshakeReceived),
            (true, HANDSHAKE, 1..) => Some(Self::HandshakeSent(length)),
            _ => None,
        }
    }
}

impl Observed {
    /// Nothing yet, of a session whose callbacks have these questions.
    pub fn new(questions: Questions) -> Self {
        Self {
            alert_sent: AtomicU16::new(NO_ALERT),
            certificate_sent: AtomicBool::new(false),
            warnings: AtomicU32::new(0),
            records: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            questions,
            sealing_begun: AtomicBool::new(false),
            too_short: AtomicBool::new(false),
        }
    }

    /// What the callbacks ask.
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Whether an event of `SSL_set_info_callback`'s callback is noted here.
    pub fn wants(event: c_int) -> bool {
        matches!(event, READ_ALERT | WRITE_ALERT)
    }

    /// An event of the info callback.
    pub fn see_event(&self, event: c_int, value: c_int) {
        let [.., level, description] = value.to_be_bytes();
        if event == WRITE_ALERT {
            self.see_sent([level, description]);
        }
        let closes = AlertDescription(description) == AlertDescription::CLOSE_NOTIFY;
        if event == READ_ALERT && closes {
            self.closed.store(true, Ordering::Relaxed);
        } else if event == READ_ALERT && level != FATAL {
            self.warnings.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An alert was sent: its level and description.
    pub fn see_sent(&self, [level, description]: [u8; 2]) {
        if level == FATAL {
            let description = u16::from(description);
            self.alert_sent.store(description, Ordering::Relaxed);
        }
    }

    /// A message of the handshake was sent: its type, and how long it is with its header.
    pub fn see_own(&self, kind: u8, length: usize) {
        if kind == CERTIFICATE && length > NO_CERTIFICATE {
            self.certificate_sent.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a certificate was sent; `false` if nobody watches.
    pub fn certificate_sent(&self) -> bool {
        self.certificate_sent.load(Ordering::Relaxed)
    }

    /// A record header was read.
    pub fn see_record(&self, header: [u8; 5]) {
        self.records.fetch_add(1, Ordering::Relaxed);
        let mut seals = Seals::new(self.sealing_begun.load(Ordering::Relaxed));
        seals.see(&header);
        self.sealing_begun.store(seals.begun(), Ordering::Relaxed);
        self.too_short.store(seals.too_short(), Ordering::Relaxed);
    }

    /// Whether the last record of which a header was read is too short to have been sealed.
    pub(crate) fn too_short(&self) -> bool {
        self.too_short.load(Ordering::Relaxed)
    }

    /// A handshake message of this type was received.
    pub fn see_handshake(&self, message: u8) {
        if message == FINISHED {
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many Finished messages were received since the message callback was set. What is told of
    /// has not been looked at yet.
    pub fn handshakes_finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// The fatal alert that was sent, if any.
    pub fn alert_sent(&self) -> Option<AlertDescription> {
        let description = self.alert_sent.load(Ordering::Relaxed);
        u8::try_from(description).ok().map(AlertDescription)
    }

    /// Whether the peer's close_notify was received.
    pub fn close_notify_received(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many warning alerts, close_notify apart, were received; 0 if the library does not tell.
    pub fn warnings_received(&self) -> u32 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// How many record headers were read from the descriptor after
    /// [`attach_fd`](crate::LibSsl::attach_fd); 0 if the library does not tell.
    pub fn records_received(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
}

impl Default for Observed {
    fn default() -> Self {
        Self::new(Questions::default())
    }
}
