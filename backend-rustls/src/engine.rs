//! Driving rustls 0.23's buffered connection: everything that is particular to it.
//!
//! The connection is fed one record at a time. So what it has consumed is exact, at most one record
//! is decrypted ahead of the caller, and bytes behind a close_notify stay with the caller. What it
//! holds for the peer is counted after every step: rustls tells the length only when it processes
//! input.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{Connection, HandshakeKind, IoState};
use tls_core::iana::{AlertDescription, CipherSuite, ProtocolVersion};
use tls_core::support::{Keying, MAX_RECORD, RECORD_HEADER, RecordHeader, guarded};
use tls_core::{Error, ErrorKind, Facts, Operation, Support};

use crate::caps::{self, group_number, suite_number};
use crate::error::{encrypted_alert, not_tls};
use crate::failed::{Failed, Reason};
use crate::presented;
use crate::server_hello::ServerHello;

/// The most plaintext one record carries, in bytes. RFC 8446 section 5.1.
const MAX_FRAGMENT: usize = 1 << 14;
/// The most records in a row without application data (K4).
const MAX_QUIET_RECORDS: u8 = 32;
/// The first message of a peer, its ClientHello or ServerHello, is smaller, in bytes (K4). rustls has
/// the same limit, for every message, but sends no alert when one is larger.
const MAX_HELLO: usize = 64 * 1024;
/// A record header, and the header of the handshake message behind it.
const OPENING: usize = RECORD_HEADER + 4;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Given to rustls to make it send unexpected_message: a ChangeCipherSpec is out of place once the
/// handshake is over. There is no other way to have it send an alert of our choice.
const OUT_OF_PLACE: [u8; RECORD_HEADER + 1] = [20, 3, 3, 0, 1, 1];
/// Given to rustls to make it send decode_error: no content type has this number.
const NOT_A_RECORD: [u8; RECORD_HEADER] = [0xff, 3, 3, 0, 1];

/// A rustls connection, and what rustls does not count itself.
pub(crate) struct Engine {
    connection: Connection,
    record: Record,
    /// How many bytes of ciphertext rustls holds for the peer.
    queued: usize,
    /// What is left of the ciphertext of a connection that has failed, and how much of it has left:
    /// rustls does not tell the length any more.
    last_words: Option<(Vec<u8>, usize)>,
    /// How many bytes of decrypted application data rustls holds.
    plaintext: usize,
    peer_closed: bool,
    closing: bool,
    quiet_records: u8,
    server_hello: ServerHello,
    /// Whether this side, a client, has presented its certificate.
    presented: bool,
    /// Below this much pending output a reply to the peer is queued at once, in bytes.
    reply_bound: usize,
}

/// The record that is being received.
#[derive(Debug, Default)]
struct Record {
    /// The first bytes of a record, until rustls gets them.
    head: [u8; OPENING],
    held: usize,
    /// How many bytes of the record are missing, once rustls has its head.
    missing: usize,
    header: Option<RecordHeader>,
    /// Whether the first record of the connection is over.
    opened: bool,
    /// The last bytes of a plaintext alert.
    alert: [u8; 2],
}

impl Engine {
    pub(crate) fn new(mut connection: Connection, reply_bound: usize) -> Result<Self, Failed> {
        // How much is taken is decided in `write`, which counts ciphertext.
        connection.set_buffer_limit(None);
        let mut engine = Self {
            connection,
            record: Record::default(),
            queued: 0,
            last_words: None,
            plaintext: 0,
            peer_closed: false,
            closing: false,
            quiet_records: 0,
            server_hello: ServerHello::new(),
            presented: false,
            reply_bound,
        };
        engine.process()?;
        Ok(engine)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// How many bytes of ciphertext are held for the peer.
    #[inline]
    pub(crate) fn pending_output(&self) -> usize {
        match &self.last_words {
            None => self.queued,
            Some((words, said)) => words.len() - said,
        }
    }

    /// How many bytes of decrypted application data are held.
    #[inline]
    pub(crate) fn plaintext(&self) -> usize {
        self.plaintext
    }

    /// Whether the peer's authenticated close_notify was seen.
    #[inline]
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Takes ciphertext up to the end of the current record, and acts on the record if it is
    /// complete. Gives how many bytes were taken, whatever comes of them.
    pub(crate) fn feed(&mut self, input: &[u8]) -> (usize, Result<(), Failed>) {
        let mut taken = 0;
        if self.record.missing == 0 {
            taken = self.record.take_head(input);
            let Some(header) = self.record.complete_head() else {
                return (taken, Ok(()));
            };
            if let Err(failed) = self.begin_record(header) {
                return (taken, Err(failed));
            }
        }
        let body = &input[taken..];
        let body = &body[..body.len().min(self.record.missing)];
        self.record.note_alert(body);
        if let Err(failed) = self.give(body) {
            return (taken, Err(failed));
        }
        taken += body.len();
        self.record.missing -= body.len();
        if self.record.missing > 0 {
            return (taken, Ok(()));
        }
        (taken, self.end_record())
    }

    /// Hands the head of a record to rustls, unless a limit speaks against it.
    fn begin_record(&mut self, header: RecordHeader) -> Result<(), Failed> {
        let opening = !self.record.opened;
        let head = self.record.head;
        let head = &head[..self.record.held];
        if opening && hello_length(head).is_some_and(|length| length >= MAX_HELLO) {
            return Err(self.refuse("the peer's first message has 64 KiB or more", &NOT_A_RECORD));
        }
        if self.quiet_records >= MAX_QUIET_RECORDS && self.is_surely_empty(header) {
            return Err(self.refuse(TOO_QUIET, &OUT_OF_PLACE));
        }
        self.give(head)?;
        self.record.missing = header.record() - head.len();
        self.record.held = 0;
        self.record.opened = true;
        self.record.header = Some(header);
        self.record.note_alert(&head[RECORD_HEADER..]);
        if is_plausible(head, header) {
            return Ok(());
        }
        // rustls decides on the header alone, without waiting for what is announced.
        let start = [head[0], head[1], head[2], head[3], head[4]];
        self.process().map_err(|failed| match failed.reason {
            Reason::Engine(error) if opening => Failed {
                reason: Reason::NotTls(not_tls(&start), error),
                alert: failed.alert,
            },
            _ => failed,
        })?;
        if header.record() > MAX_RECORD {
            return Err(self.collapse(Reason::Stuck(None), None));
        }
        Ok(())
    }

    fn end_record(&mut self) -> Result<(), Failed> {
        let was_handshaking = self.is_handshaking();
        if was_handshaking && self.record.is_close_notify() {
            return Err(self.collapse(Reason::Aborted, None));
        }
        self.process()?;
        if was_handshaking || self.plaintext > 0 || self.peer_closed {
            self.quiet_records = 0;
            return Ok(());
        }
        self.quiet_records += 1;
        if self.quiet_records > MAX_QUIET_RECORDS {
            return Err(self.refuse(TOO_QUIET, &OUT_OF_PLACE));
        }
        self.send_reply()
    }

    /// Sends what the record just read asks for. rustls keeps its answer to a KeyUpdate for the
    /// next write; an empty write fetches it. Where there is no room it stays there, and rustls
    /// keeps no second one, so that a peer who never reads cannot make it grow.
    fn send_reply(&mut self) -> Result<(), Failed> {
        if self.closing || self.queued >= self.reply_bound {
            return Ok(());
        }
        match self.connection.writer().write(&[]) {
            Ok(taken) => {
                debug_assert_eq!(taken, 0, "there was nothing to take");
                self.process()
            }
            Err(error) => Err(self.collapse(Reason::Stuck(Some(error)), None)),
        }
    }

    /// Whether no part of a record has been taken.
    pub(crate) fn is_between_records(&self) -> bool {
        self.record.missing == 0 && self.record.held == 0
    }

    /// Fails a handshake for a limit of ours, between records.
    #[cold]
    pub(crate) fn refuse_handshake(&mut self, limit: &'static str) -> Failed {
        self.refuse(limit, &NOT_A_RECORD)
    }

    /// Decrypted application data, as much as there is and fits.
    #[inline]
    pub(crate) fn take_plaintext(&mut self, plaintext: &mut [u8]) -> usize {
        if self.plaintext == 0 || plaintext.is_empty() {
            return 0;
        }
        // Only an empty queue makes rustls's reader fail.
        let taken = self.connection.reader().read(plaintext).unwrap_or(0);
        self.plaintext -= taken;
        taken
    }

    /// Seals one record and queues it; gives how many bytes of `plaintext` it took.
    pub(crate) fn write(&mut self, plaintext: &[u8]) -> Result<usize, Failed> {
        // rustls also looks at a record that is there in part, and may refuse it. A call that fails
        // for that must not have sealed anything, which would leave with the alert.
        if self.record.missing > 0 {
            self.process()?;
        }
        let fragment = &plaintext[..plaintext.len().min(MAX_FRAGMENT)];
        let before = self.queued;
        let taken = match self.connection.writer().write(fragment) {
            Ok(taken) => taken,
            Err(error) => return Err(self.collapse(Reason::Stuck(Some(error)), None)),
        };
        self.process()?;
        // At the limit of what one TLS 1.2 key may seal rustls takes bytes, drops them, and takes its
        // leave. The peer must not hear that: it would think that it has everything.
        if self.queued < before + taken {
            let mut output = self.take_output();
            output.truncate(before);
            self.last_words = Some((output, 0));
            return Err(Failed {
                reason: Reason::KeysUsedUp,
                alert: None,
            });
        }
        Ok(taken)
    }

    /// Queues a close_notify.
    pub(crate) fn send_close_notify(&mut self) -> Result<(), Failed> {
        self.closing = true;
        self.connection.send_close_notify();
        self.process()
    }

    /// Queues a KeyUpdate that asks for the peer's, under the old keys, and takes the new ones.
    /// rustls queues it whatever it holds already, so the caller looks at the bound. It fails while
    /// a handshake message of the peer's is there in part, as at any change of keys; whether one is,
    /// rustls tells nobody, so that this is fatal where the trait would have `WantRead`.
    pub(crate) fn request_key_update(&mut self) -> Result<(), Failed> {
        // An answer that found no room was sealed before.
        self.send_reply()?;
        if let Err(error) = self.connection.refresh_traffic_keys() {
            // rustls counts what it holds, an alert included, only when it processes input.
            return Err(self.collapse(Reason::Engine(error.clone()), Some(&error)));
        }
        self.process()
    }

    /// Moves pending ciphertext to `output`.
    #[inline]
    pub(crate) fn drain(&mut self, output: &mut [u8]) -> usize {
        if let Some((words, said)) = &mut self.last_words {
            let count = output.len().min(words.len() - *said);
            output[..count].copy_from_slice(&words[*said..*said + count]);
            *said += count;
            if *said == words.len() {
                (*words, *said) = (Vec::new(), 0);
            }
            return count;
        }
        let mut moved = 0;
        while self.queued > 0 && moved < output.len() {
            // A slice takes what fits, and cannot fail.
            let count = match self.connection.write_tls(&mut &mut output[moved..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            if let Connection::Server(_) = &self.connection {
                self.server_hello.see(&output[moved..moved + count]);
            }
            moved += count;
            self.queued -= count;
        }
        moved
    }

    /// Drops pending ciphertext.
    #[cold]
    pub(crate) fn discard_output(&mut self) {
        self.take_output();
        self.last_words = Some((Vec::new(), 0));
    }

    /// What the handshake settled; `sent_name` is the server name a client sent.
    pub(crate) fn facts(&self, sent_name: Option<&str>) -> Option<Facts> {
        let version = self.connection.protocol_version()?;
        let suite = self.connection.negotiated_cipher_suite()?;
        let mut facts = Facts::new(ProtocolVersion(u16::from(version)), suite_number(suite));
        let group = self.connection.negotiated_key_exchange_group();
        facts.group = group.map(group_number);
        facts.alpn = self.connection.alpn_protocol().map(<[u8]>::to_vec);
        facts.resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        facts.server_name = match &self.connection {
            Connection::Client(_) => sent_name.map(str::to_ascii_lowercase),
            Connection::Server(server) => server.server_name().map(str::to_ascii_lowercase),
        };
        let chain = self.connection.peer_certificates();
        facts.peer_certificates = chain.map(<[_]>::to_vec).filter(|chain| !chain.is_empty());
        Some(facts)
    }

    /// Whether this side has presented what it was given: a server always does.
    pub(crate) fn presented(&self) -> bool {
        self.presented || matches!(self.connection, Connection::Server(_))
    }

    /// Appends bytes of the current record to what rustls holds.
    fn give(&mut self, mut bytes: &[u8]) -> Result<(), Failed> {
        if let Connection::Client(_) = &self.connection {
            self.server_hello.see(bytes);
        }
        while !bytes.is_empty() {
            match self.connection.read_tls(&mut bytes) {
                Ok(0) => return Err(self.collapse(Reason::Stuck(None), None)),
                Ok(_) => {}
                Err(error) => return Err(self.collapse(Reason::Stuck(Some(error)), None)),
            }
        }
        Ok(())
    }

    /// Lets rustls act on what it was given, and takes stock.
    fn process(&mut self) -> Result<(), Failed> {
        match self.process_guarded() {
            Ok(Ok(state)) => {
                self.queued = state.tls_bytes_to_write();
                self.plaintext = state.plaintext_bytes_to_read();
                self.peer_closed = state.peer_has_closed();
                Ok(())
            }
            Ok(Err(error)) => Err(self.collapse(Reason::Engine(error.clone()), Some(&error))),
            Err(Panicked) if self.closing => Err(self.collapse(Reason::AfterClose, None)),
            Err(Panicked) => Err(self.collapse(Reason::Panicked, None)),
        }
    }

    /// rustls built with debug assertions panics where it sends an alert after a close_notify,
    /// which a peer can bring about (K9). The connection it leaves behind is marked as failed.
    fn process_guarded(&mut self) -> Result<Result<IoState, rustls::Error>, Panicked> {
        let connection = &mut self.connection;
        let process = || guarded(|| connection.process_new_packets());
        let (processed, presented) = presented::during(process);
        self.presented |= presented;
        processed.map_err(|_| Panicked)
    }

    /// Fails for a limit of ours, and has rustls tell the peer by giving it `bait`.
    #[cold]
    fn refuse(&mut self, limit: &'static str, bait: &[u8]) -> Failed {
        let mut bytes = bait;
        let given = self.connection.read_tls(&mut bytes);
        match (given, self.process_guarded()) {
            (Ok(_), Ok(Err(error))) => self.collapse(Reason::Limit(limit), Some(&error)),
            _ => self.collapse(Reason::Limit(limit), None),
        }
    }

    /// The end of the connection: takes over what rustls still holds for the peer, and finds out
    /// whether an alert that goes with `error` is the last of it.
    #[cold]
    fn collapse(&mut self, reason: Reason, error: Option<&rustls::Error>) -> Failed {
        let before = self.queued;
        let words = self.take_output();
        let new = words.get(before..).unwrap_or_default();
        let alert = error.and_then(|error| last_alert(new, error));
        self.last_words = Some((words, 0));
        Failed { reason, alert }
    }

    /// Everything rustls holds for the peer.
    fn take_output(&mut self) -> Vec<u8> {
        let mut output = Vec::with_capacity(self.queued + MAX_RECORD);
        while self.connection.wants_write() {
            // A vector takes all that it is given.
            if !matches!(self.connection.write_tls(&mut output), Ok(1..)) {
                break;
            }
        }
        self.queued = 0;
        output
    }

    /// Whether a record that begins like this carries no byte of content. TLS 1.3 has a content
    /// type and a tag around the content (RFC 8446 section 5.2), TLS 1.2 a tag and, with AES-GCM,
    /// an explicit nonce (RFC 5288 section 3).
    fn is_surely_empty(&self, header: RecordHeader) -> bool {
        let overhead = match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => 17,
            _ => match self.connection.negotiated_cipher_suite().map(suite_number) {
                Some(suite) if CHACHA20.contains(&suite) => 16,
                _ => 24,
            },
        };
        header.content_type == APPLICATION_DATA && header.payload <= overhead
    }
}

const TOO_QUIET: &str = "more than 32 records in a row brought no application data";

/// The TLS 1.2 suites whose records carry no nonce. RFC 7905 section 2.
const CHACHA20: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

struct Panicked;

impl Record {
    /// Takes as much of the head as is missing; gives how many bytes that was.
    fn take_head(&mut self, input: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let wanted = self.head_length() - self.held;
            let count = wanted.min(input.len() - taken);
            if count == 0 {
                return taken;
            }
            self.head[self.held..self.held + count].copy_from_slice(&input[taken..taken + count]);
            self.held += count;
            taken += count;
        }
    }

    /// How many bytes make the head: the header, and in the first record of a connection, so far
    /// as it is long enough, what tells the length of the first message.
    fn head_length(&self) -> usize {
        match RecordHeader::parse(&self.head[..self.held]) {
            Some(header) if !self.opened && is_plausible(&self.head, header) => {
                header.record().min(OPENING)
            }
            _ => RECORD_HEADER,
        }
    }

    fn complete_head(&self) -> Option<RecordHeader> {
        if self.held < self.head_length() {
            return None;
        }
        RecordHeader::parse(&self.head[..self.held])
    }

    /// Remembers the end of an alert. Only those in plaintext have two bytes.
    fn note_alert(&mut self, body: &[u8]) {
        if !self.is_plaintext_alert() {
            return;
        }
        for &byte in body {
            self.alert = [self.alert[1], byte];
        }
    }

    fn is_plaintext_alert(&self) -> bool {
        self.header
            .is_some_and(|header| header.content_type == ALERT && header.payload == 2)
    }

    /// Whether the record is a close_notify in plaintext. RFC 8446 section 6.1.
    fn is_close_notify(&self) -> bool {
        self.is_plaintext_alert() && self.alert[1] == AlertDescription::CLOSE_NOTIFY.0
    }
}

/// Whether a record may begin like this. If not, it need not be waited for.
fn is_plausible(head: &[u8], header: RecordHeader) -> bool {
    (20..=APPLICATION_DATA).contains(&header.content_type)
        && head[1] == 3
        && header.payload > 0
        && header.record() <= MAX_RECORD
}

/// The length of the handshake message that the first record of a connection begins with.
fn hello_length(head: &[u8]) -> Option<usize> {
    let [HANDSHAKE, _, _, _, _, _, high, middle, low] = *head else {
        return None;
    };
    Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
}

/// The alert at the end of newly queued records: read if it is in plaintext, else known by the
/// error it goes with.
fn last_alert(records: &[u8], error: &rustls::Error) -> Option<AlertDescription> {
    /// An alert, its content type and the tag, in TLS 1.3.
    const ENCRYPTED_ALERT: usize = 2 + 1 + 16;

    let mut rest = records;
    let mut last = None;
    while let Some(header) = RecordHeader::parse(rest) {
        let record = rest.get(..header.record())?;
        rest = &rest[header.record()..];
        last = Some((header, record));
    }
    let (header, record) = last?;
    match (header.content_type, header.payload) {
        (ALERT, 2) => Some(AlertDescription(record[RECORD_HEADER + 1])),
        (ALERT, _) | (APPLICATION_DATA, ENCRYPTED_ALERT) => Some(encrypted_alert(error)),
        _ => None,
    }
}

impl Keying for Engine {
    const TLS_UNIQUE: Support = caps::TLS_UNIQUE;

    fn export(
        &self,
        output: &mut [u8],
        label: &str,
        context: Option<&[u8]>,
    ) -> tls_core::Result<()> {
        self.connection
            .export_keying_material(output, label.as_bytes(), context)
            .map(drop)
            .map_err(|error| {
                Error::new(ErrorKind::Backend, Operation::Export).with_source(Arc::new(error))
            })
    }

    fn has_extended_master_secret(&self) -> bool {
        self.server_hello.has_extended_master_secret()
    }

    /// rustls does not tell it: nobody asks.
    fn first_finished(&self) -> Option<Vec<u8>> {
        None
    }
}

impl fmt::Debug for Engine {
    /// Connections hold secrets: only how they stand is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("pending_output", &self.pending_output())
            .field("plaintext", &self.plaintext)
            .field("peer_closed", &self.peer_closed)
            .finish_non_exhaustive()
    }
}
