//! Every example does what it says, on every backend that is compiled in, and is short.
//!
//! Cargo builds the examples with the tests, but not for `--test examples` alone: after
//! `cargo build --examples`, with the same features.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use polytls::config::Roots;
use polytls::{ClientConfig, DynBackend, SessionOptions, Status, TlsStream};
use rustix::process::{Pid, Signal};

/// Those that come to an end by themselves, and what each must print.
const PROGRAMS: &[(&str, &[&str])] = &[
    (
        "channel_binding",
        &[
            "client, directly: welcome",
            "client, through another: refused",
        ],
    ),
    ("choose_backend", &["the server got: Hello from the client"]),
    (
        "mtls",
        &[
            "client with a certificate: Hello, CN=alice.example",
            "alert certificate_required received",
        ],
    ),
    (
        "pinned_key",
        &[
            "client, the known key: hello",
            "client, another key: handshake: certificate not accepted: its issuer is unknown",
        ],
    ),
    (
        "sni_routing",
        &[
            "client: this is one.example",
            "client: this is two.example",
            "client: three.example: handshake: the peer sent a fatal alert (alert \
             unrecognized_name received)",
        ],
    ),
    (
        "starttls",
        &["server: \"hello\", over TLS", "250 hello to you too"],
    ),
];

/// Those that serve until they are ended.
const SERVERS: &[&str] = &["epoll_buffer_server", "epoll_server"];

/// Tried by hand, against servers elsewhere.
const OTHERS: &[&str] = &["client"];

#[test]
fn all_are_known_and_short() {
    let mut found = Vec::new();
    for entry in fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines < 120, "{} has {lines} lines", path.display());
            found.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    let programs = PROGRAMS.iter().map(|(name, _)| name);
    let mut known: Vec<&str> = programs.chain(SERVERS).chain(OTHERS).copied().collect();
    known.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn programs_do_what_they_say() {
    for backend in polytls::backend_names() {
        for (name, sentences) in PROGRAMS {
            let output = Command::new(program(name)).arg(backend).output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            let why = String::from_utf8_lossy(&output.stderr);
            let about = format!("{name} {backend}:\n{printed}{why}");
            assert!(output.status.success(), "{about}");
            for sentence in *sentences {
                assert!(printed.contains(sentence), "{sentence:?} not said; {about}");
            }
        }
    }
}

#[test]
fn servers_echo_to_many_at_once() {
    const CONNECTIONS: usize = 8;
    for backend in polytls::backends() {
        for name in SERVERS {
            let mut server = Server::start(name, backend.name());
            let trial = thread::scope(|scope| {
                let address = &server.address;
                let clients: Vec<_> = (0..CONNECTIONS)
                    .map(|index| {
                        let backend = &*backend;
                        scope.spawn(move || echo(backend, address, index as u8))
                    })
                    .collect();
                clients
                    .into_iter()
                    .try_for_each(|client| client.join().unwrap_or_else(|_| Err("panicked".into())))
            });
            // Interrupts what the server waits in.
            server.signal(Signal::STOP);
            server.signal(Signal::CONT);
            let trial = trial.and_then(|()| echo(&*backend, &server.address, 99));
            let alive = server.child.try_wait().unwrap().is_none();
            assert!(alive, "{name} {}: has stopped", backend.name());
            assert!(trial.is_ok(), "{name} {}: {trial:?}", backend.name());
        }
    }
}

/// More than sockets and sessions hold, so that each side has to wait for the other.
fn echo(backend: &dyn DynBackend, address: &str, seed: u8) -> Result<(), String> {
    const CHUNK: usize = 64 * 1024;
    let fail = |error: std::io::Error| error.to_string();
    let mut config = ClientConfig::new(Roots::given([]));
    config.dangerous.accept_any_certificate = true;
    let context = backend.client(config).map_err(|error| error.to_string())?;
    let options = SessionOptions::to_server("localhost").map_err(|error| error.to_string())?;
    let session = context
        .buffer_session(options)
        .map_err(|error| error.to_string())?;
    let socket = TcpStream::connect(address).map_err(fail)?;
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .map_err(fail)?;
    let mut stream = TlsStream::new(session, socket);
    let mut back = vec![0; CHUNK];
    for round in 0..16_u8 {
        let sent: Vec<u8> = (0..CHUNK).map(|index| index as u8 ^ round ^ seed).collect();
        stream.write_all(&sent).map_err(fail)?;
        stream.flush().map_err(fail)?;
        stream.read_exact(&mut back).map_err(fail)?;
        if back != sent {
            return Err(format!("round {round}: not what was sent"));
        }
    }
    stream.shutdown().map_err(fail)?;
    match (
        stream.read(&mut back).map_err(fail)?,
        stream.shutdown().map_err(fail)?,
    ) {
        (0, Status::Closed) => Ok(()),
        (count, status) => Err(format!("{count} bytes after the end, {status:?}")),
    }
}

/// An example that serves; ended when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(name: &str, backend: &str) -> Self {
        let mut child = Command::new(program(name))
            .args(["127.0.0.1:0", backend])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        printed.read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo has put an example: beside the directory of this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let program = target.join("examples").join(name);
    assert!(program.is_file(), "{} is not built", program.display());
    program
}
