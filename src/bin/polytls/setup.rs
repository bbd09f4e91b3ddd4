//! From the command line to backends, identities and configurations.

use std::path::Path;
use std::time::{Duration, SystemTime};

use polytls::config::{ClientAuthentication, Identity, Parameters, Roots};
use polytls::pki_types::PrivateKeyDer;
use polytls::{
    ClientConfig, ConfigProblem, DynBackend, DynContext, Error, ErrorKind, ServerConfig,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use tracing::{info, warn};

use crate::args::{
    BackendArgs, ClientAuth, ConnectArgs, IdentityArgs, ListenerArgs, Mode, ProtocolArgs,
};
use crate::failure::Failure;
use crate::peer;
use crate::sni_map::SniMap;

/// How long a certificate made for the occasion is valid.
const SELF_SIGNED_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The backend named, else rustls if compiled in, else the only one. Logs the choice.
pub(crate) fn select_backend(args: &BackendArgs) -> Result<Box<dyn DynBackend>, Failure> {
    let backend = match &args.backend {
        Some(name) => polytls::backend(name)?,
        None => polytls::backend(default_backend(&polytls::backend_names())?)?,
    };
    let library = backend.build_info();
    info!(backend = backend.name(), %library, mode = args.mode.name(), "backend chosen");
    Ok(backend)
}

fn default_backend<'names>(names: &[&'names str]) -> Result<&'names str, Failure> {
    match names {
        [] => Err(Failure::no_backend()),
        [only] => Ok(only),
        several => several
            .iter()
            .copied()
            .find(|name| *name == "rustls")
            .ok_or_else(|| {
                Failure::new(format!(
                    "several backends are compiled in: name one with --backend: {}",
                    several.join(", ")
                ))
            }),
    }
}

/// Builds the server context of a listener with one identity; errors name the files concerned.
pub(crate) fn server_context(
    backend: &dyn DynBackend,
    args: &ListenerArgs,
) -> Result<Box<dyn DynContext>, Failure> {
    let mut config = ServerConfig::new(identity(&args.identity)?);
    set_parameters(&mut config.parameters, &args.protocol);
    config.client_authentication = client_authentication(args)?;
    backend.server(config).map_err(|error| {
        name_files(
            &error,
            args.identity.cert.as_deref(),
            args.identity.key.as_deref(),
            args.client_ca.as_deref(),
        )
    })
}

/// Reads the bundles of a listener that chooses by server name.
pub(crate) fn sni_map(
    backend: Box<dyn DynBackend>,
    directory: &Path,
    args: &ListenerArgs,
) -> Result<SniMap, Failure> {
    let mut parameters = Parameters::default();
    set_parameters(&mut parameters, &args.protocol);
    // Read once: contexts made later must not differ from those that are kept.
    let client_authentication = client_authentication(args)?;
    let client_auth = args.client_auth;
    let make = move |file: &Path, text: &[u8], client_ca: Option<Roots>| {
        let identity = Identity::from_pem(text, text)?;
        warn_of_validity(&identity, file);
        let mut config = ServerConfig::new(identity);
        config.parameters = parameters.clone();
        config.client_authentication = match client_ca {
            Some(roots) => authenticated_by(roots, client_auth),
            None => client_authentication.clone(),
        };
        let nobody_asked = matches!(config.client_authentication, ClientAuthentication::None);
        if client_auth.is_some() && nobody_asked {
            return Err(Failure::new(
                "--client-auth says to ask its clients for a certificate, and there are no roots \
                 for that: neither --client-ca nor a .client-ca file beside it",
            ));
        }
        Ok(backend.server(config)?)
    };
    SniMap::open(directory, Box::new(make))
}

fn client_authentication(args: &ListenerArgs) -> Result<ClientAuthentication, Failure> {
    let Some(path) = &args.client_ca else {
        return Ok(ClientAuthentication::None);
    };
    Ok(authenticated_by(
        Roots::from_pem_file(path)?,
        args.client_auth,
    ))
}

fn authenticated_by(roots: Roots, client_auth: Option<ClientAuth>) -> ClientAuthentication {
    match client_auth.unwrap_or_default() {
        ClientAuth::Optional => ClientAuthentication::Optional(roots),
        ClientAuth::Required => ClientAuthentication::Required(roots),
    }
}

/// The identity of a listener: from files, or made now.
pub(crate) fn identity(args: &IdentityArgs) -> Result<Identity, Failure> {
    match (&args.cert, &args.key, &args.self_signed) {
        (Some(cert), Some(key), _) => identity_from_files(cert, key),
        (_, _, Some(name)) => self_signed(name),
        _ => Err(Failure::new(
            "an identity is needed: --cert and --key, --self-signed, or --sni-map",
        )),
    }
}

/// Builds the client context of `connect`; errors name the files concerned.
pub(crate) fn client_context(
    backend: &dyn DynBackend,
    args: &ConnectArgs,
) -> Result<Box<dyn DynContext>, Failure> {
    let config = client_config(args)?;
    backend.client(config).map_err(|error| {
        name_files(
            &error,
            args.cert.as_deref(),
            args.key.as_deref(),
            args.ca.as_deref(),
        )
    })
}

fn client_config(args: &ConnectArgs) -> Result<ClientConfig, Failure> {
    let roots = match &args.ca {
        Some(path) => Roots::from_pem_file(path)?,
        None if args.insecure => Roots::default(),
        None => Roots::system(),
    };
    let mut config = ClientConfig::new(roots);
    config.dangerous.accept_any_certificate = args.insecure;
    set_parameters(&mut config.parameters, &args.protocol);
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        config.identity = Some(identity_from_files(cert, key)?);
    }
    Ok(config)
}

fn set_parameters(parameters: &mut Parameters, args: &ProtocolArgs) {
    parameters.min_version = args.min_version.into();
    parameters.max_version = args.max_version.into();
    parameters.cipher_suites.clone_from(&args.ciphers);
    parameters.groups.clone_from(&args.groups);
    parameters.alpn = args
        .alpn
        .iter()
        .map(|name| name.clone().into_bytes())
        .collect();
}

fn identity_from_files(cert: &Path, key: &Path) -> Result<Identity, Failure> {
    let identity = Identity::from_pem_files(cert, key)?;
    warn_of_validity(&identity, cert);
    Ok(identity)
}

fn warn_of_validity(identity: &Identity, file: &Path) {
    let leaf = identity.chain().first().map(AsRef::as_ref);
    if let Some(problem) = leaf.and_then(peer::validity_problem) {
        warn!(file = %file.display(), "the certificate {problem}");
    }
}

/// A certificate for a DNS name or an IP address that nobody vouches for.
fn self_signed(name: &str) -> Result<Identity, Failure> {
    let bad = |error: rcgen::Error| {
        Failure::new(format!("no certificate can be made for {name:?}: {error}"))
    };
    if polytls::pki_types::ServerName::try_from(name).is_err() {
        return Err(Failure::new(format!(
            "no certificate can be made for {name:?}: it is neither a DNS name nor an IP address"
        )));
    }
    let now = SystemTime::now();
    let mut params = CertificateParams::new([name.to_owned()]).map_err(bad)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A clock a little behind ours must not find the certificate too young.
    params.not_before = (now - Duration::from_secs(60 * 60)).into();
    params.not_after = (now + SELF_SIGNED_LIFETIME).into();
    let key = KeyPair::generate().map_err(bad)?;
    let certificate = params.self_signed(&key).map_err(bad)?;
    info!(
        name,
        sha256 = %peer::fingerprint(certificate.der()),
        "made a self-signed certificate"
    );
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Ok(Identity::from_der(vec![certificate.der().clone()], key)?)
}

/// A backend knows no file names: adds those of the files it found fault with.
fn name_files(
    error: &Error,
    cert: Option<&Path>,
    key: Option<&Path>,
    ca: Option<&Path>,
) -> Failure {
    let failure = Failure::from(error.clone());
    match (error.kind(), cert, key, ca) {
        (ErrorKind::Config(ConfigProblem::KeyMismatch), Some(cert), Some(key), _) => {
            Failure::new(format!(
                "the private key in {} does not belong to the certificate in {}",
                key.display(),
                cert.display()
            ))
        }
        (ErrorKind::Config(ConfigProblem::Certificate), Some(cert), ..) => {
            failure.about(cert.display())
        }
        (ErrorKind::Config(ConfigProblem::PrivateKey), _, Some(key), _) => {
            failure.about(key.display())
        }
        (ErrorKind::Config(ConfigProblem::TrustRoots), .., Some(ca)) => failure.about(ca.display()),
        _ => failure,
    }
}

/// Whether a backend can be driven in this mode, as a failure if not.
pub(crate) fn require_mode(backend: &dyn DynBackend, mode: Mode) -> Result<(), Failure> {
    let feature = match mode {
        Mode::Socket => polytls::Feature::SocketMode,
        Mode::Buffer => polytls::Feature::BufferMode,
    };
    Ok(backend.capabilities().require(feature)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustls_is_the_default_then_the_only_one_then_none() {
        let chosen = |names: &[&'static str]| default_backend(names);
        assert_eq!(chosen(&["rustls", "openssl"]).unwrap(), "rustls");
        assert_eq!(chosen(&["openssl"]).unwrap(), "openssl");
        assert_eq!(chosen(&["boring"]).unwrap(), "boring");
        let several = chosen(&["rustls-ring", "openssl"]).unwrap_err().to_string();
        assert!(several.contains("rustls-ring, openssl"), "{several}");
        assert!(chosen(&[]).unwrap_err().to_string().contains("--features"));
    }

    #[test]
    fn self_signed_certificates_are_for_dns_names_and_addresses() {
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(self_signed(name).expect(name).chain().len(), 1);
        }
        for name in ["", "two words", "*"] {
            let failure = self_signed(name).expect_err(name).to_string();
            assert!(failure.contains(&format!("{name:?}")), "{failure}");
        }
    }
}
