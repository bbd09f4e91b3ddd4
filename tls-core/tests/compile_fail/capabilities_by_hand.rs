//! Capabilities start from nothing, so that a feature added later is one that a backend lacks.

use tls_core::{Capabilities, Support};

fn main() {
    let _ = Capabilities {
        alpn: Support::Native,
        ..Capabilities::default()
    };
}
