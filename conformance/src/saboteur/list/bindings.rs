//! What exporters and channel bindings may get wrong.

use std::sync::Arc;

use tls_core::{ChannelBinding, ErrorKind, Feature, Misuse, Result, Role, Session};

use super::super::Sabotage;
use super::super::hooks::{Hook, OnFacts};

type Context<'a> = Option<&'a [u8]>;
type Export = fn(&dyn Session, &mut [u8], &[u8], Context<'_>) -> Result<()>;
type Bind = fn(&dyn Session, ChannelBinding, Result<Option<Vec<u8>>>) -> Result<Option<Vec<u8>>>;

/// Changes what is exported.
struct OnExport(Export);

impl Hook for OnExport {
    fn export(
        &self,
        session: &dyn Session,
        output: &mut [u8],
        label: &[u8],
        context: Context<'_>,
    ) -> Result<()> {
        self.0(session, output, label, context)
    }
}

/// Changes what a binding is.
struct OnBinding(Bind);

impl Hook for OnBinding {
    fn channel_binding(
        &self,
        session: &dyn Session,
        binding: ChannelBinding,
    ) -> Result<Option<Vec<u8>>> {
        self.0(session, binding, session.channel_binding(binding))
    }
}

/// Exports something where the session refuses like this.
macro_rules! exports_despite {
    ($kind:pat) => {
        || {
            Box::new(OnExport(|session, output, label, context| {
                match session.export_keying_material(output, label, context) {
                    Err(error) if matches!(error.kind(), $kind) => Ok(()),
                    result => result,
                }
            }))
        }
    };
}

const fn exports(what: &'static str, clause: &'static str) -> Sabotage {
    Sabotage {
        requires: &[Feature::Exporter],
        ..Sabotage::new(clause, what)
    }
}

pub(super) static SABOTAGES: &[Sabotage] = &[
    Sabotage {
        hook: || {
            Box::new(OnExport(|session, output, label, context| {
                session.export_keying_material(output, label, context)?;
                if session.role() == Role::Server {
                    output[0] ^= 1;
                }
                Ok(())
            }))
        },
        ..exports("the two sides export something else", "K10")
    },
    Sabotage {
        hook: || {
            Box::new(OnExport(|session, output, label, context| {
                session.export_keying_material(output, label, context)?;
                output.iter_mut().for_each(|byte| *byte ^= 1);
                Ok(())
            }))
        },
        ..exports("both sides export what no other engine does", "K10")
    },
    Sabotage {
        hook: || {
            Box::new(OnExport(|session, output, label, _| {
                session.export_keying_material(output, label, None)
            }))
        },
        ..exports("the context does not count", "K10")
    },
    Sabotage {
        hook: || {
            Box::new(OnExport(|session, output, label, context| {
                session.export_keying_material(output, label, context)?;
                if session.close_notify_sent() {
                    output[0] ^= 1;
                }
                Ok(())
            }))
        },
        ..exports("shutdown changes what is exported", "K10")
    },
    Sabotage {
        hook: exports_despite!(ErrorKind::Misuse(Misuse::ExporterLength)),
        ..exports("any length is exported", "K11")
    },
    Sabotage {
        hook: exports_despite!(ErrorKind::Misuse(Misuse::ExporterLabel)),
        ..exports("any label is exported under", "K11")
    },
    Sabotage {
        hook: exports_despite!(ErrorKind::Misuse(Misuse::HandshakeIncomplete)),
        ..exports("something is exported before the handshake", "K17")
    },
    Sabotage {
        hook: exports_despite!(ErrorKind::Unsupported(Feature::Exporter)),
        requires: &[Feature::Exporter, Feature::RenegotiationServer],
        ..Sabotage::new("K10", "half of a renegotiation exports")
    },
    Sabotage {
        hook: exports_despite!(ErrorKind::Protocol),
        ..exports("a failed session exports", "K5")
    },
    Sabotage {
        hook: || {
            Box::new(OnBinding(|_, binding, value| match (binding, value) {
                (ChannelBinding::TlsUnique, Ok(None)) => Ok(Some(vec![0; 12])),
                (_, value) => value,
            }))
        },
        requires: &[Feature::TlsUnique],
        ..Sabotage::new("K11", "TLS 1.3 has a tls-unique")
    },
    Sabotage {
        hook: || {
            Box::new(OnBinding(|_, binding, value| match (binding, value) {
                (ChannelBinding::TlsUnique, Ok(Some(_))) => Ok(Some(vec![7; 12])),
                (_, value) => value,
            }))
        },
        requires: &[Feature::TlsUnique],
        ..Sabotage::new("K10", "every connection has the same tls-unique")
    },
    Sabotage {
        hook: || {
            Box::new(OnBinding(|session, binding, value| {
                match (binding, value) {
                    (ChannelBinding::TlsServerEndPoint, Ok(_)) => {
                        session.channel_binding(ChannelBinding::TlsExporter)
                    }
                    (_, value) => value,
                }
            }))
        },
        ..Sabotage::new("K10", "the end point is that of the connection")
    },
    Sabotage {
        hook: || {
            Box::new(OnBinding(|_, binding, value| match (binding, value) {
                (ChannelBinding::TlsExporter, Ok(Some(_))) => Ok(Some(vec![7; 32])),
                (_, value) => value,
            }))
        },
        ..Sabotage::new("K10", "every connection has the same tls-exporter")
    },
    Sabotage {
        hook: || Box::new(OnFacts::new(|facts| facts.local_certificates = None)),
        ..Sabotage::new("K10", "no certificate of this side is told")
    },
    Sabotage {
        hook: || {
            Box::new(OnFacts::new(|facts| {
                let own = Arc::clone(&crate::Pki::shared().client.shared_chain());
                facts.local_certificates.get_or_insert(own);
            }))
        },
        ..Sabotage::new("K10", "a certificate is told that was not presented")
    },
];
