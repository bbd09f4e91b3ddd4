//! Which library this is, and what it can do.

use std::sync::{Arc, LazyLock};

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::ProducesTickets;
use tls_core::iana::{CipherSuite, Group};
use tls_core::{BuildInfo, Capabilities, Support};

use crate::tape::provider::TapedProvider;

/// A provider of cryptography, and what rustls can do with it.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    name: &'static str,
    crypto: Arc<CryptoProvider>,
    /// Every group of the provider, those it does not offer by default too.
    groups: &'static [&'static dyn SupportedKxGroup],
    ticketer: fn() -> Result<Arc<dyn ProducesTickets>, rustls::Error>,
    /// What sessions use that may have to wait for their caller.
    taped: &'static LazyLock<TapedProvider>,
    capabilities: Arc<Capabilities>,
}

impl Provider {
    #[cfg(feature = "aws-lc-rs")]
    pub(crate) fn aws_lc_rs() -> Self {
        use rustls::crypto::aws_lc_rs;
        static TAPED: LazyLock<TapedProvider> = LazyLock::new(|| {
            TapedProvider::new(&aws_lc_rs::default_provider(), aws_lc_rs::ALL_KX_GROUPS)
        });
        Self::new(
            "aws-lc-rs",
            aws_lc_rs::default_provider(),
            aws_lc_rs::ALL_KX_GROUPS,
            aws_lc_rs::Ticketer::new,
            &TAPED,
        )
    }

    #[cfg(feature = "ring")]
    pub(crate) fn ring() -> Self {
        use rustls::crypto::ring;
        static TAPED: LazyLock<TapedProvider> =
            LazyLock::new(|| TapedProvider::new(&ring::default_provider(), ring::ALL_KX_GROUPS));
        Self::new(
            "ring",
            ring::default_provider(),
            ring::ALL_KX_GROUPS,
            ring::Ticketer::new,
            &TAPED,
        )
    }

    fn new(
        name: &'static str,
        crypto: CryptoProvider,
        groups: &'static [&'static dyn SupportedKxGroup],
        ticketer: fn() -> Result<Arc<dyn ProducesTickets>, rustls::Error>,
        taped: &'static LazyLock<TapedProvider>,
    ) -> Self {
        let capabilities = Arc::new(probe(&crypto, groups));
        Self {
            name,
            crypto: Arc::new(crypto),
            groups,
            ticketer,
            taped,
            capabilities,
        }
    }

    pub(crate) fn build_info(&self) -> BuildInfo {
        BuildInfo::new(format!("rustls ({})", self.name), env!("RUSTLS_VERSION"))
    }

    pub(crate) fn capabilities(&self) -> &Arc<Capabilities> {
        &self.capabilities
    }

    pub(crate) fn crypto(&self) -> &Arc<CryptoProvider> {
        &self.crypto
    }

    /// The provider's suite of this number.
    pub(crate) fn cipher_suite(&self, suite: CipherSuite) -> Option<SupportedCipherSuite> {
        let mut suites = self.crypto.cipher_suites.iter().copied();
        suites.find(|known| suite_number(*known) == suite)
    }

    /// The provider's group of this number.
    pub(crate) fn group(&self, group: Group) -> Option<&'static dyn SupportedKxGroup> {
        let mut groups = self.groups.iter().copied();
        groups.find(|known| group_number(*known) == group)
    }

    /// The same provider, asked over a tape.
    pub(crate) fn over_tape(&self, crypto: &CryptoProvider) -> CryptoProvider {
        self.taped.wrap(crypto)
    }

    /// Fresh ticket keys, which rotate.
    pub(crate) fn ticketer(&self) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        (self.ticketer)()
    }
}

/// Every connection of rustls can change its keys.
pub(crate) const KEY_UPDATE: Support = Support::Native;

/// Every connection of rustls keeps its Finished to itself.
pub(crate) const TLS_UNIQUE: Support =
    Support::Unsupported("rustls does not tell the Finished of a handshake");

pub(crate) fn suite_number(suite: SupportedCipherSuite) -> CipherSuite {
    CipherSuite(u16::from(suite.suite()))
}

pub(crate) fn group_number(group: &dyn SupportedKxGroup) -> Group {
    Group(u16::from(group.name()))
}

fn probe(crypto: &CryptoProvider, groups: &[&'static dyn SupportedKxGroup]) -> Capabilities {
    use Support::{Emulated, Native};

    let mut capabilities = Capabilities::default();
    capabilities.buffer_mode = Native;
    capabilities.socket_mode = if cfg!(unix) {
        Emulated
    } else {
        Support::Unsupported("socket mode needs a Unix system")
    };
    capabilities.plain_socket_transport = Support::Unsupported(
        "rustls never touches a descriptor: socket sessions always gather and read ahead",
    );
    capabilities.unread = capabilities.socket_mode;
    capabilities.deferred_server_context = Emulated;
    let has = |tls13: bool| {
        let mut suites = crypto.cipher_suites.iter();
        match suites.any(|suite| suite_number(*suite).is_tls13() == tls13) {
            true => Native,
            false => Support::Unsupported("the provider has no cipher suite of this version"),
        }
    };
    capabilities.key_update = KEY_UPDATE;
    capabilities.post_handshake_auth =
        Support::Unsupported("rustls has no authentication after the handshake");
    for renegotiation in [
        &mut capabilities.renegotiation_client,
        &mut capabilities.renegotiation_server,
    ] {
        *renegotiation = Support::Unsupported("rustls refuses every renegotiation");
    }
    capabilities.tls12 = has(false);
    capabilities.tls13 = has(true);
    capabilities.exporter = Native;
    // Read in the ServerHello; the hash of a certificate, and what is exported under one label, are
    // worked out here.
    capabilities.extended_master_secret = match capabilities.tls12 {
        Native => Emulated,
        other => other,
    };
    capabilities.tls_unique = TLS_UNIQUE;
    capabilities.tls_server_end_point = Emulated;
    capabilities.tls_exporter = Emulated;
    capabilities.tls12_cipher_suites = capabilities.tls12;
    capabilities.tls13_cipher_suites = capabilities.tls13;
    capabilities.tls12_resumption = capabilities.tls12;
    capabilities.tls13_resumption = capabilities.tls13;
    capabilities.groups_list = Native;
    capabilities.negotiated_group = Native;
    capabilities.alpn = Native;
    capabilities.sni = Native;
    capabilities.sni_off = Native;
    capabilities.ip_server_name = Native;
    capabilities.client_certificate = Native;
    capabilities.client_authentication = Native;
    capabilities.verifier = Native;
    // rustls asks in calls that must answer at once, so the handshake is done again (`replay.rs`).
    capabilities.suspended_verification_client = Emulated;
    capabilities.suspended_verification_server = Emulated;
    capabilities.late_client_credentials = Emulated;
    capabilities.system_roots = Native;
    // The stores, the age of tickets and the bound are this project's, around the engine's hooks.
    capabilities.session_cache_size = Emulated;
    capabilities.session_timeout = Emulated;
    capabilities.stateless_tickets = Native;
    capabilities.quiet_shutdown = Emulated;
    capabilities.pending_output_bound = Emulated;
    let suites = crypto.cipher_suites.iter();
    capabilities.cipher_suites = suites.map(|suite| suite_number(*suite)).collect();
    capabilities.groups = default_first(&crypto.kx_groups, groups);
    capabilities
}

/// All groups, those the provider offers by default first, in its order.
fn default_first(
    default: &[&'static dyn SupportedKxGroup],
    all: &[&'static dyn SupportedKxGroup],
) -> Vec<Group> {
    let mut numbers: Vec<Group> = Vec::with_capacity(all.len());
    for group in default.iter().chain(all).map(|group| group_number(*group)) {
        if !numbers.contains(&group) {
            numbers.push(group);
        }
    }
    numbers
}
