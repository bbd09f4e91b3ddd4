//! What the library at hand can do, found out by asking it once.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslVersion};
use tls_core::iana::{CipherSuite, Group};
use tls_core::{Capabilities, Support};

use crate::{error, ffi, library};

/// The security level of every context, in OpenSSL's terms: 112 bits, so RSA keys of 2,048 bits or
/// more and no SHA-1 signatures.
pub(crate) const SECURITY_LEVEL: u32 = 2;

/// What the backend can do with this library.
pub(crate) fn capabilities() -> &'static Capabilities {
    &probed().capabilities
}

/// The name under which the library knows a group.
pub(crate) fn group_name(group: Group) -> Option<&'static str> {
    let groups = &probed().group_names;
    let (_, name) = groups.iter().find(|(known, _)| *known == group)?;
    Some(name)
}

struct Probed {
    capabilities: Capabilities,
    group_names: Vec<(Group, &'static str)>,
}

fn probed() -> &'static Probed {
    static PROBED: OnceLock<Probed> = OnceLock::new();
    PROBED.get_or_init(|| error::isolated(probe))
}

fn probe() -> Probed {
    let group_names = group_names().unwrap_or_default();
    let cipher_suites = cipher_suites().unwrap_or_default();
    let has = |tls13| match cipher_suites.iter().any(|suite| suite.is_tls13() == tls13) {
        true => Support::Native,
        false => Support::Unsupported("this build of the library has no cipher suite of it"),
    };

    let mut capabilities = Capabilities::default();
    for always in [
        &mut capabilities.buffer_mode,
        &mut capabilities.groups_list,
        &mut capabilities.alpn,
        &mut capabilities.sni,
        &mut capabilities.sni_off,
        &mut capabilities.ip_server_name,
        &mut capabilities.client_certificate,
        &mut capabilities.client_authentication,
        &mut capabilities.verifier,
        &mut capabilities.system_roots,
        &mut capabilities.tls12_resumption,
        &mut capabilities.session_cache_size,
        &mut capabilities.session_timeout,
        &mut capabilities.stateless_tickets,
        &mut capabilities.quiet_shutdown,
        &mut capabilities.pending_output_bound,
    ] {
        *always = Support::Native;
    }
    capabilities.socket_mode = tls_libssl::SOCKETS;
    capabilities.plain_socket_transport = tls_libssl::SOCKETS;
    capabilities.deferred_server_context = Support::Emulated;
    capabilities.unread = tls_libssl::SOCKETS;
    capabilities.tls12 = has(false);
    capabilities.tls12_cipher_suites = has(false);
    capabilities.tls13 = has(true);
    capabilities.tls13_cipher_suites = has(true);
    capabilities.tls13_resumption = library::TRAITS.tls13_resumption;
    capabilities.key_update = library::TRAITS.key_update;
    capabilities.post_handshake_auth = library::TRAITS.post_handshake_auth;
    capabilities.renegotiation_client = has(false);
    capabilities.renegotiation_server = has(false);
    capabilities.suspended_verification_client = library::TRAITS.suspended_client;
    capabilities.suspended_verification_server = library::TRAITS.suspended_server;
    capabilities.late_client_credentials = library::TRAITS.late_credentials;
    capabilities.exporter = Support::Native;
    capabilities.extended_master_secret = library::TRAITS.extended_master_secret;
    capabilities.tls_unique = library::TRAITS.tls_unique;
    // The hash of a certificate, and what is exported under one label: worked out here.
    capabilities.tls_server_end_point = Support::Emulated;
    capabilities.tls_exporter = Support::Emulated;
    capabilities.negotiated_group = library::TRAITS.negotiated_group;
    capabilities.groups = group_names.iter().map(|(group, _)| *group).collect();
    capabilities.cipher_suites = cipher_suites;
    Probed {
        capabilities,
        group_names,
    }
}

/// The registered suites that the library would negotiate at our security level: it is given all
/// of them, and asked what is left.
fn cipher_suites() -> Result<Vec<CipherSuite>, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls())?;
    context.set_security_level(SECURITY_LEVEL);
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::TLS1_3))?;

    let names = |tls13: bool| {
        CipherSuite::REGISTERED
            .iter()
            .filter(move |suite| suite.is_tls13() == tls13)
            .filter_map(|suite| suite.libssl_name())
    };
    // A list of TLS 1.3 suites is refused for one unknown name, so each is tried on its own.
    let tls13: Vec<_> = names(true)
        .filter(|name| context.set_ciphersuites(name).is_ok())
        .collect();
    context.set_ciphersuites(&tls13.join(":"))?;
    // In a list of TLS 1.2 suites unknown names are passed over.
    context.set_cipher_list(&names(false).collect::<Vec<_>>().join(":"))?;

    let mut ssl = Ssl::new(&context.build())?;
    let supported = ffi::supported_cipher_suites(&mut ssl)?;
    Ok(supported
        .into_iter()
        .filter(|suite| suite.name().is_some())
        .collect())
}

/// The registered groups that the library takes, each under the first of its names that it knows.
fn group_names() -> Result<Vec<(Group, &'static str)>, ErrorStack> {
    // Every configuration is checked against the capabilities before its context is made.
    library::before_the_first_context()?;
    let mut context = SslContextBuilder::new(SslMethod::tls())?;
    let mut names = Vec::new();
    for &group in PREFERRED_GROUPS.iter().chain(Group::REGISTERED) {
        if names.iter().any(|(known, _)| *known == group) {
            continue;
        }
        let known = libssl_names(group).find(|name| context.set_groups_list(name).is_ok());
        names.extend(known.map(|name| (group, name)));
    }
    Ok(names)
}

/// The order in which groups are worth wanting; any others come after them.
const PREFERRED_GROUPS: [Group; 2] = [Group::X25519_MLKEM768, Group::X25519];

/// The two groups of RFC 7748 are written in capitals by LibreSSL.
fn libssl_names(group: Group) -> impl Iterator<Item = &'static str> {
    let capitals = match group {
        Group::X25519 => Some("X25519"),
        Group::X448 => Some("X448"),
        _ => None,
    };
    let registered = group.name().into_iter();
    registered
        .chain(group.aliases().iter().copied())
        .chain(capitals)
}
