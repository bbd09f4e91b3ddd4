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

#[cfg(test)]
mod tests {
    use tls_core::iana::CipherSuite;
    use tls_core::{Facts, Operation};

    use super::*;
    use crate::everybyte::stage::Kind;
    use crate::everybyte::story::Part;
    use crate::wire::{End, Wire};

    const SETTING: Setting = Setting {
        kind: Kind::Mutual,
        version: ProtocolVersion::TLS1_3,
        way: Way::Buffer,
    };

    fn facts() -> Facts {
        Facts::new(ProtocolVersion::TLS1_3, CipherSuite::TLS_AES_128_GCM_SHA256)
    }

    fn part(data: &[u8], received: &[u8]) -> Part {
        Part {
            end: Ok(()),
            data: data.to_vec(),
            taken: data.len(),
            received: received.to_vec(),
            facts: Some(facts()),
            asked: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// A connection on which all went well, and then something is changed in the server's part.
    fn told(change: impl FnOnce(&mut Part)) -> Told {
        let mut told = Told {
            client: part(b"request", b"answer"),
            server: part(b"answer", b"request"),
            wire: Wire::new(End::Gone, End::Gone),
        };
        change(&mut told.server);
        told
    }

    fn failed(kind: ErrorKind) -> impl FnOnce(&mut Part) {
        move |part| part.end = Err(Error::new(kind, Operation::Read))
    }

    fn problem(told: &Told, faults: Faults) -> String {
        let broken = hold(told, SETTING, faults).expect_err("a rule is broken");
        broken.to_string()
    }

    #[test]
    fn a_good_end_breaks_no_rule() {
        let told = told(|_| {});
        assert!(hold(&told, SETTING, Faults::Changed).is_ok());
        for side in Side::BOTH {
            assert!(ends_well(&told, side).is_ok());
            assert!(notices(&told, side).is_err());
        }
    }

    #[test]
    fn wrong_and_missing_plaintext_is_noticed() {
        let wrong = told(|part| {
            part.received = b"request?".to_vec();
            failed(ErrorKind::Protocol)(part);
        });
        assert!(problem(&wrong, Faults::Changed).contains("wrong plaintext"));
        let untaken = told(|part| part.taken = 3);
        assert!(problem(&untaken, Faults::Changed).contains("wrong plaintext"));
        let early = told(|part| part.received = b"requ".to_vec());
        assert!(problem(&early, Faults::Ended).contains("before a clean end"));
        assert!(ends_well(&early, Side::Server).is_err());
    }

    #[test]
    fn failures_are_those_that_the_transport_explains() {
        let reset = Faults::Reset(Side::Server);
        for (kind, faults, fine) in [
            (ErrorKind::Protocol, Faults::Changed, true),
            (ErrorKind::Protocol, Faults::Ended, false),
            (ErrorKind::Protocol, reset, false),
            (ErrorKind::Truncated, Faults::Ended, true),
            (ErrorKind::Truncated, reset, false),
            (ErrorKind::Reset, reset, true),
            (ErrorKind::Reset, Faults::Reset(Side::Client), false),
            (ErrorKind::Reset, Faults::Changed, false),
            (ErrorKind::Backend, Faults::Changed, false),
            (ErrorKind::Backend, Faults::Ended, false),
        ] {
            let told = told(failed(kind));
            let held = hold(&told, SETTING, faults);
            assert_eq!(held.is_ok(), fine, "{kind:?}, {faults:?}: {held:?}");
            assert!(notices(&told, Side::Server).is_ok());
            assert!(ends_well(&told, Side::Server).is_err());
        }
    }

    #[test]
    fn facts_are_told_once_there_are_some_and_are_the_same_on_both_sides() {
        let without = told(|part| part.facts = None);
        assert!(problem(&without, Faults::Changed).contains("no facts"));
        let other_version = told(|part| {
            part.facts = Some(Facts::new(
                ProtocolVersion::TLS1_2,
                CipherSuite::TLS_AES_128_GCM_SHA256,
            ));
        });
        assert!(problem(&other_version, Faults::Changed).contains("the version told"));
        let other_suite = told(|part| {
            part.facts = Some(Facts::new(
                ProtocolVersion::TLS1_3,
                CipherSuite::TLS_AES_256_GCM_SHA384,
            ));
        });
        assert!(problem(&other_suite, Faults::Changed).contains("the suite told"));
        let other_kind = told(|part| {
            let mut resumed = facts();
            resumed.resumed = true;
            part.facts = Some(resumed);
        });
        assert!(problem(&other_kind, Faults::Changed).contains("resumption told"));
    }
}
