//! Key-exchange groups: the IANA "TLS Supported Groups" registry. RFC 8446 section 4.2.7.

super::registry! {
    /// A named key-exchange group.
    Group(u16), width 4, what "key-exchange group";
    SECP256R1 = 23, "secp256r1" | "P-256" | "prime256v1";
    SECP384R1 = 24, "secp384r1" | "P-384";
    SECP521R1 = 25, "secp521r1" | "P-521";
    X25519 = 29, "x25519";
    X448 = 30, "x448";
    FFDHE2048 = 256, "ffdhe2048";
    FFDHE3072 = 257, "ffdhe3072";
    FFDHE4096 = 258, "ffdhe4096";
    FFDHE6144 = 259, "ffdhe6144";
    FFDHE8192 = 260, "ffdhe8192";
    MLKEM512 = 512, "MLKEM512";
    MLKEM768 = 513, "MLKEM768";
    MLKEM1024 = 514, "MLKEM1024";
    SECP256R1_MLKEM768 = 4587, "SecP256r1MLKEM768";
    X25519_MLKEM768 = 4588, "X25519MLKEM768";
    SECP384R1_MLKEM1024 = 4589, "SecP384r1MLKEM1024";
}
