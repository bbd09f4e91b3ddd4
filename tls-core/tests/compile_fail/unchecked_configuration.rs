//! A backend builds no context of a configuration that was not checked.

use tls_core::{Backend, ClientConfig};

fn wrong(backend: &impl Backend, config: ClientConfig) {
    let _ = backend.build_client(config);
}

fn main() {}
