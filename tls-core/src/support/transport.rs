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
/// time is over: the call can be repeated either way. Unix systems say so themselves only of a
/// connection that they have given up, and say it once: it must not be waited for again.
pub(crate) fn would_block(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::WouldBlock => true,
        io::ErrorKind::TimedOut => cfg!(not(unix)) || error.raw_os_error().is_none(),
        _ => false,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_connection_that_the_system_gave_up_is_not_waited_for() {
        assert!(would_block(&Errno::AGAIN.into()));
        assert!(would_block(&io::ErrorKind::TimedOut.into()));
        assert!(!would_block(&Errno::TIMEDOUT.into()));
        assert!(!would_block(&Errno::CONNRESET.into()));
    }
}
