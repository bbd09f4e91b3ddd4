//! What a step came to has to be looked at: bytes may have moved.

#![deny(unused_must_use)]

use tls_core::BufferSession;

fn wrong(session: &mut dyn BufferSession, output: &mut [u8]) {
    session.drain(output);
}

fn main() {}
