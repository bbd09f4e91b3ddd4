//! The server name indication: sent, kept for the facts, and sessions bound to it.
//!
//! RFC 6066 section 3 forbids to resume a session under another name than it was made under;
//! BoringSSL leaves that to its caller.

use boring::error::ErrorStack;
use boring::sha::Sha256;
use boring::ssl::{ExtensionType, NameType, SelectCertError, SslContextBuilder, SslRef};
use tls_core::pki_types::ServerName;
use tls_libssl::{BINDING, host, requested_host};

use crate::ffi;

/// Sends the name as server name indication, unless it is an IP address.
pub(crate) fn send(ssl: &mut SslRef, name: &ServerName<'_>) -> Result<(), ErrorStack> {
    match name {
        ServerName::DnsName(_) => ssl.set_hostname(&host(name)),
        _ => Ok(()),
    }
}

/// Has a server resume sessions only under the name they were made under, among those of `binding`.
pub(crate) fn bind(context: &mut SslContextBuilder, binding: [u8; BINDING]) {
    context.set_select_certificate_callback(move |mut hello| {
        let name = hello
            .get_extension(ExtensionType::SERVER_NAME)
            .and_then(requested_host);
        let narrowed = name.as_deref().map(|name| narrow(&binding, name));
        ffi::set_session_id_context(hello.ssl_mut(), narrowed.as_ref().unwrap_or(&binding))
            .map_err(|_| SelectCertError::ERROR)
    });
}

fn narrow(binding: &[u8; BINDING], name: &str) -> [u8; BINDING] {
    let mut hash = Sha256::new();
    hash.update(binding);
    hash.update(name.as_bytes());
    hash.finish()
}

/// The name that was sent or received in this handshake, in lower case.
pub(crate) fn indicated(ssl: &SslRef) -> Option<String> {
    ssl.servername(NameType::HOST_NAME)
        .map(str::to_ascii_lowercase)
}
