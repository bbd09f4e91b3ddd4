//! What the driver asks of a transport.

use std::io;

/// A byte stream, blocking or not.
pub(crate) trait Transport {
    /// Receives some bytes; 0 mean the end.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends some bytes.
    fn send(&mut self, buffer: &[u8]) -> io::Result<usize>;

    /// Passes on what the transport itself holds back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A blocking transport with a time-out says that it would block, or, on some systems, that the
/// time is over: the call can be repeated either way.
pub(super) fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
