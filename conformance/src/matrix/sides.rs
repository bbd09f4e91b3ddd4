//! What the two sides of a step are configured with, built up from what every step has.

use tls_core::config::{Identity, Roots};
use tls_core::iana::ProtocolVersion;

use super::protocol::{Configuration, RoleConfiguration, roots_der};

/// The configuration of a client.
pub(super) struct ClientSide(Configuration);

impl ClientSide {
    /// One that trusts these roots, and speaks this version.
    pub(super) fn new(version: ProtocolVersion, roots: &Roots) -> Self {
        Self(Configuration {
            role: RoleConfiguration::Client {
                roots: roots_der(roots),
                identity: None,
                send_sni: true,
            },
            version: version.0,
            alpn: Vec::new(),
        })
    }

    pub(super) fn alpn(mut self, names: &[&str]) -> Self {
        self.0.alpn = names.iter().map(ToString::to_string).collect();
        self
    }

    pub(super) fn without_sni(mut self) -> Self {
        if let RoleConfiguration::Client { send_sni, .. } = &mut self.0.role {
            *send_sni = false;
        }
        self
    }

    pub(super) fn identity(mut self, presented: &Identity) -> Self {
        if let RoleConfiguration::Client { identity, .. } = &mut self.0.role {
            *identity = Some(presented.into());
        }
        self
    }

    pub(super) fn trusting(mut self, others: &Roots) -> Self {
        if let RoleConfiguration::Client { roots, .. } = &mut self.0.role {
            *roots = roots_der(others);
        }
        self
    }
}

/// The configuration of a server.
pub(super) struct ServerSide(Configuration);

impl ServerSide {
    /// One that presents this identity, and speaks this version.
    pub(super) fn new(version: ProtocolVersion, identity: &Identity) -> Self {
        Self(Configuration {
            role: RoleConfiguration::Server {
                identity: identity.into(),
                client_roots: None,
            },
            version: version.0,
            alpn: Vec::new(),
        })
    }

    pub(super) fn alpn(mut self, names: &[&str]) -> Self {
        self.0.alpn = names.iter().map(ToString::to_string).collect();
        self
    }

    pub(super) fn requiring(mut self, roots: &Roots) -> Self {
        if let RoleConfiguration::Server { client_roots, .. } = &mut self.0.role {
            *client_roots = Some(roots_der(roots));
        }
        self
    }
}

impl From<ClientSide> for Configuration {
    fn from(side: ClientSide) -> Self {
        side.0
    }
}

impl From<ServerSide> for Configuration {
    fn from(side: ServerSide) -> Self {
        side.0
    }
}
