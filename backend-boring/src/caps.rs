//! What the library at hand can do, found out by asking it once.

use std::sync::OnceLock;

use boring::error::ErrorStack;
use boring::ssl::{SslContextBuilder, SslMethod};
use tls_core::iana::{CipherSuite, Group};
use tls_core::{Capabilities, Support};

use crate::{error, ffi};

/// What the backend can do with this library.
pub(crate) fn capabilities() -> &'static Capabilities {
    static PROBED: OnceLock<Capabilities> = OnceLock::new();
    PROBED.get_or_init(|| error::isolated(|| probe().unwrap_or_default()))
}

fn probe() -> Result<Capabilities, ErrorStack> {
    let cipher_suites = cipher_suites()?;
    let has = |tls13| match cipher_suites.iter().any(|suite| suite.is_tls13() == tls13) {
        true => Support::Native,
        false => Support::Unsupported("this build of the library has no cipher suite of it"),
    };

    let mut capabilities = Capabilities::default();
    for always in [
        &mut capabilities.buffer_mode,
        &mut capabilities.groups_list,
        &mut capabilities.negotiated_group,
        &mut capabilities.alpn,
        &mut capabilities.sni,
        &mut capabilities.sni_off,
        &mut capabilities.ip_server_name,
        &mut capabilities.client_certificate,
        &mut capabilities.client_authentication,
        &mut capabilities.verifier,
        &mut capabilities.suspended_verification_client,
        &mut capabilities.suspended_verification_server,
        &mut capabilities.late_client_credentials,
        &mut capabilities.system_roots,
        &mut capabilities.tls12_resumption,
        &mut capabilities.tls13_resumption,
        &mut capabilities.session_timeout,
        &mut capabilities.stateless_tickets,
        &mut capabilities.quiet_shutdown,
        &mut capabilities.pending_output_bound,
        &mut capabilities.key_update,
        &mut capabilities.exporter,
        &mut capabilities.extended_master_secret,
        &mut capabilities.tls_unique,
    ] {
        *always = Support::Native;
    }
    capabilities.socket_mode = tls_libssl::SOCKETS;
    capabilities.plain_socket_transport = tls_libssl::SOCKETS;
    capabilities.deferred_server_context = Support::Emulated;
    capabilities.unread = tls_libssl::SOCKETS;
    // The hash of a certificate, and what is exported under one label: worked out here.
    capabilities.tls_server_end_point = Support::Emulated;
    capabilities.tls_exporter = Support::Emulated;
    // The library's cache has no sessions of TLS 1.3: ours has them all, behind tickets that name
    // them. A client of TLS 1.2 that takes no tickets is then not resumed.
    capabilities.session_cache_size = Support::Emulated;
    capabilities.post_handshake_auth =
        Support::Unsupported("BoringSSL has no authentication after the handshake");
    capabilities.renegotiation_client = has(false);
    capabilities.renegotiation_server =
        Support::Unsupported("BoringSSL's servers refuse every renegotiation, and start none");
    capabilities.tls12 = has(false);
    capabilities.tls12_cipher_suites = has(false);
    capabilities.tls13 = has(true);
    capabilities.tls13_cipher_suites = has(true);
    capabilities.groups = groups()?;
    capabilities.cipher_suites = cipher_suites;
    Ok(capabilities)
}

/// The registered suites that the library takes: those of TLS 1.3 one by one, as it has no list of
/// them; the others in its order.
fn cipher_suites() -> Result<Vec<CipherSuite>, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls())?;
    let (tls13, tls12): (Vec<CipherSuite>, Vec<_>) = CipherSuite::REGISTERED
        .iter()
        .partition(|suite| suite.is_tls13());
    let mut suites: Vec<_> = tls13
        .into_iter()
        .filter(|suite| ffi::set_tls13_cipher_suites(&mut context, &[suite.0]).is_ok())
        .collect();

    // Unknown names are passed over.
    let names: Vec<_> = tls12
        .iter()
        .filter_map(|suite| suite.libssl_name())
        .collect();
    context.set_cipher_list(&names.join(":"))?;
    let taken = context.ciphers().into_iter().flatten();
    suites.extend(
        taken
            .map(|cipher| CipherSuite(cipher.protocol_id()))
            .filter(|suite| tls12.contains(suite)),
    );
    Ok(suites)
}

/// The registered groups that the library takes.
fn groups() -> Result<Vec<Group>, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls())?;
    let mut groups: Vec<Group> = Vec::new();
    for &group in PREFERRED_GROUPS.iter().chain(Group::REGISTERED) {
        if !groups.contains(&group) && ffi::set_groups(&mut context, &[group.0]).is_ok() {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The order in which groups are worth wanting; any others come after them.
const PREFERRED_GROUPS: [Group; 2] = [Group::X25519_MLKEM768, Group::X25519];
