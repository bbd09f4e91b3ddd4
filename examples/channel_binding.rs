//! A log-in that is bound to its TLS connection. Somebody in between, whom the client trusts by
//! mistake, can read what is said and pass it on, but cannot be logged in with it.
//!
//! ```text
//! cargo run --example channel_binding [BACKEND]
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use polytls::{
    BufferSession, ChannelBinding, ClientConfig, DynContext, ServerConfig, Session, SessionOptions,
    TlsStream,
};
use ring::hmac;

mod common;

const SECRET: &[u8] = b"what both sides know";
type Stream = TlsStream<TcpStream, Box<dyn BufferSession>>;

fn main() -> Result<(), Box<dyn Error>> {
    let backend = common::backend(std::env::args().nth(1))?;
    // It vouches for the server, and for the one in between as well.
    let authority = common::Authority::new("an authority")?;
    let client = backend.client(ClientConfig::new(authority.roots()))?;

    let server = backend.server(ServerConfig::new(authority.server("localhost")?))?;
    let (address, serving) = listen(2, move |socket| check_in(accept(&*server, socket)?))?;
    let between = backend.server(ServerConfig::new(authority.server("localhost")?))?;
    let onward = client.clone_context();
    let (trap, trapping) = listen(1, move |socket| {
        pass_on(accept(&*between, socket)?, connect(&*onward, address)?)
    })?;

    println!("client, directly: {}", log_in(connect(&*client, address)?)?);
    println!(
        "client, through another: {}",
        log_in(connect(&*client, trap)?)?
    );
    for thread in [serving, trapping] {
        thread.join().map_err(|_| "a server has panicked")?;
    }
    Ok(())
}

/// Proves the secret, for this connection and no other.
fn log_in(mut stream: Stream) -> io::Result<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let proof = hmac::sign(&key, &binding(&mut stream)?);
    stream.write_all(proof.as_ref())?;
    stream.flush()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    stream.shutdown()?;
    Ok(answer)
}

fn check_in(mut stream: Stream) -> io::Result<()> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let mut proof = [0; 32];
    stream.read_exact(&mut proof)?;
    let proved = hmac::verify(&key, &binding(&mut stream)?, &proof).is_ok();
    stream.write_all(if proved { b"welcome" } else { b"refused" })?;
    stream.shutdown().map(|_| ())
}

/// What is the same on both ends of a connection, and of no other (RFC 9266).
fn binding(stream: &mut Stream) -> io::Result<Vec<u8>> {
    stream.handshake()?;
    let binding = stream
        .session()
        .channel_binding(ChannelBinding::TlsExporter)?;
    binding.ok_or_else(|| io::Error::other("the connection has no binding"))
}

/// Decrypts what the client says, says it to the server, and gives the answer back.
fn pass_on(mut client: Stream, mut server: Stream) -> io::Result<()> {
    let mut proof = [0; 32];
    client.read_exact(&mut proof)?;
    server.write_all(&proof)?;
    server.flush()?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    client.write_all(answer.as_bytes())?;
    server.shutdown()?;
    client.shutdown().map(|_| ())
}

fn accept(context: &dyn DynContext, socket: TcpStream) -> io::Result<Stream> {
    Ok(TlsStream::new(
        context.buffer_session(SessionOptions::new())?,
        socket,
    ))
}

fn connect(context: &dyn DynContext, address: SocketAddr) -> io::Result<Stream> {
    let session = context.buffer_session(SessionOptions::to_server("localhost")?)?;
    Ok(TlsStream::new(session, TcpStream::connect(address)?))
}

fn listen(
    count: usize,
    serve: impl Fn(TcpStream) -> io::Result<()> + Send + 'static,
) -> io::Result<(SocketAddr, thread::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let thread = thread::spawn(move || {
        for socket in listener.incoming().take(count) {
            if let Err(error) = socket.and_then(&serve) {
                println!("server: {error}");
            }
        }
    });
    Ok((address, thread))
}
