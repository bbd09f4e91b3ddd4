//! What must hold of a connection that is over, whatever was done to it.

use tls_core::iana::ProtocolVersion;
use tls_core::{Error, ErrorKind};

use super::stage::{Setting, Way};
use super::story::Told;
use crate::case::{CaseResult, Failure, describe};
use crate::check;
use crate::ensure;
use crate::pair::Side;

/// What a side that fails may fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Faults {
    /// Bytes were changed: anything that is the peer's fault, or the transport's.
    Changed,
    /// This side's transport was reset; the other's ends.
    Reset(Side),
    /// The transport has ended.
    Ended,
}

/// No wrong byte was delivered, a clean end is one of the whole, failures are the peer's fault, and
/// there are no facts but those both sides agree on.
///
/// # Errors
///
/// `assertion`, or the error met.
pub(super) fn hold(told: &Told, setting: Setting, faults: Faults) -> CaseResult {
    for side in Side::BOTH {
        let (part, other) = (told.of(side), told.of(side.other()));
        let named = |failure: Failure| failure.during(format_args!("the {}", side.name()));
        ensure!(
            other.data[..other.taken].starts_with(&part.received),
            "wrong plaintext: the {} read {} bytes that are no beginning of the {} sent",
            side.name(),
            part.received.len(),
            other.taken
        );
        match &part.end {
            Ok(()) => check::same_bytes("before a clean end", &part.received, &other.data)
                .map_err(named)?,
            // There the engine itself tells its peer that the end came early, in words of its own,
            // of which the peer may not understand the version.
            Err(error)
                if matches!(error.kind(), ErrorKind::PeerAlert | ErrorKind::Protocol)
                    && setting.way == Way::Plain
                    && is_cut(other.end.as_ref().err()) => {}
            // OpenSSL and BoringSSL pass over a reset that they meet while they send tickets, and the
            // system does not tell of it again.
            Err(error)
                if error.kind() == ErrorKind::Truncated
                    && setting.way == Way::Plain
                    && setting.version == ProtocolVersion::TLS1_3
                    && side == Side::Server => {}
            Err(error) => is_allowed(error, side, faults).map_err(named)?,
        }
        let Some(facts) = &part.facts else {
            ensure!(
                part.received.is_empty() && part.end.is_err(),
                "the {} tells no facts after a handshake",
                side.name()
            );
            continue;
        };
        check::equal("the version told", facts.protocol_version, setting.version).map_err(named)?;
        if let Some(theirs) = &other.facts {
            check::equal("the suite told", facts.cipher_suite, theirs.cipher_suite)
                .map_err(named)?;
            check::equal("resumption told", facts.resumed, theirs.resumed).map_err(named)?;
        }
    }
    Ok(())
}

fn is_cut(error: Option<&Error>) -> bool {
    error.is_some_and(|error| error.kind() == ErrorKind::Truncated)
}

fn is_allowed(error: &Error, side: Side, faults: Faults) -> CaseResult {
    let allowed = match (error.kind(), faults) {
        (ErrorKind::Truncated, Faults::Changed | Faults::Ended) => true,
        (ErrorKind::Truncated, Faults::Reset(reset)) => side != reset,
        (ErrorKind::Reset, Faults::Reset(reset)) => side == reset,
        (
            ErrorKind::Protocol
            | ErrorKind::PeerAlert
            | ErrorKind::Certificate(_)
            | ErrorKind::NoSharedParameters(_),
            Faults::Changed,
        ) => true,
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let failure = Failure::from(error.clone());
    Err(failure.during("a failure that its transport does not explain"))
}

/// This side came to the end of its part, with all that the other sent.
///
/// # Errors
///
/// The side's error, or `assertion`.
pub(super) fn ends_well(told: &Told, side: Side) -> CaseResult {
    let part = told.of(side);
    if let Err(error) = &part.end {
        return Err(Failure::from(error.clone()).during(format_args!(
            "the {}, which nothing disturbs (the other: {})",
            side.name(),
            match &told.of(side.other()).end {
                Ok(()) => "ended well".to_owned(),
                Err(error) => describe(error),
            }
        )));
    }
    check::same_bytes(
        "all that was sent",
        &part.received,
        &told.of(side.other()).data,
    )
}

/// This side did not come to a clean end: something it must notice was done to it.
///
/// # Errors
///
/// `assertion`.
pub(super) fn notices(told: &Told, side: Side) -> CaseResult {
    ensure!(
        told.of(side).end.is_err(),
        "the {} did not notice",
        side.name()
    );
    Ok(())
}
