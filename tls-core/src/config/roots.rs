//! Trust roots.

use std::path::Path;

use rustls_pki_types::CertificateDer;

use super::pem;
use crate::error::Result;

/// The certificates that a peer's chain must lead to.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// Whether the system's roots are trusted.
    pub system: bool,
    /// Roots given by the caller.
    pub given: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// The system's roots: those the engine's library or `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    pub fn system() -> Self {
        Self {
            system: true,
            given: Vec::new(),
        }
    }

    /// These roots and no others.
    pub fn given(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        Self {
            system: false,
            given: roots.into_iter().collect(),
        }
    }

    /// The certificates in this PEM text (RFC 7468) and no others.
    ///
    /// # Errors
    ///
    /// `Config(Certificate)` if a section is torn or none is a certificate.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        Ok(Self::given(pem::certificates(text, "the trust roots")?))
    }

    /// The certificates in this PEM file and no others. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// As [`Self::from_pem`], and `Config(File)`; both name the file.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = pem::read_file(path)?;
        Ok(Self::given(pem::certificates(
            &text,
            &path.display().to_string(),
        )?))
    }

    /// The same roots and the system's.
    #[must_use]
    pub fn and_system(mut self) -> Self {
        self.system = true;
        self
    }

    /// Whether nothing at all is trusted.
    pub fn is_empty(&self) -> bool {
        !self.system && self.given.is_empty()
    }
}
