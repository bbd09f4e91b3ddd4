//! A peer that sends what no engine would.
//!
//! [`Forge`] completes a handshake with the session under test, by rustls with AES-128-GCM, takes
//! the keys out, and from then on seals records of any type and content: floods of empty records,
//! of KeyUpdates and of warning alerts, unknown content types, records that are too long. Without a
//! handshake ([`Forge::stranger`]) it sends plain bytes.

mod crypto;
mod outlet;
mod peer;
mod quirk;
mod secrets;

use std::collections::VecDeque;
use std::fmt;

use tls_core::iana::AlertDescription;
use tls_core::{ClientConfig, DynContext, Error, ServerConfig, SessionOptions, Status};

pub use crypto::Record;
use crypto::{Keys, header};
use outlet::Outlet;
use peer::{HonestPeer, whole_record};
pub use quirk::Quirk;
use secrets::Secrets;

use crate::case::{CaseResult, Failure};
use crate::endpoint::Endpoint;
use crate::pair::{End, Side};
use crate::scene::{Scene, Transport};
use crate::wire;

/// Content types. RFC 8446 section 5.1.
pub mod content_type {
    /// ChangeCipherSpec.
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    /// Alert.
    pub const ALERT: u8 = 21;
    /// Handshake.
    pub const HANDSHAKE: u8 = 22;
    /// Application data.
    pub const APPLICATION_DATA: u8 = 23;
}

/// The level of warning alerts. RFC 5246 section 7.2.
pub const WARNING: u8 = 1;
/// The level of fatal alerts.
pub const FATAL: u8 = 2;

/// The most pieces in which queued bytes are delivered before the victim is said to hang.
const ROUNDS: usize = 1_000_000;
/// Rounds without movement after which nothing will move any more.
const IDLE_ROUNDS: u32 = 3;

/// A hostile peer of one session under test, the victim.
pub struct Forge {
    /// The session under test.
    pub victim: Endpoint,
    /// Whether what the victim sends is left where it is, so that its transport fills up.
    pub leave_output: bool,
    end: wire::End,
    tx: Option<Keys>,
    rx: Option<Keys>,
    secrets: Option<Secrets>,
    outlet: Outlet,
    queue: VecDeque<u8>,
    received: Vec<u8>,
    ended: bool,
}

/// How a victim ended a handshake.
#[derive(Debug)]
pub struct Refusal {
    /// What the victim says.
    pub error: Error,
    /// What the peer received.
    pub alert: Option<AlertDescription>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::from(refusal.error).during("handshake with the forging peer")
    }
}

impl Forge {
    /// A hostile client that has completed the handshake with a server of this configuration. It
    /// presents [`Pki::client`](crate::Pki::client) if asked.
    ///
    /// # Errors
    ///
    /// The backend's; `peer` if the two could not agree.
    pub fn client(scene: &Scene<'_>, server: ServerConfig) -> CaseResult<Self> {
        let context = scene.backend.server(server)?;
        let forge = Self::against(scene, &*context, SessionOptions::new())?;
        forge.connect(scene, Side::Client)
    }

    /// A hostile server, presenting [`Pki::server`](crate::Pki::server), that has completed the
    /// handshake with a client of this configuration.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client).
    pub fn server(scene: &Scene<'_>, client: ClientConfig) -> CaseResult<Self> {
        let context = scene.backend.client(client)?;
        let forge = Self::against(scene, &*context, scene.options())?;
        forge.connect(scene, Side::Server)
    }

    /// The hostile peer on this side of a connection with the scene's default configuration, after
    /// the handshake.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client).
    pub fn connected(scene: &Scene<'_>, side: Side) -> CaseResult<Self> {
        match side {
            Side::Client => Self::client(scene, scene.server_config()),
            Side::Server => Self::server(scene, scene.client_config()),
        }
    }

    /// A peer on this side that has sent nothing yet and can only send plain bytes.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub fn stranger(scene: &Scene<'_>, side: Side) -> CaseResult<Self> {
        match side {
            Side::Client => {
                let context = scene.backend.server(scene.server_config())?;
                Self::against(scene, &*context, SessionOptions::new())
            }
            Side::Server => {
                let context = scene.backend.client(scene.client_config())?;
                Self::against(scene, &*context, scene.options())
            }
        }
    }

    /// A peer that has sent nothing yet, and can only send plain bytes, to a server that is to
    /// choose its context.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub fn stranger_to_deferred(scene: &Scene<'_>) -> CaseResult<Self> {
        let context = scene.backend.deferred_server()?;
        Self::against(scene, &*context, SessionOptions::new())
    }

    fn against(
        scene: &Scene<'_>,
        context: &dyn DynContext,
        options: SessionOptions,
    ) -> CaseResult<Self> {
        let (victim, end) = Transport::default().endpoint(scene.mode, context, options)?;
        Ok(Self {
            victim,
            leave_output: false,
            end,
            tx: None,
            rx: None,
            secrets: None,
            outlet: Outlet::new()?,
            queue: VecDeque::new(),
            received: Vec::new(),
            ended: false,
        })
    }

    /// A peer on this side that did something unusual in a handshake that was completed all the
    /// same, with the scene's default configuration.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client).
    pub fn quirky(scene: &Scene<'_>, side: Side, quirk: Quirk) -> CaseResult<Self> {
        let mut forge = Self::stranger(scene, side)?;
        match forge.shake_hands(scene, side, quirk)? {
            Ok(()) => Ok(forge),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// A peer on this side that does something wrong in the handshake; the error that the victim
    /// met, and the alert that the peer received for it.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client); `assertion` if the victim completed the handshake.
    pub fn wrong(scene: &Scene<'_>, side: Side, quirk: Quirk) -> CaseResult<(Self, Refusal)> {
        let mut forge = Self::stranger(scene, side)?;
        match forge.shake_hands(scene, side, quirk)? {
            Ok(()) => Err(Failure::assertion(format!("{quirk:?} was accepted"))),
            Err(refusal) => Ok((forge, refusal)),
        }
    }

    fn connect(mut self, scene: &Scene<'_>, side: Side) -> CaseResult<Self> {
        match self.shake_hands(scene, side, Quirk::None)? {
            Ok(()) => Ok(self),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Takes the victim through the handshake, and keeps the keys.
    fn shake_hands(
        &mut self,
        scene: &Scene<'_>,
        side: Side,
        quirk: Quirk,
    ) -> CaseResult<Result<(), Refusal>> {
        let mut peer = HonestPeer::new(side, scene.version, quirk)?;
        let mut idle = 0;
        while idle < IDLE_ROUNDS {
            let status = match self.victim.handshake() {
                Ok(status) => status,
                Err(error) => {
                    while self.carry()? {}
                    let alert = peer.alert_in(&std::mem::take(&mut self.received));
                    return Ok(Err(Refusal { error, alert }));
                }
            };
            let moved = self.carry()?;
            let output = peer.step(&std::mem::take(&mut self.received))?;
            let moved = moved || !output.is_empty();
            self.queue.extend(self.outlet.pass(output)?);
            if status == Status::Complete && peer.is_done() && self.queue.is_empty() {
                let keys = peer.hand_over()?;
                self.tx = Some(keys.tx);
                self.rx = Some(keys.rx);
                self.secrets = Some(keys.secrets);
                self.received.splice(..0, keys.unopened);
                return Ok(Ok(()));
            }
            idle = if moved { 0 } else { idle + 1 };
        }
        Err(Failure::hang("handshake with the forging peer"))
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
    }

    /// Sends a plaintext record.
    pub fn send_plain(&mut self, content_type: u8, payload: &[u8]) {
        self.queue.extend(header(content_type, payload.len()));
        self.queue.extend(payload);
    }

    /// Sends a sealed record of any type and length.
    ///
    /// # Errors
    ///
    /// `harness` before the handshake.
    pub fn send(&mut self, content_type: u8, payload: &[u8]) -> CaseResult {
        let keys = self.tx.as_mut().ok_or_else(no_keys)?;
        let record = keys.seal(content_type, payload)?;
        self.queue.extend(self.outlet.pass(record)?);
        Ok(())
    }

    /// Sends application data in one record, which may be empty.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_data(&mut self, data: &[u8]) -> CaseResult {
        self.send(content_type::APPLICATION_DATA, data)
    }

    /// Sends an alert, sealed, with any level.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_alert(&mut self, level: u8, alert: AlertDescription) -> CaseResult {
        self.send(content_type::ALERT, &[level, alert.0])
    }

    /// Sends a KeyUpdate (RFC 8446 section 4.6.3) and uses the next keys from then on.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_key_update(&mut self, request_reply: bool) -> CaseResult {
        self.send(
            content_type::HANDSHAKE,
            &[24, 0, 0, 1, u8::from(request_reply)],
        )?;
        self.tx.as_mut().ok_or_else(no_keys)?.update()
    }

    /// Sends the rest of a KeyUpdate that was begun, and uses the next keys from then on.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn finish_key_update(&mut self, rest: &[u8]) -> CaseResult {
        self.send(content_type::HANDSHAKE, rest)?;
        self.tx.as_mut().ok_or_else(no_keys)?.update()
    }

    /// Ends the transport (FIN) behind what is queued.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Delivers what is queued, while the victim reads: the data it delivered, and where it stands
    /// when nothing moves any more.
    ///
    /// # Errors
    ///
    /// `hang` if there is no end of it; `harness`.
    pub fn victim_reads(&mut self) -> CaseResult<(Vec<u8>, End)> {
        let mut data = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        let end = self.run(|victim| match victim.read(&mut buffer) {
            Ok(step) if step.status == Status::Closed => End::Closed,
            Ok(step) if step.status == Status::WantWrite => End::Waiting(step.status),
            Ok(step) => {
                data.extend_from_slice(&buffer[..step.bytes]);
                End::Open
            }
            Err(error) => End::Failed(error),
        })?;
        Ok((data, end))
    }

    /// Delivers what is queued, while the victim takes its handshake further: where it stands when
    /// nothing moves any more.
    ///
    /// # Errors
    ///
    /// As [`victim_reads`](Self::victim_reads).
    pub fn victim_handshakes(&mut self) -> CaseResult<End> {
        self.run(|victim| match victim.handshake() {
            Ok(Status::Complete) => End::Open,
            Ok(status) => End::Waiting(status),
            Err(error) => End::Failed(error),
        })
    }

    fn run(&mut self, mut call: impl FnMut(&mut Endpoint) -> End) -> CaseResult<End> {
        let mut idle = 0;
        for _ in 0..ROUNDS {
            let before = self.victim.activity();
            let end = call(&mut self.victim);
            let flushed = self.victim.session().pending_output() > 0
                && !self.leave_output
                && self.victim.flush().is_ok();
            let moved = self.carry()?;
            if matches!(end, End::Closed | End::Failed(_)) {
                while self.carry()? {}
                return Ok(end);
            }
            if moved || flushed || self.victim.activity() != before {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle >= IDLE_ROUNDS {
                return Ok(end);
            }
        }
        Err(Failure::hang("the victim never comes to rest"))
    }

    /// The records the victim has sent since the handshake, opened. After a KeyUpdate of the
    /// victim's the next keys are used.
    ///
    /// # Errors
    ///
    /// `harness` if a record does not open, or before the handshake.
    pub fn received(&mut self) -> CaseResult<Vec<Record>> {
        while self.carry()? {}
        let keys = self.rx.as_mut().ok_or_else(no_keys)?;
        let mut records = Vec::new();
        while let Some(length) = whole_record(&self.received) {
            let record: Vec<u8> = self.received.drain(..length).collect();
            let record = keys.open(&record)?;
            if record.content_type == content_type::HANDSHAKE && record.payload.first() == Some(&24)
            {
                keys.update()?;
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The bytes the victim has sent, as they are, for peers without keys.
    ///
    /// # Errors
    ///
    /// `harness`.
    pub fn received_raw(&mut self) -> CaseResult<Vec<u8>> {
        while self.carry()? {}
        Ok(std::mem::take(&mut self.received))
    }

    /// What the victim must export, worked out without any engine.
    ///
    /// # Errors
    ///
    /// `harness` before the handshake.
    pub fn expected_export(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        length: usize,
    ) -> CaseResult<Vec<u8>> {
        let secrets = self.secrets.as_ref().ok_or_else(no_keys)?;
        secrets.export(label, context, length)
    }

    /// What the first Finished of a TLS 1.2 handshake must have been, worked out without any engine.
    ///
    /// # Errors
    ///
    /// `harness` before the handshake, and with TLS 1.3.
    pub fn expected_finished(&self) -> CaseResult<Vec<u8>> {
        let secrets = self.secrets.as_ref().ok_or_else(no_keys)?;
        secrets.first_finished()
    }

    /// How many bytes wait to be delivered to the victim.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Moves bytes both ways; whether any moved.
    fn carry(&mut self) -> CaseResult<bool> {
        let mut moved = false;
        if !self.leave_output {
            moved |= self.end.take_into(&mut self.received)? > 0;
        }
        if !self.queue.is_empty() {
            let given = self.end.give(self.queue.as_slices().0)?;
            self.queue.drain(..given);
            moved |= given > 0;
        } else if self.ended {
            self.ended = false;
            self.end.end_input();
            moved = true;
        }
        Ok(moved)
    }
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forge")
            .field("victim", &self.victim)
            .field("queued", &self.queue.len())
            .field("received", &self.received.len())
            .finish_non_exhaustive()
    }
}

fn no_keys() -> Failure {
    Failure::new("harness", "this forging peer has completed no handshake")
}
