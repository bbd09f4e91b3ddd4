//! Two peers, and what the steps do with them. Whatever is done is checked against what both say.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tls_core::Feature;
use tls_core::iana::{AlertDescription, CipherSuite, ProtocolVersion};

use super::cell::Cell;
use super::process::Process;
use super::protocol::{AlertTold, Answer, Ask, Hello, Piece, Problem, Received, Told};
use super::sides::{ClientSide, ServerSide};
use crate::case::{CaseResult, Failure};
use crate::check;
use crate::ensure;
use crate::pair::Side;
use crate::pki::{Pki, SERVER_NAME};

/// Why a step does not simply pass.
#[derive(Debug)]
pub(super) enum Stop {
    /// One side lacks what the step is about, was seen to lack it, and the rest held.
    Unsupported(Lack),
    Failed(Failure),
    /// A peer is not there any more.
    Absent,
}

/// What a side lacks, and why, in a sentence.
#[derive(Debug)]
pub(super) struct Lack {
    pub(super) feature: Feature,
    pub(super) reason: String,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a step, or a part of it, comes to.
pub(super) type StepResult<T = ()> = Result<T, Stop>;

/// The two peers of a cell.
pub(super) struct Stage<'a> {
    pub(super) cell: &'a Cell,
    pub(super) pki: &'static Pki,
    client: &'a mut Process,
    server: &'a mut Process,
    hellos: [Hello; 2],
    expected: &'a Digests,
}

/// What the facts of a handshake are, as both sides tell them.
pub(super) struct Handshaken {
    pub(super) client: Told,
    pub(super) server: Told,
}

impl Handshaken {
    pub(super) fn of(&self, side: Side) -> &Told {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

/// What is received of each piece, worked out once.
#[derive(Debug, Default)]
pub(super) struct Digests(RefCell<BTreeMap<Piece, Received>>);

impl Digests {
    fn of(&self, piece: Piece) -> Received {
        let mut known = self.0.borrow_mut();
        known
            .entry(piece)
            .or_insert_with(|| Received::of(&piece.bytes()))
            .clone()
    }
}

impl<'a> Stage<'a> {
    /// # Errors
    ///
    /// `peer` if one of the two cannot be started, `Absent` if it has failed too often.
    pub(super) fn new(
        cell: &'a Cell,
        client: &'a mut Process,
        server: &'a mut Process,
        expected: &'a Digests,
    ) -> StepResult<Self> {
        if !client.is_there() || !server.is_there() {
            return Err(Stop::Absent);
        }
        let hellos = [client.hello()?.clone(), server.hello()?.clone()];
        Ok(Self {
            cell,
            pki: Pki::shared(),
            client,
            server,
            hellos,
            expected,
        })
    }

    /// Has both sides drop what they have; one that has failed has nothing.
    pub(super) fn forget(&mut self) -> CaseResult {
        for side in Side::BOTH {
            if self.process(side).is_running() {
                self.done(side, Ask::Forget)?;
            }
        }
        Ok(())
    }

    pub(super) fn is_tls13(&self) -> bool {
        self.cell.version == ProtocolVersion::TLS1_3
    }

    /// What a side lacks, if it lacks this feature.
    pub(super) fn lacks(&self, side: Side, feature: Feature) -> Option<Lack> {
        let reason = self.hello(side).lacks.get(feature.name())?;
        let name = self.process(side).name();
        Some(Lack {
            feature,
            reason: format!("the {}, {name}, lacks {feature}: {reason}", side.name()),
        })
    }

    fn hello(&self, side: Side) -> &Hello {
        match side {
            Side::Client => &self.hellos[0],
            Side::Server => &self.hellos[1],
        }
    }

    fn process(&self, side: Side) -> &Process {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    fn process_mut(&mut self, side: Side) -> &mut Process {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// A client that trusts the server, and speaks the version of the cell.
    pub(super) fn client(&self) -> ClientSide {
        ClientSide::new(self.cell.version, &self.pki.roots())
    }

    /// A server that a client may trust, and that speaks the version of the cell.
    pub(super) fn server(&self) -> ServerSide {
        ServerSide::new(self.cell.version, &self.pki.server)
    }

    /// Makes the contexts of both sides.
    ///
    /// # Errors
    ///
    /// `Unsupported` if one side says that it lacks something, and said so before.
    pub(super) fn configure(&mut self, client: ClientSide, server: ServerSide) -> StepResult {
        for (side, configuration) in [(Side::Client, client.into()), (Side::Server, server.into())]
        {
            let Answer::Failed(problem) = self.ask(side, Ask::Configure(configuration))? else {
                continue;
            };
            let lacking = Feature::ALL.iter().find_map(|&feature| {
                let refused = problem.label == unsupported(feature);
                refused.then(|| self.lacks(side, feature)).flatten()
            });
            return Err(match lacking {
                Some(lack) => Stop::Unsupported(lack),
                None => Stop::Failed(self.unexpected(side, "a context", &problem)),
            });
        }
        Ok(())
    }

    /// Connects the two, with a session on each side.
    pub(super) fn open(&mut self, server_name: &str) -> CaseResult {
        let port = self.hello(Side::Server).port;
        let (client_mode, server_mode) = (self.cell.client_mode, self.cell.server_mode);
        let connect = Ask::Connect {
            port,
            mode: client_mode,
            server_name: server_name.to_owned(),
        };
        let from = match self.ask(Side::Client, connect)? {
            Answer::Connected { port } => port,
            other => return Err(self.other(Side::Client, "connecting", &other)),
        };
        let accept = Ask::Accept {
            from,
            mode: server_mode,
        };
        self.done(Side::Server, accept)
    }

    /// Connects, and takes both sides through the handshake; they must agree on what it settled.
    pub(super) fn connect_to(&mut self, server_name: &str) -> CaseResult<Handshaken> {
        self.open(server_name)?;
        let answers = self.ask_both(Ask::Handshake, Ask::Handshake)?;
        let [Answer::Handshaken(client), Answer::Handshaken(server)] = answers else {
            return Err(self.neither("the handshake", &answers));
        };
        let both = Handshaken { client, server };
        self.agree(&both)?;
        Ok(both)
    }

    pub(super) fn connect(&mut self) -> CaseResult<Handshaken> {
        self.connect_to(SERVER_NAME)
    }

    /// Both sides tell the same, and what the cell is about.
    fn agree(&self, both: &Handshaken) -> CaseResult {
        let Handshaken { client, server } = both;
        for (side, told) in [("client", client), ("server", server)] {
            check::equal(
                &format!("the version, as the {side} tells it"),
                &told.version,
                &self.cell.version.to_string(),
            )?;
        }
        check::equal(
            "the cipher suite of the server and the client's",
            &server.cipher_suite,
            &client.cipher_suite,
        )?;
        let suite: CipherSuite = client.cipher_suite.parse()?;
        check::equal(
            &format!("whether {suite} is a suite of TLS 1.3"),
            suite.is_tls13(),
            self.is_tls13(),
        )?;
        self.agree_on_group(both)?;
        check::equal(
            "the protocol (ALPN) of the server and the client's",
            &server.alpn,
            &client.alpn,
        )?;
        check::equal(
            "the server name of the server and the client's",
            &server.server_name,
            &client.server_name,
        )?;
        check::equal(
            "whether the server has resumed, and the client",
            server.resumed,
            client.resumed,
        )
    }

    /// A full handshake of any of these engines agrees on a group, and who can tell it does.
    fn agree_on_group(&self, both: &Handshaken) -> CaseResult {
        let mut groups = Vec::new();
        for side in Side::BOTH {
            let told = both.of(side);
            if self.lacks(side, Feature::NegotiatedGroup).is_some() {
                check::equal(
                    &format!("the group of a {} that cannot tell it", side.name()),
                    told.group.as_deref(),
                    None::<&str>,
                )?;
                continue;
            }
            ensure!(
                told.group.is_some() || told.resumed,
                "the {} tells no group",
                side.name()
            );
            groups.push(&told.group);
        }
        match *groups {
            [client, server] => {
                check::equal("the group of the server and the client's", server, client)
            }
            _ => Ok(()),
        }
    }

    /// Sends from both sides at once; each receives what the other has sent, and no less.
    pub(super) fn transfer(&mut self, from_client: Piece, from_server: Piece) -> CaseResult {
        let answers = self.ask_both(
            Ask::Transfer {
                send: from_client,
                receive: from_server.length,
            },
            Ask::Transfer {
                send: from_server,
                receive: from_client.length,
            },
        )?;
        let [
            Answer::Transferred {
                sent: by_client,
                received: client,
            },
            Answer::Transferred {
                sent: by_server,
                received: server,
            },
        ] = &answers
        else {
            return Err(self.neither("the transfer", &answers));
        };
        check::equal(
            "bytes that the client has sent",
            *by_client,
            from_client.length,
        )?;
        check::equal(
            "bytes that the server has sent",
            *by_server,
            from_server.length,
        )?;
        self.is_received(Side::Server, server, from_client)?;
        self.is_received(Side::Client, client, from_server)
    }

    /// Sends from one side alone; the other is asked to read later.
    pub(super) fn send(&mut self, side: Side, piece: Piece) -> CaseResult {
        let ask = Ask::Transfer {
            send: piece,
            receive: 0,
        };
        match self.ask(side, ask)? {
            Answer::Transferred { sent, .. } => check::equal(
                &format!("bytes that the {} has sent", side.name()),
                sent,
                piece.length,
            ),
            other => Err(self.other(side, "sending", &other)),
        }
    }

    fn is_received(&self, side: Side, received: &Received, piece: Piece) -> CaseResult {
        let expected = self.expected.of(piece);
        ensure!(
            received.bytes == expected.bytes,
            "the {} received {} bytes where {} were sent",
            side.name(),
            received.bytes,
            expected.bytes
        );
        ensure!(
            received.sha256 == expected.sha256,
            "the {} received {} bytes that are not those that were sent",
            side.name(),
            received.bytes
        );
        Ok(())
    }

    /// A few bytes both ways.
    pub(super) fn ping_pong(&mut self) -> CaseResult {
        self.transfer(
            Piece {
                length: 400,
                seed: 3,
            },
            Piece {
                length: 500,
                seed: 4,
            },
        )
    }

    /// Ends one side with a close_notify.
    pub(super) fn shut_down(&mut self, side: Side, expected: &str) -> CaseResult {
        match self.ask(side, Ask::ShutDown)? {
            Answer::ShutDown { status } => check::equal(
                &format!("shutdown of the {}", side.name()),
                status,
                expected,
            ),
            other => Err(self.other(side, "shutdown", &other)),
        }
    }

    /// Reads to the end on one side: what comes before it is this piece.
    pub(super) fn read_to_end(&mut self, side: Side, piece: Piece) -> CaseResult<Option<Problem>> {
        match self.ask(side, Ask::ReadToEnd)? {
            Answer::Ended { received, error } => {
                self.is_received(side, &received, piece)?;
                Ok(error)
            }
            other => Err(self.other(side, "reading to the end", &other)),
        }
    }

    /// One side meets the other's close_notify, and nothing before it.
    pub(super) fn meets_close(&mut self, side: Side) -> CaseResult {
        match self.read_to_end(side, Piece::NONE)? {
            None => Ok(()),
            Some(problem) => Err(self.unexpected(side, "a close_notify", &problem)),
        }
    }

    /// Both sides end cleanly, the client first.
    pub(super) fn close(&mut self) -> CaseResult {
        self.shut_down(Side::Client, "Complete")?;
        self.meets_close(Side::Server)?;
        self.shut_down(Side::Server, "Closed")?;
        self.meets_close(Side::Client)
    }

    /// Asks one side for something that has no result.
    pub(super) fn done(&mut self, side: Side, ask: Ask) -> CaseResult {
        let what = ask.name();
        match self.ask(side, ask)? {
            Answer::Done => Ok(()),
            other => Err(self.other(side, what, &other)),
        }
    }

    pub(super) fn ask(&mut self, side: Side, ask: Ask) -> CaseResult<Answer> {
        let process = self.process_mut(side);
        process.ask(&ask)?;
        process.answer(&ask)
    }

    /// Asks both, so that they work at the same time.
    pub(super) fn ask_both(&mut self, client: Ask, server: Ask) -> CaseResult<[Answer; 2]> {
        self.client.ask(&client)?;
        let asked = self.server.ask(&server);
        let answers = [
            self.client.answer(&client),
            match asked {
                Ok(()) => self.server.answer(&server),
                Err(failure) => Err(failure),
            },
        ];
        let [client, server] = answers;
        Ok([client?, server?])
    }

    /// The failure of an answer that is none of those expected.
    pub(super) fn other(&self, side: Side, what: &str, answer: &Answer) -> Failure {
        match answer {
            Answer::Failed(problem) => self.unexpected(side, what, problem),
            other => Failure::new(
                "peer",
                format!("{what}: the {} gave {}", side.name(), other.describe()),
            ),
        }
    }

    /// The failure of two answers of which at least one is none of those expected.
    pub(super) fn neither(&self, what: &str, [client, server]: &[Answer; 2]) -> Failure {
        let (at_fault, side, others) = match client {
            Answer::Failed(_) => (client, Side::Client, server),
            _ => (server, Side::Server, client),
        };
        let mut failure = self.other(side, what, at_fault);
        if let Answer::Failed(problem) = others {
            let other = side.other().name();
            failure.message += &format!("; the {other} met {}", problem.text);
        }
        failure
    }

    /// The failure of a problem where none was expected.
    pub(super) fn unexpected(&self, side: Side, what: &str, problem: &Problem) -> Failure {
        Failure::new(
            &problem.label,
            format!("{what}: the {} met {}", side.name(), problem.text),
        )
    }
}

/// The label of an answer that a feature is lacking.
pub(super) fn unsupported(feature: Feature) -> String {
    format!("error:Unsupported({feature:?})")
}

/// Expects a problem of this label, with this alert.
///
/// # Errors
///
/// As [`check::fails_with`] and [`check::alert`].
pub(super) fn is_problem(
    what: &str,
    problem: &Problem,
    label: &str,
    alert: Option<(AlertDescription, bool)>,
) -> CaseResult {
    if problem.label != label {
        return Err(Failure::new(
            &problem.label,
            format!("{what}: expected {label}, met {}", problem.text),
        ));
    }
    let told = problem
        .alert
        .as_ref()
        .map(|&AlertTold { code, sent }| (AlertDescription(code), sent));
    if told == alert {
        return Ok(());
    }
    let words = |alert: Option<(AlertDescription, bool)>| match alert {
        Some((description, true)) => format!("{description} sent"),
        Some((description, false)) => format!("{description} received"),
        None => "none".to_owned(),
    };
    let met = told.map_or_else(|| "none".to_owned(), |(name, _)| name.to_string());
    Err(Failure::new(
        format!("alert:{met}"),
        format!(
            "{what}: expected the alert {}, met {}: {}",
            words(alert),
            words(told),
            problem.text
        ),
    ))
}
