//! The contexts that the connections of a run share: making them costs more than a connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tls_core::config::{ClientAuthentication, PeerVerification, SocketTransport};
use tls_core::iana::{Group, ProtocolVersion};
use tls_core::{DynBackend, DynContext, Feature, SessionOptions, Status};

use super::rules::ends_well;
use super::story::{Script, Told, tell};
use crate::case::{CaseResult, Mode, version_name};
use crate::ensure;
use crate::hello::is_retry;
use crate::pair::{Pair, Side};
use crate::scene::{Scene, Transport};
use crate::wire::Wire;

/// How long the content of a connection without big records is, in bytes.
const LITTLE: Script = Script {
    first: [30, 50],
    second: [230, 250],
    new_keys: false,
    context: None,
};

/// How sessions move ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Buffer,
    Socket,
    /// The engine drives the descriptor itself.
    Plain,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Buffer, Self::Socket, Self::Plain];

    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Buffer => Mode::Buffer,
            Self::Socket | Self::Plain => Mode::Socket,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            _ => self.mode().name(),
        }
    }

    fn feature(self) -> Feature {
        match self {
            Self::Plain => Feature::PlainSocketTransport,
            _ => self.mode().feature(),
        }
    }
}

/// What kind of handshake a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Both sides show certificates.
    Mutual,
    /// The server alone does.
    ServerOnly,
    /// A session is resumed.
    Resumed,
    /// The server asks for another key share first: TLS 1.3 (RFC 8446 section 4.1.4).
    Retried,
    /// Both sides show certificates, and wait for their callers wherever they can.
    Suspended,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Mutual,
        Self::ServerOnly,
        Self::Resumed,
        Self::Retried,
        Self::Suspended,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mutual => "mutual authentication",
            Self::ServerOnly => "server authentication",
            Self::Resumed => "resumption",
            Self::Retried => "HelloRetryRequest",
            Self::Suspended => "suspensions",
        }
    }

    fn needs(self, version: ProtocolVersion) -> &'static [Feature] {
        match (self, version) {
            (Self::Mutual, _) => &[Feature::ClientCertificate, Feature::ClientAuthentication],
            (Self::ServerOnly, _) => &[],
            (Self::Resumed, ProtocolVersion::TLS1_2) => &[Feature::Tls12Resumption],
            (Self::Resumed, _) => &[Feature::Tls13Resumption],
            (Self::Retried, _) => &[Feature::GroupsList],
            (Self::Suspended, _) => &[
                Feature::ClientAuthentication,
                Feature::LateClientCredentials,
                Feature::SuspendedVerificationClient,
                Feature::SuspendedVerificationServer,
            ],
        }
    }
}

/// What is asked while all goes well: the client's caller, and the server's. An engine that drives
/// the descriptor itself takes no ClientHello that somebody else has read.
fn questions(setting: Setting) -> [&'static [Status]; 2] {
    use Status::{NeedsCertificateValidation, NeedsServerContext, WantCredentials};

    match (setting.kind, setting.way) {
        (Kind::Suspended, Way::Plain) => [
            &[NeedsCertificateValidation, WantCredentials],
            &[NeedsCertificateValidation],
        ],
        (Kind::Suspended, _) => [
            &[NeedsCertificateValidation, WantCredentials],
            &[NeedsServerContext, NeedsCertificateValidation],
        ],
        _ => [&[], &[]],
    }
}

/// What a connection is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Setting {
    pub(super) kind: Kind,
    pub(super) version: ProtocolVersion,
    pub(super) way: Way,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, version, way } = self;
        let version = version_name(*version);
        write!(f, "{}, TLS {version}, {}", kind.name(), way.name())
    }
}

/// The contexts of one setting, and what one connection of it sent.
struct Set {
    client: Box<dyn DynContext>,
    server: Box<dyn DynContext>,
    /// What each side sent, in records; client, server.
    records: [Vec<Vec<u8>>; 2],
}

/// The contexts of every setting that a backend has.
pub(super) struct Stage {
    backend: Arc<dyn DynBackend>,
    sets: BTreeMap<Setting, Set>,
}

impl Stage {
    /// Makes the contexts, and one honest connection of each setting.
    ///
    /// # Errors
    ///
    /// The backend's, and whatever such a connection fails with.
    pub(super) fn new(
        backend: &Arc<dyn DynBackend>,
        wanted: impl Fn(Setting) -> bool,
    ) -> CaseResult<Self> {
        let mut stage = Self {
            backend: Arc::clone(backend),
            sets: BTreeMap::new(),
        };
        for setting in settings().filter(|setting| wanted(*setting)) {
            if stage.has(setting) {
                stage
                    .add(setting)
                    .map_err(|failure| failure.during(format_args!("{setting}, undisturbed")))?;
            }
        }
        Ok(stage)
    }

    fn has(&self, setting: Setting) -> bool {
        let version = match setting.version {
            ProtocolVersion::TLS1_2 => Feature::Tls12,
            _ => Feature::Tls13,
        };
        let needs = setting.kind.needs(setting.version).iter().copied();
        needs
            .chain([version, setting.way.feature()])
            .all(|feature| {
                let capabilities = self.backend.capabilities();
                capabilities.support(feature).is_available()
            })
    }

    fn add(&mut self, setting: Setting) -> CaseResult {
        let Setting { kind, way, .. } = setting;
        let scene = self.scene(setting, Instant::now());
        let (mut client, mut server) = (scene.client_config(), scene.server_config());
        client.resumption.enabled = kind == Kind::Resumed;
        if way == Way::Plain {
            client.parameters.socket_transport = SocketTransport::Plain;
            server.parameters.socket_transport = SocketTransport::Plain;
        }
        if kind == Kind::Mutual {
            client.identity = Some(scene.pki.client.clone());
            server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
        }
        if kind == Kind::Suspended {
            client.late_credentials = true;
            client.peer_verification = PeerVerification::Suspended;
            server.client_authentication = ClientAuthentication::Required(scene.pki.roots());
            server.peer_verification = PeerVerification::Suspended;
        }
        if kind == Kind::Retried {
            // Some engines send shares for the first two.
            let groups = vec![Group::X25519, Group::SECP256R1, Group::SECP384R1];
            client.parameters.groups = Some(groups);
            server.parameters.groups = Some(vec![Group::SECP384R1]);
        }
        let set = Set {
            client: self.backend.client(client)?,
            server: self.backend.server(server)?,
            records: [Vec::new(), Vec::new()],
        };
        self.sets.insert(setting, set);
        self.prepare(setting)?;
        let told = self.undisturbed(setting)?;
        ensure!(
            told.client.facts.as_ref().map(|facts| facts.resumed) == Some(kind == Kind::Resumed),
            "the connection is to be one with {}",
            kind.name()
        );
        // In whichever order: engines differ in what they ask a client first.
        for (side, questions) in Side::BOTH.into_iter().zip(questions(setting)) {
            let asked = &told.of(side).asked;
            ensure!(
                asked.len() == questions.len() && questions.iter().all(|it| asked.contains(it)),
                "the {} asked {asked:?}, expected {questions:?}",
                side.name()
            );
        }
        let records = recorded(told.wire);
        ensure!(
            kind != Kind::Retried || records[1].first().is_some_and(|first| is_retry(first)),
            "the server did not ask for another key share"
        );
        if let Some(set) = self.sets.get_mut(&setting) {
            set.records = records;
        }
        Ok(())
    }

    /// Makes sure that there is a session to resume, where one is to be.
    ///
    /// # Errors
    ///
    /// Whatever a connection fails with that nothing disturbs.
    pub(super) fn prepare(&self, setting: Setting) -> CaseResult {
        if setting.kind == Kind::Resumed {
            self.undisturbed(setting)?;
        }
        Ok(())
    }

    fn undisturbed(&self, setting: Setting) -> CaseResult<Told> {
        let script = self.script(setting);
        let told = tell(self.pair(setting, None)?, &script, None, |_| {})?;
        for side in Side::BOTH {
            ends_well(&told, side)?;
        }
        Ok(told)
    }

    fn scene(&self, setting: Setting, deadline: Instant) -> Scene<'_> {
        Scene::new(
            &*self.backend,
            setting.way.mode(),
            setting.version,
            deadline,
        )
    }

    /// The settings that the backend has.
    pub(super) fn settings(&self) -> impl Iterator<Item = Setting> {
        self.sets.keys().copied()
    }

    /// A connection of little data, in which keys change where they can.
    pub(super) fn script(&self, setting: Setting) -> Script {
        let capabilities = self.backend.capabilities();
        Script {
            new_keys: setting.version == ProtocolVersion::TLS1_3
                && capabilities.support(Feature::KeyUpdate).is_available(),
            context: is_deferred(setting).then(|| self.set(setting).server.clone()),
            ..LITTLE
        }
    }

    /// The records that a side sent in an honest connection.
    pub(super) fn records(&self, setting: Setting, side: Side) -> &[Vec<u8>] {
        let records = &self.set(setting).records;
        match side {
            Side::Client => &records[0],
            Side::Server => &records[1],
        }
    }

    /// How many bytes a side sent in an honest connection.
    pub(super) fn length(&self, setting: Setting, side: Side) -> usize {
        self.records(setting, side).iter().map(Vec::len).sum()
    }

    fn set(&self, setting: Setting) -> &Set {
        self.sets.get(&setting).expect("one of `settings`")
    }

    /// A pair before the handshake, its `reset` side over TCP.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub(super) fn pair(&self, setting: Setting, reset: Option<Side>) -> CaseResult<Pair> {
        let Set { client, server, .. } = self.set(setting);
        let scene = self.scene(setting, Instant::now());
        let mode = scene.mode;
        let transport = |side| match reset == Some(side) {
            true => Transport::over_tcp(),
            false => Transport::default(),
        };
        let (client, client_end) =
            transport(Side::Client).endpoint(mode, &**client, scene.options())?;
        let deferred = is_deferred(setting).then(|| self.backend.deferred_server());
        let server = deferred.transpose()?.unwrap_or_else(|| server.clone());
        let (server, server_end) =
            transport(Side::Server).endpoint(mode, &*server, SessionOptions::new())?;
        let wire = Wire::new(client_end, server_end);
        Ok(Pair::new(
            client,
            server,
            wire,
            reset.is_some(),
            scene.deadline,
        ))
    }
}

/// Whether the server waits for its context.
fn is_deferred(setting: Setting) -> bool {
    let [_, server] = questions(setting);
    server.contains(&Status::NeedsServerContext)
}

/// Every setting there is.
fn settings() -> impl Iterator<Item = Setting> {
    Kind::ALL.into_iter().flat_map(|kind| {
        let versions: &[_] = match kind {
            Kind::Retried => &[ProtocolVersion::TLS1_3],
            _ => &[ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3],
        };
        versions.iter().flat_map(move |version| {
            Way::ALL.map(|way| Setting {
                kind,
                version: *version,
                way,
            })
        })
    })
}

fn recorded(mut wire: Wire) -> [Vec<Vec<u8>>; 2] {
    Side::BOTH.map(|side| {
        let mut stream = wire.from(side).recorded().to_vec();
        super::records::take_whole(&mut stream)
    })
}
