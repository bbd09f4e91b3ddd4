//! The matrix must be able to fail. A peer that does something wrong is seen to be noticed, by the
//! programs themselves: one cell, with a backend that is compiled in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const PEER: &str = env!("CARGO_BIN_EXE_peer");
/// A test that stands beside the known failures of a backend.
const RAW_TEST: &str = "libressl_sends_no_alert_without_a_common_group";

/// A run of one cell.
struct Run {
    arguments: Vec<String>,
}

/// What came of it.
struct Came {
    green: bool,
    text: String,
}

impl Run {
    fn new() -> Self {
        Self::of(&format!("{}={PEER}", backend()))
    }

    fn of(peer: &str) -> Self {
        let arguments = ["--only", "*/1.3/socket/buffer", "--peer", peer];
        Self {
            arguments: arguments.map(str::to_owned).to_vec(),
        }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.push(name.to_owned());
        self.arguments.push(value.into());
        self
    }

    fn sabotaged(self, how: &str) -> Self {
        let peer = format!("{}={how}", backend());
        self.with("--sabotage", peer)
    }

    fn gaps(self, name: &str, cases: &str, kind: &str) -> Self {
        let path = scratch(name);
        let text = format!(
            "[[gap]]\ncases = {cases:?}\nreason = \"so it is\"\nlink = \"https://example.org\"\n\
             kind = {kind:?}\nlibrary = \">=0\"\ntest = {RAW_TEST:?}\n"
        );
        std::fs::write(&path, text).expect("the folder for tests can be written");
        self.with("--gaps", path.display().to_string())
    }

    fn come(self) -> Came {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_matrix"))
            .args(self.arguments)
            .output()
            .expect("the matrix can be started");
        let text = String::from_utf8_lossy(&stdout).into_owned();
        let code = status.code();
        assert!(
            matches!(code, Some(0 | 1)),
            "{code:?}: {text}\n{}",
            String::from_utf8_lossy(&stderr)
        );
        Came {
            green: status.success(),
            text,
        }
    }
}

impl Came {
    /// It failed, and says all of this.
    fn fails(&self, sentences: &[&str]) {
        assert!(!self.green, "{}", self.text);
        for sentence in sentences {
            assert!(self.text.contains(sentence), "{sentence:?}: {}", self.text);
        }
    }
}

fn backend() -> &'static str {
    polytls::backend_names()[0]
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_sound_peer_passes_and_the_report_says_so() {
    let path = scratch("matrix.json");
    let came = Run::new().with("--json", path.display().to_string()).come();
    assert!(came.green, "{}", came.text);
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cells = json["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 1);
    let cell = cells[0].as_object().unwrap();
    let library = polytls::backends()[0].build_info().to_string();
    for (key, expected) in [
        ("client", backend()),
        ("client_library", &library),
        ("server", backend()),
        ("server_library", &library),
        ("version", "1.3"),
        ("client_mode", "socket"),
        ("server_mode", "buffer"),
        ("outcome", "passed"),
    ] {
        assert_eq!(cell[key], expected, "{key}");
    }
    let steps = cell["steps"].as_array().unwrap();
    let names: Vec<_> = steps
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "handshake",
            "alpn",
            "sni",
            "client_certificate",
            "resumption",
            "duplex",
            "key_update",
            "half_close",
            "truncation",
            "rejected_server",
            "rejected_client"
        ]
    );
    for step in steps {
        assert!(["passed", "unsupported"].contains(&step["outcome"].as_str().unwrap()));
        assert!(step["reason"].is_string());
    }
}

#[test]
fn a_wrong_alert_is_noticed() {
    Run::new().sabotaged("wrong-alert").come().fails(&[
        "step alpn: [alert:ech_required]",
        "expected the alert no_application_protocol sent",
        "step rejected_server: [alert:access_denied]",
        "expected the alert unknown_ca sent",
    ]);
}

#[test]
fn a_lost_byte_is_noticed() {
    Run::new().sabotaged("lost-byte").come().fails(&[
        "step handshake: [assertion] the server received 399 bytes where 400 were sent",
        "step duplex: [assertion] the server received 8388607 bytes where 8388608 were sent",
    ]);
}

#[test]
fn a_changed_byte_is_noticed() {
    Run::new()
        .sabotaged("changed-byte")
        .come()
        .fails(&["step duplex: [assertion] the server received 8388608 bytes that are not those"]);
}

#[test]
fn a_truncation_told_as_a_clean_end_is_noticed() {
    Run::new()
        .sabotaged("clean-end")
        .come()
        .fails(&["step truncation: [assertion] what the client cut is taken for a clean end"]);
}

#[test]
fn a_key_update_that_is_not_sent_is_noticed() {
    Run::new()
        .sabotaged("no-key-update")
        .come()
        .fails(&["step key_update: [assertion] a KeyUpdate of the client: nothing was queued"]);
}

#[test]
fn a_peer_that_dies_is_noticed_and_what_it_leaves_out_is_missing() {
    Run::new().sabotaged("dies").come().fails(&[
        "step handshake: [peer] the peer ",
        "asked to transfer, it died (exit status: 3)",
        "step rejected_client\n",
        "missing: ",
    ]);
}

#[test]
fn a_peer_that_hangs_is_noticed() {
    let run = Run::new().sabotaged("hangs").with("--deadline", "1");
    run.come()
        .fails(&["step handshake: [peer]", "it gave no answer within 1.33"]);
}

#[test]
fn a_peer_that_babbles_is_noticed() {
    Run::new().sabotaged("babbles").come().fails(&[
        "step handshake: [peer]",
        "it answered \"this is no answer\"",
    ]);
}

#[test]
fn a_peer_that_does_not_start_leaves_its_cells_missing() {
    Run::of("openssl=/bin/false").come().fails(&[
        "missing: openssl/openssl/1.3/socket/buffer\n",
        "problem: the peer openssl: ended at once (exit status: 1)",
        "0 cells of 0 steps",
    ]);
}

#[test]
fn a_declared_gap_must_fail_as_declared() {
    let sabotaged = || Run::new().sabotaged("never-resumed");
    let step = "resumption/*";
    sabotaged()
        .come()
        .fails(&["step resumption: [assertion] resumed: expected true, met false"]);
    let declared = sabotaged().gaps("declared.toml", step, "assertion").come();
    assert!(declared.green, "{}", declared.text);
    assert!(declared.text.contains("1 known gaps"), "{}", declared.text);
    assert!(declared.text.contains("so it is"), "{}", declared.text);
    sabotaged()
        .gaps("otherwise.toml", step, "hang")
        .come()
        .fails(&["declared to fail with \"hang\", it fails otherwise"]);
    Run::new()
        .gaps("passes.toml", "duplex/*", "assertion")
        .come()
        .fails(&["step duplex: it passes, though a known failure is declared"]);
    Run::new()
        .gaps("stale.toml", "no_such_step/*", "assertion")
        .come()
        .fails(&["problem: the known gap \"no_such_step/*\" matches no step of any cell"]);
}
