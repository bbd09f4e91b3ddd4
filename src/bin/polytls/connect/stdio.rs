//! stdin and stdout beside a poll loop, without changing their flags: other processes may share
//! them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

/// How much a blocking pipe takes without waiting once it is writable.
const ATOMIC_WRITE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// What became of reading or writing.
pub(super) enum Moved {
    /// So many bytes were moved.
    Bytes(usize),
    /// Nothing can be moved now.
    NotNow,
    /// Nothing will be moved any more: the end of the input, or the reader of the output is gone.
    Ended,
}

/// The standard input, read as soon as it is readable and never before.
pub(super) struct Input(io::Stdin);

impl Input {
    pub(super) fn new() -> Self {
        Self(io::stdin())
    }

    /// Reads what is there. Called when poll says that there is something, so it does not wait.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Moved> {
        match rustix::io::read(&self.0, buffer) {
            Ok(0) => Ok(Moved::Ended),
            Ok(read) => Ok(Moved::Bytes(read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::NotNow),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The standard output, written to as soon as it is writable and never before.
pub(super) struct Output {
    stdout: io::Stdout,
    /// How much to write at a time, so that a blocking descriptor does not wait.
    at_most: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        let stdout = io::stdout();
        let regular = rustix::fs::fstat(&stdout)
            .is_ok_and(|status| FileType::from_raw_mode(status.st_mode).is_file());
        Self {
            stdout,
            at_most: if regular { usize::MAX } else { ATOMIC_WRITE },
        }
    }

    /// Writes as much as goes without waiting. Called when poll says that something goes.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<Moved> {
        let piece = &bytes[..bytes.len().min(self.at_most)];
        match rustix::io::write(&self.stdout, piece) {
            Ok(written) => Ok(Moved::Bytes(written)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::NotNow),
            Err(Errno::PIPE) => Ok(Moved::Ended),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Tells whoever reads our output that there will be no more.
    pub(super) fn close(&self) -> io::Result<()> {
        let nowhere = File::options().write(true).open("/dev/null")?;
        Ok(rustix::stdio::dup2_stdout(nowhere)?)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }
}
