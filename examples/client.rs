//! A blocking client: sends a request line to a TLS server and prints all that it answers.
//!
//! ```text
//! cargo run --example client -- example.org:443 'GET / HTTP/1.0'
//! cargo run --example client -- localhost:8443 'GET / HTTP/1.0' ca.pem
//! ```
//!
//! The server's certificate must lead to one of the system's roots, or of those in the PEM file
//! given as the third argument.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use polytls::config::Roots;
use polytls::{ClientConfig, SessionOptions, TlsStream};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: client HOST:PORT LINE [ROOTS.pem]";
    let server = arguments.next().ok_or(usage)?;
    let line = arguments.next().ok_or(usage)?;
    let roots = match arguments.next() {
        Some(path) => Roots::from_pem_file(path)?,
        None => Roots::system(),
    };

    // Made once and shared: a context is what sessions are resumed in.
    let backend = polytls::backends().into_iter().next();
    let backend = backend.ok_or("no backend is compiled in")?;
    let context = backend.client(ClientConfig::new(roots))?;

    let (host, _) = server.rsplit_once(':').ok_or(usage)?;
    let session = context.buffer_session(SessionOptions::to_server(host)?)?;
    let mut stream = TlsStream::new(session, TcpStream::connect(&server)?);
    stream.handshake()?;
    if let Some(facts) = stream.session().facts() {
        eprintln!("{}, {}", facts.protocol_version, facts.cipher_suite);
    }

    stream.write_all(format!("{line}\r\n\r\n").as_bytes())?;
    stream.flush()?;
    // An answer that ends without the peer's close_notify is an error: it may have been cut off.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    stream.shutdown()?;
    io::stdout().write_all(&answer)?;
    Ok(())
}
