//! For authors of backends: what every implementation of the session traits needs.

#[cfg(unix)]
mod descriptor;
mod lifecycle;
#[cfg(unix)]
mod pump;
mod record;
#[cfg(unix)]
mod staging;
mod store;

#[cfg(unix)]
pub use descriptor::{Descriptor, check_nonblocking, receive, send, send_vectored};
pub use lifecycle::{Lifecycle, OUTPUT_RESERVE};
#[cfg(unix)]
pub use pump::SocketPump;
pub use record::{MAX_RECORD, RECORD_HEADER, RecordHeader};
pub use store::BoundedStore;
