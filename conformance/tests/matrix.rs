//! The matrix must be able to fail. A peer that does something wrong is seen to be noticed, by the
//! programs themselves: one cell, with a backend that is compiled in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use conformance::matrix::peer::Sabotage;
use serde_json::Value;

const PEER: &str = env!("CARGO_BIN_EXE_peer");
/// A test that stands beside the known failures of a backend.
const RAW_TEST: &str = "libressl_sends_no_alert_without_a_common_group";

/// The steps of a cell with TLS 1.3.
const STEPS: [&str; 12] = [
    "handshake",
    "alpn",
    "sni",
    "client_certificate",
    "bindings",
    "resumption",
    "duplex",
    "key_update",
    "half_close",
    "truncation",
    "rejected_server",
    "rejected_client",
];

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

/// The step in the cell that is run, as a known gap names it.
fn cell_of(step: &str) -> String {
    let backend = backend();
    format!("{step}/{backend}/{backend}/1.3/socket/buffer")
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
    assert_eq!(names, STEPS);
    for step in steps {
        assert!(["passed", "unsupported"].contains(&step["outcome"].as_str().unwrap()));
        assert!(step["reason"].is_string());
    }
}

/// What makes which steps fail. The peer lies on both sides, so that they agree.
const NOTICED: &[(&str, &[&str])] = &[
    (
        "wrong-alert",
        &[
            "step alpn: [alert:ech_required]",
            "expected the alert no_application_protocol sent",
            "step rejected_server: [alert:access_denied]",
            "step rejected_client: [alert:access_denied]",
            "expected the alert unknown_ca sent",
        ],
    ),
    (
        "lost-byte",
        &[
            "step handshake: [assertion] the server received 399 bytes where 400 were sent",
            "step duplex: [assertion] the server received 8388607 bytes where 8388608 were sent",
        ],
    ),
    (
        "changed-byte",
        &["step duplex: [assertion] the server received 8388608 bytes that are not those"],
    ),
    (
        "wrong-export",
        &["step bindings: [assertion] what the server exports, and the client"],
    ),
    (
        "wrong-binding",
        &["step bindings: [assertion] tls-server-end-point of the server, and the client"],
    ),
    (
        "no-binding",
        &["step bindings: [assertion] tls-server-end-point, as the client tells it"],
    ),
    (
        "clean-end",
        &["step truncation: [assertion] what the client cut is taken for a clean end"],
    ),
    (
        "never-resumed",
        &["step resumption: [assertion] resumed: expected true, met false"],
    ),
    (
        "always-resumed",
        &[
            "step handshake: [assertion] resumed at the first meeting: expected false, met true",
            "step resumption: [assertion] resumed: expected false, met true",
        ],
    ),
    (
        "wrong-version",
        &["step handshake: [assertion] the version, as the client tells it"],
    ),
    (
        "wrong-suite",
        &["step handshake: [assertion] whether TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is"],
    ),
    (
        "no-group",
        &["step handshake: [assertion] the client tells no group"],
    ),
    (
        "wrong-protocol",
        &[
            "step handshake: [assertion] a protocol nobody asked for",
            "step alpn: [assertion] the protocol: ",
        ],
    ),
    ("wrong-name", &["step sni: [assertion] the server name: "]),
    (
        "invented-name",
        &["step sni: [assertion] a server name that was not sent"],
    ),
    (
        "lost-chain",
        &[
            "step handshake: [assertion] the server's chain, as the client tells it",
            "step client_certificate: [assertion] the client's chain, as the server tells it",
        ],
    ),
    (
        "invented-chain",
        &["step handshake: [assertion] the chain of a client that was not asked"],
    ),
    (
        "ends-both",
        &["step half_close: [assertion] the transfer: the client met both directions"],
    ),
    (
        "no-key-update",
        &["step key_update: [assertion] a KeyUpdate of the client: nothing was queued"],
    ),
];

#[test]
fn what_a_peer_does_wrong_is_noticed() {
    // Some at a time: each is two programs, and none may be so slow that it is taken for hanging.
    for some in NOTICED.chunks(4) {
        thread::scope(|scope| {
            for (how, sentences) in some {
                scope.spawn(|| Run::new().sabotaged(how).come().fails(sentences));
            }
        });
    }
}

/// A step that no sabotage fails could be one that never fails.
#[test]
fn every_step_is_seen_to_fail_by_its_assertions() {
    let sentences = || NOTICED.iter().flat_map(|(_, sentences)| *sentences);
    for step in STEPS {
        let start = format!("step {step}: [");
        assert!(
            sentences().any(|sentence| sentence.starts_with(&start)),
            "{step}"
        );
    }
    // These stop the whole peer, and have tests of their own.
    let stops = [Sabotage::Dies, Sabotage::Hangs, Sabotage::Babbles];
    for sabotage in Sabotage::ALL {
        let is_there = NOTICED.iter().any(|(how, _)| *how == sabotage.name());
        assert_ne!(is_there, stops.contains(&sabotage), "{sabotage:?}");
    }
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
    let step = &cell_of("resumption");
    let declared = sabotaged().gaps("declared.toml", step, "assertion").come();
    assert!(declared.green, "{}", declared.text);
    assert!(declared.text.contains("1 known gaps"), "{}", declared.text);
    assert!(declared.text.contains("so it is"), "{}", declared.text);
    sabotaged()
        .gaps("otherwise.toml", step, "hang")
        .come()
        .fails(&["declared to fail with \"hang\", it fails otherwise"]);
    Run::new()
        .gaps("passes.toml", &cell_of("duplex"), "assertion")
        .come()
        .fails(&["step duplex: it passes, though a known failure is declared"]);
    Run::new()
        .gaps("stale.toml", "no_such_step/*", "assertion")
        .come()
        .fails(&["problem: the known gap \"no_such_step/*\" matches no step of any cell"]);
}

/// A gap in every cell, which fails as declared: it would be green but for the limit.
#[test]
fn too_many_declared_gaps_are_noticed() {
    Run::new()
        .sabotaged("never-resumed")
        .gaps("many.toml", "resumption/*", "assertion")
        .come()
        .fails(&[
            "1 known gaps, 0 failed, 0 missing",
            "problem: 200 of 200 cells are declared known failures, more than 5 %",
        ]);
}
