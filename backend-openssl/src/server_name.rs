//! The server's name on clients: sent, and remembered for the facts.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslRef};
use tls_core::pki_types::ServerName;
use tls_core::{ConfigProblem, Operation, Result};
use tls_libssl::host;

use crate::error;

/// Sends the name as server name indication, unless it is an IP address.
///
/// # Errors
///
/// `Config(ServerName)` for a name that the library does not send: LibreSSL takes no underscores.
pub(crate) fn send(ssl: &mut SslRef, name: &ServerName<'_>) -> Result<()> {
    let ServerName::DnsName(_) = name else {
        return Ok(());
    };
    let host = host(name);
    ssl.set_hostname(&host).map_err(error::config(
        ConfigProblem::ServerName,
        "the server's name cannot be sent",
    ))?;
    let index = index().map_err(error::backend(Operation::CreateSession))?;
    ssl.set_ex_data(index, Sent(host));
    Ok(())
}

/// The name that was sent. The library's own getter answers with the name of an earlier handshake
/// if none was sent in this one.
pub(crate) fn sent(ssl: &SslRef) -> Option<String> {
    ssl.ex_data(index().ok()?).map(|sent| sent.0.clone())
}

struct Sent(String);

/// Where a session keeps the name it has sent.
fn index() -> std::result::Result<Index<Ssl, Sent>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Sent>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}
