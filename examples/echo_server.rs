//! A non-blocking TLS echo server: one thread, one `poll` loop, sockets driven by their sessions.
//!
//! ```text
//! cargo run --example echo_server -- 127.0.0.1:8443 [BACKEND]
//! openssl s_client -connect 127.0.0.1:8443 -quiet
//! ```
//!
//! A real server would also limit the number of connections and the time a handshake may take.

use std::error::Error;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use polytls::config::Identity;
use polytls::pki_types::PrivateKeyDer;
use polytls::{DynBackend, DynContext, ServerConfig, SessionOptions, SocketSession, Status};
use rustix::event::{PollFd, PollFlags, poll};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .ok_or("usage: echo_server ADDR [BACKEND]")?;
    let backend = match arguments.next() {
        Some(name) => polytls::backend(&name)?,
        None => first_backend()?,
    };
    let context = backend.server(ServerConfig::new(self_signed("localhost")?))?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    println!("{} on {}", backend.build_info(), listener.local_addr()?);
    serve(&*context, &listener)?;
    Ok(())
}

fn serve(context: &dyn DynContext, listener: &TcpListener) -> io::Result<()> {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let mut descriptors = vec![PollFd::new(listener, PollFlags::IN)];
        descriptors.extend(
            connections
                .iter()
                .map(|connection| PollFd::new(&connection.session, connection.interest)),
        );
        match poll(&mut descriptors, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let ready: Vec<_> = descriptors
            .iter()
            .map(|d| !d.revents().is_empty())
            .collect();

        let mut index = 0;
        connections.retain_mut(|connection| {
            index += 1;
            !ready[index] || connection.advance()
        });
        if ready[0] {
            // A connection that is gone before it is accepted is no reason to stop.
            match listener.accept() {
                Ok((socket, _)) => connections.extend(Connection::new(context, socket)),
                Err(error) => eprintln!("accept: {error}"),
            }
        }
    }
}

struct Connection {
    session: Box<dyn SocketSession>,
    stage: Stage,
    /// What the socket must be ready for before anything can go on.
    interest: PollFlags,
    /// What was read and not yet written back stands between the two marks.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    Handshake,
    Echo,
    Shutdown,
    Done,
}

impl Connection {
    fn new(context: &dyn DynContext, socket: TcpStream) -> Option<Self> {
        socket.set_nonblocking(true).ok()?;
        let session = context
            .socket_session(OwnedFd::from(socket), SessionOptions::new())
            .ok()?;
        Some(Self {
            session,
            stage: Stage::Handshake,
            interest: PollFlags::IN,
            buffer: vec![0; 16 * 1024].into(),
            start: 0,
            end: 0,
        })
    }

    /// Takes the steps the socket is ready for; `false` once the connection is over.
    fn advance(&mut self) -> bool {
        match self.step() {
            Ok(interest) => {
                self.interest = interest;
                !matches!(self.stage, Stage::Done)
            }
            Err(error) => {
                eprintln!("{error}");
                false
            }
        }
    }

    /// The status of each call says what to wait for, whatever the call: a read may want to write.
    fn step(&mut self) -> polytls::Result<PollFlags> {
        loop {
            let status = match self.stage {
                Stage::Handshake => self.session.handshake()?,
                Stage::Echo => self.echo()?,
                Stage::Shutdown => self.session.shutdown()?,
                Stage::Done => return Ok(PollFlags::empty()),
            };
            match (status, self.stage) {
                (Status::WantRead, _) => return self.before_sleeping(),
                (Status::WantWrite, _) => return Ok(PollFlags::OUT),
                (_, Stage::Handshake) => self.stage = Stage::Echo,
                // The client has closed its side, and has everything back: so do we.
                (Status::Closed, Stage::Echo) => self.stage = Stage::Shutdown,
                // Come back at once, but let the other connections have their turn.
                (_, Stage::Echo) => return Ok(PollFlags::OUT),
                (_, _) => self.stage = Stage::Done,
            }
        }
    }

    /// Reads only once everything read before is written: back-pressure for free.
    fn echo(&mut self) -> polytls::Result<Status> {
        if self.start == self.end {
            let progress = self.session.read(&mut self.buffer)?;
            if progress.status != Status::Complete {
                return Ok(progress.status);
            }
            self.start = 0;
            self.end = progress.produced;
        }
        let progress = self.session.write(&self.buffer[self.start..self.end])?;
        self.start += progress.consumed;
        Ok(progress.status)
    }

    /// A write that is complete may have left ciphertext in the session: it must go out even if
    /// the client sends nothing more.
    fn before_sleeping(&mut self) -> polytls::Result<PollFlags> {
        match self.session.flush()? {
            Status::Complete => Ok(PollFlags::IN),
            _ => Ok(PollFlags::IN | PollFlags::OUT),
        }
    }
}

fn first_backend() -> Result<Box<dyn DynBackend>, &'static str> {
    let mut backends = polytls::backends().into_iter();
    backends.next().ok_or("no backend is compiled in")
}

/// For trying things out; a real server reads its own: `Identity::from_pem_files(chain, key)`.
fn self_signed(name: &str) -> Result<Identity, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok(Identity::from_der(vec![made.cert.der().clone()], key)?)
}
