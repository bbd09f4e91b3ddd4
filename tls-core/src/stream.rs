//! `std::io::Read` and `Write` over any transport.

/// Placeholder until the adapter lands.
#[derive(Debug)]
pub struct TlsStream<S>(S);
