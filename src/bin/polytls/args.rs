//! What the command line takes.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use polytls::iana::{CipherSuite, Group, ProtocolVersion};

/// One TLS API over many TLS engines.
#[derive(Debug, Parser)]
#[command(name = "polytls", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shake hands and move 64 MiB over loopback on every backend compiled in, in both modes.
    Demo(DemoArgs),
    /// List the backends compiled in, their libraries, and what each can do.
    Backends(BackendsArgs),
    /// Take TLS connections and pass their plaintext on to a TCP server.
    Terminate(TerminateArgs),
    /// Serve the files of a directory over HTTPS.
    Serve(ServeArgs),
    /// Connect to a TLS server and pipe stdin and stdout through it.
    ///
    /// What was negotiated and who the server is goes to stderr. The end of stdin becomes a
    /// close_notify, after which the server's answer is still read to its end; an answer without a
    /// close_notify may be cut off, and is a failure. A server that has closed the connection
    /// altogether still gets what flows from stdin, until stdin is idle for a second.
    Connect(ConnectArgs),
}

/// Which backend to use, and how to drive it.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackendArgs {
    /// The backend; without it rustls if compiled in, else the only one.
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,

    /// Who moves ciphertext: the session, on a descriptor of its own, or this program, through
    /// memory.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Mode,
}

/// Who moves ciphertext.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The session, which owns the socket.
    #[default]
    Socket,
    /// The caller, through memory.
    Buffer,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Socket, Self::Buffer];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Buffer => "buffer",
        }
    }
}

/// What is negotiated.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProtocolArgs {
    /// The lowest version to negotiate.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "1.2")]
    pub(crate) min_version: Version,

    /// The highest version to negotiate.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "1.3")]
    pub(crate) max_version: Version,

    /// Application protocols, most wanted first: h2,http/1.1
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) alpn: Vec<String>,

    /// Cipher suites, most wanted first, by their registered or OpenSSL names.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = cipher_suite)]
    pub(crate) ciphers: Option<Vec<CipherSuite>>,

    /// Key-exchange groups, most wanted first: X25519MLKEM768,x25519,P-256
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = group)]
    pub(crate) groups: Option<Vec<Group>>,
}

/// A protocol version as the command line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl From<Version> for ProtocolVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::Tls12 => Self::TLS1_2,
            Version::Tls13 => Self::TLS1_3,
        }
    }
}

/// A certificate of one's own: files, or one made for the occasion.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("identity").required(true).args(["cert", "self_signed", "sni_map"]))]
pub(crate) struct IdentityArgs {
    /// The certificate chain, leaf first, in PEM.
    #[arg(long, value_name = "PEM", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the leaf, in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.
    #[arg(
        long,
        value_name = "PEM",
        requires = "cert",
        conflicts_with = "self_signed"
    )]
    pub(crate) key: Option<PathBuf>,

    /// Make a self-signed certificate for this DNS name or IP address, for trying things out.
    #[arg(long, value_name = "NAME")]
    pub(crate) self_signed: Option<String>,

    /// Choose by the name that the client asks for, out of this directory: NAME.pem holds the
    /// certificate chain and the key for NAME, *.NAME.pem for every name one label below, and
    /// _default.pem for the rest; NAME.client-ca, if there is one, stands for --client-ca. SIGHUP
    /// reads it again, all or nothing. 256 look-ups run at once, and more wait for their turn.
    #[arg(long, value_name = "DIR", conflicts_with = "key")]
    pub(crate) sni_map: Option<PathBuf>,
}

/// What `terminate` and `serve` have in common: where to listen, as whom, and the limits.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("client_roots").args(["client_ca", "sni_map"]).multiple(true))]
pub(crate) struct ListenerArgs {
    /// The address to listen on, as HOST:PORT; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", value_parser = Endpoint::parse)]
    pub(crate) listen: Endpoint,

    #[command(flatten)]
    pub(crate) identity: IdentityArgs,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,

    #[command(flatten)]
    pub(crate) protocol: ProtocolArgs,

    /// Ask clients for a certificate that leads to one of these roots, in PEM.
    #[arg(long, value_name = "PEM")]
    pub(crate) client_ca: Option<PathBuf>,

    /// Whether a client may go without a certificate; with roots and without this it may not. Names
    /// of --sni-map then all need roots.
    #[arg(long, value_enum, value_name = "WHEN", requires = "client_roots")]
    pub(crate) client_auth: Option<ClientAuth>,

    /// How long a handshake may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) handshake_timeout: Duration,

    /// Close connections that moved no byte for so long, in seconds; without it, never.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) idle_timeout: Option<Duration>,

    /// How many connections may be open at once; more wait to be accepted.
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) max_connections: NonZeroUsize,

    /// How many event loops run, each on a thread; without it, one for each core.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// How long open connections may go on after SIGTERM or SIGINT, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) drain_timeout: Duration,
}

impl ListenerArgs {
    /// The number of event loops to run.
    pub(crate) fn thread_count(&self) -> NonZeroUsize {
        self.threads
            .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

/// Whether a client that is asked for a certificate may go without.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientAuth {
    Optional,
    #[default]
    Required,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TerminateArgs {
    #[command(flatten)]
    pub(crate) listener: ListenerArgs,

    /// The TCP server to pass plaintext on to, as HOST:PORT.
    #[arg(long, value_name = "ADDR", value_parser = Endpoint::parse)]
    pub(crate) to: Endpoint,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) listener: ListenerArgs,

    /// The directory to serve.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Only this backend; without it, every one compiled in.
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,

    /// How much to move on each connection, in MiB.
    #[arg(long, value_name = "MIB", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) size: u16,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BackendsArgs {
    /// Print JSON; fields may be added to it, none changes its meaning.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// The server, as HOST:PORT.
    #[arg(value_name = "HOST:PORT", value_parser = HostPort::parse)]
    pub(crate) server: HostPort,

    /// Trust these roots, in PEM, and no others; without it, the system's.
    #[arg(long, value_name = "PEM", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Accept any certificate, from anyone.
    #[arg(long)]
    pub(crate) insecure: bool,

    /// The name to ask for and to verify; without it, HOST.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// The certificate chain to present if the server asks, leaf first, in PEM.
    #[arg(long, value_name = "PEM", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the leaf, in PEM, not encrypted.
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// How long connecting and the handshake may take together, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,

    #[command(flatten)]
    pub(crate) protocol: ProtocolArgs,
}

/// Addresses to listen on or to pass on to, looked up once; and the text they came from.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) text: String,
    /// At least one; to be tried in this order.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, String> {
        let addresses: Vec<_> = text
            .to_socket_addrs()
            .map_err(|error| format!("not an address as HOST:PORT: {error}"))?
            .collect();
        if addresses.is_empty() {
            return Err("the host has no address".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            addresses,
        })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A host, not looked up yet, and a port.
#[derive(Debug, Clone)]
pub(crate) struct HostPort {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl HostPort {
    fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or("there is no port: expected HOST:PORT")?;
        let port = port
            .parse()
            .map_err(|_| format!("{port:?} is not a port number"))?;
        let host = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(address) => address,
            None if host.contains(':') => {
                return Err("an IPv6 address stands in brackets: [::1]:443".to_owned());
            }
            None => host,
        };
        if host.is_empty() {
            return Err("there is no host: expected HOST:PORT".to_owned());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The longest time that can be given, about 31 years: deadlines stay within what clocks count.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= LONGEST => Ok(duration),
        _ => Err(format!(
            "not a positive number of seconds up to {}",
            LONGEST.as_secs()
        )),
    }
}

fn cipher_suite(text: &str) -> Result<CipherSuite, String> {
    text.parse()
        .map_err(|error: polytls::Error| error.detail().to_owned())
}

fn group(text: &str) -> Result<Group, String> {
    text.parse()
        .map_err(|error: polytls::Error| error.detail().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["polytls"], arguments].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_listener_needs_exactly_one_identity() {
        let base = [
            "terminate",
            "--listen",
            "127.0.0.1:0",
            "--to",
            "127.0.0.1:1",
        ];
        let with = |more: &[&str]| parse(&[&base, more].concat());
        assert!(with(&["--self-signed", "localhost"]).is_ok());
        assert!(with(&["--cert", "c.pem", "--key", "k.pem"]).is_ok());
        assert!(with(&["--sni-map", "bundles"]).is_ok());
        assert!(with(&["--sni-map", "bundles", "--client-auth", "optional"]).is_ok());
        assert!(with(&["--self-signed", "localhost", "--client-auth", "optional"]).is_err());
        assert!(with(&["--sni-map", "bundles", "--self-signed", "localhost"]).is_err());
        assert!(with(&["--sni-map", "bundles", "--cert", "c.pem", "--key", "k.pem"]).is_err());
        assert!(with(&[]).is_err());
        assert!(with(&["--cert", "c.pem"]).is_err());
        assert!(with(&["--key", "k.pem"]).is_err());
        assert!(with(&["--key", "k.pem", "--self-signed", "localhost"]).is_err());
        assert!(
            with(&[
                "--cert",
                "c.pem",
                "--key",
                "k.pem",
                "--self-signed",
                "localhost"
            ])
            .is_err()
        );
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let cli = parse(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--root",
            ".",
            "--self-signed",
            "localhost",
        ]);
        let Command::Serve(args) = cli.expect("complete").command else {
            panic!("another command");
        };
        let listener = args.listener;
        assert_eq!(listener.handshake_timeout, Duration::from_secs(10));
        assert_eq!(listener.drain_timeout, Duration::from_secs(10));
        assert_eq!(listener.idle_timeout, None);
        assert_eq!(listener.max_connections.get(), 10_000);
        assert_eq!(listener.backend.mode, Mode::Socket);
        assert_eq!(listener.protocol.min_version, Version::Tls12);
        assert_eq!(listener.protocol.max_version, Version::Tls13);
        assert!(listener.client_ca.is_none());
    }

    #[test]
    fn hosts_and_ports() {
        let parsed = |text| HostPort::parse(text).map(|server| (server.host, server.port));
        assert_eq!(parsed("localhost:1"), Ok(("localhost".to_owned(), 1)));
        assert_eq!(parsed("[::1]:443"), Ok(("::1".to_owned(), 443)));
        for bad in [
            "localhost",
            "::1:443",
            ":443",
            "localhost:",
            "localhost:65536",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("1e9"), Ok(LONGEST));
        for bad in ["0", "-1", "NaN", "inf", "1e10", "1e19", "1e30", "ten", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
