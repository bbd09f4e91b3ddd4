//! One libssl to a program: what would link without a word, and crash, fails when it is built.

const WHY: &str = "this build of polytls holds two libssl, but a program can have one only: \
    OpenSSL (or LibreSSL) and BoringSSL define the same symbols, and a program with both would \
    link and crash. Give the program either the feature `openssl` or the feature `boring` of \
    polytls, or depend on either backend-openssl or backend-boring. Programs of one workspace that \
    differ in it need one cargo command each, with -p, because one command joins the features of \
    all it builds";

/// Fails the build of a program that holds OpenSSL or LibreSSL and BoringSSL too.
///
/// They define the same symbols, so the linker takes some from one and some from the other. Every
/// constructor of a backend over a libssl calls this. `B` is the backend; it is here because the
/// assertion must depend on a type: then the compiler evaluates it when it makes code, and `cargo
/// doc`, `cargo check` and `cargo clippy` pass with every feature on. A constructor in the
/// initializer of a `static` is the exception: that is evaluated always.
///
/// What it goes by are the features of this crate, which each backend's dependency on it switches
/// on. A libssl that another crate of the program links is not seen.
#[inline]
pub const fn one_libssl<B>() {
    const {
        let _of = std::marker::PhantomData::<B>;
        assert!(
            !cfg!(all(feature = "openssl", feature = "boringssl")),
            "{}",
            WHY
        );
    }
}
