//! The server name indication on an OpenSSL server: kept for the facts, and sessions bound to it.
//!
//! OpenSSL's own getter answers for a resumed TLS 1.2 session with the name of the first handshake,
//! so the name is taken from the ClientHello itself. RFC 6066 section 3 forbids to resume a session
//! under another name than it was made under; OpenSSL leaves that to its caller.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::sha::Sha256;
use openssl::ssl::{ClientHelloResponse, Ssl, SslAlert, SslContextBuilder, SslRef};

use crate::ffi;
use crate::library::BINDING;

/// Keeps the name that each client asks for, and has sessions resumed only under the name they
/// were made under, among those of `binding`.
pub(crate) fn watch(
    context: &mut SslContextBuilder,
    binding: [u8; BINDING],
) -> Result<(), ErrorStack> {
    let index = index()?;
    context.set_client_hello_callback(move |ssl: &mut SslRef, _: &mut SslAlert| {
        let name = ffi::client_hello_server_name(ssl).and_then(parse);
        let narrowed = name.as_deref().map(|name| narrow(&binding, name));
        ffi::set_session_id_context(ssl, narrowed.as_ref().unwrap_or(&binding))?;
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

fn narrow(binding: &[u8; BINDING], name: &str) -> [u8; BINDING] {
    let mut hash = Sha256::new();
    hash.update(binding);
    hash.update(name.as_bytes());
    hash.finish()
}

/// Reads the extension: a list of names, of which only one of type host_name (0) is defined. What
/// is malformed is no name here; the engine itself then refuses the ClientHello.
fn parse(extension: &[u8]) -> Option<String> {
    let (list, rest) = length_prefixed(extension)?;
    let (&0, entry) = list.split_first()? else {
        return None;
    };
    let (name, more) = length_prefixed(entry)?;
    if !rest.is_empty() || !more.is_empty() || name.is_empty() || !name.is_ascii() {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

fn length_prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_host_name_is_read_in_lower_case() {
        let extension = b"\x00\x0c\x00\x00\x09A.Example";
        assert_eq!(parse(extension).as_deref(), Some("a.example"));
    }

    #[test]
    fn torn_and_overlong_lists_are_no_name() {
        let whole = b"\x00\x0c\x00\x00\x09a.example";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(parse(b"\x00\x0c\x00\x00\x09a.exampleX"), None);
        assert_eq!(parse(b"\x00\x0d\x00\x00\x09a.exampleX"), None);
        assert_eq!(
            parse(b"\x00\x0c\x01\x00\x09a.example"),
            None,
            "another type"
        );
        assert_eq!(
            parse(b"\x00\x0c\x00\x00\x09a.exampl\xff"),
            None,
            "not ASCII"
        );
    }
}
