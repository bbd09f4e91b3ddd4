//! A client and a server whose questions are answered as a test wants, in memory.

use conformance::{Pki, SERVER_NAME};
use tls_core::config::{ClientAuthentication, Identity, PeerVerification};
use tls_core::iana::ProtocolVersion;
use tls_core::{
    BufferSession, ClientConfig, DynBackend, DynContext, Result, ServerConfig, SessionOptions,
    Status, Verdict,
};

pub(crate) const VERSIONS: [ProtocolVersion; 2] =
    [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3];

/// Every provider that is compiled in.
pub(crate) fn backends() -> Vec<Box<dyn DynBackend>> {
    vec![
        #[cfg(feature = "aws-lc-rs")]
        Box::new(backend_rustls::Rustls::new()),
        #[cfg(feature = "ring")]
        Box::new(backend_rustls::RustlsRing::new()),
    ]
}

/// Two configurations that ask for everything: both sides verify while suspended, and the client
/// names its certificate late.
pub(crate) fn asking(version: ProtocolVersion) -> (ClientConfig, ServerConfig) {
    let pki = Pki::shared();
    let mut client = ClientConfig::new(pki.roots());
    client.peer_verification = PeerVerification::Suspended;
    client.late_credentials = true;
    let mut server = ServerConfig::new(pki.server.clone());
    server.client_authentication = ClientAuthentication::Required(pki.roots());
    server.peer_verification = PeerVerification::Suspended;
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.min_version = version;
        parameters.max_version = version;
    }
    (client, server)
}

/// One end: its session, the ciphertext that has arrived for it, and what it was asked.
pub(crate) struct End {
    pub(crate) session: Box<dyn BufferSession>,
    pub(crate) inbox: Vec<u8>,
    pub(crate) asked: Vec<Status>,
    pub(crate) outcome: Option<Result<()>>,
    verdict: Verdict,
    identity: Option<Identity>,
    /// For a server that is to choose.
    pub(crate) context: Option<Box<dyn DynContext>>,
}

pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    /// How much each call is given, and has room for, in bytes.
    pub(crate) pieces: (usize, usize),
}

impl Pair {
    pub(crate) fn new(client: &dyn DynContext, server: &dyn DynContext) -> Self {
        let options = SessionOptions::to_server(SERVER_NAME).unwrap();
        Self {
            client: End::new(client, options),
            server: End::new(server, SessionOptions::new()),
            pieces: (16 * 1024, 16 * 1024),
        }
    }

    pub(crate) fn of(backend: &dyn DynBackend, configs: (ClientConfig, ServerConfig)) -> Self {
        let client = backend.client(configs.0).unwrap();
        let server = backend.server(configs.1).unwrap();
        Self::new(&*client, &*server)
    }

    /// Shakes hands until neither end goes on.
    pub(crate) fn shake_hands(&mut self) {
        let mut moved = true;
        while moved {
            moved = self.client.step(&mut self.server.inbox, self.pieces);
            moved |= self.server.step(&mut self.client.inbox, self.pieces);
        }
    }

    /// Shakes hands until the client asks something.
    pub(crate) fn shake_hands_until_asked(&mut self) {
        for _ in 0..10 {
            let mut room = vec![0; 16 * 1024];
            let inbox = &mut self.client.inbox;
            let progress = self.client.session.handshake(inbox, &mut room).unwrap();
            inbox.drain(..progress.consumed);
            let sent = &room[..progress.produced];
            self.server.inbox.extend_from_slice(sent);
            match progress.status {
                Status::WantRead => self.server.step(&mut self.client.inbox, self.pieces),
                Status::WantWrite => true,
                _ => return,
            };
        }
        panic!("the client asks nothing");
    }

    /// Shakes hands, and has either side read what the other writes.
    pub(crate) fn complete(&mut self) {
        self.shake_hands();
        self.client.talk_to(&mut self.server);
        self.server.talk_to(&mut self.client);
    }
}

impl End {
    fn new(context: &dyn DynContext, options: SessionOptions) -> Self {
        Self {
            session: context.buffer_session(options).unwrap(),
            inbox: Vec::new(),
            asked: Vec::new(),
            outcome: None,
            verdict: Verdict::Accept,
            identity: Some(Pki::shared().client.clone()),
            context: None,
        }
    }

    fn talk_to(&mut self, other: &mut Self) {
        assert!(matches!(self.outcome, Some(Ok(()))), "{:?}", self.outcome);
        let mut room = [0; 1_000];
        let written = self.session.write(b"data", &mut room).unwrap();
        assert_eq!(written.consumed, 4);
        other.inbox.extend_from_slice(&room[..written.produced]);
        assert_eq!(other.read(), b"data");
    }

    pub(crate) fn answers(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    pub(crate) fn presents(&mut self, identity: Option<Identity>) {
        self.identity = identity;
    }

    /// One call; whether it came to anything.
    fn step(&mut self, outbox: &mut Vec<u8>, (input, output): (usize, usize)) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        let mut room = vec![0; output];
        let given = input.min(self.inbox.len());
        let progress = match self.session.handshake(&mut self.inbox[..given], &mut room) {
            Ok(progress) => progress,
            Err(error) => {
                self.outcome = Some(Err(error));
                return true;
            }
        };
        self.inbox.drain(..progress.consumed);
        outbox.extend_from_slice(&room[..progress.produced]);
        match progress.status {
            Status::Complete => self.outcome = Some(Ok(())),
            Status::WantRead => return progress.consumed + progress.produced > 0,
            Status::WantWrite => {}
            status => {
                self.check_that_it_waits(status);
                self.answer(status);
            }
        }
        true
    }

    /// A suspended session takes nothing, gives nothing, and says the same again.
    fn check_that_it_waits(&mut self, status: Status) {
        let mut room = [0; 16];
        for _ in 0..2 {
            let progress = self.session.handshake(&mut self.inbox, &mut room).unwrap();
            assert_eq!(progress, tls_core::Progress::idle(status));
        }
        assert_eq!(self.session.pending_output() + self.session.buffered(), 0);
    }

    fn answer(&mut self, status: Status) {
        self.asked.push(status);
        match status {
            Status::NeedsCertificateValidation => {
                self.session.set_validation_result(self.verdict).unwrap();
            }
            Status::WantCredentials => {
                let identity = self.identity.clone();
                self.session.set_client_certificate(identity).unwrap();
            }
            Status::NeedsServerContext => {
                let context = self.context.as_deref().expect("a context to choose");
                self.session.set_context(context).unwrap();
            }
            other => panic!("{other:?} is no question"),
        }
    }

    /// Everything that has arrived.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let mut room = [0; 1_000];
            let progress = self.session.read(&mut self.inbox, &mut room).unwrap();
            self.inbox.drain(..progress.consumed);
            data.extend_from_slice(&room[..progress.produced]);
            if progress.status != Status::Complete {
                return data;
            }
        }
    }

    pub(crate) fn error(&self) -> &tls_core::Error {
        match &self.outcome {
            Some(Err(error)) => error,
            other => panic!("{other:?} is no failure"),
        }
    }
}
