//! A static file server: an HTTP library behind the proxy of [`crate::proxy`].

mod body;
mod files;
mod http;
mod local;

use std::sync::Arc;

use crate::args::ServeArgs;
use crate::failure::Failure;
use crate::proxy;

/// What the server speaks, by its ALPN name.
const HTTP_1_1: &str = "http/1.1";

/// Serves the files of a directory until SIGTERM or SIGINT.
///
/// # Errors
///
/// The directory, the address or the TLS configuration cannot be used, or --alpn names a protocol
/// that is not spoken.
pub(crate) fn run(mut args: ServeArgs) -> Result<(), Failure> {
    let root = files::Root::open(&args.root).map_err(Failure::new)?;
    let alpn = &mut args.listener.protocol.alpn;
    if alpn.is_empty() {
        alpn.push(HTTP_1_1.to_owned());
    }
    if let Some(other) = alpn.iter().find(|name| *name != HTTP_1_1) {
        return Err(Failure::new(format!(
            "the file server speaks {HTTP_1_1} alone, and cannot negotiate {other:?} with --alpn"
        )));
    }
    let server = local::LocalServer::start(root)
        .map_err(|error| Failure::new(format!("cannot start the HTTP server: {error}")))?;
    // The client's socket, both ends of the pair, and a file.
    proxy::terminate(&args.listener, Arc::new(server), 4)
}
