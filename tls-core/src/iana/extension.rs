//! Extensions: the IANA "TLS ExtensionType Values" registry. RFC 8446 section 4.2.

super::registry! {
    /// The type of an extension.
    ExtensionType(u16), width 4, what "extension";
    SERVER_NAME = 0, "server_name";
    MAX_FRAGMENT_LENGTH = 1, "max_fragment_length";
    STATUS_REQUEST = 5, "status_request";
    SUPPORTED_GROUPS = 10, "supported_groups";
    EC_POINT_FORMATS = 11, "ec_point_formats";
    SIGNATURE_ALGORITHMS = 13, "signature_algorithms";
    APPLICATION_LAYER_PROTOCOL_NEGOTIATION = 16, "application_layer_protocol_negotiation" | "alpn";
    SIGNED_CERTIFICATE_TIMESTAMP = 18, "signed_certificate_timestamp";
    PADDING = 21, "padding";
    ENCRYPT_THEN_MAC = 22, "encrypt_then_mac";
    EXTENDED_MASTER_SECRET = 23, "extended_master_secret";
    COMPRESS_CERTIFICATE = 27, "compress_certificate";
    RECORD_SIZE_LIMIT = 28, "record_size_limit";
    DELEGATED_CREDENTIAL = 34, "delegated_credential";
    SESSION_TICKET = 35, "session_ticket";
    PRE_SHARED_KEY = 41, "pre_shared_key";
    EARLY_DATA = 42, "early_data";
    SUPPORTED_VERSIONS = 43, "supported_versions";
    COOKIE = 44, "cookie";
    PSK_KEY_EXCHANGE_MODES = 45, "psk_key_exchange_modes";
    CERTIFICATE_AUTHORITIES = 47, "certificate_authorities";
    OID_FILTERS = 48, "oid_filters";
    POST_HANDSHAKE_AUTH = 49, "post_handshake_auth";
    SIGNATURE_ALGORITHMS_CERT = 50, "signature_algorithms_cert";
    KEY_SHARE = 51, "key_share";
    ENCRYPTED_CLIENT_HELLO = 65037, "encrypted_client_hello";
    RENEGOTIATION_INFO = 65281, "renegotiation_info";
}
