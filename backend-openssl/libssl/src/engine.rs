//! What only a backend can say about its library.

use std::borrow::Cow;
use std::ffi::c_ulong;

use tls_core::{Facts, Result, Support};

use crate::diagnosis::Diagnosis;
use crate::ffi::LibSsl;

/// What only the backend can say about its library: never called on the steady path.
pub trait Engine: LibSsl {
    /// Whether the library can start a KeyUpdate, as the backend's
    /// [`Capabilities::key_update`](tls_core::Capabilities::key_update) says.
    const KEY_UPDATE: Support = Support::Native;

    /// What the handshake settled; called once, when it is complete.
    ///
    /// # Errors
    ///
    /// `Backend`, if the library does not say what every handshake has.
    fn facts(&self) -> Result<Facts>;

    /// What a failure means. `codes` is the error queue, oldest first; it may be empty.
    fn diagnose(&self, codes: &[c_ulong]) -> Diagnosis;

    /// Whether the library holds a part of a record that it read from the descriptor after
    /// [`attach_fd`](LibSsl::attach_fd). `true` if the library does not tell.
    fn holds_input(&self) -> bool {
        true
    }

    /// A panic that a callback of the backend has caught and kept, as a sentence.
    fn take_panic(&mut self) -> Option<Cow<'static, str>> {
        None
    }
}
