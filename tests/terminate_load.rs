//! Many connections through `polytls terminate` at once, each moving 1 MiB both ways at once.
//!
//! `POLYTLS_LOAD_CONNECTIONS` says how many; without it, 200. The full run is 2,000.

#![cfg(feature = "cli")]

mod terminate_common;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use polytls::{DynContext, SessionOptions, SocketSession, Status};
use terminate_common::*;

/// How many connections the full run has.
const FULL: usize = 2_000;
const AMOUNT: usize = 1024 * 1024;
const CLIENT_THREADS: usize = 2;
/// How far the data of neighbouring connections is shifted, so that no two can be exchanged.
const SHIFTS: usize = 4096;
const TIME_LIMIT: Duration = Duration::from_secs(600);
/// How much of all the data may be under way at once, in bytes. Where the kernel runs out of memory
/// for TCP it drops what it has announced room for, and connections stand still for minutes.
const UNDER_WAY: usize = 192 * 1024 * 1024;

/// Per connection: 64 KiB held in each direction, 64 KiB pending in the session, and as much again
/// for the engine's own buffers.
const KIB_PER_CONNECTION: u64 = 384;
const KIB_OF_ITS_OWN: u64 = 64 * 1024;

fn connections() -> usize {
    match std::env::var("POLYTLS_LOAD_CONNECTIONS") {
        Ok(text) => text.parse().expect("POLYTLS_LOAD_CONNECTIONS is a number"),
        Err(_) => 200,
    }
}

#[test]
fn many_connections_move_a_mebibyte_both_ways_at_once() {
    let count = connections();
    if count < FULL {
        writeln!(
            io::stderr(),
            "reduced: {count} of {FULL} connections at once"
        )
        .unwrap();
    }
    let data = pattern(AMOUNT + SHIFTS, 42);
    for variant in variants() {
        let pki = Pki::new();
        let echo = start_echo_server();
        let program = Program::terminate(&pki, variant, echo, &["--handshake-timeout", "300"]);
        let context = pki.client(variant.0);
        let started = Instant::now();
        run_clients(count, &*context, program.address, &data);
        let took = started.elapsed();
        let log = program.stop();
        let report = log.lines().last().unwrap();
        let figure = |name: &str| field(report, name);
        assert_eq!(figure("accepted"), count as u64, "{report}");
        assert_eq!(figure("complete"), count as u64, "{report}");
        assert_eq!(figure("failed"), 0, "{report}");
        assert_eq!(figure("peak_connections"), count as u64, "{report}");
        assert_eq!(figure("uploaded"), (count * AMOUNT) as u64, "{report}");
        assert_eq!(figure("downloaded"), (count * AMOUNT) as u64, "{report}");
        let peak = figure("peak_resident_kib");
        // Past the test harness, which keeps what tests print to itself: how many ran is said always.
        writeln!(
            io::stderr(),
            "{variant:?}: {count} connections at once, 1 MiB each way, {:.1} s, {peak} KiB resident \
             at most",
            took.as_secs_f64()
        )
        .unwrap();
        let bound = KIB_OF_ITS_OWN + KIB_PER_CONNECTION * count as u64;
        assert!(peak < bound, "{peak} KiB, {bound} allowed");
    }
}

fn field(line: &str, name: &str) -> u64 {
    let (_, rest) = line
        .split_once(&format!(" {name}="))
        .unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn run_clients(count: usize, context: &dyn DynContext, address: SocketAddr, data: &[u8]) {
    let barrier = &Barrier::new(CLIENT_THREADS);
    thread::scope(|scope| {
        for thread in 0..CLIENT_THREADS {
            scope.spawn(move || {
                let share = (thread..count).step_by(CLIENT_THREADS);
                let mut clients = Clients::connect(share, context, address, data);
                clients.run(Client::handshake);
                barrier.wait();
                clients.run(Client::transfer);
            });
        }
    });
}

struct Clients<'data> {
    poll: Poll,
    clients: Vec<Client<'data>>,
    buffer: Vec<u8>,
}

impl<'data> Clients<'data> {
    fn connect(
        share: impl Iterator<Item = usize>,
        context: &dyn DynContext,
        address: SocketAddr,
        data: &'data [u8],
    ) -> Self {
        let poll = Poll::new().unwrap();
        let clients = share.enumerate().map(|(index, number)| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nonblocking(true).unwrap();
            let options = SessionOptions::to_server(NAME).unwrap();
            let session = context
                .socket_session(OwnedFd::from(stream), options)
                .unwrap();
            register(&poll, &session, index);
            Client {
                session,
                data: &data[number % SHIFTS..][..AMOUNT],
                ahead: UNDER_WAY / connections(),
                sent: 0,
                received: 0,
                readable: true,
                read_closed: false,
                writable: true,
                ended: false,
            }
        });
        let clients = clients.collect();
        Self {
            poll,
            clients,
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Repeats a step on every client, when its socket is ready, until it is done on all.
    fn run(&mut self, step: fn(&mut Client<'data>, &mut [u8]) -> bool) {
        let deadline = Instant::now() + TIME_LIMIT;
        let mut done = vec![false; self.clients.len()];
        let mut left = self.clients.len();
        let mut events = Events::with_capacity(1024);
        let mut ready: Vec<usize> = (0..left).collect();
        while left > 0 {
            for index in ready.drain(..) {
                if !done[index] && step(&mut self.clients[index], &mut self.buffer) {
                    done[index] = true;
                    left -= 1;
                }
            }
            if left == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{left} connections hang");
            self.poll
                .poll(&mut events, Some(Duration::from_secs(1)))
                .unwrap();
            for event in &events {
                let index = event.token().0;
                let client = &mut self.clients[index];
                client.readable |= event.is_readable();
                client.read_closed |= event.is_read_closed();
                client.writable |= event.is_writable();
                ready.push(index);
            }
        }
    }
}

struct Client<'data> {
    session: Box<dyn SocketSession>,
    data: &'data [u8],
    /// How far it may be ahead of what comes back, in bytes.
    ahead: usize,
    sent: usize,
    received: usize,
    readable: bool,
    read_closed: bool,
    writable: bool,
    ended: bool,
}

impl Client<'_> {
    fn handshake(&mut self, _: &mut [u8]) -> bool {
        match self.session.handshake().unwrap() {
            Status::Complete => return true,
            Status::WantRead => self.readable = self.read_closed,
            Status::WantWrite => self.writable = false,
            status => panic!("{status:?}"),
        }
        false
    }

    /// Whether everything was sent, received, and both sides have ended.
    fn transfer(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            let wrote = self.writable && self.write();
            let mut read = false;
            if self.readable || self.read_closed {
                let progress = self.session.read(buffer).unwrap();
                match progress.status {
                    Status::Complete => {
                        let end = self.received + progress.produced;
                        let expected = &self.data[self.received..end];
                        assert!(buffer[..progress.produced] == *expected, "other bytes");
                        self.received = end;
                        read = true;
                    }
                    Status::WantRead => self.readable = false,
                    Status::WantWrite => {}
                    Status::Closed => {
                        assert_eq!((self.sent, self.received), (AMOUNT, AMOUNT));
                        assert!(self.ended);
                        return true;
                    }
                    status => panic!("{status:?}"),
                }
            }
            if !wrote && !read {
                return false;
            }
        }
    }

    fn write(&mut self) -> bool {
        let status = if self.sent < AMOUNT {
            let most = AMOUNT.min(self.received + self.ahead);
            if self.sent >= most {
                self.writable = self.session.flush().unwrap() != Status::WantWrite;
                return false;
            }
            let piece = &self.data[self.sent..most.min(self.sent + 64 * 1024)];
            let progress = self.session.write(piece).unwrap();
            self.sent += progress.consumed;
            progress.status
        } else if !self.ended {
            let status = self.session.shutdown().unwrap();
            self.ended = status != Status::WantWrite;
            status
        } else {
            return false;
        };
        self.writable = status != Status::WantWrite;
        self.writable
    }
}

/// Sends back what it receives, on any number of connections, from one thread.
fn start_echo_server() -> SocketAddr {
    let (listener, address) = listener();
    let (sender, incoming) = std::sync::mpsc::channel();
    let poll = Poll::new().unwrap();
    let waker = mio::Waker::new(poll.registry(), Token(usize::MAX)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            sender.send(stream.unwrap()).unwrap();
            waker.wake().unwrap();
        }
    });
    thread::spawn(move || echo_all(poll, &incoming));
    address
}

fn echo_all(mut poll: Poll, incoming: &std::sync::mpsc::Receiver<TcpStream>) {
    let mut echoes: Vec<Option<Echo>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poll.poll(&mut events, None).unwrap();
        let mut ready: Vec<usize> = events.iter().map(|event| event.token().0).collect();
        while let Ok(stream) = incoming.try_recv() {
            stream.set_nonblocking(true).unwrap();
            register(&poll, &stream, echoes.len());
            ready.push(echoes.len());
            echoes.push(Some(Echo {
                stream,
                held: Vec::new(),
                ending: false,
            }));
        }
        for index in ready {
            if let Some(slot) = echoes.get_mut(index)
                && slot.as_mut().is_some_and(|echo| echo.advance(&mut buffer))
            {
                *slot = None;
            }
        }
    }
}

struct Echo {
    stream: TcpStream,
    held: Vec<u8>,
    ending: bool,
}

impl Echo {
    /// Whether it is over.
    fn advance(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            if !self.held.is_empty() {
                match self.stream.write(&self.held) {
                    Ok(count) => drop(self.held.drain(..count)),
                    Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
                }
                continue;
            }
            if self.ending {
                self.stream.shutdown(Shutdown::Write).unwrap();
                return true;
            }
            match self.stream.read(buffer) {
                Ok(0) => self.ending = true,
                Ok(count) => self.held.extend_from_slice(&buffer[..count]),
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

fn register(poll: &Poll, socket: &impl AsFd, index: usize) {
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry()
        .register(
            &mut SourceFd(&socket.as_fd().as_raw_fd()),
            Token(index),
            both,
        )
        .unwrap();
}
