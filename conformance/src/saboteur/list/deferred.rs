//! Servers that wait for their context, and ciphertext from before the handshake.

use std::sync::OnceLock;

use tls_core::iana::AlertDescription;
use tls_core::{
    ClientHello, ClientHelloReader, DynContext, Error, ErrorKind, Feature, Misuse, Progress,
    Result, Session, SocketSession, Status,
};

use super::super::Sabotage;
use super::super::hooks::{Call, Hook, OnHandshake, OnResult};
use super::idle;

const REQUIRES: &[Feature] = &[Feature::DeferredServerContext];

pub(super) static SABOTAGES: &[Sabotage] = &[
    Sabotage {
        requires: REQUIRES,
        hook: || {
            let mut told = false;
            Box::new(OnHandshake::new(move |call| {
                let progress = call.handshake()?;
                if progress.status == Status::NeedsServerContext {
                    if told {
                        return idle(Status::WantRead);
                    }
                    told = true;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new(
            "K13",
            "a server says only once that it waits for its context",
        )
    },
    Sabotage {
        requires: REQUIRES,
        hook: || {
            Box::new(OnHandshake::new(|call| {
                let offered = call.input_length().unwrap_or(0);
                let mut progress = call.handshake()?;
                if progress.status == Status::NeedsServerContext {
                    progress.consumed = offered;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new(
            "K13",
            "a server that waits for its context goes on taking bytes",
        )
    },
    Sabotage {
        requires: REQUIRES,
        hook: || {
            Box::new(OnResult::new(|session, result| match result {
                Err(error)
                    if session.client_hello().is_some()
                        && error.kind() == ErrorKind::Misuse(Misuse::HandshakeIncomplete) =>
                {
                    idle(Status::Complete)
                }
                result => result,
            }))
        },
        ..Sabotage::new("K13", "a server that waits for its context takes data")
    },
    Sabotage {
        requires: REQUIRES,
        hook: || Box::new(ForgivesAnswers),
        ..Sabotage::new("K13", "answers nobody asked for are swallowed")
    },
    Sabotage {
        requires: &[Feature::Unread, Feature::PlainSocketTransport],
        hook: || Box::new(ForgivesAnswers),
        ..Sabotage::new(
            "K11",
            "ciphertext that the engine cannot be given is swallowed",
        )
    },
    Sabotage {
        requires: REQUIRES,
        hook: || Box::new(RefusesByAnother),
        ..Sabotage::new("K13", "a client is refused by another alert")
    },
    Sabotage {
        requires: REQUIRES,
        hook: || Box::new(WaitsForInput(false)),
        ..Sabotage::new("K13", "the hello must be given again after the choice")
    },
    Sabotage {
        requires: REQUIRES,
        one_server_context: true,
        ..Sabotage::new("K13", "the first context is used whichever is chosen")
    },
    Sabotage {
        requires: REQUIRES,
        hook: || Box::new(ForgetsHello),
        ..Sabotage::new("K10", "the hello is forgotten after the handshake")
    },
    Sabotage {
        requires: REQUIRES,
        hook: || Box::new(JoinsRecords(OnceLock::new())),
        ..Sabotage::new("K10", "the hello is told as if it had come in one record")
    },
];

/// Says that every answer is fine.
struct ForgivesAnswers;

impl Hook for ForgivesAnswers {
    fn set_context(&mut self, session: &mut dyn Session, context: &dyn DynContext) -> Result<()> {
        forgive(session.set_context(context))
    }

    fn unread(&mut self, session: &mut dyn SocketSession, ciphertext: &[u8]) -> Result<()> {
        forgive(session.unread(ciphertext))
    }
}

fn forgive(answer: Result<()>) -> Result<()> {
    match answer {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Misuse(_) | ErrorKind::Unsupported(_)
            ) =>
        {
            Ok(())
        }
        answer => answer,
    }
}

/// Tells clients that the server is to blame.
struct RefusesByAnother;

impl Hook for RefusesByAnother {
    fn refuse_client_hello(
        &mut self,
        session: &mut dyn Session,
        _alert: AlertDescription,
    ) -> Result<()> {
        session.refuse_client_hello(AlertDescription::INTERNAL_ERROR)
    }
}

/// Goes on after the choice only once more has come from the client.
struct WaitsForInput(bool);

impl Hook for WaitsForInput {
    fn set_context(&mut self, session: &mut dyn Session, context: &dyn DynContext) -> Result<()> {
        self.0 = true;
        session.set_context(context)
    }

    fn handshake(&mut self, call: &mut dyn Call) -> Result<Progress> {
        if std::mem::take(&mut self.0) {
            return idle(Status::WantRead);
        }
        call.handshake()
    }
}

/// Tells no hello any more once the handshake is complete.
struct ForgetsHello;

impl Hook for ForgetsHello {
    fn client_hello<'a>(&'a self, session: &'a dyn Session) -> Option<&'a ClientHello> {
        match session.facts() {
            None => session.client_hello(),
            Some(_) => None,
        }
    }
}

/// Tells a hello that came in several records as if they had been one.
struct JoinsRecords(OnceLock<ClientHello>);

impl Hook for JoinsRecords {
    fn client_hello<'a>(&'a self, session: &'a dyn Session) -> Option<&'a ClientHello> {
        let hello = session.client_hello()?;
        Some(
            self.0
                .get_or_init(|| joined(hello).unwrap_or_else(|_| hello.clone())),
        )
    }
}

fn joined(hello: &ClientHello) -> std::result::Result<ClientHello, Option<Error>> {
    let message = hello.message();
    let [high, low] = u16::try_from(message.len())
        .map_err(|_| None)?
        .to_be_bytes();
    let mut reader = ClientHelloReader::new();
    reader
        .read(&[&[22, 3, 1, high, low][..], message].concat())
        .map_err(Some)?;
    reader.finish().map_err(Some)?.ok_or(None)
}
