//! For authors of backends: what every implementation of the session traits needs.

mod bindings;
mod buffer;
#[cfg(unix)]
mod descriptor;
mod driver;
mod end_point;
mod guarded;
mod lifecycle;
mod plaintext;
#[cfg(unix)]
mod pump;
mod record;
mod store;
mod suspension;
mod transport;

pub use bindings::{Keying, channel_binding, export_keying_material};
#[cfg(unix)]
pub use descriptor::{Descriptor, check_nonblocking, receive, send, send_vectored};
pub use guarded::guarded;
pub use lifecycle::{Lifecycle, OUTPUT_RESERVE, Requests};
#[cfg(unix)]
pub use pump::{SocketPump, check_unread, unread_too_much};
pub use record::{MAX_RECORD, RECORD_HEADER, RecordHeader};
pub use store::BoundedStore;

pub(crate) use bindings::forward_bindings;
pub(crate) use driver::Driver;
pub(crate) use plaintext::Joined;
pub(crate) use suspension::forward_suspensions;
pub(crate) use transport::{Transport, would_block};
