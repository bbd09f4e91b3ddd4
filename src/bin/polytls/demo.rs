//! `polytls demo`: on every backend compiled in, in both modes, a verified handshake and a transfer
//! over loopback TCP whose checksum is compared.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use polytls::config::{Identity, Roots};
use polytls::iana::ProtocolVersion;
use polytls::pki_types::PrivateKeyDer;
use polytls::{
    ClientConfig, DynBackend, DynContext, Facts, Feature, ServerConfig, SessionOptions, Support,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use sha2::{Digest, Sha256};

use crate::args::{DemoArgs, Mode};
use crate::drive::{Blocking, Connection};
use crate::failure::Failure;
use crate::print;

/// The name the server's certificate is for.
const SERVER_NAME: &str = "localhost";
/// How long one connection may take.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const MIB: usize = 1024 * 1024;

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let backends = match &args.backend {
        Some(name) => vec![polytls::backend(name)?],
        None => polytls::backends(),
    };
    if backends.is_empty() {
        return Err(Failure::no_backend());
    }
    let pki =
        Pki::new().map_err(|error| Failure::new(format!("the demo's certificates: {error}")))?;
    let payload = Payload::new(usize::from(args.size) * MIB);
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "backend",
        "library",
        "mode",
        "version",
        "cipher suite",
        "group",
        "handshake",
        "throughput",
    ]);
    let mut failures = Vec::new();
    for backend in &backends {
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            for mode in Mode::ALL {
                let trial = Trial {
                    backend: &**backend,
                    mode,
                    version,
                };
                table.add_row(match trial.run(&pki, &payload) {
                    Ok(outcome) => trial.row(outcome),
                    Err(failure) => {
                        failures.push(failure.about(trial.name()));
                        trial.row(["failed".into(), "-".into(), "-".into(), "-".into()])
                    }
                });
            }
        }
    }
    print(&table.to_string())?;
    match &failures[..] {
        [] => Ok(()),
        failures => {
            let sentences: Vec<_> = failures.iter().map(ToString::to_string).collect();
            Err(Failure::new(sentences.join("; ")))
        }
    }
}

/// A certificate authority, and a server it vouches for.
struct Pki {
    roots: Roots,
    identity: Identity,
}

impl Pki {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "polytls demo authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "polytls demo server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &authority)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Self {
            roots: Roots::given([authority.der().clone()]),
            identity: Identity::from_der(vec![leaf.der().clone()], key)?,
        })
    }
}

/// What is sent, and its checksum.
struct Payload {
    bytes: Vec<u8>,
    sha256: [u8; 32],
}

impl Payload {
    /// Bytes without a short period, so that a piece lost, doubled or moved shows in the checksum.
    fn new(length: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(length);
        let sha256 = Sha256::digest(&bytes).into();
        Self { bytes, sha256 }
    }
}

/// One row of the table: one connection.
struct Trial<'backend> {
    backend: &'backend dyn DynBackend,
    mode: Mode,
    version: ProtocolVersion,
}

impl Trial<'_> {
    fn name(&self) -> String {
        format!(
            "{}, {} mode, {}",
            self.backend.name(),
            self.mode.name(),
            self.version
        )
    }

    fn row(&self, outcome: [String; 4]) -> Vec<String> {
        let mode = match self.backend.capabilities().support(self.mode_feature()) {
            Support::Native => self.mode.name().to_owned(),
            other => format!("{} ({other})", self.mode.name()),
        };
        let mut row = vec![
            self.backend.name().to_owned(),
            self.backend.build_info().to_string(),
            mode,
            self.version.to_string(),
        ];
        row.extend(outcome);
        row
    }

    fn mode_feature(&self) -> Feature {
        match self.mode {
            Mode::Socket => Feature::SocketMode,
            Mode::Buffer => Feature::BufferMode,
        }
    }

    fn version_feature(&self) -> Feature {
        match self.version {
            ProtocolVersion::TLS1_2 => Feature::Tls12,
            _ => Feature::Tls13,
        }
    }

    /// Cipher suite, group, handshake time and throughput, or that the backend has no such thing.
    fn run(&self, pki: &Pki, payload: &Payload) -> Result<[String; 4], Failure> {
        for feature in [self.mode_feature(), self.version_feature()] {
            if !self.backend.capabilities().support(feature).is_available() {
                return Ok(["unsupported".into(), "-".into(), "-".into(), "-".into()]);
            }
        }
        let measured = self.connect(pki, payload)?;
        let group = match measured.facts.group {
            Some(group) => group.to_string(),
            None => "unknown".to_owned(),
        };
        let mib = payload.bytes.len() as f64 / MIB as f64;
        Ok([
            measured.facts.cipher_suite.to_string(),
            group,
            format!("{:.2} ms", measured.handshake.as_secs_f64() * 1e3),
            format!("{:.0} MiB/s", mib / measured.transfer.as_secs_f64()),
        ])
    }

    fn connect(&self, pki: &Pki, payload: &Payload) -> Result<Measured, Failure> {
        let mut config = ServerConfig::new(pki.identity.clone());
        config.parameters.min_version = self.version;
        config.parameters.max_version = self.version;
        let server = self.backend.server(config)?;
        let mut config = ClientConfig::new(pki.roots.clone());
        config.parameters.min_version = self.version;
        config.parameters.max_version = self.version;
        let client = self.backend.client(config)?;
        let (near, far) =
            socket_pair().map_err(|error| Failure::new(format!("loopback sockets: {error}")))?;
        let deadline = Instant::now() + TIME_LIMIT;
        thread::scope(|scope| {
            let server = scope.spawn(|| serve(&*server, far, self.mode, payload, deadline));
            let measured = receive(&*client, near, self.mode, payload, deadline);
            let served = server
                .join()
                .unwrap_or_else(|_| Err(Failure::new("the server panicked")));
            // If both failed, the client's view says more.
            let measured = measured?;
            served.map_err(|failure| failure.about("the server"))?;
            Ok(measured)
        })
    }
}

struct Measured {
    facts: Facts,
    handshake: Duration,
    transfer: Duration,
}

/// The server: sends everything, ends its side, and reads to the end of the client's.
fn serve(
    context: &dyn DynContext,
    socket: TcpStream,
    mode: Mode,
    payload: &Payload,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut connection = Connection::new(context, socket, SessionOptions::new(), mode)?;
    let mut connection = Blocking::new(&mut connection, deadline);
    connection.handshake()?;
    connection.write_all(&payload.bytes)?;
    connection.shutdown()?;
    match connection.read(&mut [0; 1])? {
        None => Ok(()),
        Some(_) => Err(Failure::new("the client sent something")),
    }
}

/// The client: verifies the server, receives everything, and compares.
fn receive(
    context: &dyn DynContext,
    socket: TcpStream,
    mode: Mode,
    payload: &Payload,
    deadline: Instant,
) -> Result<Measured, Failure> {
    let options = SessionOptions::to_server(SERVER_NAME)?;
    let mut connection = Connection::new(context, socket, options, mode)?;
    // One byte more, so that too much would show. Not zeros: the system would hand out that memory
    // only while the clock runs.
    let mut received = vec![0xff; payload.bytes.len() + 1];
    let started = Instant::now();
    Blocking::new(&mut connection, deadline).handshake()?;
    let handshake = started.elapsed();
    let facts = connection.facts().cloned();
    let facts = facts.ok_or_else(|| Failure::new("the handshake settled nothing"))?;

    let mut length = 0;
    let mut connection = Blocking::new(&mut connection, deadline);
    let started = Instant::now();
    while let Some(read) = connection.read(&mut received[length..])? {
        length += read;
        if length > payload.bytes.len() {
            return Err(Failure::new("more was received than sent"));
        }
    }
    let transfer = started.elapsed();
    connection.shutdown()?;
    if length < payload.bytes.len() {
        return Err(Failure::new(format!(
            "{length} bytes were received of {}",
            payload.bytes.len()
        )));
    }
    if Sha256::digest(&received[..length])[..] != payload.sha256 {
        return Err(Failure::new("the checksum of what was received is wrong"));
    }
    Ok(Measured {
        facts,
        handshake,
        transfer,
    })
}

fn socket_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, peer) = listener.accept()?;
    if peer != near.local_addr()? {
        return Err(io::Error::other("someone else connected"));
    }
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}
