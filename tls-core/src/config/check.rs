//! The one place where a configuration is checked against what a backend can do.

use std::ops::Deref;

use rustls_pki_types::ServerName;

use super::{
    ClientAuthentication, ClientConfig, Dangerous, Parameters, PeerVerification, ServerConfig,
    ServerResumption, SessionOptions, SocketTransport,
};
use crate::capabilities::{Capabilities, Feature};
use crate::error::{ConfigProblem, Error, Result};
use crate::iana::ProtocolVersion;

/// The largest bound on pending output, in bytes.
const MAX_PENDING_OUTPUT_BOUND: usize = 16 * 1024 * 1024;
/// The longest lifetime of a ticket, in seconds: RFC 8446 section 4.6.1.
const MAX_SESSION_TIMEOUT: u64 = 7 * 24 * 60 * 60;

/// A configuration that was checked against the capabilities of the backend it is given to.
///
/// Only the check makes one, so a backend cannot be given anything it has not claimed to support:
///
/// ```compile_fail,E0423
/// # use tls_core::{ClientConfig, config::{Checked, Roots}};
/// let unchecked = Checked(ClientConfig::new(Roots::system()));
/// ```
#[derive(Debug, Clone)]
pub struct Checked<C>(C);

impl<C> Checked<C> {
    /// The configuration itself.
    pub fn into_inner(self) -> C {
        self.0
    }
}

impl<C> Deref for Checked<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}

impl ClientConfig {
    /// Checks the configuration against what a backend can do.
    ///
    /// # Errors
    ///
    /// `Unsupported(feature)` for what the backend lacks, `Config(..)` for what no backend could
    /// use; both say what exactly is wrong.
    pub fn check(self, capabilities: &Capabilities) -> Result<Checked<Self>> {
        check_parameters(&self.parameters, capabilities)?;
        check_verification(
            &self.peer_verification,
            Feature::SuspendedVerificationClient,
            capabilities,
        )?;
        let decided = self.peer_verification.is_custom();
        if self.roots.is_empty() && !self.dangerous.accept_any_certificate && !decided {
            return Err(Error::config(
                ConfigProblem::TrustRoots,
                "a client needs trust roots to verify servers against",
            ));
        }
        if self.roots.system {
            capabilities.require(Feature::SystemRoots)?;
        }
        if self.identity.is_some() {
            capabilities.require(Feature::ClientCertificate)?;
        }
        if self.late_credentials {
            capabilities.require(Feature::ClientCertificate)?;
            capabilities.require(Feature::LateClientCredentials)?;
            if self.identity.is_some() {
                return Err(Error::config(
                    ConfigProblem::Conflict,
                    "a client that is asked late for its certificate takes none beforehand",
                ));
            }
        }
        if self.post_handshake_auth {
            capabilities.require(Feature::PostHandshakeAuth)?;
        }
        if self.parameters.allow_renegotiation {
            capabilities.require(Feature::RenegotiationClient)?;
            let suspends = self.late_credentials || self.peer_verification.is_suspended();
            if suspends {
                return Err(Error::config(
                    ConfigProblem::Conflict,
                    "a client that waits for its caller's answers is not renegotiated: it would have \
                     to wait in the middle of that",
                ));
            }
        }
        capabilities.require(if self.send_sni {
            Feature::Sni
        } else {
            Feature::SniOff
        })?;
        if self.resumption.enabled {
            check_store_size(self.resumption.store_size, capabilities)?;
        }
        Ok(Checked(self))
    }
}

impl Checked<ClientConfig> {
    /// The server name of a session with these options, `None` only if a dangerous setting allows
    /// it.
    ///
    /// # Errors
    ///
    /// `Config(ServerName)` if a name is needed and missing, `Unsupported(IpServerName)`.
    pub fn server_name(
        &self,
        options: &SessionOptions,
        capabilities: &Capabilities,
    ) -> Result<Option<ServerName<'static>>> {
        let Dangerous {
            accept_any_certificate,
            accept_any_name,
        } = self.dangerous;
        match &options.server_name {
            None if accept_any_certificate || accept_any_name => Ok(None),
            None => Err(Error::config(
                ConfigProblem::ServerName,
                "a client session needs the name of the server to verify",
            )),
            Some(name) => {
                if let ServerName::IpAddress(_) = name {
                    capabilities.require(Feature::IpServerName)?;
                }
                Ok(Some(name.clone()))
            }
        }
    }
}

impl ServerConfig {
    /// Checks the configuration against what a backend can do.
    ///
    /// # Errors
    ///
    /// As [`ClientConfig::check`].
    pub fn check(self, capabilities: &Capabilities) -> Result<Checked<Self>> {
        check_parameters(&self.parameters, capabilities)?;
        check_verification(
            &self.peer_verification,
            Feature::SuspendedVerificationServer,
            capabilities,
        )?;
        let decided = self.peer_verification.is_custom();
        if decided && matches!(self.client_authentication, ClientAuthentication::None) {
            return Err(Error::config(
                ConfigProblem::Conflict,
                "a server that asks for no client certificates has none to decide about",
            ));
        }
        if let Some(roots) = self.client_authentication.roots() {
            capabilities.require(Feature::ClientAuthentication)?;
            if roots.system || roots.given.is_empty() && !decided {
                return Err(Error::config(
                    ConfigProblem::TrustRoots,
                    "a server that asks for client certificates needs roots of its own to verify \
                     them against, never the system's",
                ));
            }
        }
        if self.parameters.allow_renegotiation {
            capabilities.require(Feature::RenegotiationServer)?;
        }
        let on_request = matches!(
            self.client_authentication,
            ClientAuthentication::OnRequest(_)
        );
        if on_request {
            check_requests(&self.parameters, capabilities)?;
        }
        check_server_resumption(&self.resumption, capabilities)?;
        Ok(Checked(self))
    }
}

impl Checked<ServerConfig> {
    /// Checks the options of a server session.
    ///
    /// # Errors
    ///
    /// `Config(ServerName)` if a server name was given: it is the client that names the server.
    pub fn check_session(&self, options: &SessionOptions) -> Result<()> {
        check_server_session(options)
    }
}

fn check_verification(
    verification: &PeerVerification,
    suspended: Feature,
    capabilities: &Capabilities,
) -> Result<()> {
    match verification {
        PeerVerification::Default => Ok(()),
        PeerVerification::Verifier(_) => capabilities.require(Feature::Verifier),
        PeerVerification::Suspended => capabilities.require(suspended),
    }
}

/// Checks the options of a session of whatever server.
pub(crate) fn check_server_session(options: &SessionOptions) -> Result<()> {
    if options.server_name.is_some() {
        return Err(Error::config(
            ConfigProblem::ServerName,
            "a server session takes no server name: the client sends it",
        ));
    }
    Ok(())
}

fn check_parameters(parameters: &Parameters, capabilities: &Capabilities) -> Result<()> {
    check_versions(parameters, capabilities)?;
    check_cipher_suites(parameters, capabilities)?;
    check_groups(parameters, capabilities)?;
    check_alpn(parameters, capabilities)?;
    if parameters.quiet_shutdown {
        capabilities.require(Feature::QuietShutdown)?;
    }
    if parameters.socket_transport == SocketTransport::Plain {
        capabilities.require(Feature::PlainSocketTransport)?;
    }
    check_pending_output_bound(parameters.pending_output_bound, capabilities)
}

fn check_versions(parameters: &Parameters, capabilities: &Capabilities) -> Result<()> {
    let (min, max) = (parameters.min_version, parameters.max_version);
    for version in [min, max] {
        let feature = match version {
            ProtocolVersion::TLS1_2 => Feature::Tls12,
            ProtocolVersion::TLS1_3 => Feature::Tls13,
            _ => {
                return Err(Error::config(
                    ConfigProblem::VersionRange,
                    format!("{version} is neither TLSv1.2 nor TLSv1.3"),
                ));
            }
        };
        capabilities.require(feature)?;
    }
    if min > max {
        return Err(Error::config(
            ConfigProblem::VersionRange,
            format!("the lowest version {min} is above the highest {max}"),
        ));
    }
    Ok(())
}

fn check_cipher_suites(parameters: &Parameters, capabilities: &Capabilities) -> Result<()> {
    let Some(suites) = &parameters.cipher_suites else {
        return Ok(());
    };
    if suites.is_empty() {
        return Err(Error::config(
            ConfigProblem::EmptyList,
            "the list of cipher suites is empty",
        ));
    }
    for &suite in suites {
        let feature = if suite.is_tls13() {
            Feature::Tls13CipherSuites
        } else {
            Feature::Tls12CipherSuites
        };
        capabilities.require(feature)?;
        if !capabilities.cipher_suites.contains(&suite) {
            return Err(Error::unsupported(
                feature,
                format!("the engine does not have the cipher suite {suite}"),
            ));
        }
    }
    for (version, tls13) in [
        (ProtocolVersion::TLS1_2, false),
        (ProtocolVersion::TLS1_3, true),
    ] {
        if parameters.allows(version) && !suites.iter().any(|suite| suite.is_tls13() == tls13) {
            return Err(Error::config(
                ConfigProblem::VersionRange,
                format!("the list of cipher suites has none of {version}, which is enabled"),
            ));
        }
    }
    Ok(())
}

fn check_groups(parameters: &Parameters, capabilities: &Capabilities) -> Result<()> {
    let Some(groups) = &parameters.groups else {
        return Ok(());
    };
    if groups.is_empty() {
        return Err(Error::config(
            ConfigProblem::EmptyList,
            "the list of groups is empty",
        ));
    }
    capabilities.require(Feature::GroupsList)?;
    match groups
        .iter()
        .find(|group| !capabilities.groups.contains(group))
    {
        None => Ok(()),
        Some(group) => Err(Error::unsupported(
            Feature::GroupsList,
            format!("the engine does not have the group {group}"),
        )),
    }
}

fn check_alpn(parameters: &Parameters, capabilities: &Capabilities) -> Result<()> {
    if parameters.alpn.is_empty() {
        return Ok(());
    }
    capabilities.require(Feature::Alpn)?;
    if parameters
        .alpn
        .iter()
        .any(|name| !(1..=255).contains(&name.len()))
    {
        return Err(Error::config(
            ConfigProblem::AlpnName,
            "an ALPN protocol name has 1 to 255 bytes",
        ));
    }
    // The list travels behind a two-byte length: RFC 7301 section 3.1.
    let wire: usize = parameters.alpn.iter().map(|name| name.len() + 1).sum();
    if wire > usize::from(u16::MAX) {
        return Err(Error::config(
            ConfigProblem::AlpnName,
            "the ALPN protocol names take more than 65,535 bytes together",
        ));
    }
    Ok(())
}

fn check_pending_output_bound(bound: usize, capabilities: &Capabilities) -> Result<()> {
    if bound != super::DEFAULT_PENDING_OUTPUT_BOUND {
        capabilities.require(Feature::PendingOutputBound)?;
    }
    if !(1..=MAX_PENDING_OUTPUT_BOUND).contains(&bound) {
        return Err(Error::config(
            ConfigProblem::Limit,
            format!("the bound on pending output is {bound} bytes, not 1 to 16 MiB"),
        ));
    }
    Ok(())
}

/// Checks that a client certificate can be asked for after the handshake.
fn check_requests(parameters: &Parameters, capabilities: &Capabilities) -> Result<()> {
    if parameters.allows(ProtocolVersion::TLS1_3) {
        return capabilities.require(Feature::PostHandshakeAuth);
    }
    capabilities.require(Feature::RenegotiationServer)?;
    if parameters.allow_renegotiation {
        return Ok(());
    }
    Err(Error::config(
        ConfigProblem::Conflict,
        "a server of TLS 1.2 alone asks for a client certificate on request by renegotiation, which \
         is not allowed",
    ))
}

fn check_server_resumption(
    resumption: &ServerResumption,
    capabilities: &Capabilities,
) -> Result<()> {
    if !resumption.enabled {
        return Ok(());
    }
    let defaults = ServerResumption::default();
    if resumption.timeout != defaults.timeout {
        capabilities.require(Feature::SessionTimeout)?;
    }
    let seconds = resumption.timeout.as_secs();
    if resumption.timeout.subsec_nanos() != 0 || !(1..=MAX_SESSION_TIMEOUT).contains(&seconds) {
        return Err(Error::config(
            ConfigProblem::Limit,
            format!(
                "the session timeout is {:?}, not whole seconds from 1 second to 7 days",
                resumption.timeout
            ),
        ));
    }
    if resumption.tickets {
        return capabilities.require(Feature::StatelessTickets);
    }
    check_store_size(resumption.cache_size, capabilities)
}

fn check_store_size(size: usize, capabilities: &Capabilities) -> Result<()> {
    capabilities.require(Feature::SessionCacheSize)?;
    if !(1..=1_000_000).contains(&size) {
        return Err(Error::config(
            ConfigProblem::Limit,
            format!("{size} sessions to keep, not 1 to 1,000,000"),
        ));
    }
    Ok(())
}
