//! How peers are verified: the roots, and the verifiers built on them.
//!
//! Path building, validity, extended key usage and names (subjectAltName only, RFC 9525) are
//! webpki's work. What gives up security is written here, and still verifies the handshake's
//! signatures: whoever answers holds the key of the certificate shown.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use tls_core::config::{ClientAuthentication, Dangerous, Roots};
use tls_core::pki_types::{CertificateDer, ServerName, UnixTime};
use tls_core::{ClientConfig, ConfigProblem, Error, Result, ServerConfig};

use crate::tape::verify::Decided;

/// How a client verifies servers.
pub(crate) fn server_verifier(
    config: &ClientConfig,
    crypto: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let default = default_server_verifier(config, crypto)?;
    let decides = config.peer_verification.clone();
    // Where a handshake is done again for other reasons, its peer is still verified once.
    if !decides.is_custom() && !config.late_credentials {
        return Ok(default);
    }
    Ok(Arc::new(Decided { decides, default }))
}

fn default_server_verifier(
    config: &ClientConfig,
    crypto: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let algorithms = crypto.signature_verification_algorithms;
    let Dangerous {
        accept_any_certificate,
        accept_any_name,
        ..
    } = config.dangerous;
    if accept_any_certificate {
        return Ok(Arc::new(AnyCertificate(algorithms)));
    }
    let roots = root_store(&config.roots)?;
    // Without roots no name is ever looked at: no chain leads to one.
    if accept_any_name || roots.is_empty() {
        return Ok(Arc::new(AnyName { roots, algorithms }));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto.clone());
    Ok(verifier.build().map_err(unusable_roots)?)
}

/// How a server verifies clients. A certificate that is presented is always verified.
pub(crate) fn client_verifier(
    config: &ServerConfig,
    crypto: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>> {
    let roots = match &config.client_authentication {
        ClientAuthentication::Optional(roots) | ClientAuthentication::Required(roots) => roots,
        // Nothing is ever asked for on request: the check has refused that.
        ClientAuthentication::None | ClientAuthentication::OnRequest(_) => {
            return Ok(Arc::new(NoClientAuth));
        }
    };
    let optional = matches!(
        config.client_authentication,
        ClientAuthentication::Optional(_)
    );
    let default = default_client_verifier(root_store(roots)?, optional, crypto)?;
    let decides = config.peer_verification.clone();
    if !decides.is_custom() {
        return Ok(default);
    }
    Ok(Arc::new(Decided { decides, default }))
}

fn default_client_verifier(
    roots: RootCertStore,
    optional: bool,
    crypto: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>> {
    if roots.is_empty() {
        return Ok(Arc::new(NoClient {
            optional,
            algorithms: crypto.signature_verification_algorithms,
        }));
    }
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto.clone());
    if optional {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map_err(unusable_roots)
}

fn root_store(roots: &Roots) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for (index, root) in roots.given.iter().enumerate() {
        store.add(root.clone()).map_err(|error| {
            Error::config(
                ConfigProblem::TrustRoots,
                format!("trust root {} of those given cannot be used", index + 1),
            )
            .with_source(Arc::new(error))
        })?;
    }
    if roots.system {
        add_system_roots(&mut store)?;
    }
    Ok(store)
}

/// Adds what the system trusts, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name in its place. A
/// store that holds some certificates nobody can decode is usual and still used.
fn add_system_roots(store: &mut RootCertStore) -> Result<()> {
    let system = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(system.certs);
    if added > 0 {
        return Ok(());
    }
    let why = match system.errors.first() {
        Some(error) => format!("the system's trust roots cannot be read: {error}"),
        None => "the system has no trust root that can be used".to_owned(),
    };
    Err(Error::config(ConfigProblem::TrustRoots, why))
}

fn unusable_roots(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::config(ConfigProblem::TrustRoots, "the trust roots cannot be used")
        .with_source(Arc::new(error))
}

/// Accepts any certificate. See [`Dangerous::accept_any_certificate`].
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

/// Accepts a certificate for any name that leads to a root. See [`Dangerous::accept_any_name`].
#[derive(Debug)]
struct AnyName {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Accepts no certificate of a client's: for those who decide without roots.
#[derive(Debug)]
struct NoClient {
    optional: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl NoClient {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }
}

impl AnyCertificate {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.0
    }
}

impl AnyName {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }
}

/// The part of a verifier that is never given up: the signature over the handshake.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, certificate, signature, self.algorithms())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, certificate, signature, self.algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms().supported_schemes()
        }
    };
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!();
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!();
}

impl ClientCertVerifier for NoClient {
    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        ParsedCertificate::try_from(end_entity)?;
        Err(CertificateError::UnknownIssuer.into())
    }

    verify_signatures!();
}
