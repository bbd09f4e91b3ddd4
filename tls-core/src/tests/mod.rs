//! The pump and the stream over a scripted session that stands in for an engine.

mod mock;
mod stream;
mod transport;
