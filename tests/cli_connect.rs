//! `polytls connect` against servers in this process, on every backend, mode and version.

#![cfg(feature = "cli")]

mod cli_common;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cli_common::{
    Pki, Server, expect_success, expect_words, feed, finish, payload, program, run, sentence,
    variants,
};
use polytls::iana::{AlertDescription, ProtocolVersion};
use polytls::{AlertDirection, ErrorKind};

const MIB: usize = 1024 * 1024;

fn connect<T: Send + 'static>(
    pki: &Pki,
    server: &Server<T>,
    variant: &[String],
    more: &[&str],
) -> Command {
    let mut words = vec!["connect".to_owned(), server.name()];
    words.extend(["--ca".to_owned(), pki.path("ca.pem")]);
    words.extend_from_slice(variant);
    words.extend(more.iter().map(|word| (*word).to_owned()));
    let mut command = program(&words);
    command.stdin(Stdio::piped());
    command
}

#[test]
fn the_end_of_stdin_is_a_half_close() {
    let pki = Pki::new();
    let sent = payload(3 * MIB);
    for (variant, version) in variants() {
        let mut config = pki.server_config(version);
        config.parameters.alpn = vec![b"http/1.1".to_vec()];
        let server = Server::tls(config, |mut peer| {
            peer.handshake().unwrap();
            let mut all = peer.read_to_end().unwrap();
            all.reverse();
            peer.write_all(&all).unwrap();
            peer.shutdown().unwrap();
        });
        let command = &mut connect(&pki, &server, &variant, &["--alpn", "h2,http/1.1"]);
        let mut child = command.spawn().unwrap();
        let feeder = feed(&mut child, sent.clone());
        let output = finish(child);
        expect_success(&output);
        feeder.join().unwrap();
        server.join();
        let mut expected = sent.clone();
        expected.reverse();
        assert!(
            output.stdout == expected,
            "{variant:?}: other bytes came back"
        );
        let stderr = String::from_utf8(output.stderr).unwrap();
        for fact in [
            &format!("version: {version}"),
            "ALPN: http/1.1",
            "(verified)",
            "CN=server",
            "CN=tests",
            "DNS:localhost",
        ] {
            assert!(stderr.contains(fact), "{fact} is not in {stderr}");
        }
    }
}

#[test]
fn both_sides_may_write_before_they_read() {
    let pki = Pki::new();
    let sent = payload(8 * MIB);
    for (variant, version) in variants() {
        let (mine, theirs) = (sent.clone(), sent.clone());
        let server = Server::tls(pki.server_config(version), move |mut peer| {
            peer.handshake().unwrap();
            peer.write_all(&mine).unwrap();
            peer.shutdown().unwrap();
            peer.read_to_end().unwrap() == theirs
        });
        let mut child = connect(&pki, &server, &variant, &[]).spawn().unwrap();
        let feeder = feed(&mut child, sent.clone());
        let output = finish(child);
        expect_success(&output);
        feeder.join().unwrap();
        assert!(output.stdout == sent, "{variant:?}: stdout has other bytes");
        assert!(server.join(), "{variant:?}: the server got other bytes");
    }
}

#[test]
fn a_slow_reader_of_stdout_holds_the_server_back() {
    const TOTAL: usize = 64 * MIB;
    let pki = Pki::new();
    let sent: Arc<[u8]> = payload(TOTAL).into();
    let is_13 = |(_, version): &(_, _)| *version == ProtocolVersion::TLS1_3;
    for (variant, version) in variants().into_iter().filter(is_13) {
        let to_send = Arc::clone(&sent);
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let server = Server::tls(pki.server_config(version), move |mut peer| {
            peer.handshake().unwrap();
            for piece in to_send.chunks(16 * 1024) {
                peer.write_all(piece).unwrap();
                count.fetch_add(piece.len(), Ordering::Relaxed);
            }
            peer.shutdown().unwrap();
            peer.read_to_end().unwrap();
        });
        let mut command = connect(&pki, &server, &variant, &[]);
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let stalled = stalls_at(&written);
        // Sockets and pipes hold a few MiB, the program a few KiB.
        assert!(
            stalled < TOTAL / 2,
            "{variant:?}: {stalled} bytes went somewhere"
        );
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).unwrap();
        expect_success(&finish(child));
        server.join();
        assert!(all == sent[..], "{variant:?}: stdout has other bytes");
    }
}

/// Where a counter comes to a halt once it has begun to count.
fn stalls_at(counter: &AtomicUsize) -> usize {
    let mut before = 0;
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = counter.load(Ordering::Relaxed);
        if now == before && now > 0 {
            return now;
        }
        before = now;
    }
}

#[test]
fn a_reader_of_stdout_that_leaves_is_no_failure() {
    let pki = Pki::new();
    for (variant, version) in variants() {
        let server = Server::tls(pki.server_config(version), |mut peer| {
            peer.handshake().unwrap();
            // Until the program is gone.
            while peer.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let mut child = connect(&pki, &server, &variant, &[]).spawn().unwrap();
        let mut first = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let _open = child.stdin.take();
        expect_success(&finish(child));
        server.join();
    }
}

#[test]
fn a_peer_that_closes_first_still_gets_the_rest_of_the_input() {
    let pki = Pki::new();
    for (variant, version) in variants() {
        let server = Server::tls(pki.server_config(version), |mut peer| {
            peer.handshake().unwrap();
            peer.write_all(b"bye").unwrap();
            peer.shutdown().unwrap();
            peer.read_to_end().unwrap()
        });
        let mut child = connect(&pki, &server, &variant, &[]).spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut received = String::new();
        stdout.read_to_string(&mut received).unwrap();
        assert_eq!(received, "bye", "the peer's end is the end of stdout");
        stdin.write_all(b"and one thing more").unwrap();
        drop(stdin);
        expect_success(&finish(child));
        assert_eq!(server.join(), b"and one thing more");
    }
}

#[test]
fn a_peer_that_is_gone_does_not_wait_for_an_idle_stdin() {
    let pki = Pki::new();
    for (variant, version) in variants() {
        let server = Server::tls(pki.server_config(version), |mut peer| {
            peer.handshake().unwrap();
            peer.write_all(b"bye").unwrap();
            peer.shutdown().unwrap();
        });
        let mut child = connect(&pki, &server, &variant, &[]).spawn().unwrap();
        let _idle = child.stdin.take().unwrap();
        let output = finish(child);
        expect_success(&output);
        assert_eq!(output.stdout, b"bye");
        server.join();
    }
}

#[test]
fn a_truncated_answer_is_told_after_its_data() {
    let pki = Pki::new();
    for (variant, version) in variants() {
        let server = Server::tls(pki.server_config(version), |mut peer| {
            peer.handshake().unwrap();
            peer.read_to_end().unwrap();
            peer.write_all(b"half an ans").unwrap();
        });
        let mut command = connect(&pki, &server, &variant, &[]);
        let output = finish(command.stdin(Stdio::null()).spawn().unwrap());
        expect_words(
            &sentence(&output),
            &[&server.name(), "without close_notify"],
        );
        assert_eq!(output.stdout, b"half an ans");
        server.join();
    }
}

#[test]
fn client_certificates_are_presented_if_there_are_any() {
    let pki = Pki::new();
    for (variant, version) in variants() {
        let config = || pki.requires_clients(pki.server_config(version));
        let (cert, key) = (pki.path("client.pem"), pki.path("client.key"));
        let server = Server::tls(config(), |mut peer| {
            peer.handshake().unwrap();
            peer.shutdown().unwrap();
            let chain = peer.0.peer_certificates().map(<[_]>::len);
            peer.read_to_end().unwrap();
            chain
        });
        let words = ["--cert", cert.as_str(), "--key", key.as_str()];
        let mut command = connect(&pki, &server, &variant, &words);
        expect_success(&finish(command.stdin(Stdio::null()).spawn().unwrap()));
        assert_eq!(server.join(), Some(1));

        let server = Server::tls(config(), |mut peer| peer.handshake().unwrap_err().kind());
        let mut command = connect(&pki, &server, &variant, &[]);
        let output = finish(command.stdin(Stdio::null()).spawn().unwrap());
        expect_words(&sentence(&output), &[&server.name(), "alert", "received"]);
        assert!(matches!(server.join(), ErrorKind::Certificate(_)));
    }
}

#[test]
fn servers_are_verified() {
    let pki = Pki::new();
    let strangers = Pki::of("strangers");
    for (variant, version) in variants() {
        for (roots, more, word, alerts) in [
            (
                &strangers,
                &[][..],
                "issuer",
                &[AlertDescription::UNKNOWN_CA][..],
            ),
            (
                &pki,
                &["--server-name", "example.test"][..],
                "name",
                &[
                    AlertDescription::BAD_CERTIFICATE,
                    AlertDescription::CERTIFICATE_UNKNOWN,
                ],
            ),
        ] {
            let server = Server::tls(pki.server_config(version), |mut peer| {
                // A TLS 1.3 server is done before it hears of the client's verdict.
                let error = match peer.handshake() {
                    Ok(()) => peer.read_to_end().unwrap_err(),
                    Err(error) => error,
                };
                error.alert()
            });
            let mut command = connect(roots, &server, &variant, more);
            let output = finish(command.stdin(Stdio::null()).spawn().unwrap());
            expect_words(&sentence(&output), &[&server.name(), "certificate", word]);
            let alert = server.join().expect("an alert");
            assert_eq!(alert.direction, AlertDirection::Received);
            assert!(alerts.contains(&alert.description), "{alert:?}");
        }
        let server = Server::tls(pki.server_config(version), |mut peer| {
            peer.handshake().unwrap();
            peer.shutdown().unwrap();
            peer.read_to_end().unwrap();
        });
        let mut words = vec!["connect".to_owned(), server.name(), "--insecure".to_owned()];
        words.extend_from_slice(&variant);
        let output = run(&words);
        expect_success(&output);
        assert!(String::from_utf8_lossy(&output.stderr).contains("NOT verified"));
        server.join();
    }
}

#[test]
fn a_silent_server_is_given_up() {
    for (variant, _) in variants() {
        let server = Server::tcp(|mut socket| {
            let mut hello = Vec::new();
            // Until the program is gone; it may reset the connection.
            let _ = socket.read_to_end(&mut hello);
            hello.len()
        });
        let mut words = vec!["connect".to_owned(), server.name(), "--insecure".to_owned()];
        words.extend(["--timeout".to_owned(), "0.3".to_owned()]);
        words.extend_from_slice(&variant);
        expect_words(&sentence(&run(&words)), &[&server.name(), "timed out"]);
        assert!(server.join() > 0, "a ClientHello was sent");
    }
}

#[test]
fn a_server_that_does_not_speak_tls_is_told() {
    for (variant, _) in variants() {
        let server = Server::tcp(|mut socket| {
            let mut hello = [0; 1];
            socket.read_exact(&mut hello).unwrap();
            socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let mut words = vec!["connect".to_owned(), server.name(), "--insecure".to_owned()];
        words.extend_from_slice(&variant);
        expect_words(&sentence(&run(&words)), &[&server.name(), "protocol"]);
        server.join();
    }
}

#[test]
fn no_version_in_common() {
    let pki = Pki::new();
    for backend in polytls::backend_names() {
        let server = Server::tls(pki.server_config(ProtocolVersion::TLS1_2), |mut peer| {
            peer.handshake().unwrap_err().kind()
        });
        let words = [
            "connect",
            &server.name(),
            "--insecure",
            "--backend",
            backend,
        ];
        let output = run(&[&words[..], &["--min-version", "1.3"]].concat());
        expect_words(&sentence(&output), &[&server.name(), "protocol_version"]);
        assert!(matches!(server.join(), ErrorKind::NoSharedParameters(_)));
    }
}
