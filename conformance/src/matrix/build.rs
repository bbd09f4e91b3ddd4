//! Building the peers: one program for each backend, since no program may hold two libssl.
//!
//! Cargo puts each into the same place, so it is copied away before the next is built. LibreSSL
//! has a target directory of its own: `openssl-sys` would otherwise be built anew each time.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::process::Program;

/// The directory that holds a LibreSSL, if one is to take part.
pub const LIBRESSL_DIR: &str = "LIBRESSL_DIR";

/// A peer that can be built.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    name: &'static str,
    /// The name of the backend, and of the feature that compiles it in.
    backend: &'static str,
    /// How its library calls itself.
    library: &'static str,
}

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "openssl",
        backend: "openssl",
        library: "OpenSSL",
    },
    Recipe {
        name: LIBRESSL,
        backend: "openssl",
        library: "LibreSSL",
    },
    Recipe {
        name: "boring",
        backend: "boring",
        library: "BoringSSL",
    },
    Recipe {
        name: "rustls",
        backend: "rustls",
        library: "rustls",
    },
    Recipe {
        name: "rustls-ring",
        backend: "rustls-ring",
        library: "rustls",
    },
];

const LIBRESSL: &str = "libressl";

/// The names of all peers that can be built.
pub fn names() -> Vec<String> {
    RECIPES
        .iter()
        .map(|recipe| recipe.name.to_owned())
        .collect()
}

/// The library that a peer of this name must be.
pub(super) fn library_of(name: &str) -> Option<&'static str> {
    let mut recipes = RECIPES.iter();
    recipes
        .find(|recipe| recipe.name == name)
        .map(|recipe| recipe.library)
}

/// The backend that a peer of this name has: its own name, unless it is known by another.
pub fn backend_of(name: &str) -> &str {
    let recipe = RECIPES.iter().find(|recipe| recipe.name == name);
    recipe.map_or(name, |recipe| recipe.backend)
}

/// Builds one peer, in the profile of this program, and puts it where no other is. Blocks for as
/// long as cargo does, which says on stderr how it goes on.
///
/// # Errors
///
/// A sentence that names the peer.
pub fn build(name: &str, deadline: Duration) -> Result<Program, String> {
    let recipe = RECIPES
        .iter()
        .find(|recipe| recipe.name == name)
        .ok_or_else(|| {
            format!(
                "there is no peer {name:?}; there are {}",
                names().join(", ")
            )
        })?;
    let environment = match name {
        LIBRESSL => libressl_environment()?,
        _ => Vec::new(),
    };
    let target = target_directory()?;
    let mut cargo = cargo();
    cargo
        .args(["build", "--locked", "-p", "conformance", "--bin", "peer"])
        .args(["--no-default-features", "--features", recipe.backend])
        .arg("--message-format=json-render-diagnostics")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    if name == LIBRESSL {
        cargo.arg("--target-dir").arg(target.join(LIBRESSL));
    }
    let built = executable(&output(cargo, &format!("the peer {name} cannot be built"))?)
        .ok_or_else(|| format!("the peer {name}: cargo names no executable"))?;
    let folder = target.join("matrix").join(name);
    let path = folder.join("peer");
    fs::create_dir_all(&folder)
        .and_then(|()| replace(&built, &path))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(Program {
        name: name.to_owned(),
        backend: recipe.backend.to_owned(),
        path,
        environment,
        alone: true,
        arguments: Vec::new(),
        deadline,
    })
}

/// A program that still runs cannot be written to, but it can be replaced.
fn replace(from: &Path, to: &Path) -> std::io::Result<()> {
    let new = to.with_extension(std::process::id().to_string());
    fs::copy(from, &new)?;
    fs::rename(new, to)
}

fn libressl_environment() -> Result<Vec<(String, String)>, String> {
    let folder = env::var(LIBRESSL_DIR)
        .map_err(|_| format!("the peer {LIBRESSL} needs {LIBRESSL_DIR}, which is not set"))?;
    let mut libraries = format!("{folder}/lib");
    if let Ok(others) = env::var("LD_LIBRARY_PATH") {
        libraries = format!("{libraries}:{others}");
    }
    Ok(vec![
        ("OPENSSL_DIR".to_owned(), folder),
        ("LD_LIBRARY_PATH".to_owned(), libraries),
    ])
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}

fn target_directory() -> Result<PathBuf, String> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let mut cargo = cargo();
    cargo.args(["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let text = output(cargo, "the target directory cannot be found")?;
    serde_json::from_str::<Metadata>(&text)
        .map(|metadata| metadata.target_directory)
        .map_err(|error| format!("cargo metadata: {error}"))
}

fn output(mut cargo: Command, what: &str) -> Result<String, String> {
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{what}: cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{what}: cargo ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{what}: {error}"))
}

/// The executable of the peer, among cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.as_ref().is_some_and(|it| it.name == "peer"))
        .find_map(|message| message.executable)
}
