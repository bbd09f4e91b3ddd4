//! A peer's process, from the side of the matrix. Everything has a deadline: a peer that hangs,
//! dies or babbles is killed, and replaced when it is next needed.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::protocol::{Answer, Ask, Hello};
use crate::case::{CaseResult, Failure};

/// How often the process of one peer is started before the matrix does without it.
const MAX_STARTS: usize = 3;

/// How to start a peer.
#[derive(Debug, Clone)]
pub struct Program {
    /// The name of the peer in the matrix: `openssl`, `libressl`.
    pub name: String,
    /// The name of the backend in the program.
    pub backend: String,
    /// The executable.
    pub path: PathBuf,
    /// What to add to its environment.
    pub environment: Vec<(String, String)>,
    /// Whether the backend is the only one in the program, as in those the matrix builds.
    pub alone: bool,
    /// Arguments besides those that every peer is given.
    pub arguments: Vec<String>,
    /// How long it may take for one ask.
    pub deadline: Duration,
}

/// A peer, in a process of its own.
pub(crate) struct Process {
    program: Program,
    running: Option<Running>,
    starts: usize,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    hello: Hello,
    /// Until when the matrix waits for what was asked last.
    until: Instant,
}

impl Process {
    pub(crate) fn new(program: Program) -> Self {
        Self {
            program,
            running: None,
            starts: 0,
        }
    }

    /// Whether the process runs, or may be started.
    pub(crate) fn is_there(&self) -> bool {
        self.running.is_some() || self.starts < MAX_STARTS
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn name(&self) -> &str {
        &self.program.name
    }

    /// Who the peer is; starts it if it is not there.
    ///
    /// # Errors
    ///
    /// `peer` if it cannot be started, or has failed too often.
    pub(crate) fn hello(&mut self) -> CaseResult<&Hello> {
        if self.running.is_none() {
            if self.starts == MAX_STARTS {
                return Err(self.failed(format!(
                    "has failed {MAX_STARTS} times, and is not started again"
                )));
            }
            self.starts += 1;
            self.running = Some(self.start()?);
        }
        let running = self.running.as_ref().expect("it was started");
        Ok(&running.hello)
    }

    /// Asks, without waiting for the answer.
    ///
    /// # Errors
    ///
    /// `peer` if it is not there to be asked.
    pub(crate) fn ask(&mut self, ask: &Ask) -> CaseResult {
        self.hello()?;
        let line = serde_json::to_string(ask).expect("an ask is JSON") + "\n";
        let until = Instant::now() + self.patience();
        let running = self.running.as_mut().expect("it was started");
        running.until = until;
        if let Err(error) = running.stdin.write_all(line.as_bytes()) {
            return Err(self.gone(&format!("asked to {}, it is gone ({error})", ask.name())));
        }
        Ok(())
    }

    /// The answer to what was asked.
    ///
    /// # Errors
    ///
    /// `peer` if none comes in time, or something that is none; the process is killed.
    pub(crate) fn answer(&mut self, ask: &Ask) -> CaseResult<Answer> {
        let Some(running) = &self.running else {
            return Err(self.failed("is not running"));
        };
        let left = running.until.saturating_duration_since(Instant::now());
        let line = match running.lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(self.gone(&format!(
                    "asked to {}, it gave no answer within {} s",
                    ask.name(),
                    self.patience().as_secs_f32()
                )));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(self.gone(&format!("asked to {}, it died", ask.name())));
            }
        };
        serde_json::from_str(&line).map_err(|error| {
            self.gone(&format!(
                "asked to {}, it answered {line:?}: {error}",
                ask.name()
            ))
        })
    }

    fn start(&self) -> CaseResult<Running> {
        let Program {
            backend,
            path,
            environment,
            arguments,
            deadline,
            ..
        } = &self.program;
        let mut command = Command::new(path);
        command
            .arg("--backend")
            .arg(backend)
            .arg("--deadline")
            .arg(deadline.as_secs_f32().to_string())
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            self.failed(format!("{} cannot be started: {error}", path.display()))
        })?;
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let (sender, lines) = channel();
        // Ends with the process, or when nobody listens any more.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let first = lines.recv_timeout(self.patience());
        let Ok(Ok(Answer::Hello(hello))) = first.as_deref().map(serde_json::from_str) else {
            let _ = child.kill();
            let status = child.wait();
            return Err(self.failed(match first {
                Ok(line) => format!("says {line:?} instead of who it is"),
                Err(RecvTimeoutError::Timeout) => "does not say who it is".to_owned(),
                Err(RecvTimeoutError::Disconnected) => match status {
                    Ok(status) => format!("ended at once ({status})"),
                    Err(error) => format!("ended at once ({error})"),
                },
            }));
        };
        Ok(Running {
            child,
            stdin,
            lines,
            hello,
            until: Instant::now(),
        })
    }

    /// How long the matrix waits: longer than the peer itself, which can say more.
    fn patience(&self) -> Duration {
        self.program.deadline + self.program.deadline / 3
    }

    /// Kills what is left of the process.
    fn gone(&mut self, what: &str) -> Failure {
        let status = match self.running.take() {
            Some(running) => running.end(),
            None => "not running".to_owned(),
        };
        self.failed(format!("{what} ({status})"))
    }

    fn failed(&self, what: impl AsRef<str>) -> Failure {
        Failure::new(
            "peer",
            format!("the peer {}: {}", self.program.name, what.as_ref()),
        )
    }
}

impl Running {
    /// Kills the process if it has not ended, and says how it has.
    fn end(mut self) -> String {
        // One that is dying is given the time to say how.
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.to_string();
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        "it was killed".to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// A number of seconds, as programs are given it.
///
/// # Errors
///
/// A sentence, if the text is none that anyone could wait for.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f32 = text.parse().map_err(|error| format!("{error}"))?;
    match Duration::try_from_secs_f32(number) {
        Ok(seconds) if (0.1..=3600.0).contains(&number) => Ok(seconds),
        _ => Err("from 0.1 to 3600 seconds".to_owned()),
    }
}
