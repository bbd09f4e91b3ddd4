//! The HTTP server behind the proxy, reached over socket pairs: no port carries plaintext.

use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tracing::{debug, error};

use super::files::Root;
use super::http;
use crate::proxy::{Connect, Upstream};

/// How long a client may take for the head of a request, from the end of the one before.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long, and how much, is read and thrown away behind the last answer.
const LINGER: Duration = Duration::from_secs(3);
const LINGER_BYTES: u64 = 1024 * 1024;

/// The upstream of `serve`: one end of a new socket pair, whose other end the server thread has.
pub(super) struct LocalServer {
    connections: UnboundedSender<StdUnixStream>,
    stopping: watch::Sender<bool>,
}

impl LocalServer {
    /// Starts the server thread.
    pub(super) fn start(root: Root) -> io::Result<Self> {
        let (connections, incoming) = unbounded_channel();
        let (stopping, stop) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || runtime.block_on(serve_all(incoming, stop, Arc::new(root))))?;
        Ok(Self {
            connections,
            stopping,
        })
    }
}

impl Connect for LocalServer {
    fn connect(&self, attempt: usize) -> io::Result<Option<Upstream>> {
        if attempt > 0 {
            return Ok(None);
        }
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        self.connections
            .send(theirs)
            .map_err(|_| io::Error::other("the HTTP server has stopped"))?;
        Ok(Some(Upstream::connected(ours.into())))
    }

    fn drain(&self) {
        self.stopping.send_replace(true);
    }
}

async fn serve_all(
    mut incoming: UnboundedReceiver<StdUnixStream>,
    stop: watch::Receiver<bool>,
    root: Arc<Root>,
) {
    while let Some(stream) = incoming.recv().await {
        match UnixStream::from_std(stream) {
            Ok(stream) => {
                tokio::spawn(serve_one(stream, stop.clone(), Arc::clone(&root)));
            }
            Err(error) => error!(%error, "a connection cannot be served"),
        }
    }
}

/// Serves one connection: requests are answered until either side ends it.
async fn serve_one(stream: UnixStream, mut stop: watch::Receiver<bool>, root: Arc<Root>) {
    let service = service_fn(move |request| {
        let root = Arc::clone(&root);
        Box::pin(async move { Ok::<_, std::convert::Infallible>(http::respond(&root, &request)) })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(ended),
        _ = stop.wait_for(|stopping| *stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    if let Err(error) = ended {
        // The client finds an answer broken off by the length that was promised for it.
        debug!(%error, "an HTTP connection broke off");
        return;
    }
    let mut stream = connection.into_parts().io.into_inner();
    // Closing with unread bytes would reset the pair, and cost the client the end of the answer.
    if stream.shutdown().await.is_ok() {
        let mut rest = (&mut stream).take(LINGER_BYTES);
        let mut nowhere = tokio::io::sink();
        let discard = tokio::io::copy(&mut rest, &mut nowhere);
        let _ = tokio::time::timeout(LINGER, discard).await;
    }
}
