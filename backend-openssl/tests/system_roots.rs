//! The system's roots, as the environment names them. The environment belongs to the process, so
//! each case runs in one of its own.

mod common;

use std::path::Path;
use std::process::Command;

use backend_openssl::OpenSsl;
use common::{Mode, Pki, SERVER_NAME, client_config, connect, server_config};
use openssl::x509::X509;
use tls_core::config::{ClientAuthentication, Identity, Roots};
use tls_core::iana::ProtocolVersion;
use tls_core::{Backend, CertificateProblem, ClientConfig, ConfigProblem, ErrorKind, ServerConfig};

/// Names the directory with the certificates, in the processes that run a case.
const DIRECTORY: &str = "POLYTLS_TEST_DIRECTORY";

/// Runs one of the tests below, which are ignored otherwise, with an environment.
#[track_caller]
fn run(case: &str, directory: &Path, environment: &[(&str, &Path)]) {
    // The file is a test of its own, or a module of another.
    let case = match module_path!().split_once("::") {
        Some((_, module)) => format!("{module}::{case}"),
        None => case.to_owned(),
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &case, "--ignored"])
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .envs(environment.iter().copied())
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{case}: {said}");
    assert!(said.contains("1 passed"), "{case}: {said}");
}

#[test]
fn the_environment_names_the_systems_roots() {
    let directory = std::env::temp_dir().join(format!("polytls-roots-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let pki = Pki::new();
    let leaf = pki.server();
    let files = [
        ("ca.pem", "CERTIFICATE", pki.certificate().to_vec()),
        ("leaf.pem", "CERTIFICATE", leaf.certificate().to_vec()),
        ("key.pem", "PRIVATE KEY", leaf.key.secret_der().to_vec()),
    ];
    for (name, label, der) in files {
        std::fs::write(directory.join(name), pem(label, &der)).unwrap();
    }
    let authority = directory.join("ca.pem");
    let nothing = directory.join("nothing");

    run("accepts", &directory, &[("SSL_CERT_FILE", &authority)]);
    run(
        "does_not_accept",
        &directory,
        &[("SSL_CERT_DIR", &directory)],
    );
    run("does_not_accept", &directory, &[]);
    let hashed = directory.join("hashed");
    std::fs::create_dir_all(&hashed).unwrap();
    let hash = X509::from_der(&pki.certificate())
        .unwrap()
        .subject_name_hash();
    std::fs::copy(&authority, hashed.join(format!("{hash:08x}.0"))).unwrap();
    let list = std::env::join_paths([&directory, &hashed]).unwrap();
    run("accepts", &directory, &[("SSL_CERT_DIR", Path::new(&list))]);
    run(
        "accepts",
        &directory,
        &[("SSL_CERT_FILE", &nothing), ("SSL_CERT_DIR", &hashed)],
    );
    let torn = directory.join("torn.pem");
    std::fs::write(&torn, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    run("is_refused", &directory, &[("SSL_CERT_FILE", &torn)]);
    run(
        "is_refused",
        &directory,
        &[("SSL_CERT_FILE", &nothing), ("SSL_CERT_DIR", &nothing)],
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = openssl::base64::encode_block(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn configs() -> (ClientConfig, ServerConfig) {
    let directory = std::env::var_os(DIRECTORY).expect("the directory");
    let directory = Path::new(&directory);
    let identity =
        Identity::from_pem_files(directory.join("leaf.pem"), directory.join("key.pem")).unwrap();
    (
        ClientConfig::new(Roots::system()),
        ServerConfig::new(identity),
    )
}

#[test]
#[ignore = "run by the test above, in an environment of its own"]
fn accepts() {
    let (client, server) = configs();
    connect(Mode::Socket, client, server).succeeded();
}

#[test]
#[ignore = "run by the test above, in an environment of its own"]
fn does_not_accept() {
    let (client, server) = configs();
    // A machine may have no roots at all, which is said when the context is built.
    if let Err(error) = OpenSsl::new().client(client.clone()) {
        assert_eq!(error.kind(), ErrorKind::Config(ConfigProblem::TrustRoots));
        return;
    }
    let outcome = connect(Mode::Socket, client, server);
    let unknown = ErrorKind::Certificate(CertificateProblem::UnknownIssuer);
    assert_eq!(outcome.client.kind(), unknown);
}

#[test]
#[ignore = "run by the test above, in an environment of its own"]
fn is_refused() {
    let (client, _) = configs();
    let Err(error) = OpenSsl::new().client(client) else {
        panic!("there are no roots");
    };
    assert_eq!(error.kind(), ErrorKind::Config(ConfigProblem::TrustRoots));
    let says = ["SSL_CERT_FILE", "torn.pem"];
    assert!(
        says.iter().any(|what| error.detail().contains(what)),
        "{error}"
    );
}

#[test]
fn the_systems_roots_never_vouch_for_clients() {
    let pki = Pki::new();
    let mut server = server_config(pki.server());
    server.client_authentication = ClientAuthentication::Required(pki.roots().and_system());
    let Err(error) = OpenSsl::new().server(server) else {
        panic!("the system's roots were taken");
    };
    assert_eq!(error.kind(), ErrorKind::Config(ConfigProblem::TrustRoots));

    let mut both = client_config(&pki, ProtocolVersion::TLS1_3);
    both.roots = pki.roots().and_system();
    if OpenSsl::new().client(both.clone()).is_ok() {
        let (client, _) = connect(Mode::Buffer, both, server_config(pki.server())).succeeded();
        assert_eq!(client.server_name.as_deref(), Some(SERVER_NAME));
    }
}
