//! A half is for one thread at a time.

use std::thread;

use tls_core::{SocketSession, WriteHalf};

fn wrong<S: SocketSession>(writer: &mut WriteHalf<S>) {
    thread::scope(|scope| {
        scope.spawn(|| writer.write(b"one"));
        scope.spawn(|| writer.write(b"other"));
    });
}

fn main() {}
