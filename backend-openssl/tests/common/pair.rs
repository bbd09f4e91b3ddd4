//! Drives a client and a server until neither has anything more to say.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::OpenSslContext;
use tls_core::{
    BufferSession, Context, Error, ErrorKind, Facts, Session, SessionOptions, SocketSession, Status,
};

/// How sessions are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Buffer,
    Socket,
}

/// A client and a server, connected.
pub(crate) struct Pair {
    client: End,
    server: End,
}

/// What became of a pair.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) client: Fate,
    pub(crate) server: Fate,
}

/// What became of one side.
#[derive(Debug)]
pub(crate) struct Fate {
    pub(crate) facts: Option<Facts>,
    pub(crate) error: Option<Error>,
    pub(crate) received: Vec<u8>,
}

/// More than any handshake here takes.
const ROUNDS: usize = 1_000;
const GREETING: &[u8] = b"greetings";

impl Pair {
    pub(crate) fn new(
        mode: Mode,
        client: &OpenSslContext,
        server: &OpenSslContext,
        options: SessionOptions,
    ) -> Self {
        let drivers = match mode {
            Mode::Buffer => [
                Driver::Buffer {
                    session: Box::new(client.buffer_session(options).expect("a client")),
                    input: Vec::new(),
                },
                Driver::Buffer {
                    session: Box::new(
                        server
                            .buffer_session(SessionOptions::new())
                            .expect("a server"),
                    ),
                    input: Vec::new(),
                },
            ],
            Mode::Socket => {
                let (ours, theirs) = UnixStream::pair().expect("a socket pair");
                for socket in [&ours, &theirs] {
                    socket.set_nonblocking(true).expect("a socket");
                }
                [
                    Driver::Socket(Box::new(
                        client
                            .socket_session(OwnedFd::from(ours), options)
                            .expect("a client"),
                    )),
                    Driver::Socket(Box::new(
                        server
                            .socket_session(OwnedFd::from(theirs), SessionOptions::new())
                            .expect("a server"),
                    )),
                ]
            }
        };
        let [client, server] = drivers.map(|driver| End {
            driver,
            error: None,
            received: Vec::new(),
            greeted: false,
        });
        Self { client, server }
    }

    /// Handshakes, lets each side greet the other, and reads until nothing moves any more.
    pub(crate) fn settle(mut self) -> Outcome {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            let moved = self.client.step(&mut self.server) | self.server.step(&mut self.client);
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet == 3 {
                return Outcome {
                    client: self.client.fate(),
                    server: self.server.fate(),
                };
            }
        }
        panic!("the pair does not come to rest");
    }
}

struct End {
    driver: Driver,
    error: Option<Error>,
    received: Vec<u8>,
    greeted: bool,
}

enum Driver {
    Buffer {
        session: Box<dyn BufferSession>,
        input: Vec<u8>,
    },
    Socket(Box<dyn SocketSession>),
}

impl End {
    /// One step; whether anything came of it.
    fn step(&mut self, peer: &mut Self) -> bool {
        let mut output = Vec::new();
        let moved = match self.advance(&mut output) {
            Ok(moved) => moved,
            Err(error) => {
                let first = self.error.is_none();
                self.error.get_or_insert(error);
                first
            }
        };
        if let Driver::Buffer { input, .. } = &mut peer.driver {
            input.extend_from_slice(&output);
        }
        moved | !output.is_empty()
    }

    fn advance(&mut self, output: &mut Vec<u8>) -> Result<bool, Error> {
        let mut plaintext = [0; 1024];
        if !self.session().is_handshake_complete() {
            return self.driver.handshake(output);
        }
        if !self.greeted {
            self.greeted = true;
            self.driver.write(GREETING, output)?;
            return Ok(true);
        }
        let read = self.driver.read(&mut plaintext, output)?;
        self.received.extend_from_slice(&plaintext[..read]);
        Ok(read > 0)
    }

    fn session(&self) -> &dyn Session {
        match &self.driver {
            Driver::Buffer { session, .. } => session.as_ref(),
            Driver::Socket(session) => session.as_ref(),
        }
    }

    fn fate(self) -> Fate {
        Fate {
            facts: self.session().facts().cloned(),
            error: self.error,
            received: self.received,
        }
    }
}

impl Driver {
    fn handshake(&mut self, output: &mut Vec<u8>) -> Result<bool, Error> {
        match self {
            Self::Buffer { session, input } => {
                let mut room = [0; 4096];
                let progress = session.handshake(input, &mut room)?;
                input.drain(..progress.consumed);
                output.extend_from_slice(&room[..progress.produced]);
                Ok(progress.consumed > 0 || progress.status == Status::Complete)
            }
            Self::Socket(session) => Ok(session.handshake()? == Status::Complete),
        }
    }

    fn write(&mut self, plaintext: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Buffer { session, .. } => {
                let mut room = [0; 4096];
                let progress = session.write(plaintext, &mut room)?;
                assert_eq!(progress.consumed, plaintext.len());
                output.extend_from_slice(&room[..progress.produced]);
                Ok(())
            }
            Self::Socket(session) => {
                let progress = session.write(plaintext)?;
                assert_eq!(progress.consumed, plaintext.len());
                assert_eq!(session.flush()?, Status::Complete);
                Ok(())
            }
        }
    }

    fn read(&mut self, plaintext: &mut [u8], output: &mut Vec<u8>) -> Result<usize, Error> {
        match self {
            Self::Buffer { session, input } => {
                let mut room = [0; 4096];
                let progress = session.read(input, plaintext);
                let drained = session.drain(&mut room);
                output.extend_from_slice(&room[..drained.produced]);
                let progress = progress?;
                input.drain(..progress.consumed);
                Ok(progress.produced)
            }
            Self::Socket(session) => Ok(session.read(plaintext)?.produced),
        }
    }
}

impl Outcome {
    /// Both sides completed the handshake and heard the other's greeting; their facts.
    #[track_caller]
    pub(crate) fn succeeded(self) -> (Facts, Facts) {
        for (name, fate) in [("client", &self.client), ("server", &self.server)] {
            assert!(
                fate.error.is_none(),
                "{name}: {}",
                fate.error.as_ref().unwrap()
            );
            assert_eq!(fate.received, GREETING, "{name}");
        }
        (self.client.facts.unwrap(), self.server.facts.unwrap())
    }
}

impl Fate {
    #[track_caller]
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.as_ref().expect("an error").kind()
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &Error {
        self.error.as_ref().expect("an error")
    }
}
