//! A chain and its key in the library's terms, checked before anything is given to it.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
#[cfg(not(libressl))]
use openssl::ssl::SslRef;
#[cfg(not(libressl))]
use openssl::stack::Stack;
use openssl::x509::X509;
use tls_core::config::Identity;
use tls_core::{ConfigProblem, Error, Result};

#[cfg(not(libressl))]
use crate::ffi;
use crate::{error, private_key, verify};

/// A chain, leaf first and not empty, and the key of the leaf.
pub(crate) struct DecodedIdentity {
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
}

/// Decodes a chain and its key, which must belong together.
pub(crate) fn decode(identity: &Identity) -> Result<DecodedIdentity> {
    let certificates = identity.chain().iter().enumerate();
    let chain = certificates
        .map(|(place, der)| verify::decode(der, ConfigProblem::Certificate, &name(place)))
        .collect::<Result<Vec<_>>>()?;
    let key = private_key::decode(identity.key()).map_err(bad_key())?;
    let public = chain
        .first()
        .map(|leaf| leaf.public_key())
        .transpose()
        .map_err(error::config(
            ConfigProblem::Certificate,
            "the certificate's public key",
        ))?;
    if !public.is_some_and(|public| public.public_eq(&key)) {
        return Err(Error::config(
            ConfigProblem::KeyMismatch,
            "the private key is not that of the first certificate of the chain",
        ));
    }
    Ok(DecodedIdentity { chain, key })
}

/// Has one session present a chain, and none of its context's others.
#[cfg(not(libressl))]
pub(crate) fn present(ssl: &mut SslRef, identity: &Identity) -> Result<()> {
    let DecodedIdentity { chain, key } = decode(identity)?;
    let mut chain = chain.into_iter();
    if let Some(leaf) = chain.next() {
        ssl.set_certificate(&leaf).map_err(bad_certificate(0))?;
    }
    let mut others = Stack::new().map_err(bad_certificate(1))?;
    for certificate in chain {
        others.push(certificate).map_err(bad_certificate(1))?;
    }
    ffi::set_chain(ssl, &others).map_err(bad_certificate(1))?;
    ssl.set_private_key(&key).map_err(bad_key())
}

/// What the library says of the certificate in this place of a chain.
pub(crate) fn bad_certificate(place: usize) -> impl FnOnce(ErrorStack) -> Error {
    move |errors| error::config(ConfigProblem::Certificate, &name(place))(errors)
}

/// What the library says of a key.
pub(crate) fn bad_key() -> impl FnOnce(ErrorStack) -> Error {
    error::config(ConfigProblem::PrivateKey, "the private key")
}

fn name(place: usize) -> String {
    format!("certificate {} of the chain", place + 1)
}
