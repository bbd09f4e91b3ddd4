//! What a peer can do wrong on purpose, so that the matrix is seen to notice.

use std::thread;
use std::time::Duration;

use crate::matrix::protocol::{Answer, Ask, Problem};

/// One thing a peer does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// It tells another alert than was sent or received.
    WrongAlert,
    /// It loses the last byte of what it receives.
    LostByte,
    /// It changes what it receives.
    ChangedByte,
    /// It tells a truncation as a clean end.
    CleanEnd,
    /// It says that no session was resumed.
    NeverResumed,
    /// It queues no KeyUpdate.
    NoKeyUpdate,
    /// It dies in the transfer.
    Dies,
    /// It never answers a transfer.
    Hangs,
    /// It answers a transfer with something that is no answer.
    Babbles,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::WrongAlert,
        Self::LostByte,
        Self::ChangedByte,
        Self::CleanEnd,
        Self::NeverResumed,
        Self::NoKeyUpdate,
        Self::Dies,
        Self::Hangs,
        Self::Babbles,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongAlert => "wrong-alert",
            Self::LostByte => "lost-byte",
            Self::ChangedByte => "changed-byte",
            Self::CleanEnd => "clean-end",
            Self::NeverResumed => "never-resumed",
            Self::NoKeyUpdate => "no-key-update",
            Self::Dies => "dies",
            Self::Hangs => "hangs",
            Self::Babbles => "babbles",
        }
    }

    /// What becomes of an answer.
    pub(super) fn spoil(self, ask: &Ask, mut answer: Answer) -> Answer {
        if let (Self::Dies | Self::Hangs | Self::Babbles, Ask::Transfer { .. }) = (self, ask) {
            return self.stop();
        }
        match (self, &mut answer) {
            (Self::WrongAlert, Answer::Failed(problem)) => wrong_alert(problem),
            (
                Self::WrongAlert,
                Answer::Ended {
                    error: Some(problem),
                    ..
                },
            ) => wrong_alert(problem),
            (Self::LostByte, Answer::Transferred { received, .. }) if received.bytes > 0 => {
                received.bytes -= 1;
            }
            (Self::ChangedByte, Answer::Transferred { received, .. }) => {
                received.sha256.replace_range(..1, "x");
            }
            (Self::CleanEnd, Answer::Ended { error, .. }) => *error = None,
            (Self::NoKeyUpdate, Answer::KeyUpdate { pending }) => pending[1] = pending[0],
            (Self::NeverResumed, Answer::Handshaken(told)) => told.resumed = false,
            _ => {}
        }
        answer
    }

    fn stop(self) -> Answer {
        match self {
            Self::Dies => std::process::exit(3),
            Self::Babbles => println!("this is no answer"),
            _ => thread::sleep(Duration::from_secs(3600)),
        }
        std::process::exit(0)
    }
}

fn wrong_alert(problem: &mut Problem) {
    if let Some(alert) = &mut problem.alert {
        alert.code ^= 1;
    }
}
