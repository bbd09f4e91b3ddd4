//! Verification of the peer by the engine, and what a handshake has settled.

use std::ffi::c_int;
use std::path::Path;
use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContextBuilder, SslFiletype, SslRef, SslVerifyMode, SslVersion};
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509CheckFlags, X509VerifyFlags};
use openssl::x509::{X509, X509Name, X509StoreContext, X509StoreContextRef, X509VerifyResult};
use tls_core::config::{ClientAuthentication, ClientConfig, Roots, ServerConfig};
use tls_core::iana::{AlertDescription, Group, ProtocolVersion};
use tls_core::pki_types::{CertificateDer, ServerName};
use tls_core::{CertificateProblem, ConfigProblem, Error, ErrorKind, Facts, Operation, Result};
use tls_libssl::{Diagnosis, SystemRoots, Verified, certificate_problem, host};

use crate::error::{self, configure};
use crate::{ffi, library, server_name};

/// Has clients verify servers. The purpose (TLS server, or client) and with it extended key usage
/// are checked by the engine on its own.
pub(crate) fn servers(context: &mut SslContextBuilder, config: &ClientConfig) -> Result<()> {
    let decided = config.peer_verification.is_custom();
    if config.dangerous.accept_any_certificate && !decided {
        context.set_verify(SslVerifyMode::NONE);
        return Ok(());
    }
    if decided {
        ffi::put_to_the_verdict(context);
    }
    library::verify_peers(context, SslVerifyMode::PEER);
    set_roots(context, &config.roots)
}

/// Has servers ask for client certificates and verify those they get.
pub(crate) fn clients(context: &mut SslContextBuilder, config: &ServerConfig) -> Result<()> {
    let (mode, roots) = match &config.client_authentication {
        ClientAuthentication::None => {
            context.set_verify(SslVerifyMode::NONE);
            return Ok(());
        }
        ClientAuthentication::Optional(roots) => (SslVerifyMode::PEER, roots),
        ClientAuthentication::Required(roots) => (
            SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            roots,
        ),
        // The session asks when it is told to, and has the mode changed then.
        ClientAuthentication::OnRequest(roots) => (SslVerifyMode::NONE, roots),
    };
    if config.peer_verification.is_custom() {
        ffi::put_to_the_verdict(context);
    }
    library::verify_peers(context, mode);
    set_roots(context, roots)?;
    context.set_client_ca_list(configure(acceptable_issuers(roots))?);
    Ok(())
}

/// Whether a chain is that of the peer the session knows already, if it does: whoever takes part in
/// a handshake after the first is the one of the first (K10).
pub(crate) fn is_same_peer(presented: &mut X509StoreContextRef) -> bool {
    let leaf = presented
        .chain()
        .and_then(|chain| chain.get(0)?.to_der().ok());
    shows_known_leaf(presented, leaf.as_deref())
}

/// The same, for a chain that begins with this certificate.
pub(crate) fn shows_known_leaf(presented: &mut X509StoreContextRef, leaf: Option<&[u8]>) -> bool {
    let known = X509StoreContext::ssl_idx()
        .and_then(|index| Ok((index, known_peer()?)))
        .ok()
        .and_then(|(index, known)| presented.ex_data(index)?.ex_data(known));
    let Some(known) = known else {
        return true;
    };
    let same = leaf.is_some_and(|leaf| leaf == known.as_slice());
    if !same {
        presented.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
    }
    same
}

/// Has [`is_same_peer`] know the peer, by its certificate.
pub(crate) fn expect_peer(ssl: &mut SslRef, leaf: &CertificateDer<'static>) {
    if let Ok(index) = known_peer() {
        ssl.set_ex_data(index, leaf.to_vec());
    }
}

/// Where a session keeps the certificate of its peer.
fn known_peer() -> std::result::Result<Index<Ssl, Vec<u8>>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Vec<u8>>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
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
    let param = ssl.param_mut();
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | NEVER_CHECK_SUBJECT);
    match name {
        ServerName::IpAddress(ip) => param.set_ip((*ip).into()),
        name => param.set_host(&host(name)),
    }
}

/// `X509_CHECK_FLAG_NEVER_CHECK_SUBJECT`: both libraries have it, the crate names it for one.
const NEVER_CHECK_SUBJECT: X509CheckFlags = X509CheckFlags::from_bits_retain(0x20);

/// Roots are trust anchors whether they signed themselves or not (RFC 5280 section 6.1.1), as every
/// other engine has it.
///
/// `X509_V_FLAG_X509_STRICT` stays off: it refuses certificates for what RFC 5280 asks of those who
/// issue them, such as a missing authority key identifier, not of those who verify.
fn set_roots(context: &mut SslContextBuilder, roots: &Roots) -> Result<()> {
    context.set_cert_store(store(roots)?);
    configure(
        context
            .verify_param_mut()
            .set_flags(X509VerifyFlags::PARTIAL_CHAIN | X509VerifyFlags::TRUSTED_FIRST),
    )
}

fn store(roots: &Roots) -> Result<X509Store> {
    let mut store = configure(X509StoreBuilder::new())?;
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

/// Adds the roots in a file, and has those in directories looked up by their hashed names.
fn add_system_roots(store: &mut X509StoreBuilder) -> Result<()> {
    let Some(SystemRoots { file, directories }) = SystemRoots::find(library_has_roots)? else {
        return configure(store.set_default_paths());
    };
    if let Some(file) = file {
        let lookup = configure(store.add_lookup(X509Lookup::file()))?;
        lookup
            .load_cert_file(&file, SslFiletype::PEM)
            .map_err(error::config(
                ConfigProblem::TrustRoots,
                &file.display().to_string(),
            ))?;
    }
    let lookup = configure(store.add_lookup(X509Lookup::hash_dir()))?;
    for directory in directories
        .iter()
        .filter_map(|directory| directory.to_str())
    {
        configure(lookup.add_dir(directory, SslFiletype::PEM))?;
    }
    Ok(())
}

/// Whether the directory that the library was built for holds roots.
fn library_has_roots() -> bool {
    // `OPENSSLDIR: "/usr/lib/ssl"`
    let Some(directory) = openssl::version::dir().split('"').nth(1) else {
        return false;
    };
    let directory = Path::new(directory);
    let certs = std::fs::read_dir(directory.join("certs"));
    directory.join("cert.pem").exists() || certs.is_ok_and(|mut entries| entries.next().is_some())
}

/// The names of the roots, for the client to choose its certificate by: RFC 8446 section 4.2.4.
fn acceptable_issuers(roots: &Roots) -> std::result::Result<Stack<X509Name>, ErrorStack> {
    let mut names = Stack::new()?;
    for root in &roots.given {
        names.push(X509::from_der(root)?.subject_name().to_owned()?)?;
    }
    Ok(names)
}

/// Decodes a certificate of the configuration; `what` says which.
pub(crate) fn decode(
    certificate: &CertificateDer<'_>,
    problem: ConfigProblem,
    what: &str,
) -> Result<X509> {
    X509::from_der(certificate).map_err(error::config(problem, what))
}

/// What the library's own verification of a chain comes to.
pub(crate) fn outcome(peer: &mut X509StoreContextRef) -> Verified {
    match peer.verify_cert() {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(problem(peer.error())),
    }
}

/// The result of a verification that could not be made: `X509_V_ERR_OUT_OF_MEM`, which alone stands
/// for `internal_error` in both libraries.
pub(crate) const ABORT: c_int = 17;

/// A result of a verification that has the library send this alert.
pub(crate) fn result_for(alert: AlertDescription) -> c_int {
    match alert {
        // X509_V_ERR_CERT_HAS_EXPIRED
        AlertDescription::CERTIFICATE_EXPIRED => 10,
        // X509_V_ERR_CERT_REVOKED
        AlertDescription::CERTIFICATE_REVOKED => 23,
        // X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        AlertDescription::UNKNOWN_CA => 20,
        // X509_V_ERR_INVALID_PURPOSE
        AlertDescription::UNSUPPORTED_CERTIFICATE => 26,
        // X509_V_ERR_CERT_REJECTED
        AlertDescription::BAD_CERTIFICATE => 28,
        // X509_V_ERR_INVALID_EXTENSION, of which neither library makes more than
        // certificate_unknown.
        _ => 41,
    }
}

/// Why the peer's chain was refused.
pub(crate) fn refusal(ssl: &SslRef) -> Diagnosis {
    let result = ssl.verify_result();
    Diagnosis::new(
        ErrorKind::Certificate(problem(result)),
        result.error_string(),
    )
}

fn problem(result: X509VerifyResult) -> CertificateProblem {
    match result.as_raw() {
        // X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL, X509_V_ERR_CA_MD_TOO_WEAK
        66..=68 => CertificateProblem::Weak,
        common => certificate_problem(common),
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

    let mut facts = Facts::new(version, ffi::cipher_suite(cipher));
    facts.resumed = ssl.session_reused();
    facts.group = group(ssl, &facts);
    facts.alpn = ssl.selected_alpn_protocol().map(<[u8]>::to_vec);
    facts.server_name = if ssl.is_server() {
        library::requested_server_name(ssl)
    } else {
        server_name::sent(ssl)
    };
    facts.peer_certificates =
        peer_certificates(ssl).map_err(error::backend(Operation::Handshake))?;
    Ok(facts)
}

/// A resumed TLS 1.2 session exchanges no key; the library would tell the group of the first
/// handshake.
fn group(ssl: &SslRef, facts: &Facts) -> Option<Group> {
    if !library::TRAITS.negotiated_group.is_available()
        || (facts.resumed && facts.protocol_version < ProtocolVersion::TLS1_3)
    {
        return None;
    }
    match ffi::negotiated_group(ssl) {
        // NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1, NID_X25519, NID_X448
        415 => Some(Group::SECP256R1),
        715 => Some(Group::SECP384R1),
        716 => Some(Group::SECP521R1),
        1034 => Some(Group::X25519),
        1035 => Some(Group::X448),
        // NID_ffdhe2048 and its four successors
        1126 => Some(Group::FFDHE2048),
        1127 => Some(Group::FFDHE3072),
        1128 => Some(Group::FFDHE4096),
        1129 => Some(Group::FFDHE6144),
        1130 => Some(Group::FFDHE8192),
        // TLSEXT_nid_unknown: a group without an object identifier, by its own number.
        unnamed if unnamed & !0xffff == 0x0100_0000 => {
            u16::try_from(unnamed & 0xffff).ok().map(Group)
        }
        _ => None,
    }
}

/// The leaf is part of the chain on clients only, and all that is left of it after a resumption by
/// a stateless ticket.
fn peer_certificates(
    ssl: &SslRef,
) -> std::result::Result<Option<Vec<CertificateDer<'static>>>, ErrorStack> {
    let Some(leaf) = ssl.peer_certificate() else {
        return Ok(None);
    };
    let mut chain = vec![CertificateDer::from(leaf.to_der()?)];
    for certificate in ssl.peer_cert_chain().into_iter().flatten() {
        chain.push(CertificateDer::from(certificate.to_der()?));
    }
    if chain.len() > 1 && chain[0] == chain[1] {
        chain.remove(0);
    }
    Ok(Some(chain))
}
