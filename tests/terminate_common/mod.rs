//! The program under test, a client of it, and servers behind it.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use polytls::config::{Identity, Roots};
use polytls::pki_types::CertificateDer;
use polytls::{
    ClientConfig, DynContext, Error, ErrorKind, Progress, SessionOptions, SocketSession, Status,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const NAME: &str = "localhost";

/// Every backend compiled in, in both modes.
pub(crate) fn variants() -> Vec<(&'static str, &'static str)> {
    polytls::backend_names()
        .into_iter()
        .flat_map(|backend| [(backend, "socket"), (backend, "buffer")])
        .collect()
}

/// A directory with a certificate authority, and a certificate for [`NAME`].
pub(crate) struct Pki {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca: Vec<u8>,
}

/// A certificate of the authority, and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

impl Leaf {
    /// Certificate and key in one text.
    pub(crate) fn bundle(&self) -> String {
        format!("{}{}", self.certificate_pem, self.key_pem)
    }
}

impl Pki {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        // Named apart from the leaf, which would else pass for self-signed.
        ca.distinguished_name.push(DnType::CommonName, "authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let pki = Self {
            directory,
            issuer: Issuer::new(ca, ca_key),
            ca: ca_certificate.pem().into_bytes(),
        };
        let leaf = pki.issue(NAME);
        std::fs::write(pki.path().join("cert.pem"), leaf.certificate_pem).unwrap();
        std::fs::write(pki.path().join("key.pem"), leaf.key_pem).unwrap();
        pki
    }

    /// A new certificate for a name.
    pub(crate) fn issue(&self, name: &str) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            certificate: leaf.der().clone(),
            certificate_pem: leaf.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A client that trusts the authority.
    pub(crate) fn client(&self, backend: &str) -> Box<dyn DynContext> {
        self.client_with(backend, None)
    }

    /// The same, with a certificate to present if asked.
    pub(crate) fn client_with(&self, backend: &str, leaf: Option<&Leaf>) -> Box<dyn DynContext> {
        let roots = Roots::from_pem(&self.ca).unwrap();
        let mut config = ClientConfig::new(roots);
        config.identity = leaf.map(|leaf| {
            let bundle = leaf.bundle();
            Identity::from_pem(bundle.as_bytes(), bundle.as_bytes()).unwrap()
        });
        let backend = polytls::backend(backend).unwrap();
        backend.client(config).unwrap()
    }
}

/// The program under test.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// `polytls terminate` in front of this address.
    pub(crate) fn terminate(
        pki: &Pki,
        (backend, mode): (&str, &str),
        to: SocketAddr,
        more: &[&str],
    ) -> Self {
        let to = to.to_string();
        let mut arguments = vec![
            "terminate",
            "--to",
            &to,
            "--backend",
            backend,
            "--mode",
            mode,
        ];
        arguments.extend(more);
        Self::start(pki, &arguments)
    }

    /// `polytls terminate` with a bundle for each name.
    pub(crate) fn terminate_by_name(
        pki: &Pki,
        (backend, mode): (&str, &str),
        to: SocketAddr,
        directory: &Path,
        more: &[&str],
    ) -> Self {
        let mut command = program();
        command.args(["terminate", "--backend", backend, "--mode", mode, "--to"]);
        command.arg(to.to_string()).arg("--sni-map").arg(directory);
        command.args(more);
        Self::launch(pki, command)
    }

    pub(crate) fn start(pki: &Pki, arguments: &[&str]) -> Self {
        Self::launch(pki, command(pki, arguments))
    }

    fn launch(pki: &Pki, mut command: Command) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = pki.path().join(format!("log-{count}"));
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            let text = std::fs::read_to_string(&log).unwrap();
            let line = text
                .lines()
                .find(|line| line.contains("listening") && line.contains("address="));
            if let Some(line) = line {
                let (_, rest) = line.split_once("address=").unwrap();
                break rest.split_whitespace().next().unwrap().parse().unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the program ended with {status}: {text}");
            }
            assert!(
                Instant::now() < deadline,
                "the program does not listen: {text}"
            );
            sleep(Duration::from_millis(5));
        };
        Self {
            child,
            log,
            address,
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has a line that contains all of these.
    pub(crate) fn wait_for_line(&self, parts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)))
            {
                return line.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "no line with {parts:?} in: {log}"
            );
            sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the program goes on: {}",
                self.log()
            );
            sleep(Duration::from_millis(5));
        }
    }

    /// Asks the program to stop, and expects it to do so without a panic on the way.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        let log = self.log();
        assert!(status.success(), "{status}: {log}");
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with an identity, not started.
pub(crate) fn command(pki: &Pki, arguments: &[&str]) -> Command {
    let mut command = program();
    command
        .args(arguments)
        .arg("--cert")
        .arg(pki.path().join("cert.pem"))
        .arg("--key")
        .arg(pki.path().join("key.pem"));
    command
}

/// The program without arguments, not started.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polytls"));
    command
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A listener on a port of its own.
pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Accepts one connection, whose calls do not wait for ever.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A plain TCP connection, whose calls do not wait for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Closes so that the other side sees a reset.
pub(crate) fn reset(socket: impl AsFd) {
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
}

/// A TLS client whose calls wait.
pub(crate) struct Client {
    pub(crate) session: Box<dyn SocketSession>,
}

impl Client {
    pub(crate) fn connect(context: &dyn DynContext, address: SocketAddr) -> Self {
        Self::try_connect(context, address).unwrap()
    }

    pub(crate) fn try_connect(
        context: &dyn DynContext,
        address: SocketAddr,
    ) -> Result<Self, Error> {
        Self::try_connect_to(NAME, context, address)
    }

    pub(crate) fn try_connect_to(
        name: &str,
        context: &dyn DynContext,
        address: SocketAddr,
    ) -> Result<Self, Error> {
        let mut client = Self::start_to(name, context, address);
        client.finish_handshake()?;
        Ok(client)
    }

    /// Connected, and the handshake not begun.
    pub(crate) fn start(context: &dyn DynContext, address: SocketAddr) -> Self {
        Self::start_to(NAME, context, address)
    }

    fn start_to(name: &str, context: &dyn DynContext, address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let options = SessionOptions::to_server(name).unwrap();
        let session = context
            .socket_session(OwnedFd::from(stream), options)
            .unwrap();
        Self { session }
    }

    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let progress = self.wait_until_done(|session| session.write(bytes))?;
            bytes = &bytes[progress.consumed..];
        }
        self.complete(|session| session.flush())
    }

    /// Some bytes, or `None` after the peer's close_notify.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        let progress = self.wait_until_done(|session| session.read(buffer))?;
        Ok((progress.status != Status::Closed).then_some(progress.produced))
    }

    /// Everything up to the peer's close_notify, or what came before an error.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, Result<(), Error>) {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.read(&mut buffer) {
                Ok(Some(count)) => bytes.extend_from_slice(&buffer[..count]),
                Ok(None) => return (bytes, Ok(())),
                Err(error) => return (bytes, Err(error)),
            }
        }
    }

    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            filled += self
                .read(&mut bytes[filled..])
                .unwrap()
                .expect("closed early");
        }
        bytes
    }

    pub(crate) fn shutdown(&mut self) -> Result<(), Error> {
        self.complete(|session| session.shutdown())
    }

    /// Waits until the socket is readable, without reading.
    pub(crate) fn is_readable_within(&self, timeout: Duration) -> bool {
        wait(&self.session, PollFlags::IN, timeout)
    }

    pub(crate) fn finish_handshake(&mut self) -> Result<(), Error> {
        self.complete(|session| session.handshake())
    }

    fn complete(
        &mut self,
        mut step: impl FnMut(&mut dyn SocketSession) -> Result<Status, Error>,
    ) -> Result<(), Error> {
        let done = self.wait_until_done(|session| step(session).map(Progress::idle))?;
        assert!(matches!(done.status, Status::Complete | Status::Closed));
        Ok(())
    }

    fn wait_until_done(
        &mut self,
        mut step: impl FnMut(&mut dyn SocketSession) -> Result<Progress, Error>,
    ) -> Result<Progress, Error> {
        loop {
            let progress = step(&mut *self.session)?;
            let readiness = match progress.status {
                Status::WantRead => PollFlags::IN,
                Status::WantWrite => PollFlags::OUT,
                _ => return Ok(progress),
            };
            assert!(
                wait(&self.session, readiness, PATIENCE),
                "the session waits for {:?}",
                progress.status
            );
        }
    }
}

fn wait(socket: &impl AsFd, readiness: PollFlags, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap();
    let mut descriptors = [PollFd::new(socket, readiness)];
    rustix::event::poll(&mut descriptors, Some(&timeout)).unwrap() > 0
}

/// Bytes that show a loss, a repetition or an exchange.
pub(crate) fn pattern(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[0]
        })
        .collect()
}

pub(crate) fn is_broken_off(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Reset)
}

/// Whether a read met a reset, not an end.
pub(crate) fn is_reset(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}
