//! Builds OpenSSL 4 into a folder, which `OPENSSL_DIR` may then name: `openssl4 FOLDER`.
//!
//! The libraries are static, so programs built against them need no search path when they run. A
//! folder that has this version already is left as it is.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

/// Where OpenSSL looks for its configuration and roots: where Debian's looks, as a user expects of
/// a program that is built by hand.
const CONFIGURATION: &str = "/etc/ssl";
/// Names the version that is in a folder; written last.
const STAMP: &str = "openssl-src.version";

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("usage: openssl4 FOLDER");
        return ExitCode::from(2);
    };
    match install(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("openssl4: {message}");
            ExitCode::FAILURE
        }
    }
}

fn install(folder: &Path) -> Result<(), String> {
    let said = |error: io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(said)?;
    let folder: PathBuf = folder.canonicalize().map_err(said)?;
    let stamp = folder.join(STAMP);
    let version = openssl_src::version();
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == version) {
        println!("OpenSSL {version} is in {} already", folder.display());
        return Ok(());
    }
    let host = host()?;
    openssl_src::Build::new()
        .host(&host)
        .target(&host)
        .out_dir(&folder)
        .openssl_dir(CONFIGURATION)
        .try_build()?;
    fs::write(&stamp, version).map_err(said)?;
    println!("OpenSSL {version} was installed in {}", folder.display());
    Ok(())
}

/// The platform that rustc builds for, such as `x86_64-unknown-linux-gnu`.
fn host() -> Result<String, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc does not name its host".to_owned())
}
