//! STARTTLS: a connection that begins in the clear, agrees to go on with TLS, and keeps its socket.
//!
//! ```text
//! cargo run --example starttls [BACKEND]
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use polytls::{ClientConfig, DynContext, ServerConfig, SessionOptions, TlsStream};

mod common;

fn main() -> Result<(), Box<dyn Error>> {
    let backend = common::backend(std::env::args().nth(1))?;
    let authority = common::Authority::new("an authority")?;
    let server = backend.server(ServerConfig::new(authority.server("localhost")?))?;
    let client = backend.client(ClientConfig::new(authority.roots()))?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = thread::spawn(move || -> io::Result<()> {
        let (socket, _) = listener.accept()?;
        serve(&*server, socket)
    });
    converse(&*client, TcpStream::connect(address)?)?;
    serving.join().map_err(|_| "the server has panicked")??;
    Ok(())
}

fn serve(context: &dyn DynContext, mut socket: TcpStream) -> io::Result<()> {
    socket.write_all(b"220 ready\r\n")?;
    let command = read_line(&mut socket)?;
    if command != "STARTTLS" {
        socket.write_all(b"530 say STARTTLS first\r\n")?;
        return Err(io::Error::other(format!("the client said {command:?}")));
    }
    socket.write_all(b"220 go ahead\r\n")?;

    let session = context.buffer_session(SessionOptions::new())?;
    let mut stream = TlsStream::new(session, socket);
    let line = read_line(&mut stream)?;
    println!("server: {line:?}, over TLS");
    write!(stream, "250 {line} to you too\r\n")?;
    stream.shutdown()?;
    Ok(())
}

fn converse(context: &dyn DynContext, mut socket: TcpStream) -> Result<(), Box<dyn Error>> {
    expect(&read_line(&mut socket)?, "220 ready")?;
    socket.write_all(b"STARTTLS\r\n")?;
    // A server that does not go on is an error, and never a reason to go on in the clear: somebody
    // on the way may have taken the command out.
    expect(&read_line(&mut socket)?, "220 go ahead")?;

    let session = context.buffer_session(SessionOptions::to_server("localhost")?)?;
    let mut stream = TlsStream::new(session, socket);
    stream.write_all(b"hello\r\n")?;
    stream.flush()?;
    let answer = read_line(&mut stream)?;
    println!("client: {answer:?}, over TLS");
    expect(&answer, "250 hello to you too")?;
    stream.shutdown()?;
    Ok(())
}

fn expect(line: &str, expected: &str) -> Result<(), String> {
    match line == expected {
        true => Ok(()),
        false => Err(format!("{expected:?} expected, {line:?} received")),
    }
}

/// Reads a line, and not one byte more.
///
/// What a peer sends in the clear right after the line must not pass for something said over TLS.
/// A reader with a buffer would keep those bytes and hand them out later; left in the socket, they
/// are met by the handshake, which refuses them.
fn read_line(stream: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        if line.len() >= 512 {
            return Err(io::Error::other("a line of more than 512 bytes"));
        }
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(io::Error::other)
}
