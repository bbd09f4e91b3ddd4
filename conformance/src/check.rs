//! What cases assert with. Each says what was expected and what was met.

use std::error::Error as _;
use std::fmt::Debug;
use std::io;

use tls_core::iana::AlertDescription;
use tls_core::{AlertDirection, Error, ErrorKind, Result, Status};

use crate::case::{CaseResult, Failure, alert_label, describe, direction_name};

/// Fails the case unless a condition holds; the rest is a `format!` message that says what was
/// expected.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Failure::assertion(format!($($message)+)));
        }
    };
}

/// Expects two values to be equal.
///
/// # Errors
///
/// `assertion`, with both values.
pub fn equal<T: Debug + PartialEq<U>, U: Debug>(what: &str, actual: T, expected: U) -> CaseResult {
    if actual == expected {
        return Ok(());
    }
    Err(Failure::assertion(format!(
        "{what}: expected {}, met {}",
        shortened(&expected),
        shortened(&actual)
    )))
}

/// A value in at most one long line: certificates would fill the screen.
fn shortened(value: &impl Debug) -> String {
    const LONGEST: usize = 300;
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Expects two byte strings to be equal; says where they part instead of printing them.
///
/// # Errors
///
/// `assertion`, with both lengths and the first difference.
pub fn same_bytes(what: &str, actual: &[u8], expected: &[u8]) -> CaseResult {
    if actual == expected {
        return Ok(());
    }
    let parts = actual
        .iter()
        .zip(expected)
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| actual.len().min(expected.len()));
    Err(Failure::assertion(format!(
        "{what}: {} bytes where {} were expected, different from byte {parts} on",
        actual.len(),
        expected.len()
    )))
}

/// Expects a status.
///
/// # Errors
///
/// `assertion`, with both.
pub fn status(what: &str, actual: Status, expected: Status) -> CaseResult {
    equal(what, actual, expected)
}

/// Expects a call to fail with an error of this kind, and gives the error.
///
/// # Errors
///
/// `assertion` if it did not fail, `error:..` if it failed with another kind.
pub fn fails_with<T: Debug>(
    what: &str,
    result: Result<T>,
    expected: ErrorKind,
) -> CaseResult<Error> {
    match result {
        Ok(value) => Err(Failure::assertion(format!(
            "{what}: expected the error {expected:?}, met {value:?}"
        ))),
        Err(error) => {
            kind(what, &error, expected)?;
            Ok(error)
        }
    }
}

/// Expects an error to be of this kind.
///
/// # Errors
///
/// `error:..` with the kind met.
pub fn kind(what: &str, error: &Error, expected: ErrorKind) -> CaseResult {
    if error.kind() == expected {
        return Ok(());
    }
    Err(Failure::from(error.clone())
        .during(format!("{what}: expected the error {expected:?}, met")))
}

/// Expects an error to carry this alert, sent or received.
///
/// # Errors
///
/// `alert:..` with the name of the alert met, or `alert:none`, so that a known failure can name
/// the alert an engine sends instead.
pub fn alert(
    what: &str,
    error: &Error,
    expected: AlertDescription,
    direction: AlertDirection,
) -> CaseResult {
    alert_one_of(what, error, &[expected], direction)
}

/// Expects an error to carry one of these alerts, for where the RFC leaves a choice.
///
/// # Errors
///
/// As [`alert`].
pub fn alert_one_of(
    what: &str,
    error: &Error,
    expected: &[AlertDescription],
    direction: AlertDirection,
) -> CaseResult {
    let met = error.alert();
    if met
        .is_some_and(|alert| expected.contains(&alert.description) && alert.direction == direction)
    {
        return Ok(());
    }
    let names: Vec<_> = expected.iter().map(ToString::to_string).collect();
    Err(Failure::new(
        format!("alert:{}", alert_label(error)),
        format!(
            "{what}: expected the alert {} {}, met {}: {}",
            names.join(" or "),
            direction_name(direction),
            met.map_or_else(|| "none".to_owned(), |alert| alert.to_string()),
            describe(error)
        ),
    ))
}

/// Expects an error to keep what the operating system said of a reset.
///
/// # Errors
///
/// `assertion`.
pub fn is_the_systems(error: &Error) -> CaseResult {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    let Some(source) = source else {
        return Err(Failure::assertion(format!(
            "the system's error is the source, met {error:?}"
        )));
    };
    crate::ensure!(
        source.raw_os_error().is_some(),
        "the source has the system's number, met {source:?}"
    );
    equal(
        "what the system said",
        source.kind(),
        io::ErrorKind::ConnectionReset,
    )
}
