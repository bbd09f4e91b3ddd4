//! A client that follows a renegotiation, against `openssl s_server`, which can start one: no server of
//! this library can.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use backend_boring::{Boring, SocketSession};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use tls_core::config::{Identity, Roots};
use tls_core::iana::ProtocolVersion;
use tls_core::{
    Backend, ClientConfig, Context, Error, Session, SessionOptions, SocketSession as _, Status,
};

const NAME: &str = "server.example";
const PATIENCE: Duration = Duration::from_secs(20);

/// The program, which is ended with the test.
struct Server {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn say(&mut self, line: &str) {
        // At once: a command whose line arrives in two pieces is taken for data.
        let line = format!("{line}\n");
        self.stdin
            .write_all(line.as_bytes())
            .expect("s_server reads");
    }

    /// What stands before and behind this in the first line from here on that has it.
    fn says(&self, what: &str) -> (String, String) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect(what);
            if let Some((before, behind)) = line.split_once(what) {
                return (before.trim().to_owned(), behind.trim().to_owned());
            }
        }
    }
}

fn connected(allow_renegotiation: bool) -> (Server, SocketSession<'static>) {
    let folder = std::env::temp_dir().join(format!(
        "polytls-renegotiation-{}-{allow_renegotiation}",
        std::process::id()
    ));
    std::fs::create_dir_all(&folder).expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([NAME.to_owned()]).expect("names");
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.self_signed(&key).expect("a certificate");
    let (chain, secret) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, certificate.pem()).expect("a file");
    std::fs::write(&secret, key.serialize_pem()).expect("a file");

    let mut child = Command::new("openssl")
        .args([
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-tls1_2",
            "-naccept",
            "1",
        ])
        .arg("-cert")
        .arg(&chain)
        .arg("-key")
        .arg(&secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let server = Server {
        stdin: child.stdin.take().expect("a pipe"),
        child,
        lines,
    };
    let (_, address) = server.says("ACCEPT ");
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_nonblocking(true).expect("a socket");
    std::fs::remove_dir_all(&folder).expect("the folder");

    let der = certificate.der().clone();
    let mut config = ClientConfig::new(Roots::given([der]));
    let pem = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(pem.0.as_bytes(), pem.1.as_bytes());
    config.identity = Some(identity.expect("an identity"));
    config.parameters.max_version = ProtocolVersion::TLS1_2;
    config.parameters.allow_renegotiation = allow_renegotiation;
    let client = Boring::new().client(config).expect("a client context");
    let options = SessionOptions::to_server(NAME).expect("a name");
    let mut session = client
        .socket_session(OwnedFd::from(socket), options)
        .expect("a session");
    let until = Instant::now() + PATIENCE;
    while session.handshake().expect("a handshake") != Status::Complete {
        assert!(Instant::now() < until, "no handshake");
        thread::sleep(Duration::from_millis(2));
    }
    (server, session)
}

/// Reads until this many bytes are there, or the session fails.
fn read(session: &mut SocketSession<'_>, length: usize) -> Result<Vec<u8>, Error> {
    let (mut data, mut plaintext) = (Vec::new(), [0; 100]);
    let until = Instant::now() + PATIENCE;
    while data.len() < length {
        let progress = session.read(&mut plaintext)?;
        data.extend_from_slice(&plaintext[..progress.produced]);
        let _ = session.flush();
        if progress.status == Status::WantRead {
            assert!(Instant::now() < until, "only {data:?} came");
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(data)
}

#[test]
fn a_client_follows_where_that_is_allowed() {
    let (mut server, mut client) = connected(true);
    let facts = client.facts().cloned();
    server.say("before");
    assert_eq!(read(&mut client, 7).expect("data"), b"before\n");
    for _ in 0..3 {
        // `R` asks for a certificate and renegotiates; what is typed next is data again.
        server.say("R");
        // Only what the client reads makes it answer.
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            let progress = client.read(&mut [0; 10]).expect("a renegotiation");
            assert_eq!(progress.produced, 0);
            let _ = client.flush();
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(client.write(b"answer\n").expect("a write").consumed, 7);
        client.flush().expect("a flush");
        server.says("answer");
        server.say("after");
        assert_eq!(read(&mut client, 6).expect("data"), b"after\n");
    }
    assert_eq!(client.facts().cloned(), facts);
    // Then it tells how many handshakes it has seen to their end.
    client.shutdown().expect("a shutdown");
    drop(client);
    assert_eq!(server.says("server accepts that finished").0, "4");
}

#[test]
fn a_client_refuses_otherwise() {
    let (mut server, mut client) = connected(false);
    server.say("R");
    let error = read(&mut client, 1).expect_err("a refusal");
    let alert = error.alert().expect("an alert").description;
    assert_eq!(alert, tls_core::iana::AlertDescription::NO_RENEGOTIATION);
}
