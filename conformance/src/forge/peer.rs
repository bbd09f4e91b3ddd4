//! The honest part of a hostile peer: a handshake by rustls, after which its keys are taken out.

use std::fmt;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets, ExtractedSecrets, KeyLog,
    RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::support::RecordHeader;

use super::crypto::{Keys, broken};
use super::quirk::Quirk;
use super::secrets::{Secrets, Transcript};
use crate::case::{CaseResult, Failure};
use crate::pair::Side;
use crate::pki::{Pki, SERVER_NAME};

/// A rustls connection that is about to hand over its keys.
pub(super) struct HonestPeer {
    connection: Connection,
    secrets: Arc<TrafficSecrets>,
    version: ProtocolVersion,
    side: Side,
    arrived: Vec<u8>,
    hellos: Transcript,
}

/// The keys of both directions, and ciphertext that arrived after the handshake.
pub(super) struct Handover {
    pub(super) tx: Keys,
    pub(super) rx: Keys,
    pub(super) unopened: Vec<u8>,
    pub(super) secrets: Secrets,
}

impl HonestPeer {
    pub(super) fn new(side: Side, version: ProtocolVersion, quirk: Quirk) -> CaseResult<Self> {
        let secrets = Arc::new(TrafficSecrets::default());
        let mut connection = match side {
            Side::Client => client(version, quirk, Arc::clone(&secrets)),
            Side::Server => server(version, quirk, Arc::clone(&secrets)),
        }
        .map_err(|error| broken(&error.to_string()))?;
        if let Quirk::HalfRtt(data) = quirk {
            // It leaves as soon as the server may send data.
            connection.writer().write_all(data)?;
        }
        Ok(Self {
            connection,
            secrets,
            version,
            side,
            arrived: Vec::new(),
            hellos: Transcript::default(),
        })
    }

    /// Takes ciphertext in, gives ciphertext out.
    pub(super) fn step(&mut self, input: &[u8]) -> CaseResult<Vec<u8>> {
        self.arrived.extend_from_slice(input);
        let mut output = Vec::new();
        while self.connection.is_handshaking() {
            let Some(record) = whole_record(&self.arrived) else {
                break;
            };
            let record: Vec<_> = self.arrived.drain(..record).collect();
            self.hellos.add(&record);
            self.connection.read_tls(&mut Cursor::new(record))?;
            self.connection
                .process_new_packets()
                .map_err(|error| Failure::new("peer", format!("the honest peer: {error}")))?;
        }
        while self.connection.wants_write() {
            self.connection.write_tls(&mut output)?;
        }
        self.hellos.add(&output);
        Ok(output)
    }

    /// The fatal alert in what was received last, if any.
    pub(super) fn alert_in(&mut self, input: &[u8]) -> Option<AlertDescription> {
        let mut input = [&std::mem::take(&mut self.arrived), input].concat();
        let mut rest = Cursor::new(&mut input);
        loop {
            if self.connection.read_tls(&mut rest).ok()? == 0 {
                return None;
            }
            match self.connection.process_new_packets() {
                Ok(_) => {}
                Err(rustls::Error::AlertReceived(alert)) => {
                    return Some(AlertDescription(u8::from(alert)));
                }
                Err(_) => return None,
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        !self.connection.is_handshaking() && !self.connection.wants_write()
    }

    /// Ends the connection and takes its keys.
    pub(super) fn hand_over(self) -> CaseResult<Handover> {
        let ExtractedSecrets { tx, rx } = self
            .connection
            .dangerous_extract_secrets()
            .map_err(|error| broken(&error.to_string()))?;
        let secrets = match self.version {
            ProtocolVersion::TLS1_3 => Secrets::Tls13 {
                exporter: self.secrets.labelled("EXPORTER_SECRET")?,
            },
            _ => Secrets::Tls12 {
                master: self.secrets.labelled("CLIENT_RANDOM")?,
                messages: self.hellos.messages,
            },
        };
        let (tx, rx) = if self.version == ProtocolVersion::TLS1_3 {
            let (own, other) = (self.side, self.side.other());
            (
                Keys::tls13(self.secrets.of(own)?, tx.0)?,
                Keys::tls13(self.secrets.of(other)?, rx.0)?,
            )
        } else {
            (tls12_keys(tx)?, tls12_keys(rx)?)
        };
        Ok(Handover {
            tx,
            rx,
            unopened: self.arrived,
            secrets,
        })
    }
}

fn tls12_keys((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> CaseResult<Keys> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
            Keys::tls12(key.as_ref(), iv.as_ref(), sequence)
        }
        _ => Err(broken("another cipher than AES-128-GCM was negotiated")),
    }
}

/// The length of the record at the start, if all of it is there.
pub(super) fn whole_record(bytes: &[u8]) -> Option<usize> {
    let length = RecordHeader::parse(bytes)?.record();
    (bytes.len() >= length).then_some(length)
}

fn crypto(side: Side, quirk: Quirk) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: quirk.suites(side),
        ..provider::default_provider()
    })
}

fn versions(version: ProtocolVersion) -> [&'static SupportedProtocolVersion; 1] {
    match version {
        ProtocolVersion::TLS1_2 => [&rustls::version::TLS12],
        _ => [&rustls::version::TLS13],
    }
}

fn client(
    version: ProtocolVersion,
    quirk: Quirk,
    secrets: Arc<TrafficSecrets>,
) -> Result<Connection, rustls::Error> {
    let pki = Pki::shared();
    let mut roots = RootCertStore::empty();
    roots.add(pki.root.clone())?;
    let mut config = ClientConfig::builder_with_provider(crypto(Side::Client, quirk))
        .with_protocol_versions(&versions(version))?
        .with_root_certificates(roots)
        .with_client_auth_cert(pki.client.chain().to_vec(), pki.client.key().clone_key())?;
    config.enable_secret_extraction = true;
    config.key_log = secrets;
    config.max_fragment_size = quirk.fragments();
    config.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from(SERVER_NAME).expect("a valid name");
    ClientConnection::new(Arc::new(config), name).map(Connection::from)
}

fn server(
    version: ProtocolVersion,
    quirk: Quirk,
    secrets: Arc<TrafficSecrets>,
) -> Result<Connection, rustls::Error> {
    let pki = Pki::shared();
    let mut config = ServerConfig::builder_with_provider(crypto(Side::Server, quirk))
        .with_protocol_versions(&versions(version))?
        .with_no_client_auth()
        .with_single_cert(pki.server.chain().to_vec(), pki.server.key().clone_key())?;
    config.enable_secret_extraction = true;
    config.key_log = secrets;
    config.max_fragment_size = quirk.fragments();
    config.send_half_rtt_data = matches!(quirk, Quirk::HalfRtt(_));
    config.send_tls13_tickets = 0;
    ServerConnection::new(Arc::new(config)).map(Connection::from)
}

/// Keeps the secrets of one connection: the keys alone lead neither to the next nor to exporters.
#[derive(Default)]
struct TrafficSecrets {
    kept: Mutex<Vec<(String, Vec<u8>)>>,
}

impl TrafficSecrets {
    fn of(&self, side: Side) -> CaseResult<Vec<u8>> {
        let label = match side {
            Side::Client => "CLIENT_TRAFFIC_SECRET_0",
            Side::Server => "SERVER_TRAFFIC_SECRET_0",
        };
        self.labelled(label)
    }

    fn labelled(&self, label: &str) -> CaseResult<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|(kept, _)| kept == label)
            .map(|(_, secret)| secret.clone())
            .ok_or_else(|| broken("a secret was not logged"))
    }
}

impl KeyLog for TrafficSecrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((label.to_owned(), secret.to_vec()));
    }
}

impl fmt::Debug for TrafficSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficSecrets").finish_non_exhaustive()
    }
}
