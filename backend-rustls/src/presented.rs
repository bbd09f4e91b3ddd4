//! Whether a client has presented its certificate: rustls asks for it when the server does, and
//! tells nobody.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

thread_local! {
    /// Whether the certificate was asked for and fitted, in the call that is under way. A
    /// configuration is shared by sessions, and rustls does not say for which of them it asks; but it
    /// asks within the call that gives it the server's message.
    static PRESENTED: Cell<bool> = const { Cell::new(false) };
}

/// Presents one certificate to whoever asks, and notes that it did.
pub(crate) struct Presents(pub(crate) Arc<CertifiedKey>);

impl ResolvesClientCert for Presents {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        note(&self.0, schemes);
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Presents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presents").finish_non_exhaustive()
    }
}

/// Notes that this is presented, if the server takes what it signs.
pub(crate) fn note(credentials: &CertifiedKey, schemes: &[SignatureScheme]) {
    if credentials.key.choose_scheme(schemes).is_some() {
        PRESENTED.set(true);
    }
}

/// What `work` gives, and whether a certificate was presented in it. A verifier may drive another
/// session within the work of this one: what that presents is not noted for this. `work` must not
/// unwind.
#[inline]
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let outer = PRESENTED.replace(false);
    let done = work();
    (done, PRESENTED.replace(outer))
}
