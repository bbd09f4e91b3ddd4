//! Where the trust roots of the system are.

use std::path::PathBuf;

use tls_core::{ConfigProblem, Error, Result};

/// Files and directories of trust roots, all of which exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemRoots {
    /// A file of roots in PEM.
    pub file: Option<PathBuf>,
    /// Directories that roots are looked up in by their hashed names.
    pub directories: Vec<PathBuf>,
}

impl SystemRoots {
    /// What `SSL_CERT_FILE` and `SSL_CERT_DIR` name and nothing else, if either is set; else the
    /// library's own, if it `has_roots` where it was built for: then `None`. A library built
    /// elsewhere has none: then those of the system are looked for.
    ///
    /// The variables are read here, as not every library heeds them.
    ///
    /// # Errors
    ///
    /// `Config(TrustRoots)` if nothing of all that exists.
    pub fn find(has_roots: impl FnOnce() -> bool) -> Result<Option<Self>> {
        let (file, directories) = (
            std::env::var_os("SSL_CERT_FILE"),
            std::env::var_os("SSL_CERT_DIR"),
        );
        if file.is_some() || directories.is_some() {
            let directories = directories.iter().flat_map(std::env::split_paths).collect();
            let nothing = "neither SSL_CERT_FILE nor SSL_CERT_DIR names anything that exists";
            return Self::existing(file.map(PathBuf::from), directories, nothing).map(Some);
        }
        if has_roots() {
            return Ok(None);
        }
        let found = openssl_probe::probe();
        let nothing = "the system's trust roots are not where they usually are";
        Self::existing(found.cert_file, found.cert_dir, nothing).map(Some)
    }

    /// What does not exist is passed over, unless `nothing` is left.
    fn existing(
        file: Option<PathBuf>,
        mut directories: Vec<PathBuf>,
        nothing: &'static str,
    ) -> Result<Self> {
        let file = file.filter(|file| file.exists());
        directories.retain(|directory| directory.exists());
        if file.is_none() && directories.is_empty() {
            return Err(Error::config(ConfigProblem::TrustRoots, nothing));
        }
        Ok(Self { file, directories })
    }
}
