//! A certificate chain and its private key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::pem;
use crate::error::{ConfigProblem, Error, Result};

/// A certificate chain, leaf first, and the private key of the leaf.
///
/// The key's memory is not printed by `Debug`. Whether key and certificate belong together is
/// checked by the backend when a context is built.
pub struct Identity {
    chain: Arc<[CertificateDer<'static>]>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Takes DER: the chain, leaf first, and a PKCS#8, PKCS#1 or SEC1 key.
    ///
    /// # Errors
    ///
    /// `Config(Certificate)` if the chain is empty.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self> {
        if chain.is_empty() {
            return Err(Error::config(
                ConfigProblem::Certificate,
                "the certificate chain is empty",
            ));
        }
        Ok(Self {
            chain: chain.into(),
            key,
        })
    }

    /// Reads PEM (RFC 7468): the chain, leaf first, and a PKCS#8, PKCS#1 or SEC1 key.
    ///
    /// # Errors
    ///
    /// `Config(Certificate)` or `Config(PrivateKey)` if a section is torn or missing,
    /// `Config(EncryptedKey)` if the key is encrypted: there is never a prompt.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        Self::from_named_pem((chain, "the certificate chain"), (key, "the private key"))
    }

    /// Reads two PEM files, which may be one and the same. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// As [`Self::from_pem`], and `Config(File)`; all name the file.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let chain_text = pem::read_file(chain)?;
        let key_text = pem::read_file(key)?;
        Self::from_named_pem(
            (&chain_text, &chain.display().to_string()),
            (&key_text, &key.display().to_string()),
        )
    }

    fn from_named_pem(chain: (&[u8], &str), key: (&[u8], &str)) -> Result<Self> {
        Self::from_der(
            pem::certificates(chain.0, chain.1)?,
            pem::private_key(key.0, key.1)?,
        )
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The chain, leaf first, to be kept without a copy.
    pub fn shared_chain(&self) -> Arc<[CertificateDer<'static>]> {
        Arc::clone(&self.chain)
    }

    /// The private key of the leaf.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}
