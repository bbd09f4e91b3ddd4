//! A piece of a file as the body of a response.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// What responses carry: a page made up here, or a file.
pub(super) type ResponseBody = Either<Full<Bytes>, FileBody>;

/// How much is read from the file at once.
const PIECE: usize = 64 * 1024;

/// A piece of a file, read as it is sent. Reading blocks the server thread for as long as the file
/// system takes.
pub(super) struct FileBody {
    file: File,
    range: Range<u64>,
}

impl FileBody {
    /// These bytes of the file; the file should have them.
    pub(super) fn new(file: File, range: Range<u64>) -> Self {
        Self { file, range }
    }

    fn read(&mut self) -> io::Result<Bytes> {
        let left = self.range.end - self.range.start;
        let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; length];
        let read = loop {
            match self.file.read_at(&mut piece, self.range.start) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if read == 0 {
            // The length was promised: breaking off is the only way to say that it was not kept.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was sent",
            ));
        }
        piece.truncate(read);
        self.range.start += read as u64;
        Ok(piece.into())
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.read().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.range.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.range.end - self.range.start)
    }
}

/// A body made up here.
pub(super) fn text(text: String) -> ResponseBody {
    Either::Left(Full::<Bytes>::from(text))
}
