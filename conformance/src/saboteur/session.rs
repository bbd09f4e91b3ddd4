//! Sessions of a saboteur: every call goes through its hook.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tls_core::config::Identity;
use tls_core::iana::AlertDescription;
use tls_core::pki_types::CertificateDer;
use tls_core::{
    BufferSession, CertificateProblem, ChannelBinding, ClientHello, DetachError, Detached,
    DynContext, Error, ErrorKind, Facts, Operation, PostHandshakeAuth, Progress, Result, Role,
    Session, SocketSession, Status, Verdict,
};

use super::context::DescriptorHook;
use super::hooks::{Call, Hook};

/// What both kinds of session have besides the real session.
struct Sabotaged<S: ?Sized> {
    inner: Option<Box<S>>,
    hook: Box<dyn Hook>,
    intact: Arc<AtomicBool>,
}

impl<S: ?Sized> Sabotaged<S> {
    fn inner(&self) -> &S {
        self.inner.as_deref().expect("only taken at the end")
    }

    fn inner_mut(&mut self) -> (&mut S, &mut dyn Hook) {
        let inner = self.inner.as_deref_mut().expect("only taken at the end");
        (inner, &mut *self.hook)
    }

    /// Fails once a handle to the context was dropped, if the saboteur makes that matter.
    fn check(&self) -> Result<()> {
        if self.intact.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Backend, Operation::Read))
    }
}

macro_rules! session_through_hook {
    ($($header:tt)+) => {
        $($header)+ {
            fn role(&self) -> Role {
                self.0.inner().role()
            }

            fn facts(&self) -> Option<&Facts> {
                self.0.hook.facts(self.0.inner())
            }

            fn pending_output(&self) -> usize {
                self.0.hook.pending_output(self.0.inner())
            }

            fn buffered(&self) -> usize {
                self.0.hook.buffered(self.0.inner())
            }

            fn failure(&self) -> Option<&Error> {
                self.0.inner().failure()
            }

            fn close_notify_sent(&self) -> bool {
                self.0.inner().close_notify_sent()
            }

            fn close_notify_received(&self) -> bool {
                self.0.inner().close_notify_received()
            }

            fn export_keying_material(
                &self,
                output: &mut [u8],
                label: &[u8],
                context: Option<&[u8]>,
            ) -> Result<()> {
                self.0.hook.export(self.0.inner(), output, label, context)
            }

            fn channel_binding(&self, binding: ChannelBinding) -> Result<Option<Vec<u8>>> {
                self.0.hook.channel_binding(self.0.inner(), binding)
            }

            fn request_key_update(&mut self) -> Result<Status> {
                self.request(|hook, call| hook.request_key_update(call))
                    .map(|progress| progress.status)
            }

            fn unverified_peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
                self.0.hook.unverified_peer_certificates(self.0.inner())
            }

            fn default_validation(
                &self,
            ) -> Option<std::result::Result<(), CertificateProblem>> {
                self.0.hook.default_validation(self.0.inner())
            }

            fn set_validation_result(&mut self, verdict: Verdict) -> Result<()> {
                let (session, hook) = self.0.inner_mut();
                hook.set_validation_result(session, verdict)
            }

            fn acceptable_issuers(&self) -> Option<&[Vec<u8>]> {
                self.0.hook.acceptable_issuers(self.0.inner())
            }

            fn set_client_certificate(&mut self, identity: Option<Identity>) -> Result<()> {
                let (session, hook) = self.0.inner_mut();
                hook.set_client_certificate(session, identity)
            }

            fn client_hello(&self) -> Option<&ClientHello> {
                self.0.hook.client_hello(self.0.inner())
            }

            fn set_context(&mut self, context: &dyn DynContext) -> Result<()> {
                let (session, hook) = self.0.inner_mut();
                hook.set_context(session, context)
            }

            fn refuse_client_hello(&mut self, alert: AlertDescription) -> Result<()> {
                let (session, hook) = self.0.inner_mut();
                hook.refuse_client_hello(session, alert)
            }

            fn request_client_certificate(&mut self) -> Result<Status> {
                self.request(|hook, call| hook.request_client_certificate(call))
                    .map(|progress| progress.status)
            }

            fn post_handshake_auth(&self) -> PostHandshakeAuth {
                self.0.hook.post_handshake_auth(self.0.inner())
            }
        }
    };
}

pub(super) struct SabotagedBuffer(Sabotaged<dyn BufferSession>);

impl SabotagedBuffer {
    pub(super) fn new(
        inner: Box<dyn BufferSession>,
        hook: Box<dyn Hook>,
        intact: Arc<AtomicBool>,
    ) -> Self {
        Self(Sabotaged {
            inner: Some(inner),
            hook,
            intact,
        })
    }

    fn call(
        &mut self,
        input: &mut [u8],
        output: &mut [u8],
        call: impl FnOnce(&mut dyn Hook, &mut dyn Call) -> Result<Progress>,
    ) -> Result<Progress> {
        self.0.check()?;
        let (session, hook) = self.0.inner_mut();
        call(
            hook,
            &mut BufferCall {
                session,
                input,
                output,
                taken: 0,
            },
        )
    }

    fn request(
        &mut self,
        call: impl FnOnce(&mut dyn Hook, &mut dyn Call) -> Result<Progress>,
    ) -> Result<Progress> {
        self.call(&mut [], &mut [], call)
    }
}

session_through_hook!(impl Session for SabotagedBuffer);

impl BufferSession for SabotagedBuffer {
    fn handshake(&mut self, input: &mut [u8], output: &mut [u8]) -> Result<Progress> {
        self.call(input, output, |hook, call| hook.handshake(call))
    }

    fn read(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<Progress> {
        self.call(input, &mut [], |hook, call| hook.read(call, plaintext))
    }

    fn write(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<Progress> {
        self.call(&mut [], output, |hook, call| hook.write(call, plaintext))
    }

    fn shutdown(&mut self, output: &mut [u8]) -> Result<Progress> {
        self.call(&mut [], output, |hook, call| hook.shutdown(call))
    }

    fn drain(&mut self, output: &mut [u8]) -> Progress {
        let (session, hook) = self.0.inner_mut();
        let mut call = BufferCall {
            session,
            input: &mut [],
            output,
            taken: 0,
        };
        hook.flush(&mut call)
            .unwrap_or(Progress::idle(Status::Complete))
    }

    fn input_eof(&mut self) {
        let (session, hook) = self.0.inner_mut();
        if hook.passes_eof() {
            session.input_eof();
        }
    }
}

struct BufferCall<'a> {
    session: &'a mut dyn BufferSession,
    input: &'a mut [u8],
    output: &'a mut [u8],
    /// How much of the input earlier reads within the same call took.
    taken: usize,
}

impl Call for BufferCall<'_> {
    fn session(&self) -> &dyn Session {
        &*self.session
    }

    fn session_mut(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    fn input_length(&self) -> Option<usize> {
        Some(self.input.len())
    }

    fn handshake(&mut self) -> Result<Progress> {
        self.session.handshake(self.input, self.output)
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        let progress = self
            .session
            .read(&mut self.input[self.taken..], plaintext)?;
        self.taken += progress.consumed;
        Ok(progress)
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        self.session.write(plaintext, self.output)
    }

    fn shutdown(&mut self) -> Result<Progress> {
        self.session.shutdown(self.output)
    }

    fn flush(&mut self) -> Result<Progress> {
        Ok(self.session.drain(self.output))
    }

    fn request_key_update(&mut self) -> Result<Progress> {
        self.session.request_key_update().map(Progress::idle)
    }

    fn request_client_certificate(&mut self) -> Result<Progress> {
        self.session
            .request_client_certificate()
            .map(Progress::idle)
    }
}

pub(super) struct SabotagedSocket<'fd>(Sabotaged<dyn SocketSession + 'fd>, DescriptorHook);

impl<'fd> SabotagedSocket<'fd> {
    pub(super) fn new(
        inner: Box<dyn SocketSession + 'fd>,
        hook: Box<dyn Hook>,
        intact: Arc<AtomicBool>,
        descriptor: DescriptorHook,
    ) -> Self {
        Self(
            Sabotaged {
                inner: Some(inner),
                hook,
                intact,
            },
            descriptor,
        )
    }

    fn call(
        &mut self,
        call: impl FnOnce(&mut dyn Hook, &mut dyn Call) -> Result<Progress>,
    ) -> Result<Progress> {
        self.0.check()?;
        let (session, hook) = self.0.inner_mut();
        let result = call(hook, &mut SocketCall { session });
        if result.is_err() && self.1 == DescriptorHook::Signal {
            // The session has failed: what this comes to changes nothing for it.
            let _ = rustix::io::write(self.as_fd(), b"?");
        }
        result
    }

    fn request(
        &mut self,
        call: impl FnOnce(&mut dyn Hook, &mut dyn Call) -> Result<Progress>,
    ) -> Result<Progress> {
        self.call(call)
    }
}

session_through_hook!(impl Session for SabotagedSocket<'_>);

impl AsFd for SabotagedSocket<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.inner().as_fd()
    }
}

impl SocketSession for SabotagedSocket<'_> {
    fn handshake(&mut self) -> Result<Status> {
        self.call(|hook, call| hook.handshake(call))
            .map(|progress| progress.status)
    }

    fn unread(&mut self, ciphertext: &[u8]) -> Result<()> {
        let (session, hook) = self.0.inner_mut();
        hook.unread(session, ciphertext)
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        self.call(|hook, call| hook.read(call, plaintext))
    }

    /// Into the first buffer that has room: allowed, as any read may be short.
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<Progress> {
        match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.read(buffer),
            None => self.read(&mut []),
        }
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        self.call(|hook, call| hook.write(call, plaintext))
    }

    /// From the first buffer that holds something: allowed, as any write may be short.
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<Progress> {
        match buffers.iter().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.write(buffer),
            None => self.write(&[]),
        }
    }

    fn flush(&mut self) -> Result<Status> {
        let (session, hook) = self.0.inner_mut();
        hook.flush(&mut SocketCall { session })
            .map(|progress| progress.status)
    }

    fn shutdown(&mut self) -> Result<Status> {
        self.call(|hook, call| hook.shutdown(call))
            .map(|progress| progress.status)
    }

    fn into_fd<'session>(
        mut self: Box<Self>,
    ) -> std::result::Result<Detached, DetachError<'session>>
    where
        Self: 'session,
    {
        let inner = self.0.inner.take().expect("only taken at the end");
        match (inner.into_fd(), self.1) {
            (Ok(detached), DescriptorHook::LosePlaintext) => Ok(Detached {
                plaintext: Vec::new(),
                ..detached
            }),
            (Err(refused), DescriptorHook::GiveBackDespite(why))
                if refused.error.kind() == ErrorKind::Misuse(why) =>
            {
                give_back(refused)
            }
            (result, _) => result,
        }
    }
}

/// A second descriptor of the socket, whatever the session has to say.
fn give_back(refused: DetachError<'_>) -> std::result::Result<Detached, DetachError<'_>> {
    let Ok(fd) = refused.session.as_fd().try_clone_to_owned() else {
        return Err(refused);
    };
    Ok(Detached {
        fd,
        plaintext: Vec::new(),
    })
}

impl Drop for SabotagedSocket<'_> {
    fn drop(&mut self) {
        let Some(session) = self.0.inner.as_deref_mut() else {
            return;
        };
        if self.0.hook.shuts_down_on_drop() {
            // What a saboteur's own calls come to matters to nobody.
            let _ = session.shutdown();
            let _ = session.flush();
        }
        if self.1 == DescriptorHook::ShutDown {
            let _ = rustix::net::shutdown(session.as_fd(), rustix::net::Shutdown::Both);
        }
    }
}

struct SocketCall<'a, 'fd> {
    session: &'a mut (dyn SocketSession + 'fd),
}

impl Call for SocketCall<'_, '_> {
    fn session(&self) -> &dyn Session {
        &*self.session
    }

    fn session_mut(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    fn input_length(&self) -> Option<usize> {
        None
    }

    fn handshake(&mut self) -> Result<Progress> {
        self.session.handshake().map(Progress::idle)
    }

    fn read(&mut self, plaintext: &mut [u8]) -> Result<Progress> {
        self.session.read(plaintext)
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Progress> {
        self.session.write(plaintext)
    }

    fn shutdown(&mut self) -> Result<Progress> {
        self.session.shutdown().map(Progress::idle)
    }

    fn flush(&mut self) -> Result<Progress> {
        self.session.flush().map(Progress::idle)
    }

    fn request_key_update(&mut self) -> Result<Progress> {
        self.session.request_key_update().map(Progress::idle)
    }

    fn request_client_certificate(&mut self) -> Result<Progress> {
        self.session
            .request_client_certificate()
            .map(Progress::idle)
    }
}

impl fmt::Debug for SabotagedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SabotagedBuffer")
            .field(&self.0.inner)
            .finish()
    }
}

impl fmt::Debug for SabotagedSocket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SabotagedSocket")
            .field(&self.0.inner)
            .finish()
    }
}
