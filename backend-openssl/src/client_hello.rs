//! What an OpenSSL server keeps of a ClientHello: the server name indication, for the facts and to
//! bind sessions to it, and whether the client may be asked for a certificate after the handshake.
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

/// The extension post_handshake_auth: RFC 8446 section 4.2.6.
const POST_HANDSHAKE_AUTH: u32 = 49;

/// Keeps the name that each client asks for, and has sessions resumed only under the name they
/// were made under, among those of `binding`.
pub(crate) fn watch(
    context: &mut SslContextBuilder,
    binding: [u8; BINDING],
) -> Result<(), ErrorStack> {
    let index = index()?;
    context.set_client_hello_callback(move |ssl: &mut SslRef, alert: &mut SslAlert| {
        let name = ffi::client_hello_server_name(ssl).and_then(requested_host);
        // Asked for another ClientHello, or in a renegotiation, a client may not ask for another
        // server (RFC 8446 section 4.1.2); OpenSSL does not look, and who chose by the first name
        // would be told of the second.
        if ssl.ex_data(index).is_some_and(|before| before.name != name) {
            *alert = SslAlert::ILLEGAL_PARAMETER;
            return Err(ErrorStack::get());
        }
        let offers = ffi::client_hello_has(ssl, POST_HANDSHAKE_AUTH);
        ffi::set_session_id_context(ssl, &narrow(&binding, name.as_deref(), sha256))?;
        ssl.set_ex_data(index, Hello { name, offers });
        Ok(ClientHelloResponse::SUCCESS)
    });
    Ok(())
}

/// The name the client asked for, in lower case.
pub(crate) fn requested(ssl: &SslRef) -> Option<String> {
    ssl.ex_data(index().ok()?)?.name.clone()
}

/// Whether the client has offered to be asked for a certificate after the handshake.
pub(crate) fn takes_requests(ssl: &SslRef) -> bool {
    let hello = index().ok().and_then(|index| ssl.ex_data(index));
    hello.is_some_and(|hello| hello.offers)
}

/// What is kept.
struct Hello {
    name: Option<String>,
    offers: bool,
}

/// Where a session keeps it; it holds nothing until the ClientHello was read.
fn index() -> Result<Index<Ssl, Hello>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Hello>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}
