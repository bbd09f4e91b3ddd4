//! The `polytls` program.
fn main() {}
