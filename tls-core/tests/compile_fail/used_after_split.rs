//! A session that was split is used through its halves.

use tls_core::SocketSession;

fn wrong(session: impl SocketSession) {
    let _ = session.split();
    let _ = session.pending_output();
}

fn main() {}
