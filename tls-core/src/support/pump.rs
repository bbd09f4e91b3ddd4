//! Socket sessions out of buffer sessions.

/// Placeholder until the pump lands.
#[derive(Debug)]
pub struct SocketPump<S>(S);
