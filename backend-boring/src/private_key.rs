//! Private keys out of DER, each encoding by its own decoder: none of them ever asks for a password.

use boring::ec::EcKey;
use boring::error::ErrorStack;
use boring::pkey::{PKey, Private};
use boring::rsa::Rsa;
use tls_core::pki_types::PrivateKeyDer;
use tls_libssl::pkcs8_version_0;

/// Decodes a key.
pub(crate) fn decode(key: &PrivateKeyDer<'_>) -> Result<PKey<Private>, ErrorStack> {
    match key {
        PrivateKeyDer::Pkcs1(der) => {
            PKey::from_rsa(Rsa::private_key_from_der(der.secret_pkcs1_der())?)
        }
        PrivateKeyDer::Sec1(der) => {
            PKey::from_ec_key(EcKey::private_key_from_der(der.secret_sec1_der())?)
        }
        other => PKey::private_key_from_pkcs8(&pkcs8_version_0(other.secret_der())),
    }
}
