//! What a request for new keys may get wrong.

use tls_core::{ErrorKind, Feature, Misuse, Progress, Result, Session, Status};

use super::super::Sabotage;
use super::super::hooks::{Call, Hook, OnKeyUpdate};
use super::idle;

/// Takes a request for done that the session refuses like this.
fn shrugs_at(call: &mut dyn Call, kind: ErrorKind) -> Result<Progress> {
    match call.request_key_update() {
        Err(error) if error.kind() == kind => idle(Status::Complete),
        result => result,
    }
}

/// Loses the first write after a request.
struct LosesNext(bool);

impl Hook for LosesNext {
    fn request_key_update(&mut self, call: &mut dyn Call) -> Result<Progress> {
        self.0 = true;
        call.request_key_update()
    }

    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        if std::mem::take(&mut self.0) {
            return Ok(Progress::new(Status::Complete, plaintext.len(), 0));
        }
        call.write(plaintext)
    }
}

/// Puts the message behind what is written next, which is under the old keys.
struct ChangesLate(bool);

impl Hook for ChangesLate {
    fn request_key_update(&mut self, _call: &mut dyn Call) -> Result<Progress> {
        self.0 = true;
        idle(Status::Complete)
    }

    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        let result = call.write(plaintext)?;
        if std::mem::take(&mut self.0) {
            let _ = call.request_key_update()?;
        }
        Ok(result)
    }
}

/// Holds what a read has queued until the next write.
struct AnswersLate(bool);

impl Hook for AnswersLate {
    fn read(&mut self, call: &mut dyn Call, plaintext: &mut [u8]) -> Result<Progress> {
        let before = call.session().pending_output();
        let result = call.read(plaintext);
        self.0 |= call.session().pending_output() > before;
        result
    }

    fn write(&mut self, call: &mut dyn Call, plaintext: &[u8]) -> Result<Progress> {
        self.0 = false;
        call.write(plaintext)
    }

    fn flush(&mut self, call: &mut dyn Call) -> Result<Progress> {
        if self.0 {
            return idle(Status::Complete);
        }
        call.flush()
    }

    fn pending_output(&self, session: &dyn Session) -> usize {
        if self.0 {
            return 0;
        }
        session.pending_output()
    }
}

pub(super) static SABOTAGES: &[Sabotage] = &[
    Sabotage {
        hook: || Box::new(OnKeyUpdate::new(|_| idle(Status::Complete))),
        ..Sabotage::new("K11", "a request for new keys does nothing")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| {
                let _ = call.request_key_update()?;
                call.request_key_update()
            }))
        },
        requires: &[Feature::KeyUpdate],
        ..Sabotage::new("K4", "each request for new keys is two")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| {
                let result = call.request_key_update();
                let _ = call.flush()?;
                result
            }))
        },
        requires: &[Feature::KeyUpdate],
        ..Sabotage::new("K4", "a request for new keys sends")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| {
                shrugs_at(call, ErrorKind::Misuse(Misuse::TooManyKeyUpdates))
            }))
        },
        requires: &[Feature::KeyUpdate],
        ..Sabotage::new("K4", "too many requests for new keys are swallowed")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| {
                let progress = call.request_key_update()?;
                match progress.status {
                    Status::WantWrite => idle(Status::Complete),
                    _ => Ok(progress),
                }
            }))
        },
        requires: &[Feature::KeyUpdate],
        ..Sabotage::new("K4", "a request for new keys that found no room is lost")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| {
                shrugs_at(call, ErrorKind::Misuse(Misuse::HandshakeIncomplete))
            }))
        },
        ..Sabotage::new("K17", "a request for new keys before the handshake is lost")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| {
                shrugs_at(call, ErrorKind::Misuse(Misuse::WriteAfterShutdown))
            }))
        },
        requires: &[Feature::KeyUpdate],
        ..Sabotage::new("K7", "a request for new keys after shutdown is swallowed")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| match call.session().failure() {
                Some(_) => idle(Status::Complete),
                None => call.request_key_update(),
            }))
        },
        requires: &[Feature::KeyUpdate],
        ..Sabotage::new("K5", "a failed session takes a request for new keys")
    },
    Sabotage {
        hook: || {
            Box::new(OnKeyUpdate::new(|call| {
                shrugs_at(call, ErrorKind::Unsupported(Feature::KeyUpdate))
            }))
        },
        ..Sabotage::new("K11", "TLS 1.2 has new keys too")
    },
    Sabotage {
        hook: || Box::new(LosesNext(false)),
        ..Sabotage::new(
            "K3",
            "what is written behind a request for new keys is lost",
        )
    },
    Sabotage {
        hook: || Box::new(ChangesLate(false)),
        ..Sabotage::new(
            "K11",
            "what is written behind a request for new keys is under the old ones",
        )
    },
    Sabotage {
        hook: || Box::new(AnswersLate(false)),
        ..Sabotage::new(
            "K1",
            "the answer to a request for new keys waits for a write",
        )
    },
];
