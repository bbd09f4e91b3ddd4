//! The peer: one backend behind the protocol of the matrix, as client or as server.

mod connection;
mod sabotage;

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use tls_core::config::{ClientAuthentication, Roots};
use tls_core::{
    ClientConfig, DynBackend, DynContext, Feature, ServerConfig, SessionOptions, Support,
};

use super::protocol::{
    Answer, Ask, Configuration, Credentials, Hello, Problem, RoleConfiguration, certificates,
    version,
};
use crate::case::Mode;
use connection::Connection;
pub use sabotage::Sabotage;

/// What a peer is started with.
#[derive(Debug)]
pub struct Options {
    /// The name of the backend.
    pub backend: String,
    /// How long one ask may take.
    pub deadline: Duration,
    /// What it does wrong, to see the matrix notice.
    pub sabotage: Option<Sabotage>,
}

/// Answers what is asked on stdin, on stdout, until stdin ends. Blocks.
///
/// # Errors
///
/// A sentence, if there is no such backend, or stdin or stdout fails.
pub fn run(options: &Options) -> Result<(), String> {
    let mut peer = Peer::new(options).map_err(|problem| problem.text)?;
    let mut lines = io::stdin().lock().lines();
    say(&Answer::Hello(peer.hello()?))?;
    while let Some(line) = lines
        .next()
        .transpose()
        .map_err(|error| cannot("stdin", error))?
    {
        let ask: Ask = serde_json::from_str(&line).map_err(|error| cannot(&line, error))?;
        let answer = peer.answer(ask.clone()).unwrap_or_else(Answer::Failed);
        say(&match options.sabotage {
            Some(sabotage) => sabotage.spoil(&ask, answer),
            None => answer,
        })?;
    }
    Ok(())
}

fn say(answer: &Answer) -> Result<(), String> {
    let line = serde_json::to_string(answer).map_err(|error| cannot("an answer", error))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| cannot("stdout", error))
}

fn cannot(what: &str, error: impl std::fmt::Display) -> String {
    format!("{what}: {error}")
}

/// How long an operation may take, from its start.
#[derive(Debug, Clone, Copy)]
struct Deadline(Duration);

impl Deadline {
    fn start(self) -> Instant {
        Instant::now() + self.0
    }
}

struct Peer {
    backend: Box<dyn DynBackend>,
    listener: TcpListener,
    deadline: Deadline,
    context: Option<Box<dyn DynContext>>,
    connection: Option<Connection>,
}

impl Peer {
    fn new(options: &Options) -> Result<Self, Problem> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Problem::harness)?;
        listener.set_nonblocking(true).map_err(Problem::harness)?;
        Ok(Self {
            backend: polytls::backend(&options.backend)?,
            listener,
            deadline: Deadline(options.deadline),
            context: None,
            connection: None,
        })
    }

    fn hello(&self) -> Result<Hello, String> {
        let address = self.listener.local_addr();
        let capabilities = self.backend.capabilities();
        let lacks = Feature::ALL
            .iter()
            .filter_map(|&feature| match capabilities.support(feature) {
                Support::Unsupported(reason) => Some((feature.to_string(), reason.to_owned())),
                _ => None,
            })
            .collect();
        Ok(Hello {
            backend: self.backend.name().to_owned(),
            compiled_in: polytls::backend_names()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            library: self.backend.build_info().to_string(),
            port: address
                .map_err(|error| cannot("the listener", error))?
                .port(),
            lacks,
        })
    }

    fn answer(&mut self, ask: Ask) -> Result<Answer, Problem> {
        let deadline = self.deadline;
        match ask {
            Ask::Configure(configuration) => {
                self.connection = None;
                self.context = Some(self.make_context(configuration)?);
                Ok(Answer::Done)
            }
            Ask::Connect {
                port,
                mode,
                server_name,
            } => self.connect(port, mode, &server_name),
            Ask::Accept { from, mode } => self.accept(from, mode),
            Ask::Handshake => self.connection()?.handshake(deadline),
            Ask::Transfer { send, receive } => self.connection()?.transfer(send, receive, deadline),
            Ask::KeyUpdate => self.connection()?.key_update(deadline),
            Ask::Bind => self.connection()?.bind(),
            Ask::ShutDown => self.connection()?.shut_down(deadline),
            Ask::Cut => self.connection()?.cut(),
            Ask::ReadToEnd => self.connection()?.read_to_end(deadline),
            Ask::Forget => {
                self.connection = None;
                self.context = None;
                Ok(Answer::Done)
            }
        }
    }

    fn make_context(&self, configuration: Configuration) -> Result<Box<dyn DynContext>, Problem> {
        let version = version(configuration.version);
        let alpn: Vec<_> = configuration
            .alpn
            .into_iter()
            .map(String::into_bytes)
            .collect();
        match configuration.role {
            RoleConfiguration::Client {
                roots,
                identity,
                send_sni,
            } => {
                let mut config = ClientConfig::new(Roots::given(certificates(roots)));
                config.parameters.min_version = version;
                config.parameters.max_version = version;
                config.parameters.alpn = alpn;
                config.identity = identity.map(Credentials::identity).transpose()?;
                config.send_sni = send_sni;
                Ok(self.backend.client(config)?)
            }
            RoleConfiguration::Server {
                identity,
                client_roots,
            } => {
                let mut config = ServerConfig::new(identity.identity()?);
                config.parameters.min_version = version;
                config.parameters.max_version = version;
                config.parameters.alpn = alpn;
                if let Some(roots) = client_roots {
                    config.client_authentication =
                        ClientAuthentication::Required(Roots::given(certificates(roots)));
                }
                Ok(self.backend.server(config)?)
            }
        }
    }

    fn connect(&mut self, port: u16, mode: Mode, server_name: &str) -> Result<Answer, Problem> {
        // To a listener on this machine: it does not block.
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(Problem::harness)?;
        let own = stream.local_addr().map_err(Problem::harness)?.port();
        self.open(stream, mode, SessionOptions::to_server(server_name)?)?;
        Ok(Answer::Connected { port: own })
    }

    /// Accepts the connection from a port; what others want is none of ours.
    fn accept(&mut self, from: u16, mode: Mode) -> Result<Answer, Problem> {
        let until = self.deadline.start();
        loop {
            match self.listener.accept() {
                Ok((stream, address)) if address.port() == from => {
                    self.open(stream, mode, SessionOptions::new())?;
                    return Ok(Answer::Done);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !connection::poll(&self.listener, PollFlags::IN, until)? {
                        return Err(Problem::hang("no connection has come"));
                    }
                }
                Err(error) => return Err(Problem::harness(error)),
            }
        }
    }

    fn open(
        &mut self,
        stream: TcpStream,
        mode: Mode,
        options: SessionOptions,
    ) -> Result<(), Problem> {
        let Some(context) = &self.context else {
            return Err(Problem::harness("there is no context"));
        };
        self.connection = Some(Connection::new(&**context, stream, mode, options)?);
        Ok(())
    }

    fn connection(&mut self) -> Result<&mut Connection, Problem> {
        self.connection
            .as_mut()
            .ok_or_else(|| Problem::harness("there is no connection"))
    }
}
