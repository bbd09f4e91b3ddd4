//! The session without I/O.

use tls_core::config::Identity;
use tls_core::pki_types::CertificateDer;
use tls_core::support::Lifecycle;
use tls_core::{
    BufferSession, ChannelBinding, Error, Facts, PostHandshakeAuth, Progress, Result, Role,
    Session, Status, Verdict,
};

use crate::Setup;
use crate::core::Core;
use crate::engine::Engine;
use crate::questions::Verified;

/// A session without I/O over a libssl: its BIO reads the caller's input and writes the caller's
/// output, so that ciphertext is copied once, by the library.
#[derive(Debug)]
pub struct BufferEngineSession<E: Engine> {
    core: Core<E>,
}

impl<E: Engine> BufferEngineSession<E> {
    /// Takes an engine that knows its role and has no transport yet.
    ///
    /// # Errors
    ///
    /// `Backend`, if the library is out of memory.
    pub(crate) fn new(engine: E, setup: &Setup) -> Result<Self> {
        let mut core = Core::new(engine, setup);
        core.link.attach()?;
        Ok(Self { core })
    }

    /// The engine, for what only the backend can ask of it.
    pub fn engine(&self) -> &E {
        self.core.link.engine()
    }
}

#[cfg(test)]
impl BufferEngineSession<crate::mock::Mock> {
    /// Makes the engine do something unusual next.
    pub(crate) fn disturb(&mut self, next: crate::mock::Next) {
        self.core.link.engine_mut().next = Some(next);
    }
}

/// The accessors, which ask the lifecycle, the same for both sessions.
macro_rules! lifecycle_accessors {
    () => {
        fn role(&self) -> Role {
            self.core.role
        }

        fn facts(&self) -> Option<&Facts> {
            self.core.lifecycle.facts()
        }

        fn failure(&self) -> Option<&Error> {
            Lifecycle::failure(&self.core.lifecycle)
        }

        fn close_notify_sent(&self) -> bool {
            self.core.lifecycle.close_notify_sent()
        }

        fn close_notify_received(&self) -> bool {
            self.core.lifecycle.close_notify_received()
        }

        fn post_handshake_auth(&self) -> PostHandshakeAuth {
            self.core.post_handshake_auth()
        }

        fn unverified_peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
            self.core.lifecycle.unverified_peer_certificates()
        }

        fn default_validation(&self) -> Option<Verified> {
            self.core.lifecycle.default_validation()
        }

        fn set_validation_result(&mut self, verdict: Verdict) -> Result<()> {
            self.core.set_validation_result(verdict)
        }

        fn acceptable_issuers(&self) -> Option<&[Vec<u8>]> {
            self.core.lifecycle.acceptable_issuers()
        }

        fn set_client_certificate(&mut self, identity: Option<Identity>) -> Result<()> {
            self.core.set_client_certificate(identity)
        }

        fn export_keying_material(
            &self,
            output: &mut [u8],
            label: &[u8],
            context: Option<&[u8]>,
        ) -> Result<()> {
            self.core.export_keying_material(output, label, context)
        }

        fn channel_binding(&self, binding: ChannelBinding) -> Result<Option<Vec<u8>>> {
            self.core.channel_binding(binding)
        }
    };
}
#[cfg(unix)]
pub(crate) use lifecycle_accessors;

impl<E: Engine> Session for BufferEngineSession<E> {
    lifecycle_accessors!();

    fn pending_output(&self) -> usize {
        self.core.pending()
    }

    fn buffered(&self) -> usize {
        self.core.buffered(&[])
    }

    fn request_key_update(&mut self) -> Result<Status> {
        self.core.request_key_update()
    }

    fn request_client_certificate(&mut self) -> Result<Status> {
        self.core.request_client_certificate()
    }
}

impl<E: Engine> BufferSession for BufferEngineSession<E> {
    fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress> {
        self.core.handshake(input, output)
    }

    fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress> {
        self.core.read(input, plaintext)
    }

    fn write(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<Progress> {
        let bound = self.core.bound;
        self.core.write(plaintext, output, bound)
    }

    fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress> {
        self.core.shutdown(output)
    }

    fn drain(&mut self, output: &mut [u8]) -> Progress {
        self.core.drain(output)
    }

    fn input_eof(&mut self) {
        self.core.lifecycle.end_input();
    }
}
