//! Halves that were put together again are gone.

use tls_core::{ReadHalf, SocketSession, WriteHalf};

fn wrong<S: SocketSession>(mut reader: ReadHalf<S>, writer: WriteHalf<S>) {
    let _ = reader.reunite(writer);
    let _ = reader.read(&mut [0; 16]);
}

fn main() {}
