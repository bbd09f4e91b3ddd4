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
    if let Some(label) = torn(text) {
        return Err(bad(format!("{name}: {}", missing_end(label))));
    }
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
    let bad = |what: String| Error::config(ConfigProblem::PrivateKey, what);
    if let Some(label) = torn(text) {
        return Err(bad(format!("{name}: {}", missing_end(label))));
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => bad(format!("{name} holds no private key")),
        error => bad(format!("{name}: {}", describe(&error))),
    })
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => missing_end(end_marker),
        pem::Error::IllegalSectionStart { .. } => {
            "the PEM text is malformed: a BEGIN line is torn".to_owned()
        }
        error => format!("the PEM text is malformed: {error}"),
    }
}

fn missing_end(label: &[u8]) -> String {
    format!(
        "the PEM section is torn: -----END {}----- is missing",
        String::from_utf8_lossy(label)
    )
}

/// The label of a section within which another begins. The parser would join the two.
fn torn(text: &[u8]) -> Option<&[u8]> {
    let mut open = None;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        if let Some(label) = line.strip_prefix(b"-----BEGIN ") {
            if open.is_some() {
                return open;
            }
            let dashes = label.iter().position(|&byte| byte == b'-');
            open = Some(&label[..dashes.unwrap_or(label.len())]);
        } else if line.starts_with(b"-----END ") {
            open = None;
        }
    }
    None
}

/// PKCS#8 says it in the label, the older formats in a header (RFC 1421).
fn is_encrypted(text: &[u8]) -> bool {
    let contains = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    contains(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(b"Proc-Type: 4,ENCRYPTED")
}
