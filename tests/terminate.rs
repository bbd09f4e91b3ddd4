//! `polytls terminate` between a TLS client and a plain server: ends, resets, limits, signals.

#![cfg(feature = "cli")]

mod terminate_common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use terminate_common::*;

const MIB: usize = 1024 * 1024;

/// An engine that answers some of what is no TLS without an alert. No backend can send one for it.
struct Silence {
    backend: &'static str,
    is_for: fn(&[u8]) -> bool,
    reason: &'static str,
}

/// Every other engine sends an alert to whatever is no TLS.
const SILENCES: &[Silence] = &[
    Silence {
        backend: "openssl",
        is_for: |input| input[1] != 3,
        reason: "OpenSSL sends no alert to a peer whose first bytes name no version of TLS",
    },
    Silence {
        backend: "boring",
        is_for: |input| input.starts_with(b"GET "),
        reason: "BoringSSL sends no alert to a peer that speaks HTTP",
    },
];

/// Runs a scenario on every backend, in both modes.
fn on_every_variant(scenario: impl Fn(&Pki, (&'static str, &'static str))) {
    let variants = variants();
    assert!(!variants.is_empty(), "no backend is compiled in");
    for variant in variants {
        eprintln!("{variant:?}");
        scenario(&Pki::new(), variant);
    }
}

/// Sends back what it receives, until the end; on any number of connections.
fn echo_server() -> SocketAddr {
    let (listener, address) = listener();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || echo(stream.unwrap()));
        }
    });
    address
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if stream.write_all(&buffer[..count]).is_ok() => {}
            _ => return,
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// Serves one connection in a thread.
fn serve_once<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let (listener, address) = listener();
    (address, thread::spawn(move || serve(accept(&listener))))
}

#[test]
fn both_ends_pass_through_after_all_data() {
    on_every_variant(|pki, variant| {
        let program = Program::terminate(pki, variant, echo_server(), &[]);
        let context = pki.client(variant.0);
        for seed in 0..3 {
            let mut client = Client::connect(&*context, program.address);
            let sent = pattern(MIB / 4 + seed, 7);
            client.write_all(&sent).unwrap();
            client.shutdown().unwrap();
            let (received, end) = client.read_to_end();
            end.unwrap();
            assert!(
                received == sent,
                "{} of {} bytes",
                received.len(),
                sent.len()
            );
        }
        let line = program.wait_for_line(&["outcome=\"complete\""]);
        assert!(line.contains("uploaded=262144 downloaded=262144"), "{line}");
        assert!(line.contains("TLSv1.3"), "{line}");
        program.stop();
    });
}

#[test]
fn the_upstream_may_end_first_and_still_receive() {
    on_every_variant(|pki, variant| {
        let sent = pattern(3 * MIB, 1);
        let (address, server) = serve_once(|mut stream| {
            stream.write_all(b"greeting").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).map(|_| received)
        });
        let program = Program::terminate(pki, variant, address, &[]);
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        let (greeting, end) = client.read_to_end();
        end.unwrap();
        assert_eq!(greeting, b"greeting");
        client.write_all(&sent).unwrap();
        client.shutdown().unwrap();
        let received = server.join().unwrap().expect("a clean end");
        assert!(
            received == sent,
            "{} of {} bytes",
            received.len(),
            sent.len()
        );
        program.wait_for_line(&["outcome=\"complete\""]);
    });
}

#[test]
fn a_truncated_upload_does_not_look_complete() {
    on_every_variant(|pki, variant| {
        for ends_by_reset in [false, true] {
            let (address, server) = serve_once(|mut stream| {
                let mut received = Vec::new();
                stream.read_to_end(&mut received)
            });
            let program = Program::terminate(pki, variant, address, &[]);
            let mut client = Client::connect(&*pki.client(variant.0), program.address);
            client.write_all(b"half an upl").unwrap();
            // What is on its way is given time to arrive, so that the end is what the test is about.
            thread::sleep(Duration::from_millis(50));
            let outcome = if ends_by_reset {
                reset(&client.session);
                drop(client);
                "client_reset"
            } else {
                rustix::net::shutdown(&client.session, rustix::net::Shutdown::Write).unwrap();
                "client_truncated"
            };
            let end = server.join().unwrap();
            assert!(is_reset(&end), "{end:?}");
            program.wait_for_line(&[outcome, "uploaded=11"]);
        }
    });
}

#[test]
fn an_upstream_reset_is_no_clean_end_for_the_client() {
    on_every_variant(|pki, variant| {
        let (address, server) = serve_once(|mut stream| {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(b"half an ans").unwrap();
            thread::sleep(Duration::from_millis(50));
            reset(&stream);
        });
        let program = Program::terminate(pki, variant, address, &[]);
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        client.write_all(b"?").unwrap();
        let (received, end) = client.read_to_end();
        assert_eq!(received, b"half an ans");
        assert!(is_broken_off(&end.unwrap_err()));
        server.join().unwrap();
        program.wait_for_line(&["upstream_reset"]);
    });
}

/// Longer than all the buffers on its way.
fn long_answer() -> &'static [u8] {
    static ANSWER: OnceLock<Vec<u8>> = OnceLock::new();
    ANSWER.get_or_init(|| pattern(32 * MIB, 3))
}

/// The upstream closes with bytes unread, which is a reset, while the client is not reading: so a send
/// meets the reset first, and the end that a receive then reports must not be taken for a clean one.
#[test]
fn an_upstream_that_closes_unread_is_no_clean_end_either() {
    on_every_variant(|pki, variant| {
        let (address, server) = serve_once(|mut stream| {
            let timeout = Some(Duration::from_millis(300));
            stream.set_write_timeout(timeout).unwrap();
            let more_than_fits = stream.write_all(long_answer());
            let mut unread = [0; 2];
            while stream.peek(&mut unread).unwrap() < unread.len() {
                thread::yield_now();
            }
            more_than_fits.is_err()
        });
        let program = Program::terminate(pki, variant, address, &[]);
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        client.write_all(b"never read").unwrap();
        assert!(server.join().unwrap(), "the answer was to be cut");
        client.write_all(b"nor this").unwrap();
        thread::sleep(Duration::from_millis(100));
        let (received, end) = client.read_to_end();
        let error = end.expect_err("the answer was not complete");
        assert!(is_broken_off(&error), "{error}");
        assert!(long_answer().starts_with(&received));
        program.wait_for_line(&["upstream_reset"]);
    });
}

#[test]
fn without_an_upstream_the_client_is_dropped_and_the_program_goes_on() {
    on_every_variant(|pki, variant| {
        let (listener, address) = listener();
        drop(listener);
        let program = Program::terminate(pki, variant, address, &[]);
        let context = pki.client(variant.0);
        for _ in 0..3 {
            let mut client = Client::connect(&*context, program.address);
            let (received, end) = client.read_to_end();
            assert!(received.is_empty() && is_broken_off(&end.unwrap_err()));
        }
        let line = program.wait_for_line(&["upstream_unreachable"]);
        assert!(line.contains("WARN") && line.contains("efused"), "{line}");
        program.stop();
    });
}

#[test]
fn back_pressure_holds_both_ways() {
    on_every_variant(|pki, variant| {
        let (address, server) = serve_once(|mut stream| {
            thread::sleep(Duration::from_millis(500));
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            stream.write_all(&received).unwrap();
            received.len()
        });
        let program = Program::terminate(pki, variant, address, &[]);
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        let sent = pattern(24 * MIB, 5);
        client.write_all(&sent).unwrap();
        client.shutdown().unwrap();
        thread::sleep(Duration::from_millis(300));
        let (received, end) = client.read_to_end();
        end.unwrap();
        assert!(
            received == sent,
            "{} of {} bytes",
            received.len(),
            sent.len()
        );
        assert_eq!(server.join().unwrap(), sent.len());
        let line = {
            let log = program.stop();
            log.lines().last().unwrap().to_owned()
        };
        let (_, peak) = line
            .split_once("peak_resident_kib=")
            .expect("memory is reported");
        let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
        assert!(peak < 24 * 1024, "what does not fit is not held: {line}");
    });
}

#[test]
fn what_is_no_tls_gets_an_alert_and_harms_nobody() {
    on_every_variant(|pki, variant| {
        let program = Program::terminate(pki, variant, echo_server(), &[]);
        let zeroes = vec![0; 100_000];
        let garbage = pattern(100_000, 9);
        let inputs: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            &zeroes,
            &garbage,
            b"\x16\x03\x01\xff\xff",
        ];
        for input in inputs {
            let mut stream = connect(program.address);
            // The program may have had enough before it has everything.
            let _ = stream.write_all(input);
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            stream
                .read_to_end(&mut answer)
                .expect("no reset destroys the alert");
            let silence = SILENCES
                .iter()
                .find(|silence| silence.backend == variant.0 && (silence.is_for)(input));
            let expected = silence.map_or("an alert is due", |silence| silence.reason);
            let is_alert = answer.starts_with(&[0x15, 0x03]);
            let first = &input[..5];
            assert_eq!(
                is_alert,
                silence.is_none(),
                "{first:02x?}: {answer:02x?}: {expected}"
            );
        }
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        client.write_all(b"still here").unwrap();
        assert_eq!(client.read_exactly(10), b"still here");
        let log = program.log();
        assert_eq!(
            log.matches("handshake_failed").count(),
            inputs.len(),
            "{log}"
        );
    });
}

/// The bytes a client sends first.
fn client_hello(pki: &Pki, backend: &str) -> Vec<u8> {
    let (listener, address) = listener();
    let mut client = Client::start(&*pki.client(backend), address);
    let _ = client.session.handshake().unwrap();
    let mut stream = accept(&listener);
    let mut bytes = vec![0; 16 * 1024];
    let count = stream.read(&mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn half_a_client_hello_and_silence_ends_at_the_timeout() {
    on_every_variant(|pki, variant| {
        let more = ["--handshake-timeout", "0.5"];
        let program = Program::terminate(pki, variant, echo_server(), &more);
        let hello = client_hello(pki, variant.0);
        let started = Instant::now();
        let mut stream = connect(program.address);
        stream.write_all(&hello[..hello.len() / 2]).unwrap();
        let _ = stream.read(&mut [0; 1]);
        let took = started.elapsed();
        assert!(
            took > Duration::from_millis(400) && took < Duration::from_secs(5),
            "{took:?}"
        );
        program.wait_for_line(&["handshake_timeout"]);
    });
}

#[test]
fn a_reset_or_an_end_at_any_byte_of_the_client_hello_is_survived() {
    on_every_variant(|pki, variant| {
        let program = Program::terminate(pki, variant, echo_server(), &[]);
        let hello = client_hello(pki, variant.0);
        for count in (0..=hello.len()).step_by(7).chain(0..12) {
            let mut stream = connect(program.address);
            stream.write_all(&hello[..count]).unwrap();
            if count % 2 == 0 {
                reset(&stream);
            }
        }
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        client.write_all(b"still here").unwrap();
        assert_eq!(client.read_exactly(10), b"still here");
        drop(client);
        program.stop();
    });
}

#[test]
fn a_port_in_use_is_one_sentence() {
    let pki = Pki::new();
    let (_listener, address) = listener();
    let address = address.to_string();
    let arguments = ["terminate", "--to", "127.0.0.1:1", "--listen", &address];
    let backend = ["--backend", variants()[0].0];
    let output = command(&pki, &arguments).args(backend).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("polytls: ") && last.contains(&address) && last.contains("in use"),
        "{text}"
    );
}

#[test]
fn more_connections_than_allowed_wait() {
    on_every_variant(|pki, variant| {
        let more = ["--max-connections", "2"];
        let program = Program::terminate(pki, variant, echo_server(), &more);
        let context = pki.client(variant.0);
        let mut first = Client::connect(&*context, program.address);
        let _second = Client::connect(&*context, program.address);
        let mut third = Client::start(&*context, program.address);
        let _ = third.session.handshake().unwrap();
        assert!(!third.is_readable_within(Duration::from_millis(300)));
        program.wait_for_line(&["accepting pauses", "limit=2"]);
        first.shutdown().unwrap();
        first.read_to_end().1.unwrap();
        drop(first);
        third.finish_handshake().unwrap();
        third.write_all(b"at last").unwrap();
        assert_eq!(third.read_exactly(7), b"at last");
    });
}

#[test]
fn an_idle_connection_ends_at_the_timeout_and_a_busy_one_does_not() {
    on_every_variant(|pki, variant| {
        let more = ["--idle-timeout", "0.6"];
        let program = Program::terminate(pki, variant, echo_server(), &more);
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        for _ in 0..6 {
            thread::sleep(Duration::from_millis(200));
            client.write_all(b"x").unwrap();
            assert_eq!(client.read_exactly(1), b"x");
        }
        let (_, end) = client.read_to_end();
        assert!(is_broken_off(&end.unwrap_err()), "no close_notify");
        program.wait_for_line(&["idle_timeout", "downloaded=6"]);
    });
}

#[test]
fn open_connections_finish_when_the_program_stops() {
    on_every_variant(|pki, variant| {
        let mut program = Program::terminate(pki, variant, echo_server(), &[]);
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        client.write_all(b"before").unwrap();
        assert_eq!(client.read_exactly(6), b"before");
        program.signal(Signal::TERM);
        program.wait_for_line(&["stopping"]);
        assert!(TcpStream::connect(program.address).is_err(), "nothing new");
        client.write_all(b"after").unwrap();
        client.shutdown().unwrap();
        let (received, end) = client.read_to_end();
        end.unwrap();
        assert_eq!(received, b"after");
        drop(client);
        let status = program.wait();
        assert_eq!(status.code(), Some(0));
        let log = program.log();
        assert!(
            log.contains("stopped accepted=1 complete=1 failed=0"),
            "{log}"
        );
    });
}

#[test]
fn a_connection_that_does_not_finish_is_closed_in_time() {
    on_every_variant(|pki, variant| {
        let more = ["--drain-timeout", "0.5"];
        let mut program = Program::terminate(pki, variant, echo_server(), &more);
        let mut client = Client::connect(&*pki.client(variant.0), program.address);
        let started = Instant::now();
        program.signal(Signal::INT);
        assert_eq!(program.wait().code(), Some(0));
        let took = started.elapsed();
        assert!(
            took > Duration::from_millis(400) && took < Duration::from_secs(5),
            "{took:?}"
        );
        assert!(is_broken_off(&client.read_to_end().1.unwrap_err()));
        assert!(program.log().contains("outcome=\"stopped\""));
    });
}

#[test]
fn a_second_signal_stops_at_once() {
    on_every_variant(|pki, variant| {
        let mut program = Program::terminate(pki, variant, echo_server(), &[]);
        let _client = Client::connect(&*pki.client(variant.0), program.address);
        let started = Instant::now();
        program.signal(Signal::TERM);
        program.wait_for_line(&["stopping"]);
        program.signal(Signal::TERM);
        assert_eq!(program.wait().code(), Some(0));
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

/// The limit on descriptors falls while the program runs: it pauses, without spinning, and goes on.
#[test]
fn a_shortage_of_descriptors_is_survived() {
    on_every_variant(|pki, variant| {
        let program = Program::terminate(pki, variant, echo_server(), &[]);
        let context = pki.client(variant.0);
        let mut early = Client::connect(&*context, program.address);
        early.write_all(b"open").unwrap();
        assert_eq!(early.read_exactly(4), b"open");
        let limit = |current| Rlimit {
            current: Some(current),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        let before = prlimit(Some(program.pid()), Resource::Nofile, limit(5)).unwrap();
        let mut late = Client::start(&*context, program.address);
        let _ = late.session.handshake().unwrap();
        program.wait_for_line(&["accepting pauses", "ile"]);
        let busy = cpu_time(&program);
        early.write_all(b"unharmed").unwrap();
        assert_eq!(early.read_exactly(8), b"unharmed");
        assert!(!late.is_readable_within(Duration::from_millis(500)));
        let busy = cpu_time(&program) - busy;
        assert!(busy <= 10, "{busy} ticks spent while waiting");
        prlimit(Some(program.pid()), Resource::Nofile, before).unwrap();
        late.finish_handshake().unwrap();
        late.write_all(b"at last").unwrap();
        assert_eq!(late.read_exactly(7), b"at last");
        program.wait_for_line(&["accepting goes on"]);
    });
}

/// The end of one direction stays readable for ever: whoever waits for the other direction must not
/// be woken by it again and again.
#[test]
fn half_a_connection_that_has_ended_costs_nothing() {
    on_every_variant(|pki, variant| {
        let context = pki.client(variant.0);
        let idles = |program: &Program| {
            let busy = cpu_time(program);
            thread::sleep(Duration::from_millis(500));
            let busy = cpu_time(program) - busy;
            assert!(busy <= 10, "{busy} ticks spent while nothing happens");
        };

        // The client has ended, the upstream has not and says nothing.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (address, upstream) = serve_once(move |mut stream| {
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            released.recv().unwrap();
            received
        });
        let program = Program::terminate(pki, variant, address, &[]);
        let mut client = Client::connect(&*context, program.address);
        client.write_all(b"all there is").unwrap();
        client.shutdown().unwrap();
        rustix::net::shutdown(client.session.as_fd(), rustix::net::Shutdown::Write).unwrap();
        idles(&program);
        release.send(()).unwrap();
        assert_eq!(upstream.join().unwrap(), b"all there is");
        client.read_to_end().1.unwrap();

        // The upstream has ended, the client has not and says nothing.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (address, upstream) = serve_once(move |stream| {
            stream.shutdown(Shutdown::Write).unwrap();
            released.recv().unwrap();
        });
        let program = Program::terminate(pki, variant, address, &[]);
        let mut client = Client::connect(&*context, program.address);
        client.read_to_end().1.unwrap();
        idles(&program);
        client.shutdown().unwrap();
        release.send(()).unwrap();
        upstream.join().unwrap();
    });
}

/// Clock ticks the program has used, of which there are a hundred in a second.
fn cpu_time(program: &Program) -> u64 {
    let pid = program.pid().as_raw_nonzero();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
