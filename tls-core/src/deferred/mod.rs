//! Servers that choose their context by what the client offers.
//!
//! The ClientHello is read and parsed here, bounded, before an engine session exists; the engine
//! session is made by the context that was chosen, and is given the same bytes. So it is the same
//! on every engine, and no policy of an engine's session is ever switched under way.

mod buffer;
mod context;
mod first;
#[cfg(unix)]
mod socket;

pub use buffer::DeferredBufferSession;
pub use context::{AnyContext, Deferred};
#[cfg(unix)]
pub use socket::DeferredSocketSession;
