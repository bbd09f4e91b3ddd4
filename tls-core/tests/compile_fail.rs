//! What the type system forbids: each file in `compile_fail/` says what, and does not compile.

/// On the Rust that the committed messages are from, which CI and `./test` use.
#[test]
#[cfg(unix)]
fn what_callers_cannot_hold_wrong() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
