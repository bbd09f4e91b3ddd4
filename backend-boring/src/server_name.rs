//! The server name indication: sent, kept for the facts, and sessions bound to it.

use boring::error::ErrorStack;
use boring::sha::sha256;
use boring::ssl::{ExtensionType, NameType, SelectCertError, SslContextBuilder, SslRef};
use tls_core::pki_types::ServerName;
use tls_libssl::{BINDING, host, narrow, requested_host};

use crate::ffi;

/// Sends the name as server name indication, unless it is an IP address.
pub(crate) fn send(ssl: &mut SslRef, name: &ServerName<'_>) -> Result<(), ErrorStack> {
    match name {
        ServerName::DnsName(_) => ssl.set_hostname(&host(name)),
        _ => Ok(()),
    }
}

/// Has sessions resumed only under the name they were made under, among those of `binding`. The
/// library itself keeps the name that each client asks for.
pub(crate) fn watch(context: &mut SslContextBuilder, binding: [u8; BINDING]) {
    context.set_select_certificate_callback(move |mut hello| {
        let name = hello
            .get_extension(ExtensionType::SERVER_NAME)
            .and_then(requested_host);
        let narrowed = narrow(&binding, name.as_deref(), sha256);
        ffi::set_session_id_context(hello.ssl_mut(), &narrowed).map_err(|_| SelectCertError::ERROR)
    });
}

/// The name that was sent or received in this handshake, in lower case.
pub(crate) fn indicated(ssl: &SslRef) -> Option<String> {
    ssl.servername(NameType::HOST_NAME)
        .map(str::to_ascii_lowercase)
}
