//! `polytls serve`: files of a directory over HTTPS, and nothing outside it.

#![cfg(all(feature = "cli", target_os = "linux"))]

mod terminate_common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use polytls::config::Roots;
use polytls::{ClientConfig, DynContext};
use rustix::process::Signal;
use terminate_common::*;

/// A served directory, `root`, and a secret beside it, within the directory of the certificates.
fn site(pki: &Pki) -> PathBuf {
    let root = pki.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("index.html"), "<h1>home</h1>").unwrap();
    fs::write(root.join("a b.txt"), "0123456789").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("big.bin"), pattern(12 * 1024 * 1024 + 7, 11)).unwrap();
    fs::write(root.join("sub/index.html"), "sub").unwrap();
    fs::write(pki.path().join("secret"), "secret").unwrap();
    symlink(pki.path().join("secret"), root.join("out")).unwrap();
    symlink("../secret", root.join("relative")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    root
}

fn serve(pki: &Pki, (backend, mode): (&str, &str)) -> Program {
    let root = site(pki);
    let root = root.to_str().unwrap();
    let arguments = [
        "serve",
        "--root",
        root,
        "--backend",
        backend,
        "--mode",
        mode,
    ];
    Program::start(pki, &arguments)
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One request on a connection of its own, which must end cleanly.
fn request(
    program: &Program,
    context: &dyn DynContext,
    method: &str,
    target: &str,
    headers: &str,
) -> Answer {
    let mut client = Client::connect(context, program.address);
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let (bytes, end) = client.read_to_end();
    end.unwrap_or_else(|error| panic!("{target}: {error}"));
    let split = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("{target}: no head"));
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: bytes[split + 4..].to_vec(),
    }
}

#[test]
fn files_are_served_on_every_backend_in_both_modes() {
    for variant in variants() {
        let pki = Pki::new();
        let program = serve(&pki, variant);
        let context = pki.client(variant.0);
        let get = |target: &str| request(&program, &*context, "GET", target, "");

        let answer = get("/a%20b.txt?query");
        assert_eq!((answer.status, &*answer.body), (200, &b"0123456789"[..]));
        assert_eq!(answer.header("content-length"), Some("10"));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert_eq!(get("/").body, b"<h1>home</h1>");
        assert_eq!(get("/sub/").body, b"sub");
        let moved = get("/sub?x=1");
        assert_eq!(
            (moved.status, moved.header("location")),
            (301, Some("/sub/?x=1"))
        );
        let big = get("/big.bin");
        assert!(
            big.body == pattern(12 * 1024 * 1024 + 7, 11),
            "{} bytes",
            big.body.len()
        );

        let head = request(&program, &*context, "HEAD", "/big.bin", "");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some("12582919"));
        program.stop();
    }
}

#[test]
fn nothing_else_is_served() {
    let variant = variants()[0];
    let pki = Pki::new();
    let program = serve(&pki, variant);
    let context = pki.client(variant.0);
    for (target, status) in [
        ("/nothing", 404),
        ("/a%20b.txt/", 404),
        ("/../secret", 403),
        ("/sub/../../secret", 403),
        ("/%2e%2e/secret", 403),
        ("/%2e%2e%2fsecret", 403),
        ("/out", 403),
        ("/relative", 403),
        ("/fifo", 403),
        ("/%00", 400),
    ] {
        let answer = request(&program, &*context, "GET", target, "");
        assert_eq!(answer.status, status, "{target}");
        assert!(
            !answer.body.windows(6).any(|window| window == b"secret"),
            "{target}"
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = request(
            &program,
            &*context,
            method,
            "/a%20b.txt",
            "Content-Length: 0\r\n",
        );
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    program.stop();
}

#[test]
fn parts_and_unchanged_files() {
    let variant = variants()[0];
    let pki = Pki::new();
    let program = serve(&pki, variant);
    let context = pki.client(variant.0);
    let get = |headers: &str| request(&program, &*context, "GET", "/a%20b.txt", headers);

    let part = get("Range: bytes=2-4\r\n");
    assert_eq!((part.status, &*part.body), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(get("Range: bytes=-3\r\n").body, b"789");
    let beyond = get("Range: bytes=10-\r\n");
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */10"))
    );
    let all = get("Range: bytes=-1000\r\n");
    assert_eq!(all.header("content-range"), Some("bytes 0-9/10"));
    let empty = request(&program, &*context, "GET", "/empty", "Range: bytes=0-\r\n");
    assert_eq!(
        (empty.status, empty.header("content-range")),
        (416, Some("bytes */0"))
    );

    let modified = get("").header("last-modified").unwrap().to_owned();
    let unchanged = get(&format!("If-Modified-Since: {modified}\r\n"));
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let old = get("If-Modified-Since: Mon, 01 Jan 1990 00:00:00 GMT\r\n");
    assert_eq!(old.status, 200);
    program.stop();
}

#[test]
fn http_1_1_is_negotiated_and_idle_connections_end_when_the_program_stops() {
    let variant = variants()[0];
    let pki = Pki::new();
    let mut program = serve(&pki, variant);
    let mut config = ClientConfig::new(Roots::from_pem(&pki.ca).unwrap());
    config.parameters.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let context = polytls::backend(variant.0).unwrap().client(config).unwrap();
    let mut client = Client::connect(&*context, program.address);
    assert_eq!(client.session.alpn(), Some(&b"http/1.1"[..]));
    for _ in 0..2 {
        client
            .write_all(b"GET /a%20b.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"0123456789") {
            let mut buffer = [0; 1024];
            let count = client.read(&mut buffer).unwrap().expect("kept alive");
            answer.extend_from_slice(&buffer[..count]);
        }
    }
    let started = Instant::now();
    program.signal(Signal::TERM);
    let (rest, end) = client.read_to_end();
    end.expect("a clean end");
    assert!(rest.is_empty());
    client.shutdown().unwrap();
    drop(client);
    assert_eq!(program.wait().code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{}",
        program.log()
    );
}

#[test]
fn a_directory_that_cannot_be_served_is_named() {
    let pki = Pki::new();
    for root in ["/nonexistent/site", "Cargo.toml"] {
        let arguments = ["serve", "--root", root, "--listen", "127.0.0.1:0"];
        let output = command(&pki, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("cannot serve {root}: ")), "{text}");
    }
}

#[test]
fn a_protocol_that_is_not_spoken_cannot_be_negotiated() {
    let pki = Pki::new();
    let root = site(&pki);
    let root = root.to_str().unwrap();
    let listener = ["serve", "--root", root, "--listen", "127.0.0.1:0"];
    let output = command(&pki, &[&listener[..], &["--alpn", "h2,http/1.1"]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("\"h2\"") && text.contains("--alpn"), "{text}");
}
