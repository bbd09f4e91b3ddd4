//! A half of a session that borrows its socket borrows it too.

use std::net::TcpStream;
use std::os::fd::AsFd;

use tls_core::{Context, ReadHalf, SessionOptions, SocketSession};

fn wrong<C: Context>(context: &C, socket: TcpStream) -> ReadHalf<C::Socket<'_>> {
    let session = context.socket_session_borrowed(socket.as_fd(), SessionOptions::new());
    let (reader, _) = session.unwrap().split().unwrap();
    reader
}

fn main() {}
