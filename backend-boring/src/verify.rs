//! Verification of the peer by the engine, and what a handshake has settled.

use boring::error::ErrorStack;
use boring::ssl::{SslAlert, SslContextBuilder, SslRef, SslVerifyError, SslVerifyMode, SslVersion};
use boring::x509::X509;
use boring::x509::store::{X509Store, X509StoreBuilder};
use boring::x509::verify::{X509CheckFlags, X509VerifyFlags};
use tls_core::config::{ClientAuthentication, ClientConfig, Roots, ServerConfig};
use tls_core::iana::{AlertDescription, CipherSuite, Group, ProtocolVersion};
use tls_core::pki_types::{CertificateDer, ServerName};
use tls_core::{CertificateProblem, ConfigProblem, Error, ErrorKind, Facts, Operation, Result};
use tls_libssl::{Diagnosis, Ruling, SystemRoots, host};

use crate::error::{self, configure};
use crate::ffi::{self, Purpose};
use crate::{policy, resumption, server_name};

/// Has clients verify servers. The purpose (TLS server, or client) and with it extended key usage
/// are checked by the engine on its own.
pub(crate) fn servers(context: &mut SslContextBuilder, config: &ClientConfig) -> Result<()> {
    if config.peer_verification.is_custom() {
        put_to_the_verdict(context, SslVerifyMode::PEER, Purpose::Server);
        return set_roots(context, &config.roots);
    }
    if config.dangerous.accept_any_certificate {
        context.set_verify(SslVerifyMode::NONE);
        return Ok(());
    }
    context.set_verify(SslVerifyMode::PEER);
    set_roots(context, &config.roots)?;
    context.set_cert_verify_callback(|peer| policy::verify(peer, Purpose::Server));
    Ok(())
}

/// Has servers ask for client certificates and verify those they get.
pub(crate) fn clients(context: &mut SslContextBuilder, config: &ServerConfig) -> Result<()> {
    let (mode, roots) = match &config.client_authentication {
        // Nothing is ever asked for on request: the check has refused that.
        ClientAuthentication::None | ClientAuthentication::OnRequest(_) => {
            context.set_verify(SslVerifyMode::NONE);
            return Ok(());
        }
        ClientAuthentication::Optional(roots) => (SslVerifyMode::PEER, roots),
        ClientAuthentication::Required(roots) => (
            SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            roots,
        ),
    };
    set_roots(context, roots)?;
    if config.peer_verification.is_custom() {
        put_to_the_verdict(context, mode, Purpose::Client);
    } else {
        context.set_verify(mode);
        context.set_cert_verify_callback(|peer| {
            resumption::limit(peer);
            policy::verify(peer, Purpose::Client)
        });
    }
    configure(name_issuers(context, roots))
}

/// Has whoever the session's configuration says decide about peers, after the library's own
/// verification.
fn put_to_the_verdict(context: &mut SslContextBuilder, mode: SslVerifyMode, purpose: Purpose) {
    context.set_custom_verify_callback(mode, move |ssl| {
        let Some(observed) = ffi::observed_of(ssl) else {
            return Err(SslVerifyError::Invalid(SslAlert::INTERNAL_ERROR));
        };
        let chain = || ffi::peer_certificates(ssl).unwrap_or_default();
        let verify = || policy::outcome(ssl, purpose);
        let ruling = observed.questions().rule(chain, verify);
        // What verifying left in the queue would be taken for the reason of a failure.
        drop(ErrorStack::get());
        match ruling {
            Ruling::Accept => {
                if ffi::presented(ssl).is_some_and(resumption::is_too_long) {
                    ffi::give_no_tickets(ssl);
                }
                Ok(())
            }
            Ruling::Wait => Err(SslVerifyError::Retry),
            Ruling::Refuse(problem) => Err(SslVerifyError::Invalid(alert(problem))),
            Ruling::Abort => Err(SslVerifyError::Invalid(SslAlert::INTERNAL_ERROR)),
        }
    });
}

/// [`CertificateProblem::alert`], in the crate's terms.
fn alert(problem: CertificateProblem) -> SslAlert {
    match problem.alert() {
        AlertDescription::CERTIFICATE_EXPIRED => SslAlert::CERTIFICATE_EXPIRED,
        AlertDescription::CERTIFICATE_REVOKED => SslAlert::CERTIFICATE_REVOKED,
        AlertDescription::UNKNOWN_CA => SslAlert::UNKNOWN_CA,
        AlertDescription::UNSUPPORTED_CERTIFICATE => SslAlert::UNSUPPORTED_CERTIFICATE,
        AlertDescription::BAD_CERTIFICATE => SslAlert::BAD_CERTIFICATE,
        _ => SslAlert::CERTIFICATE_UNKNOWN,
    }
}

/// Says whom a client session expects: names match subjectAltName only, and a wildcard is a whole
/// label (K14, RFC 9525). The engine takes an IP address as such, against iPAddress entries only.
pub(crate) fn expect(
    ssl: &mut SslRef,
    config: &ClientConfig,
    name: Option<&ServerName<'static>>,
) -> std::result::Result<(), ErrorStack> {
    let Some(name) = name else {
        return Ok(());
    };
    if config.dangerous.accept_any_certificate || config.dangerous.accept_any_name {
        return Ok(());
    }
    let param = ssl.verify_param_mut();
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
    match name {
        ServerName::IpAddress(ip) => param.set_ip((*ip).into()),
        name => param.set_host(&host(name)),
    }
}

/// Roots are trust anchors whether they signed themselves or not (RFC 5280 section 6.1.1), as every
/// other engine has it.
fn set_roots(context: &mut SslContextBuilder, roots: &Roots) -> Result<()> {
    context.set_cert_store(store(roots)?);
    Ok(())
}

fn store(roots: &Roots) -> Result<X509Store> {
    let mut store = configure(X509StoreBuilder::new())?;
    configure(store.try_set_flags(X509VerifyFlags::PARTIAL_CHAIN))?;
    for root in &roots.given {
        let root = decode(root, ConfigProblem::TrustRoots, "a trust root")?;
        store
            .add_cert(root)
            .map_err(error::config(ConfigProblem::TrustRoots, "a trust root"))?;
    }
    if roots.system {
        add_system_roots(&mut store)?;
    }
    Ok(store.build())
}

/// Adds the roots in a file, and has those in directories looked up by their hashed names. The
/// library has no roots of its own.
fn add_system_roots(store: &mut X509StoreBuilder) -> Result<()> {
    let Some(SystemRoots { file, directories }) = SystemRoots::find(|| false)? else {
        return Ok(());
    };
    let files = file.as_deref().into_iter().map(|file| (Some(file), None));
    let directories = directories
        .iter()
        .map(|directory| (None, Some(directory.as_path())));
    for (file, directory) in files.chain(directories) {
        let what = file
            .or(directory)
            .map_or_else(String::new, |path| path.display().to_string());
        ffi::add_roots(store, file, directory)
            .map_err(error::config(ConfigProblem::TrustRoots, &what))?;
    }
    Ok(())
}

/// The names of the roots, for the client to choose its certificate by: RFC 8446 section 4.2.4.
fn name_issuers(
    context: &mut SslContextBuilder,
    roots: &Roots,
) -> std::result::Result<(), ErrorStack> {
    for root in &roots.given {
        context.add_client_ca(X509::from_der(root)?.as_ref())?;
    }
    Ok(())
}

/// Decodes a certificate of the configuration; `what` says which.
pub(crate) fn decode(
    certificate: &CertificateDer<'_>,
    problem: ConfigProblem,
    what: &str,
) -> Result<X509> {
    X509::from_der(certificate).map_err(error::config(problem, what))
}

/// Why the peer's chain was refused.
pub(crate) fn refusal(ssl: &SslRef) -> Diagnosis {
    match ssl.verify_result() {
        Err(policy::WEAK) => Diagnosis::new(
            ErrorKind::Certificate(CertificateProblem::Weak),
            "a key or signature in the peer's chain is too weak",
        ),
        Err(error) => Diagnosis::new(
            ErrorKind::Certificate(policy::problem(error)),
            error.error_string(),
        ),
        // Said of a certificate that the library does not even give to its verifier.
        Ok(()) => Diagnosis::new(
            ErrorKind::Certificate(CertificateProblem::Other),
            "the library refuses the peer's certificate",
        ),
    }
}

/// What the handshake that has just completed has settled.
///
/// # Errors
///
/// `Backend` if the library does not say what every handshake has, or is out of memory.
pub(crate) fn facts(ssl: &SslRef) -> Result<Facts> {
    error::isolated(|| gather(ssl))
}

fn gather(ssl: &SslRef) -> Result<Facts> {
    let missing = |what: &'static str| {
        Error::new(ErrorKind::Backend, Operation::Handshake)
            .with_detail(format!("the library does not tell the {what}"))
    };
    let version = match ssl.version2() {
        Some(SslVersion::TLS1_3) => ProtocolVersion::TLS1_3,
        Some(SslVersion::TLS1_2) => ProtocolVersion::TLS1_2,
        _ => return Err(missing("protocol version")),
    };
    let cipher = ssl
        .current_cipher()
        .ok_or_else(|| missing("cipher suite"))?;

    let mut facts = Facts::new(version, CipherSuite(cipher.protocol_id()));
    facts.resumed = ssl.session_reused();
    facts.group = group(ssl, &facts);
    facts.alpn = ssl.selected_alpn_protocol().map(<[u8]>::to_vec);
    facts.server_name = server_name::indicated(ssl);
    facts.peer_certificates = ffi::peer_certificates(ssl);
    Ok(facts)
}

/// A resumed TLS 1.2 session exchanges no key; the library would tell the group of the first
/// handshake.
fn group(ssl: &SslRef, facts: &Facts) -> Option<Group> {
    if facts.resumed && facts.protocol_version < ProtocolVersion::TLS1_3 {
        return None;
    }
    ssl.curve().map(Group)
}
