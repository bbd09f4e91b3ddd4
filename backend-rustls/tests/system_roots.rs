//! The system's roots, which the environment can put others in the place of. The environment of a
//! process cannot be changed safely, so that each case runs in one of its own.

#![cfg(feature = "aws-lc-rs")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use backend_rustls::Rustls;
use tls_core::config::Roots;
use tls_core::{Backend, ClientConfig, ConfigProblem, ErrorKind};

/// What a process of this test is to find.
const EXPECTED: &str = "POLYTLS_TEST_EXPECTED";

#[test]
fn the_environment_names_the_roots() {
    if let Ok(expected) = env::var(EXPECTED) {
        return check(&expected);
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let good = directory.join("root.pem");
    let made = rcgen::generate_simple_self_signed(["root.test".to_owned()]).unwrap();
    fs::write(&good, made.cert.pem()).unwrap();
    let empty = directory.join("empty.pem");
    fs::write(&empty, "").unwrap();
    for (file, expected) in [
        (good.as_path(), "usable"),
        (&empty, "none"),
        (Path::new("/nonexistent/roots.pem"), "none"),
    ] {
        let status = Command::new(env::current_exe().unwrap())
            .env(EXPECTED, expected)
            .env("SSL_CERT_FILE", file)
            .env_remove("SSL_CERT_DIR")
            .status()
            .unwrap();
        assert!(status.success(), "{}: not {expected}", file.display());
    }
}

fn check(expected: &str) {
    let context = Backend::client(&Rustls::new(), ClientConfig::new(Roots::system()));
    match expected {
        "usable" => drop(context.unwrap()),
        _ => assert_eq!(
            context.unwrap_err().kind(),
            ErrorKind::Config(ConfigProblem::TrustRoots)
        ),
    }
}
