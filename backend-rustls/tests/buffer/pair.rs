//! A client and a server that are handed each other's ciphertext.

use backend_rustls::{Rustls, RustlsContext, RustlsSession};
use tls_core::iana::ProtocolVersion;
use tls_core::{
    Backend, BufferSession, ClientConfig, Context, Error, Progress, Result, ServerConfig, Session,
    SessionOptions, Status,
};

use crate::pki::Authority;

pub(crate) const VERSIONS: [ProtocolVersion; 2] =
    [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3];

/// One end: its session, and the ciphertext that has arrived for it.
pub(crate) struct End {
    pub(crate) session: RustlsSession,
    pub(crate) inbox: Vec<u8>,
}

pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

/// A pair of contexts that trust each other, of one version.
pub(crate) fn contexts(version: ProtocolVersion) -> (RustlsContext, RustlsContext) {
    let authority = Authority::new();
    configured(version, &authority, |_, _| {})
}

/// A pair of contexts of one version, as `change` wants them.
pub(crate) fn configured(
    version: ProtocolVersion,
    authority: &Authority,
    change: impl FnOnce(&mut ClientConfig, &mut ServerConfig),
) -> (RustlsContext, RustlsContext) {
    let mut client = ClientConfig::new(authority.roots());
    let mut server = ServerConfig::new(authority.server());
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.min_version = version;
        parameters.max_version = version;
    }
    change(&mut client, &mut server);
    let backend = Rustls::new();
    (
        Backend::client(&backend, client).unwrap(),
        Backend::server(&backend, server).unwrap(),
    )
}

pub(crate) fn to_server() -> SessionOptions {
    SessionOptions::to_server("server.test").unwrap()
}

impl Pair {
    pub(crate) fn new(client: &RustlsContext, server: &RustlsContext) -> Self {
        Self::with_options(client, server, to_server())
    }

    pub(crate) fn with_options(
        client: &RustlsContext,
        server: &RustlsContext,
        options: SessionOptions,
    ) -> Self {
        let end = |session| End {
            session,
            inbox: Vec::new(),
        };
        Self {
            client: end(client.buffer_session(options).unwrap()),
            server: end(server.buffer_session(SessionOptions::new()).unwrap()),
        }
    }

    /// A pair after its handshake.
    pub(crate) fn open(version: ProtocolVersion) -> Self {
        let (client, server) = contexts(version);
        let mut pair = Self::new(&client, &server);
        pair.handshake().unwrap();
        pair
    }

    /// Shakes hands, and has the client read what the server sent behind it.
    pub(crate) fn handshake(&mut self) -> Result<()> {
        self.handshake_in_pieces(16 * 1024, 16 * 1024)?;
        assert_eq!(self.client.read_all()?, b"");
        Ok(())
    }

    pub(crate) fn handshake_in_pieces(&mut self, input: usize, output: usize) -> Result<()> {
        let (client, server) = self.outcomes(input, output);
        client.and(server)
    }

    /// Shakes hands until neither end goes on; gives how each ended.
    pub(crate) fn outcomes(&mut self, input: usize, output: usize) -> (Result<()>, Result<()>) {
        let mut ended: [Option<Result<()>>; 2] = [None, None];
        for _ in 0..200_000 {
            let mut moved = false;
            for (index, outcome) in ended.iter_mut().enumerate() {
                let (from, to) = match index {
                    0 => (&mut self.client, &mut self.server),
                    _ => (&mut self.server, &mut self.client),
                };
                if outcome.is_some() {
                    continue;
                }
                let mut room = vec![0; output];
                match from.step(input, &mut room) {
                    Ok(progress) => {
                        to.inbox.extend_from_slice(&room[..progress.produced]);
                        moved |= progress.consumed + progress.produced > 0;
                        match progress.status {
                            Status::Complete => *outcome = Some(Ok(())),
                            Status::WantWrite => moved = true,
                            _ => {}
                        }
                    }
                    Err(error) => *outcome = Some(Err(error)),
                }
            }
            if !moved {
                break;
            }
        }
        let [client, server] = ended;
        (settled(client), settled(server))
    }
}

/// An end that waits for ever has not completed.
fn settled(outcome: Option<Result<()>>) -> Result<()> {
    outcome.unwrap_or_else(|| panic!("the handshake hangs"))
}

impl End {
    fn step(&mut self, input: usize, output: &mut [u8]) -> Result<Progress> {
        let piece = input.min(self.inbox.len());
        let progress = self.session.handshake(&mut self.inbox[..piece], output)?;
        self.inbox.drain(..progress.consumed);
        Ok(progress)
    }

    /// Reads until the session wants more input or is closed.
    pub(crate) fn read_all(&mut self) -> Result<Vec<u8>> {
        let mut plaintext = Vec::new();
        loop {
            let mut room = [0; 5000];
            let progress = self.session.read(&mut self.inbox, &mut room)?;
            self.inbox.drain(..progress.consumed);
            plaintext.extend_from_slice(&room[..progress.produced]);
            if progress.status != Status::Complete {
                return Ok(plaintext);
            }
        }
    }

    /// The error that reading comes to, after the alert that announces it has left to `to`.
    pub(crate) fn read_error(&mut self, to: &mut Vec<u8>) -> Error {
        for _ in 0..1000 {
            let mut room = [0; 5000];
            match self.session.read(&mut self.inbox, &mut room) {
                Err(error) => return error,
                Ok(progress) => {
                    self.inbox.drain(..progress.consumed);
                    if progress.status == Status::WantWrite {
                        to.extend(self.drained());
                    }
                }
            }
        }
        panic!("reading does not fail");
    }

    /// The error that reading comes to, if the peer sent an alert.
    pub(crate) fn read_error_if_any(&mut self, to: &mut Vec<u8>) -> Option<Error> {
        if let Some(error) = self.session.failure() {
            return Some(error.clone());
        }
        match self.read_all() {
            Ok(_) => None,
            Err(_) => Some(self.read_error(to)),
        }
    }

    /// Writes everything, into a record or more.
    pub(crate) fn sealed(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut room = vec![0; plaintext.len() + plaintext.len() / 100 + 1000];
        let progress = self.session.write(plaintext, &mut room).unwrap();
        assert_eq!(progress.consumed, plaintext.len());
        room.truncate(progress.produced);
        room
    }

    pub(crate) fn drained(&mut self) -> Vec<u8> {
        let mut room = vec![0; self.session.pending_output()];
        let progress = self.session.drain(&mut room);
        assert_eq!(progress.produced, room.len(), "the count was true");
        assert_eq!(progress.status, Status::Complete);
        room
    }

    pub(crate) fn closed(&mut self) -> (Status, Vec<u8>) {
        let mut room = vec![0; 1000];
        let progress = self.session.shutdown(&mut room).unwrap();
        room.truncate(progress.produced);
        (progress.status, room)
    }
}
