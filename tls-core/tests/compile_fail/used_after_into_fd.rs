//! A session that has given up its descriptor is gone.

use tls_core::SocketSession;

fn wrong(session: Box<dyn SocketSession>) {
    let _ = session.into_fd();
    let _ = session.pending_output();
}

fn main() {}
