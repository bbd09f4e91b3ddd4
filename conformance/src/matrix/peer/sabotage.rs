//! What a peer can do wrong on purpose, so that the matrix is seen to notice.

use std::thread;
use std::time::Duration;

use tls_core::iana::{CipherSuite, ProtocolVersion};

use crate::matrix::protocol::{Answer, Ask, Problem, Told};

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
    /// It tells another version than was negotiated.
    WrongVersion,
    /// It tells a cipher suite that TLS 1.3 does not have.
    WrongSuite,
    /// It tells no group.
    NoGroup,
    /// It tells a protocol (ALPN) that was not selected.
    WrongProtocol,
    /// It tells another server name than was sent.
    WrongName,
    /// It tells a server name where none was sent.
    InventedName,
    /// It tells no chain where the peer sent one.
    LostChain,
    /// It tells a chain where the peer sent none.
    InventedChain,
    /// It says that a session was resumed.
    AlwaysResumed,
    /// It receives nothing once it sends nothing any more.
    EndsBoth,
    /// It queues no KeyUpdate.
    NoKeyUpdate,
    /// It exports something else than the other side.
    WrongExport,
    /// It tells another channel binding than the other side.
    WrongBinding,
    /// It tells no channel binding.
    NoBinding,
    /// It dies in the transfer.
    Dies,
    /// It never answers a transfer.
    Hangs,
    /// It answers a transfer with something that is no answer.
    Babbles,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::WrongAlert,
        Self::LostByte,
        Self::ChangedByte,
        Self::CleanEnd,
        Self::NeverResumed,
        Self::WrongVersion,
        Self::WrongSuite,
        Self::NoGroup,
        Self::WrongProtocol,
        Self::WrongName,
        Self::InventedName,
        Self::LostChain,
        Self::InventedChain,
        Self::AlwaysResumed,
        Self::EndsBoth,
        Self::NoKeyUpdate,
        Self::WrongExport,
        Self::WrongBinding,
        Self::NoBinding,
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
            Self::WrongVersion => "wrong-version",
            Self::WrongSuite => "wrong-suite",
            Self::NoGroup => "no-group",
            Self::WrongProtocol => "wrong-protocol",
            Self::WrongName => "wrong-name",
            Self::InventedName => "invented-name",
            Self::LostChain => "lost-chain",
            Self::InventedChain => "invented-chain",
            Self::AlwaysResumed => "always-resumed",
            Self::EndsBoth => "ends-both",
            Self::NoKeyUpdate => "no-key-update",
            Self::WrongExport => "wrong-export",
            Self::WrongBinding => "wrong-binding",
            Self::NoBinding => "no-binding",
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
        if let (Self::EndsBoth, Ask::Transfer { send, receive }) = (self, ask)
            && send.length == 0
            && *receive > 0
        {
            return Answer::Failed(Problem {
                label: "assertion".to_owned(),
                ..Problem::harness("both directions ended with one")
            });
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
            (Self::WrongExport, Answer::Bound { exported, .. }) => {
                exported[2] = own();
            }
            (Self::WrongBinding, Answer::Bound { bindings, .. }) => {
                for value in bindings.values_mut().flatten().flatten() {
                    value.replace_range(..8, &own());
                }
            }
            (Self::NoBinding, Answer::Bound { bindings, .. }) => {
                let values = bindings.values_mut().flatten();
                values.for_each(|value| *value = None);
            }
            (_, Answer::Handshaken(told)) => self.misreport(told),
            _ => {}
        }
        answer
    }

    /// What becomes of what a handshake settled.
    fn misreport(self, told: &mut Told) {
        match self {
            Self::NeverResumed => told.resumed = false,
            Self::AlwaysResumed => told.resumed = true,
            Self::WrongVersion => told.version = ProtocolVersion::TLS1_1.to_string(),
            Self::WrongSuite => {
                let suite = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
                told.cipher_suite = suite.to_string();
            }
            Self::NoGroup => told.group = None,
            Self::WrongProtocol => told.alpn = Some("third".to_owned()),
            Self::WrongName if told.server_name.is_some() => {
                told.server_name = Some("wrong.example".to_owned());
            }
            Self::InventedName if told.server_name.is_none() => {
                told.server_name = Some("invented.example".to_owned());
            }
            Self::LostChain => told.peer_certificates = None,
            Self::InventedChain if told.peer_certificates.is_none() => {
                told.peer_certificates = Some(Vec::new());
            }
            _ => {}
        }
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

/// Eight digits that no other peer has.
fn own() -> String {
    format!("{:08x}", std::process::id())
}

fn wrong_alert(problem: &mut Problem) {
    if let Some(alert) = &mut problem.alert {
        alert.code ^= 1;
    }
}
