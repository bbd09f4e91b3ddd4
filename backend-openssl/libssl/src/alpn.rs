//! Application protocols as the libraries take and give them: RFC 7301 section 3.1.

/// The names, each behind a byte that gives its length.
pub fn alpn_wire_format(protocols: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for protocol in protocols {
        wire.extend(u8::try_from(protocol.len()));
        wire.extend_from_slice(protocol);
    }
    wire
}

/// The server's choice, by its own order, out of a client's list; `None` if they share none.
pub fn select_alpn<'a>(protocols: &[Vec<u8>], offered: &'a [u8]) -> Option<&'a [u8]> {
    protocols
        .iter()
        .find_map(|protocol| Names(offered).find(|name| name == protocol))
}

/// Whether a server names nothing but what this list of a client's has; `extension` is the body of its
/// extension. One that is torn is the library's to refuse.
pub fn selects_offered(offered: &[u8], extension: &[u8]) -> bool {
    let mut selected = Names(extension.get(2..).unwrap_or_default());
    selected.all(|name| Names(offered).any(|own| own == name))
}

/// The names in a list; ends early where the list is torn.
struct Names<'a>(&'a [u8]);

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_order_decides() {
        let own = [b"h2".to_vec(), b"http/1.1".to_vec()];
        let offered = alpn_wire_format(&[b"http/1.1".to_vec(), b"h2".to_vec()]);
        assert_eq!(offered, b"\x08http/1.1\x02h2");
        assert_eq!(select_alpn(&own, &offered), Some(&b"h2"[..]));
        assert_eq!(select_alpn(&own[1..], &offered), Some(&b"http/1.1"[..]));
        assert_eq!(select_alpn(&[b"h3".to_vec()], &offered), None);
    }

    #[test]
    fn only_what_was_offered_may_be_selected() {
        let offered = b"\x08http/1.1\x02h2";
        assert!(selects_offered(offered, b"\x00\x03\x02h2"));
        for other in [&b"\x00\x03\x02h3"[..], b"\x00\x02\x01h", b"\x00\x04\x03h2c"] {
            assert!(!selects_offered(offered, other), "{other:?}");
        }
        assert!(!selects_offered(b"", b"\x00\x03\x02h2"));
        for torn in [&b""[..], b"\x00", b"\x00\x03", b"\x00\x03\x02h"] {
            assert!(selects_offered(offered, torn), "{torn:?}");
        }
    }

    #[test]
    fn a_torn_list_ends_early() {
        assert_eq!(select_alpn(&[b"h2".to_vec()], b"\x08http/1.\x02h2"), None);
        assert_eq!(select_alpn(&[b"h2".to_vec()], b"\x03h2"), None);
    }
}
