//! Two sessions talking to each other, in either mode, and the certificates they show.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part"
)]

mod pair;
mod pki;

pub(crate) use pair::{Mode, Outcome, Pair};
pub(crate) use pki::{Leaf, Pki, SERVER_NAME, common_name};

use std::sync::LazyLock;

use backend_openssl::OpenSsl;
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::{Backend, Capabilities, ClientConfig, ServerConfig, SessionOptions};

/// Runs a check in both modes and both versions.
pub(crate) fn everywhere(check: impl Fn(Mode, ProtocolVersion)) {
    for mode in [Mode::Buffer, Mode::Socket] {
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            println!("{mode:?} {version}");
            check(mode, version);
        }
    }
}

/// A client configuration that trusts the authority, of one version.
pub(crate) fn client_config(pki: &Pki, version: ProtocolVersion) -> ClientConfig {
    let mut config = ClientConfig::new(pki.roots());
    config.parameters.min_version = version;
    config.parameters.max_version = version;
    config
}

/// A server configuration that shows this leaf; it speaks both versions.
pub(crate) fn server_config(leaf: Leaf) -> ServerConfig {
    ServerConfig::new(leaf.identity())
}

/// Connects once to [`SERVER_NAME`] and lets both sides say what there is to say.
pub(crate) fn connect(mode: Mode, client: ClientConfig, server: ServerConfig) -> Outcome {
    connect_to(mode, client, server, to(SERVER_NAME))
}

/// The same, with other options.
pub(crate) fn connect_to(
    mode: Mode,
    client: ClientConfig,
    server: ServerConfig,
    options: SessionOptions,
) -> Outcome {
    let client = OpenSsl::new().client(client).expect("a client context");
    let server = OpenSsl::new().server(server).expect("a server context");
    Pair::new(mode, &client, &server, options).settle()
}

/// Options for a session with this server.
pub(crate) fn to(name: &str) -> SessionOptions {
    SessionOptions::to_server(name).expect("a server name")
}

/// Whether the library here is LibreSSL, for what the two answer differently.
pub(crate) fn is_libressl() -> bool {
    Backend::build_info(&OpenSsl::new()).library == "LibreSSL"
}

/// The alert for a certificate of another name: RFC 8446 section 6.2 has two that fit.
pub(crate) fn name_mismatch() -> AlertDescription {
    if is_libressl() {
        return AlertDescription::CERTIFICATE_UNKNOWN;
    }
    AlertDescription::BAD_CERTIFICATE
}

/// The alert for a certificate that is not valid yet: RFC 8446 section 6.2 has none for it alone.
pub(crate) fn not_yet_valid() -> AlertDescription {
    if Backend::build_info(&OpenSsl::new()).library == "BoringSSL" {
        return AlertDescription::CERTIFICATE_EXPIRED;
    }
    AlertDescription::BAD_CERTIFICATE
}

/// What the library here can do.
pub(crate) fn capabilities() -> &'static Capabilities {
    static BACKEND: LazyLock<OpenSsl> = LazyLock::new(OpenSsl::new);
    BACKEND.capabilities()
}
