//! What a session tells of its handshake is the session's.

use tls_core::{Facts, Session};

fn wrong<'a>(session: Box<dyn Session + 'a>) -> Option<&'a Facts> {
    session.facts()
}

fn main() {}
