//! Configuration as programs meet it: what is read, what is refused, and in which words.

mod check;
mod names;
mod pem;

use tls_core::{Error, ErrorKind};

/// The sentence an error says, which must be one, and be about something.
fn sentence(error: &Error, kind: ErrorKind) -> String {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(!error.detail().is_empty(), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert!(!text.ends_with('.'), "{text}");
    let words: Vec<_> = text.split(": ").collect();
    let repeats = words.windows(2).any(|pair| pair[0] == pair[1]);
    assert!(!repeats, "{text}");
    text
}
