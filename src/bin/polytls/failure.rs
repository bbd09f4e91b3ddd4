//! Why a command failed, in one sentence for the person who typed it.

use std::fmt;

use polytls::{Error, ErrorKind};

/// One sentence, without a final full stop: what is wrong, and with which file, name or peer.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// That there is nothing to choose from.
    pub(crate) fn no_backend() -> Self {
        Self::new(
            "no backend is compiled in: build with --features rustls, --features openssl or \
             --features boring",
        )
    }

    /// Says first what the failure concerns.
    pub(crate) fn about(self, subject: impl fmt::Display) -> Self {
        Self(format!("{subject}: {self}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    /// What is wrong with a configuration is said by the detail alone; elsewhere it matters during
    /// which operation it happened.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Config(_) if !error.detail().is_empty() => Self(error.detail().to_owned()),
            _ => Self(error.to_string()),
        }
    }
}
