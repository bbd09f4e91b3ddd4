//! `polytls terminate --sni-map`: certificates by name, and another set of them on SIGHUP.

#![cfg(feature = "cli")]

mod terminate_common;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use polytls::iana::AlertDescription;
use polytls::{AlertDirection, CertificateProblem, DynContext, Error, ErrorKind};
use rustix::process::Signal;
use terminate_common::*;

const OTHER_NAME: &str = "other.polytls.test";

/// What the log says of a reload that succeeded, and of one that did not.
const READ_AGAIN: &str = "certificates read again";
const NOT_READ_AGAIN: &str = "the old ones stay";

/// A directory of bundles, and the authority that issues them.
struct Tenants {
    pki: Pki,
    directory: PathBuf,
}

impl Tenants {
    fn new() -> Self {
        let pki = Pki::new();
        let directory = pki.path().join("bundles");
        fs::create_dir(&directory).unwrap();
        Self { pki, directory }
    }

    /// Puts a new certificate for a name into a file.
    fn install(&self, file: &str, name: &str) -> Leaf {
        let leaf = self.pki.issue(name);
        self.write(file, &leaf.bundle());
        leaf
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.join(file), text).unwrap();
    }

    fn start(&self, variant: (&str, &str), more: &[&str]) -> Program {
        let to = echo_server();
        Program::terminate_by_name(&self.pki, variant, to, &self.directory, more)
    }
}

fn on_every_variant(scenario: impl Fn(&Tenants, (&'static str, &'static str))) {
    let variants = variants();
    assert!(!variants.is_empty(), "no backend is compiled in");
    for variant in variants {
        eprintln!("{variant:?}");
        scenario(&Tenants::new(), variant);
    }
}

fn echo_server() -> SocketAddr {
    let (listener, address) = listener();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn echoes(client: &mut Client) {
    client.write_all(b"there and back").unwrap();
    assert_eq!(client.read_exactly(14), b"there and back");
}

/// Connects, moves data so that tickets arrive, and closes: whether the session was resumed.
fn visit(context: &dyn DynContext, name: &str, address: SocketAddr) -> Result<bool, Error> {
    let mut client = Client::try_connect_to(name, context, address)?;
    client.write_all(b"there and back")?;
    let mut back = [0; 64];
    let read = client.read(&mut back)?;
    assert!(read.is_some(), "closed early");
    let resumed = client.session.resumed();
    client.shutdown()?;
    Ok(resumed == Some(true))
}

/// Expects the certificate of this leaf.
fn shows(leaf: &Leaf, client: &Client) {
    let chain = client
        .session
        .peer_certificates()
        .expect("a verified chain");
    assert_eq!(chain.first(), Some(&leaf.certificate));
}

/// Asks for a reload, and waits for the line that says what came of it, the `count`th of its kind.
fn reload(program: &Program, expected: &str, count: usize) -> String {
    program.signal(Signal::HUP);
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let log = program.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(expected)).collect();
        if let Some(line) = lines.get(count - 1) {
            return (*line).to_owned();
        }
        assert!(
            std::time::Instant::now() < deadline,
            "no {expected:?} in: {log}"
        );
        thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn each_name_has_its_certificate() {
    on_every_variant(|tenants, variant| {
        let by_name = tenants.install("LocalHost.pem", NAME);
        let wildcard = tenants.install("*.polytls.test.pem", "*.polytls.test");
        let program = tenants.start(variant, &[]);
        let context = tenants.pki.client(variant.0);
        for _ in 0..2 {
            for (name, leaf) in [
                (NAME, &by_name),
                ("LOCALHOST", &by_name),
                (OTHER_NAME, &wildcard),
            ] {
                let client = Client::try_connect_to(name, &*context, program.address);
                let mut client = client.unwrap();
                shows(leaf, &client);
                echoes(&mut client);
            }
        }
        let error = Client::try_connect_to("nobody.example", &*context, program.address);
        let error = error.err().expect("nobody has this name");
        let alert = error.alert().expect("the client is told why");
        assert_eq!(alert.description, AlertDescription::UNRECOGNIZED_NAME);
        assert_eq!(alert.direction, AlertDirection::Received);
        program.wait_for_line(&["handshake_failed", "unrecognized_name"]);

        let default = tenants.install("_default.pem", "nobody.example");
        reload(&program, READ_AGAIN, 1);
        let client = Client::try_connect_to("nobody.example", &*context, program.address);
        shows(&default, &client.unwrap());
        program.stop();
    });
}

#[test]
fn a_reload_is_for_new_connections_and_takes_all_or_nothing() {
    on_every_variant(|tenants, variant| {
        let first = tenants.install("localhost.pem", NAME);
        let program = tenants.start(variant, &[]);
        let context = tenants.pki.client(variant.0);
        let mut live = Client::connect(&*context, program.address);
        echoes(&mut live);

        // One good file and one that is not: neither is taken.
        let second = tenants.install("localhost.pem", NAME);
        let torn = second.bundle();
        tenants.write("other.polytls.test.pem", &torn[..torn.len() / 2]);
        let line = reload(&program, NOT_READ_AGAIN, 1);
        assert!(line.contains("other.polytls.test.pem"), "{line}");
        let fresh = tenants.pki.client(variant.0);
        shows(&first, &Client::connect(&*fresh, program.address));
        tenants.write("other.polytls.test.pem", &torn);
        tenants.write("Other.polytls.test.pem", &torn);
        let line = reload(&program, NOT_READ_AGAIN, 2);
        assert!(line.contains("for the same server name"), "{line}");
        shows(&first, &Client::connect(&*fresh, program.address));

        fs::remove_file(tenants.directory.join("Other.polytls.test.pem")).unwrap();
        reload(&program, READ_AGAIN, 1);
        let mut client = Client::connect(&*tenants.pki.client(variant.0), program.address);
        shows(&second, &client);
        echoes(&mut client);
        echoes(&mut live);
        drop((live, client));
        program.stop();
    });
}

#[test]
fn tickets_outlive_a_reload_only_where_nothing_has_changed() {
    on_every_variant(|tenants, variant| {
        tenants.install("localhost.pem", NAME);
        tenants.install("other.polytls.test.pem", OTHER_NAME);
        let program = tenants.start(variant, &[]);
        let context = tenants.pki.client(variant.0);
        let visit = |name| visit(&*context, name, program.address).unwrap();
        for name in [NAME, OTHER_NAME] {
            assert!(!visit(name), "the first time");
            assert!(visit(name), "the second time");
        }
        tenants.install("localhost.pem", NAME);
        reload(&program, READ_AGAIN, 1);
        assert!(!visit(NAME), "another certificate");
        assert!(visit(NAME));
        assert!(visit(OTHER_NAME), "the same certificate");
        program.stop();
    });
}

#[test]
fn no_ticket_gets_around_client_authentication_that_came_by_a_reload() {
    on_every_variant(|tenants, variant| {
        tenants.install("localhost.pem", NAME);
        let program = tenants.start(variant, &[]);
        let guest = tenants.pki.client(variant.0);
        let leaf = tenants.pki.issue("a client");
        let member = tenants.pki.client_with(variant.0, Some(&leaf));
        for context in [&guest, &member] {
            assert!(!visit(&**context, NAME, program.address).unwrap());
            assert!(visit(&**context, NAME, program.address).unwrap());
        }

        let ca = String::from_utf8(tenants.pki.ca.clone()).unwrap();
        tenants.write("localhost.client-ca", &ca);
        reload(&program, READ_AGAIN, 1);
        for _ in 0..2 {
            let refused = visit(&*guest, NAME, program.address);
            let error = refused.expect_err("a guest must be refused");
            assert_eq!(error.kind(), ErrorKind::PeerAlert, "{error}");
        }
        let missing = CertificateProblem::Missing.to_string();
        program.wait_for_line(&["handshake_failed", &missing]);
        let resumed = visit(&*member, NAME, program.address).unwrap();
        assert!(
            !resumed,
            "a ticket from before says nothing of who the client is"
        );
        assert!(visit(&*member, NAME, program.address).unwrap());
        program.wait_for_line(&["client_certificate=true", "resumed=true"]);

        // And back: a guest is a guest again, by a full handshake.
        fs::remove_file(tenants.directory.join("localhost.client-ca")).unwrap();
        reload(&program, READ_AGAIN, 2);
        visit(&*guest, NAME, program.address).unwrap();
        program.stop();
    });
}

#[test]
fn what_cannot_be_served_is_said_before_anyone_connects() {
    let tenants = Tenants::new();
    let fails = |expected: &str, more: &[&str]| {
        let mut command = program();
        command.args([
            "terminate",
            "--listen",
            "127.0.0.1:0",
            "--to",
            "127.0.0.1:9",
        ]);
        command.args(["--backend", polytls::backend_names()[0], "--sni-map"]);
        let output = command.arg(&tenants.directory).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(expected), "{expected:?} in: {said}");
    };
    fails("holds no bundle", &[]);
    let leaf = tenants.install("localhost.pem", NAME);
    let other = tenants.pki.issue(NAME);
    let mixed = format!("{}{}", leaf.certificate_pem, other.key_pem);
    tenants.write("LOCALHOST.pem", &leaf.bundle());
    fails("are for the same server name", &[]);
    fs::remove_file(tenants.directory.join("LOCALHOST.pem")).unwrap();
    tenants.write("mixed.example.pem", &mixed);
    fails("mixed.example.pem", &[]);
    tenants.write("mixed.example.pem", &leaf.certificate_pem);
    fails("holds no private key", &[]);
    fs::remove_file(tenants.directory.join("mixed.example.pem")).unwrap();
    fails("cannot be used with", &["--self-signed", "localhost"]);
    // Nobody is let in without being asked, where the command line says that they are.
    let ca = String::from_utf8(tenants.pki.ca.clone()).unwrap();
    tenants.install("other.pem", OTHER_NAME);
    tenants.write("other.client-ca", &ca);
    fails(
        "localhost.pem: --client-auth",
        &["--client-auth", "required"],
    );
    fs::remove_file(tenants.directory.join("other.client-ca")).unwrap();
    fails("--client-auth", &["--client-auth", "optional"]);
    let missing = Path::new("no/such/roots");
    fails("no/such/roots", &["--client-ca", missing.to_str().unwrap()]);
}
