//! The server's name: as clients write it, and as it stands in a ClientHello.

use tls_core::pki_types::ServerName;

use crate::BINDING;

/// The name as it stands in certificates and in the server name indication: in lower case, without
/// the dot that marks it as absolute (RFC 6066 section 3).
pub fn host(name: &ServerName<'_>) -> String {
    let mut host = name.to_str().to_ascii_lowercase();
    if host.ends_with('.') {
        host.pop();
    }
    host
}

/// Reads the body of the server name extension, in lower case: a list of names, of which only one
/// of type host_name (0) is defined. What is malformed is no name here; the engine itself then
/// refuses the ClientHello.
pub fn requested_host(extension: &[u8]) -> Option<String> {
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

/// The session id context of a client that asks for this name, or for none: sessions of `binding` are
/// resumed only under the name they were made under. RFC 6066 section 3 has it so, and the libraries
/// leave it to their caller.
pub fn narrow(
    binding: &[u8; BINDING],
    name: Option<&str>,
    sha256: impl FnOnce(&[u8]) -> [u8; BINDING],
) -> [u8; BINDING] {
    match name {
        Some(name) => sha256(&[binding, name.as_bytes()].concat()),
        None => *binding,
    }
}

fn length_prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::requested_host;

    #[test]
    fn a_host_name_is_read_in_lower_case() {
        let extension = b"\x00\x0c\x00\x00\x09A.Example";
        assert_eq!(requested_host(extension).as_deref(), Some("a.example"));
    }

    #[test]
    fn torn_and_overlong_lists_are_no_name() {
        let whole = b"\x00\x0c\x00\x00\x09a.example";
        for end in 0..whole.len() {
            assert_eq!(requested_host(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(requested_host(b"\x00\x0c\x00\x00\x09a.exampleX"), None);
        assert_eq!(requested_host(b"\x00\x0d\x00\x00\x09a.exampleX"), None);
        assert_eq!(
            requested_host(b"\x00\x0c\x01\x00\x09a.example"),
            None,
            "another type"
        );
        assert_eq!(
            requested_host(b"\x00\x0c\x00\x00\x09a.exampl\xff"),
            None,
            "not ASCII"
        );
    }
}
