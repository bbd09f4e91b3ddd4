//! Two threads cannot drive one session at once: that is what `split` is for.

use std::thread;

use tls_core::SocketSession;

fn wrong(session: &mut dyn SocketSession) {
    thread::scope(|scope| {
        scope.spawn(|| session.read(&mut [0; 16]));
        scope.spawn(|| session.write(b"data"));
    });
}

fn main() {}
