//! Look-ups that take their time, under the proxy itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use polytls::config::Roots;
use polytls::iana::AlertDescription;
use polytls::{
    AlertDirection, BufferSession, ClientConfig, ClientHello, DynBackend, DynContext, Error,
    ServerConfig, SessionOptions, TlsStream,
};
use signal_hook::consts::SIGTERM;

use super::acceptor::{Acceptor, Contexts};
use super::config::Settings;
use super::listen;
use super::lookup::{Found, Lookup};
use super::upstream::TcpUpstream;
use crate::args::{IdentityArgs, Mode};
use crate::setup;

const PATIENCE: Duration = Duration::from_secs(30);

/// Clients that are served while another waits for its context.
const OTHERS: usize = 20;

/// Finds one context for everybody; for `slow.example` once the gate is open.
struct Gated {
    context: Box<dyn DynContext>,
    is_open: Mutex<bool>,
    opened: Condvar,
    /// How often each name was looked up.
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Gated {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Lookup for Gated {
    fn find(&self, hello: &ClientHello) -> Found {
        let name = hello.server_name().unwrap_or_default();
        *self
            .asked
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_default() += 1;
        match name {
            "slow.example" => {
                let is_open = self.is_open.lock().unwrap();
                drop(
                    self.opened
                        .wait_while(is_open, |is_open| !*is_open)
                        .unwrap(),
                );
            }
            "unknown.example" => return Err(AlertDescription::UNRECOGNIZED_NAME),
            "broken.example" => panic!("a look-up that breaks, on purpose"),
            _ => {}
        }
        Ok(self.context.clone())
    }

    fn reload(&self) {}
}

type Client = TlsStream<TcpStream, Box<dyn BufferSession>>;

fn connect(context: &dyn DynContext, name: &str, address: SocketAddr) -> Result<Client, Error> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let session = context.buffer_session(SessionOptions::to_server(name)?)?;
    let mut client = TlsStream::new(session, stream);
    match client.handshake() {
        Ok(()) => Ok(client),
        Err(error) => Err(error.downcast().expect("an error of the session")),
    }
}

fn echoes(client: &mut Client) {
    client.write_all(b"there and back").unwrap();
    let mut back = [0; 14];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"there and back");
}

fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut copy = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut copy);
                let _ = copy.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn server(backend: &dyn DynBackend) -> Box<dyn DynContext> {
    let identity = setup::identity(&IdentityArgs {
        cert: None,
        key: None,
        self_signed: Some("slow.example".to_owned()),
        sni_map: None,
    });
    backend
        .server(ServerConfig::new(identity.unwrap()))
        .unwrap()
}

fn client(backend: &dyn DynBackend) -> Box<dyn DynContext> {
    let mut config = ClientConfig::new(Roots::default());
    config.dangerous.accept_any_certificate = true;
    backend.client(config).unwrap()
}

/// A proxy with a single event loop.
fn start(
    backend: &dyn DynBackend,
    mode: Mode,
    lookup: Arc<dyn Lookup>,
) -> (SocketAddr, JoinHandle<std::io::Result<()>>) {
    let settings = Settings {
        listen: Vec::new(),
        mode,
        handshake_timeout: PATIENCE,
        idle_timeout: None,
        max_connections: 100,
        threads: NonZeroUsize::MIN.get(),
        drain_timeout: Duration::from_millis(100),
    };
    let (listener, address) = listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let contexts = Contexts::Found(backend.deferred_server().unwrap(), lookup);
    let upstream = TcpUpstream {
        addresses: vec![echo_server()],
    };
    let acceptor = Acceptor::start(listener, settings, contexts, Arc::new(upstream)).unwrap();
    (address, thread::spawn(move || acceptor.run()))
}

#[test]
fn a_slow_look_up_delays_its_own_connection_alone() {
    for name in polytls::backend_names() {
        for mode in [Mode::Socket, Mode::Buffer] {
            let backend = polytls::backend(name).unwrap();
            delays_nobody_else(&*backend, mode);
        }
    }
}

fn delays_nobody_else(backend: &dyn DynBackend, mode: Mode) {
    let lookup = Arc::new(Gated {
        context: server(backend),
        is_open: Mutex::new(false),
        opened: Condvar::new(),
        asked: Mutex::default(),
    });
    let (address, proxy) = start(backend, mode, Arc::clone(&lookup) as _);
    let context = client(backend);
    let slow = {
        let context = context.clone();
        thread::spawn(move || {
            connect(&*context, "slow.example", address).map(|mut client| {
                echoes(&mut client);
            })
        })
    };
    let deadline = Instant::now() + PATIENCE;
    while lookup.asked("slow.example") == 0 {
        assert!(Instant::now() < deadline, "the slow look-up does not begin");
        thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..OTHERS {
        echoes(&mut connect(&*context, "quick.example", address).unwrap());
    }
    let refused = |name, alert| {
        let error = connect(&*context, name, address).unwrap_err();
        let met = error.alert().expect("the client is told why");
        assert_eq!(met.direction, AlertDirection::Received);
        assert_eq!(met.description, alert, "{name}");
    };
    refused("unknown.example", AlertDescription::UNRECOGNIZED_NAME);
    refused("broken.example", AlertDescription::INTERNAL_ERROR);
    // A client that does not wait for its look-up is nobody's concern.
    drop(TcpStream::connect(address).unwrap());
    assert!(!slow.is_finished(), "nobody has answered it");

    lookup.open();
    slow.join().unwrap().unwrap();
    assert_eq!(lookup.asked("slow.example"), 1);
    assert_eq!(lookup.asked("quick.example"), OTHERS);

    signal_hook::low_level::raise(SIGTERM).unwrap();
    proxy.join().unwrap().unwrap();
}
