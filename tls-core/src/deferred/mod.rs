//! Servers that choose their context by what the client offers.
//!
//! The ClientHello is read and parsed here, bounded, before an engine session exists; the engine
//! session is made by the context that was chosen, and is given the same bytes. So it is the same
//! on every engine, and no policy of an engine's session is ever switched under way.

/// The methods of `Session` that whatever speaks for a deferred session now answers: `First`, or the
/// session of the chosen context. In an `impl` beside `current`, `current_mut` and a field `first`.
macro_rules! forward_session {
    ($self:ident) => {
        fn role(&$self) -> Role {
            Role::Server
        }

        fn facts(&$self) -> Option<&$crate::Facts> {
            $self.current().facts()
        }

        fn pending_output(&$self) -> usize {
            $self.current().pending_output()
        }

        fn buffered(&$self) -> usize {
            $self.current().buffered()
        }

        fn failure(&$self) -> Option<&Error> {
            $self.current().failure()
        }

        fn close_notify_sent(&$self) -> bool {
            $self.current().close_notify_sent()
        }

        fn close_notify_received(&$self) -> bool {
            $self.current().close_notify_received()
        }

        fn request_key_update(&mut $self) -> Result<Status> {
            $self.current_mut().request_key_update()
        }

        fn request_client_certificate(&mut $self) -> Result<Status> {
            $self.current_mut().request_client_certificate()
        }

        fn post_handshake_auth(&$self) -> $crate::PostHandshakeAuth {
            $self.current().post_handshake_auth()
        }

        $crate::support::forward_suspensions!($self => $self.current(), $self.current_mut());

        $crate::support::forward_bindings!($self, _ => $self.current());

        fn client_hello(&$self) -> Option<&$crate::ClientHello> {
            $self.first.client_hello()
        }

        fn refuse_client_hello(&mut $self, alert: $crate::iana::AlertDescription) -> Result<()> {
            $self.current_mut().refuse_client_hello(alert)
        }
    };
}

mod buffer;
mod context;
mod first;
#[cfg(unix)]
mod socket;

pub use buffer::DeferredBufferSession;
pub use context::{AnyContext, Deferred};
#[cfg(unix)]
pub use socket::DeferredSocketSession;
