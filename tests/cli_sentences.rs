//! What the program says when it is given something it cannot use: one sentence, which names the
//! file or the name, and exit code 1; 2 if the command line itself is wrong.

#![cfg(feature = "cli")]

mod cli_common;

use std::process::Output;

use cli_common::{Pki, expect_success, expect_words, finish, program, run, sentence};
use polytls::iana::{CipherSuite, Group};
use polytls::{Feature, Support};
use serde_json::Value;

/// `terminate` with this identity on every backend; it must fail before it listens.
fn terminate(backend: &str, more: &[&str]) -> Output {
    let words = [
        "terminate",
        "--listen",
        "127.0.0.1:0",
        "--to",
        "127.0.0.1:1",
    ];
    run(&[&words[..], &["--backend", backend], more].concat())
}

fn on_every_backend(check: impl Fn(&str)) {
    let names = polytls::backend_names();
    assert!(!names.is_empty(), "no backend is compiled in");
    names.into_iter().for_each(check);
}

/// A command line the parser refuses: exit code 2, and an error that has these words.
fn expect_usage(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    expect_words(&stderr, words);
}

#[test]
fn an_unknown_backend() {
    for words in [
        &["connect", "localhost:1", "--backend", "gnutls"][..],
        &["demo", "--backend", "gnutls"],
        &[
            "terminate",
            "--listen",
            "127.0.0.1:0",
            "--to",
            "127.0.0.1:1",
            "--self-signed",
            "localhost",
            "--backend",
            "gnutls",
        ],
    ] {
        let sentence = sentence(&run(words));
        expect_words(&sentence, &["\"gnutls\""]);
        expect_words(&sentence, &polytls::backend_names());
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let pki = Pki::new();
    let (cert, key) = (pki.path("server.pem"), pki.path("server.key"));
    let missing = pki.path("missing.pem");
    let directory = pki.path("");
    let text = pki.write("text.pem", "no PEM at all\n");
    let torn = {
        let whole = pki.read("server.pem");
        pki.write("torn.pem", &whole[..whole.len() / 2])
    };
    let torn_key = {
        let whole = pki.read("server.key");
        pki.write("torn.key", &whole[..whole.len() / 2])
    };
    let garbage = pki.write(
        "garbage.pem",
        "-----BEGIN CERTIFICATE-----\nAAECAwQF\n-----END CERTIFICATE-----\n",
    );
    let garbage_key = pki.write(
        "garbage.key",
        "-----BEGIN PRIVATE KEY-----\nAAECAwQF\n-----END PRIVATE KEY-----\n",
    );
    let encrypted = pki.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAECAwQF\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let other_key = pki.path("client.key");
    let cases: &[(&str, &str, &[&str])] = &[
        (&missing, &key, &["missing.pem", "No such file"]),
        (&cert, &missing, &["missing.pem", "No such file"]),
        (&directory, &key, &[&directory, "cannot be read"]),
        (&text, &key, &["text.pem", "no certificate"]),
        (&key, &key, &["server.key", "no certificate"]),
        (&cert, &cert, &["server.pem", "no private key"]),
        (&torn, &key, &["torn.pem", "torn"]),
        (&cert, &torn_key, &["torn.key", "torn"]),
        (&garbage, &key, &["garbage.pem"]),
        (&cert, &garbage_key, &["garbage.key"]),
        (&cert, &encrypted, &["encrypted.key", "encrypted"]),
        (
            &cert,
            &other_key,
            &["client.key", "server.pem", "does not belong"],
        ),
    ];
    on_every_backend(|backend| {
        for (cert, key, words) in cases {
            let output = terminate(backend, &["--cert", cert, "--key", key]);
            expect_words(&sentence(&output), words);
            let client = ["connect", "localhost:1", "--insecure", "--backend", backend];
            let output = run(&[&client[..], &["--cert", cert, "--key", key]].concat());
            expect_words(&sentence(&output), words);
        }
        for roots in [&missing, &text, &torn, &garbage] {
            let listener = ["--cert", &cert, "--key", &key, "--client-ca", roots];
            expect_words(&sentence(&terminate(backend, &listener)), &[roots]);
            let client = [
                "connect",
                "localhost:1",
                "--backend",
                backend,
                "--ca",
                roots,
            ];
            expect_words(&sentence(&run(&client)), &[roots]);
        }
    });
}

#[test]
fn parameters_an_engine_cannot_honour() {
    on_every_backend(|backend| {
        let refused = |more: &[&str], words: &[&str]| {
            let output = terminate(backend, &[&["--self-signed", "localhost"], more].concat());
            expect_words(&sentence(&output), words);
        };
        refused(
            &["--min-version", "1.3", "--max-version", "1.2"],
            &["lowest version"],
        );
        refused(&["--ciphers", "TLS_AES_128_GCM_SHA256"], &["TLSv1.2"]);
        refused(&["--alpn", ""], &["ALPN"]);
        let engine = polytls::backend(backend).expect("a name from the list");
        let capabilities = engine.capabilities();
        let lacks = |group: &&Group| !capabilities.groups.contains(group);
        for group in Group::REGISTERED.iter().filter(lacks) {
            refused(&["--groups", &group.to_string()], &[&group.to_string()]);
        }
        let lacks = |suite: &&CipherSuite| !capabilities.cipher_suites.contains(suite);
        for suite in CipherSuite::REGISTERED.iter().filter(lacks) {
            refused(&["--ciphers", &suite.to_string()], &[&suite.to_string()]);
        }
    });
}

#[test]
fn names_no_certificate_can_be_made_for() {
    for name in ["", "two words"] {
        let words = [
            "terminate",
            "--listen",
            "127.0.0.1:0",
            "--to",
            "127.0.0.1:1",
        ];
        let output = run(&[&words[..], &["--self-signed", name]].concat());
        expect_words(&sentence(&output), &["certificate", &format!("{name:?}")]);
    }
}

#[test]
fn command_lines_that_are_wrong() {
    let listener = [
        "terminate",
        "--listen",
        "127.0.0.1:0",
        "--to",
        "127.0.0.1:1",
    ];
    let with = |more: &[&str]| run(&[&listener[..], more].concat());
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--self-signed", "--cert"]),
        (&["--cert", "server.pem"], &["--key"]),
        (&["--self-signed", "a", "--min-version", "1.1"], &["1.1"]),
        (&["--self-signed", "a", "--mode", "kernel"], &["kernel"]),
        (&["--self-signed", "a", "--ciphers", "RC4"], &["RC4"]),
        (
            &["--self-signed", "a", "--groups", "brainpool"],
            &["brainpool"],
        ),
        (
            &["--self-signed", "a", "--client-auth", "optional"],
            &["--client-ca"],
        ),
        (
            &["--self-signed", "a", "--handshake-timeout", "-1"],
            &["--handshake-timeout"],
        ),
        (
            &["--self-signed", "a", "--handshake-timeout", "soon"],
            &["soon"],
        ),
        (
            &["--self-signed", "a", "--max-connections", "0"],
            &["--max-connections"],
        ),
        (&["--self-signed", "a", "--threads", "0"], &["--threads"]),
    ];
    for (more, words) in cases {
        expect_usage(&with(more), words);
    }
    expect_usage(&run(&["connect", "localhost"]), &["HOST:PORT"]);
    expect_usage(&run(&["connect", "::1:443"]), &["brackets"]);
    expect_usage(
        &run(&["connect", "a:1", "--ca", "x", "--insecure"]),
        &["--insecure"],
    );
    expect_usage(&run(&["connect", "a:1", "--cert", "x"]), &["--key"]);
    expect_usage(&run(&["decrypt"]), &["decrypt"]);
    expect_usage(&run::<&str>(&[]), &["Usage"]);
}

#[test]
fn a_refused_connection_names_the_server() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let output = run(&["connect", &address, "--insecure"]);
    expect_words(&sentence(&output), &[&address, "refused"]);
}

#[test]
fn the_json_lists_every_feature_of_every_backend() {
    let output = run(&["backends", "--json"]);
    expect_success(&output);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let listed = json["backends"].as_array().expect("an array");
    let backends = polytls::backends();
    assert_eq!(listed.len(), backends.len());
    for (listed, backend) in listed.iter().zip(&backends) {
        let info = backend.build_info();
        assert_eq!(listed["name"], backend.name());
        assert_eq!(listed["library"], info.library);
        assert_eq!(listed["version"], info.version);
        let features = listed["features"].as_object().expect("an object");
        assert_eq!(features.len(), Feature::ALL.len());
        for feature in Feature::ALL {
            let described = &features[feature.name()];
            let support = backend.capabilities().support(*feature);
            assert_eq!(described["support"], support.to_string());
            match support {
                Support::Unsupported(reason) => assert_eq!(described["reason"], reason),
                _ => assert!(described["reason"].is_null()),
            }
        }
        for (list, length) in [
            ("cipher_suites", backend.capabilities().cipher_suites.len()),
            ("groups", backend.capabilities().groups.len()),
        ] {
            let list = listed[list].as_array().expect("an array");
            assert_eq!(list.len(), length);
            assert!(length > 0, "{} has none", backend.name());
            assert!(
                list.iter()
                    .all(|e| e["name"].is_string() && e["number"].is_u64())
            );
        }
    }
}

#[test]
fn the_table_lists_every_feature_of_every_backend() {
    let output = run(&["backends"]);
    expect_success(&output);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for backend in polytls::backends() {
        expect_words(&text, &[backend.name(), &backend.build_info().to_string()]);
        for feature in Feature::ALL {
            expect_words(&text, &[feature.name()]);
            if let Support::Unsupported(reason) = backend.capabilities().support(*feature) {
                expect_words(&text, &[reason]);
            }
        }
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = program(&["backends"]).spawn().expect("the program");
    drop(child.stdout.take());
    expect_success(&finish(child));
}

#[test]
fn the_demo_runs_on_every_backend_mode_and_version() {
    let output = run(&["demo", "--size", "2"]);
    expect_success(&output);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows = text.lines().filter(|line| line.contains("MiB/s")).count();
    let backends = polytls::backends();
    let count = |feature| {
        let support = backends
            .iter()
            .map(|backend| backend.capabilities().support(feature));
        support.filter(|support| support.is_available()).count()
    };
    // All backends have both versions; both modes exist wherever there are Unix sockets.
    assert_eq!(count(Feature::Tls12), count(Feature::Tls13));
    assert_eq!(
        rows,
        2 * (count(Feature::SocketMode) + count(Feature::BufferMode)),
        "{text}"
    );
    assert!(!text.contains("failed"), "{text}");
}
