//! `polytls connect`: connects to a TLS server, says who it is, and pipes stdin and stdout.

mod pipe;
mod stdio;

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Instant;

use polytls::SessionOptions;

use crate::args::ConnectArgs;
use crate::drive::{Blocking, Connection};
use crate::failure::Failure;
use crate::{peer, setup};

pub(crate) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let backend = setup::select_backend(&args.backend)?;
    setup::require_mode(&*backend, args.backend.mode)?;
    let context = setup::client_context(&*backend, args)?;
    let options = session_options(args)?;
    converse(args, |socket| {
        Connection::new(&*context, socket, options, args.backend.mode)
    })
    .map_err(|failure| failure.about(&args.server))
}

/// The name to verify; only a client that verifies nothing can do without a proper one.
fn session_options(args: &ConnectArgs) -> Result<SessionOptions, Failure> {
    let name = args.server_name.as_ref().unwrap_or(&args.server.host);
    match SessionOptions::to_server(name) {
        Err(_) if args.insecure && args.server_name.is_none() => Ok(SessionOptions::new()),
        options => Ok(options?),
    }
}

fn converse(
    args: &ConnectArgs,
    connection: impl FnOnce(TcpStream) -> Result<Connection, Failure>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + args.timeout;
    let mut connection = connection(connect_tcp(args, deadline)?)?;
    Blocking::new(&mut connection, deadline).handshake()?;
    if let Some(facts) = connection.facts() {
        let text = peer::describe(facts, !args.insecure);
        // Without a stderr nobody wants to know.
        let _ = write!(io::stderr(), "connected to {}\n{text}", args.server);
    }
    pipe::run(&mut connection)
}

/// Tries the addresses of the host in turn.
fn connect_tcp(args: &ConnectArgs, deadline: Instant) -> Result<TcpStream, Failure> {
    let server = (args.server.host.as_str(), args.server.port);
    let addresses = server
        .to_socket_addrs()
        .map_err(|error| Failure::new(format!("the host cannot be found: {error}")))?;
    let mut last = Failure::new("the host has no address");
    for address in addresses {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(Failure::new("timed out connecting"));
        }
        match TcpStream::connect_timeout(&address, remaining) {
            Ok(socket) => {
                // Only costs a delay if it fails.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => last = Failure::new(format!("cannot connect to {address}: {error}")),
        }
    }
    Err(last)
}
