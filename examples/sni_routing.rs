//! A server for several names on one port. It reads the ClientHello first, and only then chooses
//! the context, with its certificate and its policy, by the name the client asks for.
//!
//! ```text
//! cargo run --example sni_routing [BACKEND]
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use polytls::iana::AlertDescription;
use polytls::{
    BufferSession, ClientConfig, DynContext, ServerConfig, Session, SessionOptions, TlsStream,
};

mod common;

/// A context for each name, made beforehand and shared; to choose one costs a look-up.
struct Router {
    /// Its sessions wait for a context.
    deferred: Box<dyn DynContext>,
    tenants: HashMap<String, Box<dyn DynContext>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let backend = common::backend(std::env::args().nth(1))?;
    let authority = common::Authority::new("an authority")?;
    let mut router = Router {
        deferred: backend.deferred_server()?,
        tenants: HashMap::new(),
    };
    for name in ["one.example", "two.example"] {
        let context = backend.server(ServerConfig::new(authority.server(name)?))?;
        router.tenants.insert(name.to_owned(), context);
    }

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = thread::spawn(move || -> io::Result<()> {
        for _ in 0..3 {
            let (socket, _) = listener.accept()?;
            if let Err(error) = router.serve(socket) {
                println!("server: {error}");
            }
        }
        Ok(())
    });

    let client = backend.client(ClientConfig::new(authority.roots()))?;
    for name in ["one.example", "TWO.example"] {
        println!("client: {}", ask(&*client, address, name)?);
    }
    let refused = ask(&*client, address, "three.example");
    serving.join().map_err(|_| "the server has panicked")??;
    match refused {
        Ok(answer) => Err(format!("three.example answered {answer:?}").into()),
        Err(error) => {
            println!("client: three.example: {error}");
            Ok(())
        }
    }
}

impl Router {
    fn serve(&self, socket: TcpStream) -> Result<(), Box<dyn Error>> {
        let session = self.deferred.buffer_session(SessionOptions::new())?;
        let mut stream = TlsStream::new(session, socket);
        // Comes back when the ClientHello is there, before anything was answered. The choice may
        // take its time, on another thread too: the session waits.
        let waiting = stream.handshake();
        if stream.session().client_hello().is_none() {
            waiting?;
        }
        self.choose(&mut **stream.session_mut())?;
        stream.handshake()?;
        let name = stream.session().server_name().unwrap_or("nobody");
        let answer = format!("this is {name}");
        stream.write_all(answer.as_bytes())?;
        stream.shutdown()?;
        Ok(())
    }

    fn choose(&self, session: &mut dyn BufferSession) -> polytls::Result<()> {
        // In lower case, if it was sent at all.
        let name = session.client_hello().and_then(|hello| hello.server_name());
        match name.and_then(|name| self.tenants.get(name)) {
            Some(context) => session.set_context(&**context),
            // The handshake that follows tells the client, and fails.
            None => session.refuse_client_hello(AlertDescription::UNRECOGNIZED_NAME),
        }
    }
}

/// What the server of this name says, which has to prove the name.
fn ask(
    context: &dyn DynContext,
    address: SocketAddr,
    name: &str,
) -> Result<String, Box<dyn Error>> {
    let session = context.buffer_session(SessionOptions::to_server(name)?)?;
    let mut stream = TlsStream::new(session, TcpStream::connect(address)?);
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    stream.shutdown()?;
    Ok(answer)
}
