//! Holds this backend to the contract.

#[test]
fn with_the_library_linked() {
    conformance::run_as_test(Box::new(backend_boring::Boring::new()), "tests/gaps.toml");
}
