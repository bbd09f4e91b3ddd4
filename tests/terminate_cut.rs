//! Streams that are cut or changed at any byte, between a TLS client and `polytls terminate`: what the
//! upstream takes for complete is complete.

#![cfg(feature = "cli")]

mod terminate_common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use polytls::DynContext;
use terminate_common::*;

/// How many places in the client's stream are tried, for each kind of damage.
const PLACES: usize = 40;

/// What happens to the client's stream at some byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    End,
    Reset,
    Flip,
}

#[test]
fn a_stream_damaged_at_any_byte_never_looks_complete() {
    let upload = pattern(40_000, 3);
    for variant in variants() {
        eprintln!("{variant:?}");
        let pki = Pki::new();
        let (upstream, uploads) = collecting_server();
        let program = Program::terminate(&pki, variant, upstream, &[]);
        let context = pki.client(variant.0);

        let length = upload_through(&*context, program.address, &upload, None);
        let (received, ended) = uploads.recv_timeout(PATIENCE).expect("the whole stream");
        assert!(ended && received == upload, "an undamaged stream");

        for damage in [Damage::End, Damage::Reset, Damage::Flip] {
            for place in (0..length).step_by(length.div_ceil(PLACES)) {
                upload_through(&*context, program.address, &upload, Some((damage, place)));
                for (received, ended) in uploads.try_iter() {
                    check(&received, ended, &upload, (damage, place));
                }
            }
        }
        upload_through(&*context, program.address, &upload, None);
        program.stop();
        // The upstream's connections have ended with the program.
        let last: Vec<_> = uploads.try_iter().collect();
        let (received, ended) = last.last().expect("the program still works");
        assert!(*ended && *received == upload, "the program still works");
        for (received, ended) in &last {
            check(received, *ended, &upload, "one of the last");
        }
    }
}

/// Damage may go unnoticed only where it damaged nothing: in the version a record names.
fn check(received: &[u8], ended: bool, upload: &[u8], what: impl std::fmt::Debug) {
    assert!(upload.starts_with(received), "{what:?}: other bytes");
    if ended {
        let (got, whole) = (received.len(), upload.len());
        assert_eq!(got, whole, "{what:?}: an incomplete upload looks complete");
    }
}

/// Reports what each connection carried, and whether it ended cleanly.
fn collecting_server() -> (SocketAddr, Receiver<(Vec<u8>, bool)>) {
    let (listener, address) = listener();
    let (sender, uploads) = channel();
    thread::spawn(move || {
        loop {
            let mut stream = accept(&listener);
            let sender = sender.clone();
            thread::spawn(move || {
                let mut received = Vec::new();
                let ended = stream.read_to_end(&mut received).is_ok();
                // Said before the connection is closed, so that who sees it closed finds it said.
                let _ = sender.send((received, ended));
            });
        }
    });
    (address, uploads)
}

/// Uploads through a relay that damages the client's stream: how many bytes the client sent. Returns
/// when both sides of the relay are closed.
fn upload_through(
    context: &dyn DynContext,
    program: SocketAddr,
    upload: &[u8],
    damage: Option<(Damage, usize)>,
) -> usize {
    let (listener, address) = listener();
    let relay = thread::spawn(move || {
        let client = accept(&listener);
        let server = connect(program);
        let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let sent = forward(client, server, damage);
        back.join().unwrap();
        sent
    });
    // Damage may end any of these early.
    if let Ok(mut client) = Client::try_connect(context, address)
        && client.write_all(upload).is_ok()
        && client.shutdown().is_ok()
    {
        let _ = client.read_to_end();
    }
    relay.join().unwrap()
}

fn forward(mut client: TcpStream, mut server: TcpStream, damage: Option<(Damage, usize)>) -> usize {
    let mut sent = 0;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = client.read(&mut buffer) else {
            let _ = server.shutdown(Shutdown::Write);
            return sent;
        };
        let piece = &mut buffer[..count];
        let here = damage.filter(|(_, place)| (sent..sent + count).contains(place));
        sent += count;
        match here {
            None => {}
            Some((Damage::Flip, place)) => piece[place + count - sent] ^= 0x20,
            Some((damage, place)) => {
                let _ = server.write_all(&piece[..place + count - sent]);
                if damage == Damage::Reset {
                    reset(&server);
                    // The other handle to the socket goes too, and with the last one the socket.
                    let _ = server.shutdown(Shutdown::Read);
                } else {
                    let _ = server.shutdown(Shutdown::Write);
                }
                // The client is told by the way back, or by this.
                drop(server);
                let _ = std::io::copy(&mut client, &mut std::io::sink());
                return sent;
            }
        }
        if server.write_all(piece).is_err() {
            let _ = client.shutdown(Shutdown::Both);
            return sent;
        }
    }
}
