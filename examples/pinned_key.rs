//! A client that knows the key of its server. It is suspended when the server's certificate is
//! there, decides by the key alone, wherever and for however long it likes, and goes on.
//!
//! ```text
//! cargo run --example pinned_key [BACKEND]
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use polytls::config::{PeerVerification, Roots, Verdict};
use polytls::pki_types::CertificateDer;
use polytls::{
    CertificateProblem, ClientConfig, DynContext, ServerConfig, Session, SessionOptions, TlsStream,
};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

mod common;

/// SHA-256 of a SubjectPublicKeyInfo: it outlives the certificate, if the key does.
type Pin = [u8; 32];

fn main() -> Result<(), Box<dyn Error>> {
    let backend = common::backend(std::env::args().nth(1))?;
    // Nobody whom the client knows vouches for either server.
    let authority = common::Authority::new("an authority that the client does not know")?;
    let (known, stranger) = (
        authority.server("localhost")?,
        authority.server("localhost")?,
    );
    let pin = pin_of(&known.chain()[0])?;

    // Without roots: the library's own verification finds no issuer, and does not decide.
    let mut config = ClientConfig::new(Roots::given([]));
    config.peer_verification = PeerVerification::Suspended;
    let client = backend.client(config)?;

    for (whose, identity) in [("the known key", known), ("another key", stranger)] {
        let server = backend.server(ServerConfig::new(identity))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let serving = thread::spawn(move || match greet(&*server, &listener) {
            Ok(()) => println!("server: has greeted"),
            Err(error) => println!("server: {error}"),
        });
        match ask(&*client, address, &pin) {
            Ok(answer) => println!("client, {whose}: {answer}"),
            Err(error) => println!("client, {whose}: {error}"),
        }
        serving.join().map_err(|_| "the server has panicked")?;
    }
    Ok(())
}

fn ask(context: &dyn DynContext, address: SocketAddr, pin: &Pin) -> Result<String, Box<dyn Error>> {
    let session = context.buffer_session(SessionOptions::to_server("localhost")?)?;
    let mut stream = TlsStream::new(session, TcpStream::connect(address)?);
    // Comes back when the certificate is there. Nothing that follows it has left, so the server
    // does not take this connection for established.
    let waiting = stream.handshake();
    let Some(chain) = stream.session().unverified_peer_certificates() else {
        waiting?;
        return Err("the session went on without a verdict".into());
    };
    let verdict = judge(chain, pin);
    stream.session_mut().set_validation_result(verdict)?;
    // Goes on, or tells the server and fails.
    stream.handshake()?;

    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    stream.shutdown()?;
    Ok(answer)
}

/// The leaf's key is all that counts: that the server has it is proved by the handshake itself.
fn judge(chain: &[CertificateDer<'_>], pin: &Pin) -> Verdict {
    match pin_of(&chain[0]) {
        Ok(found) if found == *pin => Verdict::Accept,
        Ok(_) => Verdict::Reject(CertificateProblem::UnknownIssuer),
        Err(_) => Verdict::Reject(CertificateProblem::BadEncoding),
    }
}

fn pin_of(leaf: &CertificateDer<'_>) -> Result<Pin, Box<dyn Error>> {
    let (_, leaf) = X509Certificate::from_der(leaf)?;
    Ok(Sha256::digest(leaf.public_key().raw).into())
}

fn greet(context: &dyn DynContext, listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    let (socket, _) = listener.accept()?;
    let mut stream = TlsStream::new(context.buffer_session(SessionOptions::new())?, socket);
    stream.write_all(b"hello")?;
    stream.shutdown()?;
    Ok(())
}
