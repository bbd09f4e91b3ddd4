//! Holds this backend to the contract, with each provider that is compiled in.

#[cfg(feature = "aws-lc-rs")]
#[test]
fn with_aws_lc_rs() {
    conformance::run_as_test(Box::new(backend_rustls::Rustls::new()), "tests/gaps.toml");
}

#[cfg(feature = "ring")]
#[test]
fn with_ring() {
    conformance::run_as_test(
        Box::new(backend_rustls::RustlsRing::new()),
        "tests/gaps.toml",
    );
}
