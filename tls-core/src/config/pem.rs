//! PEM with errors that say which text is wrong, and how. RFC 7468.

use std::path::Path;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{ConfigProblem, Error, Result};

/// Reads a whole file; the error names it.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::config(
            ConfigProblem::File,
            format!("{} cannot be read: {error}", path.display()),
        )
    })
}

/// All certificates of a text, at least one. `name` says which text in errors.
pub(super) fn certificates(text: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bad = |what: String| Error::config(ConfigProblem::Certificate, what);
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| bad(format!("{name}: {}", describe(&error))))?;
    if certificates.is_empty() {
        return Err(bad(format!("{name} holds no certificate")));
    }
    Ok(certificates)
}

/// The first private key of a text. `name` says which text in errors.
pub(super) fn private_key(text: &[u8], name: &str) -> Result<PrivateKeyDer<'static>> {
    if is_encrypted(text) {
        return Err(Error::config(
            ConfigProblem::EncryptedKey,
            format!("the private key in {name} is encrypted; decrypt it first"),
        ));
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let what = match error {
            pem::Error::NoItemsFound => format!("{name} holds no private key"),
            error => format!("{name}: {}", describe(&error)),
        };
        Error::config(ConfigProblem::PrivateKey, what)
    })
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => format!(
            "the PEM section is torn: {} is missing",
            String::from_utf8_lossy(end_marker)
        ),
        error => format!("the PEM text is malformed: {error}"),
    }
}

/// PKCS#8 says it in the label, the older formats in a header (RFC 1421).
fn is_encrypted(text: &[u8]) -> bool {
    let contains = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    contains(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(b"Proc-Type: 4,ENCRYPTED")
}
