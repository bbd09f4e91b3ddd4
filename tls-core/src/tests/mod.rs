//! The pump and the stream over a scripted session that stands in for an engine.

#[cfg(unix)]
mod deferred;
mod mock;
#[cfg(unix)]
mod pump;
#[cfg(unix)]
mod pump_endings;
mod stream;
mod transport;
