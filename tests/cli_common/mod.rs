//! What the tests of the command line share: certificates, the program, and a server to talk to.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use polytls::config::{ClientAuthentication, Identity, Roots};
use polytls::iana::ProtocolVersion;
use polytls::pki_types::{CertificateDer, PrivateKeyDer};
use polytls::{Progress, Result, ServerConfig, SessionOptions, SocketSession, Status};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

/// No run of the program, and no wait for the other side, may take longer.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(60);

/// An authority, a server and a client, as files and as values.
pub(crate) struct Pki {
    pub(crate) directory: TempDir,
    authority: CertificateDer<'static>,
    server: Identity,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::of("tests")
    }

    /// Engines tell authorities apart by their names.
    pub(crate) fn of(authority: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, authority);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let authority = issuer.der().clone();

        let issue = |name: &str, usage| {
            let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            let path = |kind| directory.path().join(format!("{name}.{kind}"));
            std::fs::write(path("pem"), certificate.pem()).expect("a file");
            std::fs::write(path("key"), key.serialize_pem()).expect("a file");
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            Identity::from_der(vec![certificate.der().clone()], key).expect("an identity")
        };
        let server = issue("server", ExtendedKeyUsagePurpose::ServerAuth);
        issue("client", ExtendedKeyUsagePurpose::ClientAuth);
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self {
            directory,
            authority,
            server,
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        path.to_str().expect("a temporary path in UTF-8").to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        std::fs::write(self.directory.path().join(name), text).expect("a file");
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).expect("a file")
    }

    pub(crate) fn server_config(&self, version: ProtocolVersion) -> ServerConfig {
        let mut config = ServerConfig::new(self.server.clone());
        config.parameters.min_version = version;
        config.parameters.max_version = version;
        config
    }

    pub(crate) fn requires_clients(&self, mut config: ServerConfig) -> ServerConfig {
        let roots = Roots::given([self.authority.clone()]);
        config.client_authentication = ClientAuthentication::Required(roots);
        config
    }
}

pub(crate) fn program<A: AsRef<str>>(arguments: &[A]) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_polytls")));
    command
        .args(arguments.iter().map(AsRef::as_ref))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits for the end of the program; a program that does not end is killed, and the test fails.
pub(crate) fn finish(mut child: Child) -> Output {
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut all = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut all).expect("a readable pipe");
            }
            all
        })
    };
    let stdout = drain(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = drain(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let deadline = Instant::now() + TIME_LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child to kill");
            child.wait().expect("a child");
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let output = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(status) = status else {
        panic!(
            "the program does not end; stderr: {}",
            String::from_utf8_lossy(&output.1)
        );
    };
    Output {
        status,
        stdout: output.0,
        stderr: output.1,
    }
}

pub(crate) fn run<A: AsRef<str>>(arguments: &[A]) -> Output {
    finish(program(arguments).spawn().expect("the program starts"))
}

/// The one sentence a failed run must end with.
pub(crate) fn sentence(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let sentences: Vec<_> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("polytls: "))
        .collect();
    let [sentence] = sentences[..] else {
        panic!("not one sentence: {stderr}");
    };
    assert!(stderr.ends_with(&format!("{sentence}\n")), "{stderr}");
    sentence.to_owned()
}

pub(crate) fn expect_words(sentence: &str, words: &[&str]) {
    for word in words {
        assert!(sentence.contains(word), "{word:?} is not in {sentence:?}");
    }
}

pub(crate) fn expect_success(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("polytls: "), "{stderr}");
}

/// Every backend in every mode and version: the words that choose them, and the version.
pub(crate) fn variants() -> Vec<(Vec<String>, ProtocolVersion)> {
    let mut variants = Vec::new();
    for backend in polytls::backend_names() {
        for mode in ["socket", "buffer"] {
            for (text, version) in [
                ("1.2", ProtocolVersion::TLS1_2),
                ("1.3", ProtocolVersion::TLS1_3),
            ] {
                let words = [
                    "--backend",
                    backend,
                    "--mode",
                    mode,
                    "--min-version",
                    text,
                    "--max-version",
                    text,
                ];
                variants.push((words.map(str::to_owned).to_vec(), version));
            }
        }
    }
    assert!(!variants.is_empty(), "no backend is compiled in");
    variants
}

/// A server for one connection, in a thread.
pub(crate) struct Server<T> {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// A TLS server on the first backend.
    pub(crate) fn tls(
        config: ServerConfig,
        serve: impl FnOnce(Peer) -> T + Send + 'static,
    ) -> Self {
        Self::tcp(move |socket| {
            let backend = polytls::backends().remove(0);
            let context = backend.server(config).expect("a context");
            socket.set_nonblocking(true).expect("a socket");
            let session = context
                .socket_session(OwnedFd::from(socket), SessionOptions::new())
                .expect("a session");
            serve(Peer(session))
        })
    }

    pub(crate) fn tcp(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || {
            let (socket, _) = listener.accept().expect("a connection");
            serve(socket)
        });
        Self { address, thread }
    }

    pub(crate) fn join(self) -> T {
        self.thread.join().expect("the server is well")
    }

    /// `localhost`, for which the server has a certificate, and the port.
    pub(crate) fn name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }
}

/// The server's side of a connection, in blocking calls.
pub(crate) struct Peer(pub(crate) Box<dyn SocketSession>);

impl Peer {
    pub(crate) fn handshake(&mut self) -> Result<()> {
        self.repeat(|session| Ok(Progress::idle(session.handshake()?)))
            .map(|_| ())
    }

    pub(crate) fn read(&mut self, plaintext: &mut [u8]) -> Result<Option<usize>> {
        let progress = self.repeat(|session| session.read(plaintext))?;
        Ok((progress.status != Status::Closed).then_some(progress.produced))
    }

    pub(crate) fn read_to_end(&mut self) -> Result<Vec<u8>> {
        let (mut all, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        while let Some(length) = self.read(&mut piece)? {
            all.extend_from_slice(&piece[..length]);
        }
        Ok(all)
    }

    pub(crate) fn write_all(&mut self, mut plaintext: &[u8]) -> Result<()> {
        while !plaintext.is_empty() {
            let progress = self.repeat(|session| session.write(plaintext))?;
            plaintext = &plaintext[progress.consumed..];
        }
        self.repeat(|session| Ok(Progress::idle(session.flush()?)))
            .map(|_| ())
    }

    pub(crate) fn shutdown(&mut self) -> Result<()> {
        self.repeat(|session| Ok(Progress::idle(session.shutdown()?)))
            .map(|_| ())
    }

    fn repeat(
        &mut self,
        mut step: impl FnMut(&mut dyn SocketSession) -> Result<Progress>,
    ) -> Result<Progress> {
        loop {
            let progress = step(&mut *self.0)?;
            let wanted = match progress.status {
                Status::WantRead => PollFlags::IN,
                Status::WantWrite => PollFlags::OUT,
                _ => return Ok(progress),
            };
            let limit = Timespec::try_from(TIME_LIMIT).expect("a limit");
            let ready = poll(&mut [PollFd::new(&self.0, wanted)], Some(&limit));
            assert_eq!(ready, Ok(1), "the program moves nothing");
        }
    }
}

/// Bytes without a short period.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Writes to the stdin of a child in a thread, then closes it.
pub(crate) fn feed(child: &mut Child, bytes: Vec<u8>) -> JoinHandle<()> {
    let mut stdin = child.stdin.take().expect("a stdin");
    // A child that stopped reading is judged by how it ended.
    thread::spawn(move || drop(stdin.write_all(&bytes)))
}
