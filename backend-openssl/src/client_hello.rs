//! The server name indication on an OpenSSL server: kept for the facts, and sessions bound to it.
//!
//! OpenSSL's own getter answers for a resumed TLS 1.2 session with the name of the first handshake,
//! so the name is taken from the ClientHello itself.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::sha::sha256;
use openssl::ssl::{ClientHelloResponse, Ssl, SslAlert, SslContextBuilder, SslRef};
use tls_libssl::{BINDING, narrow, requested_host};

use crate::ffi;

/// Keeps the name that each client asks for, and has sessions resumed only under the name they
/// were made under, among those of `binding`.
pub(crate) fn watch(
    context: &mut SslContextBuilder,
    binding: [u8; BINDING],
) -> Result<(), ErrorStack> {
    let index = index()?;
    context.set_client_hello_callback(move |ssl: &mut SslRef, _: &mut SslAlert| {
        let name = ffi::client_hello_server_name(ssl).and_then(requested_host);
        ffi::set_session_id_context(ssl, &narrow(&binding, name.as_deref(), sha256))?;
        ssl.set_ex_data(index, name);
        Ok(ClientHelloResponse::SUCCESS)
    });
    Ok(())
}

/// The name the client asked for, in lower case.
pub(crate) fn requested(ssl: &SslRef) -> Option<String> {
    ssl.ex_data(index().ok()?)?.clone()
}

/// Where a session keeps the name; it holds nothing until the ClientHello was read.
fn index() -> Result<Index<Ssl, Option<String>>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Option<String>>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}
