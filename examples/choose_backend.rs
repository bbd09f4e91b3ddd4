//! Chooses backends by name when it runs, and lets a client of one talk to a server of another,
//! in memory: no socket, no thread, every byte of ciphertext goes through this program.
//!
//! ```text
//! cargo run --features openssl --example choose_backend -- rustls openssl
//! ```

use std::error::Error;

use polytls::{BufferSession, ClientConfig, ServerConfig, SessionOptions, Status};

mod common;

fn main() -> Result<(), Box<dyn Error>> {
    for backend in polytls::backends() {
        println!("compiled in: {}, {}", backend.name(), backend.build_info());
    }
    let mut names = std::env::args().skip(1);
    let client = common::backend(names.next())?;
    let server = common::backend(names.next())?;

    let authority = common::Authority::new("an authority")?;
    let server = server.server(ServerConfig::new(authority.server("localhost")?))?;
    let client = client.client(ClientConfig::new(authority.roots()))?;
    let mut server = Side::new(server.buffer_session(SessionOptions::new())?);
    let mut client = Side::new(client.buffer_session(SessionOptions::to_server("localhost")?)?);

    shake_hands(&mut client, &mut server)?;
    if let Some(facts) = client.session.facts() {
        println!("{}, {}", facts.protocol_version, facts.cipher_suite);
    }
    client.write_all(b"Hello from the client")?;
    carry(&mut client, &mut server);
    println!(
        "the server got: {}",
        String::from_utf8_lossy(&server.read()?)
    );
    Ok(())
}

/// A session, and what is on its way to and from it.
struct Side {
    session: Box<dyn BufferSession>,
    received: Vec<u8>,
    to_send: Vec<u8>,
}

impl Side {
    fn new(session: Box<dyn BufferSession>) -> Self {
        Self {
            session,
            received: Vec::new(),
            to_send: Vec::new(),
        }
    }

    /// One step of the handshake; `true` once it is complete.
    fn handshake(&mut self) -> polytls::Result<bool> {
        let mut output = [0; 4096];
        let progress = self.session.handshake(&mut self.received, &mut output)?;
        self.received.drain(..progress.consumed);
        self.to_send.extend_from_slice(&output[..progress.produced]);
        Ok(progress.status == Status::Complete)
    }

    fn write_all(&mut self, mut plaintext: &[u8]) -> polytls::Result<()> {
        let mut output = [0; 4096];
        while !plaintext.is_empty() {
            let progress = self.session.write(plaintext, &mut output)?;
            self.to_send.extend_from_slice(&output[..progress.produced]);
            plaintext = &plaintext[progress.consumed..];
        }
        while self.session.pending_output() > 0 {
            let progress = self.session.drain(&mut output);
            self.to_send.extend_from_slice(&output[..progress.produced]);
        }
        Ok(())
    }

    /// All that can be read from what was received.
    fn read(&mut self) -> polytls::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut plaintext = [0; 4096];
        loop {
            let progress = self.session.read(&mut self.received, &mut plaintext)?;
            self.received.drain(..progress.consumed);
            all.extend_from_slice(&plaintext[..progress.produced]);
            if progress.status != Status::Complete {
                return Ok(all);
            }
        }
    }
}

fn shake_hands(client: &mut Side, server: &mut Side) -> Result<(), Box<dyn Error>> {
    // Each round carries something; two peers that have agreed on nothing after so many never will.
    for _ in 0..100 {
        let complete = client.handshake()?;
        carry(client, server);
        let complete = server.handshake()? && complete;
        carry(server, client);
        if complete {
            return Ok(());
        }
    }
    Err("the handshake does not come to an end".into())
}

/// The network.
fn carry(from: &mut Side, to: &mut Side) {
    to.received.append(&mut from.to_send);
}
