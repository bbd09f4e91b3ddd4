//! Protocol versions. RFC 8446 section 4.2.1.

super::registry! {
    /// A TLS protocol version by its number on the wire.
    ProtocolVersion(u16), width 4, what "TLS version";
    TLS1_0 = 0x0301, "TLSv1.0" | "1.0" | "TLS 1.0";
    TLS1_1 = 0x0302, "TLSv1.1" | "1.1" | "TLS 1.1";
    TLS1_2 = 0x0303, "TLSv1.2" | "1.2" | "TLS 1.2";
    TLS1_3 = 0x0304, "TLSv1.3" | "1.3" | "TLS 1.3";
}
