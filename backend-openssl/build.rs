//! Tells the crate which of the two libraries `openssl-sys` found.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(libressl)");
    // Metadata of openssl-sys, which names itself `links = "openssl"`.
    if std::env::var_os("DEP_OPENSSL_LIBRESSL").is_some() {
        println!("cargo::rustc-cfg=libressl");
    }
}
