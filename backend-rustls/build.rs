//! Finds the version of rustls that this build links: rustls does not tell it at run time.
//!
//! Cargo resolves one version of rustls 0.23 for a build and writes it to the lock file of the
//! workspace being built. That file stands above the target directory, or, if the target directory
//! was moved elsewhere, above this crate. Where there is none, only what the manifest promises is
//! known.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The line of releases the manifest asks for; Cargo never mixes two of its versions.
const LINE: &str = "0.23";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let directories = ["OUT_DIR", "CARGO_MANIFEST_DIR"];
    let lock = directories
        .iter()
        .filter_map(env::var_os)
        .find_map(|directory| lock_above(Path::new(&directory)));
    let version = lock.as_deref().and_then(locked_version);
    if let Some(lock) = lock {
        println!("cargo::rerun-if-changed={}", lock.display());
    }
    println!(
        "cargo::rustc-env=RUSTLS_VERSION={}",
        version.as_deref().unwrap_or(LINE)
    );
}

/// The nearest lock file above a directory that knows rustls.
fn lock_above(directory: &Path) -> Option<PathBuf> {
    directory
        .ancestors()
        .map(|directory| directory.join("Cargo.lock"))
        .find(|lock| locked_version(lock).is_some())
}

fn locked_version(lock: &Path) -> Option<String> {
    let text = fs::read_to_string(lock).ok()?;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != "name = \"rustls\"" {
            continue;
        }
        let version = lines
            .next()?
            .strip_prefix("version = \"")?
            .strip_suffix('"')?;
        if version.starts_with(LINE) {
            return Some(version.to_owned());
        }
    }
    None
}
