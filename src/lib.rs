//! One TLS API over many TLS engines.
