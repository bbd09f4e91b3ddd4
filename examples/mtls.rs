//! Mutual TLS: a server that demands a certificate of its clients, a client that has one, and one
//! that has none and is refused.
//!
//! ```text
//! cargo run --example mtls [BACKEND]
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use polytls::config::ClientAuthentication;
use polytls::{ClientConfig, DynContext, ServerConfig, SessionOptions, TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

mod common;

fn main() -> Result<(), Box<dyn Error>> {
    let backend = common::backend(std::env::args().nth(1))?;
    let authority = common::Authority::new("an authority for both")?;

    let mut config = ServerConfig::new(authority.server("localhost")?);
    // `Optional` would let clients without a certificate in; one that is shown is verified anyway.
    config.client_authentication = ClientAuthentication::Required(authority.roots());
    let server = backend.server(config)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = thread::spawn(move || {
        for _ in 0..2 {
            match greet(&*server, &listener) {
                Ok(name) => println!("server: let {name} in"),
                Err(error) => println!("server: {error}"),
            }
        }
    });

    let stranger = ClientConfig::new(authority.roots());
    let mut known = stranger.clone();
    known.identity = Some(authority.client("alice.example")?);
    let answer = ask(&*backend.client(known)?, TcpStream::connect(address)?)?;
    println!("client with a certificate: {answer}");

    let refused = ask(&*backend.client(stranger)?, TcpStream::connect(address)?);
    serving.join().map_err(|_| "the server has panicked")?;
    match refused {
        Ok(_) => Err("a client without a certificate was let in".into()),
        Err(error) => {
            println!("client without a certificate: {error}");
            Ok(())
        }
    }
}

/// Answers one client with the name that its certificate gives it.
fn greet(context: &dyn DynContext, listener: &TcpListener) -> Result<String, Box<dyn Error>> {
    let (socket, _) = listener.accept()?;
    let session = context.buffer_session(SessionOptions::new())?;
    let mut stream = TlsStream::new(session, socket);
    stream.handshake()?;

    // Verified, and the leaf comes first. Who may do what is decided by a name of the certificate
    // as a whole, never by a part of its text.
    let chain = stream.session().peer_certificates().ok_or("no chain")?;
    let (_, leaf) = X509Certificate::from_der(&chain[0])?;
    let name = leaf.subject().to_string();

    write!(stream, "Hello, {name}")?;
    stream.shutdown()?;
    Ok(name)
}

/// All that the server has to say.
///
/// In TLS 1.3 a client has finished its handshake before the server has seen its certificate: it
/// learns that it was refused when it reads.
fn ask(context: &dyn DynContext, socket: TcpStream) -> io::Result<String> {
    let session = context.buffer_session(SessionOptions::to_server("localhost")?)?;
    let mut stream = TlsStream::new(session, socket);
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    stream.shutdown()?;
    Ok(answer)
}
