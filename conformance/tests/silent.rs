//! A session that goes well says nothing: neither the project nor its engines write to the terminal.

use std::process::Command;

#[test]
fn good_sessions_log_nothing() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_conformance"));
    let backend = polytls::backend_names();
    let backend = backend.first().expect("a backend is compiled in");
    let ran = program
        .args([
            "--backend",
            backend,
            "--filter",
            "{handshake,data,shutdown}.*",
        ])
        // What programs with a logger listen to.
        .envs([("RUST_LOG", "trace"), ("SSLKEYLOGFILE", "/nowhere/keys")])
        .output()
        .expect("the program starts");
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    for line in told.lines() {
        // The report is all there is.
        let known = ["known failures declared: ", "backend ", "  K"];
        let is_total = line.split_once(" runs: ").is_some();
        assert!(
            is_total || known.iter().any(|start| line.starts_with(start)),
            "somebody wrote {line:?}"
        );
    }
}
