//! The way out of a forging peer: what it has sealed goes through a socket, whatever the mode.
//!
//! Memcheck takes some of what ring computes for never set, and would suspect the victim for every
//! use of it. What has come out of a socket is set, for certain.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// Far less than a socket holds, so that no write waits for its reader.
const CHUNK: usize = 16 * 1024;

pub(super) struct Outlet {
    inner: UnixStream,
    outer: UnixStream,
}

impl Outlet {
    pub(super) fn new() -> io::Result<Self> {
        let (inner, outer) = UnixStream::pair()?;
        Ok(Self { inner, outer })
    }

    /// The same bytes, on the other side of the socket. In a frame of its own, which
    /// scripts/memcheck.supp names.
    #[inline(never)]
    pub(super) fn pass(&mut self, mut sealed: Vec<u8>) -> io::Result<Vec<u8>> {
        for chunk in sealed.chunks_mut(CHUNK) {
            self.inner.write_all(chunk)?;
            self.outer.read_exact(chunk)?;
        }
        Ok(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_the_same_however_much_it_is() {
        let mut outlet = Outlet::new().unwrap();
        for length in [0, 1, CHUNK, 10 * CHUNK + 1] {
            let bytes: Vec<_> = (0..length).map(|at| at as u8).collect();
            assert_eq!(outlet.pass(bytes.clone()).unwrap(), bytes);
        }
    }
}
