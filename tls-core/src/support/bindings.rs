//! Exporters and channel bindings: what is the same for every engine.

use super::end_point::{EndPoint, end_point};
use super::lifecycle::Lifecycle;
use crate::binding::ChannelBinding;
use crate::capabilities::{Feature, Support};
use crate::error::{Error, ErrorKind, Misuse, Operation, Result};
use crate::facts::Facts;
use crate::iana::{CipherSuite, ProtocolVersion};
use crate::session::Role;

/// The label of RFC 9266 section 2, and how many bytes are exported under it.
const TLS_EXPORTER: &str = "EXPORTER-Channel-Binding";
const TLS_EXPORTER_LENGTH: usize = 32;

/// TLS 1.3 puts 6 bytes in front, and has room for 255. RFC 8446 section 7.1.
const LONGEST_LABEL: usize = 249;
/// OpenSSL's TLS 1.2 takes 1,024 bytes of label, context and what stands around them.
const LONGEST_CONTEXT: usize = 512;
/// How many times the output of its hash HKDF gives at the most. RFC 5869 section 2.3.
const MOST_BLOCKS: usize = 255;
/// The labels of TLS 1.2 itself: RFC 5246 sections 6.3, 7.4.9 and 8.1, RFC 7627 section 4. What
/// follows a label is told from it by nothing, so that one may not even begin like this.
const RESERVED: [&str; 5] = [
    "client finished",
    "server finished",
    "master secret",
    "extended master secret",
    "key expansion",
];

/// What an engine whose handshake is complete tells of its keys. Asked only for what the connection
/// can have, with arguments that are allowed.
pub trait Keying {
    /// Whether the engine tells [`first_finished`](Self::first_finished), as the backend's
    /// [`Capabilities::tls_unique`](crate::Capabilities::tls_unique) says.
    const TLS_UNIQUE: Support;

    /// Fills `output` with exported keying material.
    ///
    /// # Errors
    ///
    /// `Backend`.
    fn export(&self, output: &mut [u8], label: &str, context: Option<&[u8]>) -> Result<()>;

    /// Whether the connection has the extended master secret; `false` if nobody knows. TLS 1.2.
    fn has_extended_master_secret(&self) -> bool;

    /// Whether the connection may be renegotiated.
    fn may_renegotiate(&self) -> bool {
        false
    }

    /// Whether the connection is being renegotiated, and its keys are about to change.
    fn is_renegotiating(&self) -> bool {
        false
    }

    /// The first Finished of the latest handshake, without the header of the message. TLS 1.2.
    fn first_finished(&self) -> Option<Vec<u8>>;
}

/// What [`Session::export_keying_material`](crate::Session::export_keying_material) gives.
///
/// # Errors
///
/// As there.
pub fn export_keying_material(
    lifecycle: &Lifecycle,
    keying: &impl Keying,
    output: &mut [u8],
    label: &[u8],
    context: Option<&[u8]>,
) -> Result<()> {
    let facts = lifecycle.settled(Operation::Export)?;
    let misuse = |misuse| Error::misuse(misuse, Operation::Export);
    let label = allowed_label(label).ok_or_else(|| misuse(Misuse::ExporterLabel))?;
    if context.is_some_and(|context| context.len() > LONGEST_CONTEXT) {
        return Err(misuse(Misuse::ExporterLabel).with_detail("the context is too long"));
    }
    if output.is_empty() || output.len() > longest_output(facts.cipher_suite) {
        return Err(misuse(Misuse::ExporterLength));
    }
    require_settled_keys(facts, keying, Feature::Exporter, Operation::Export)?;
    keying.export(output, label, context)
}

/// What [`Session::channel_binding`](crate::Session::channel_binding) gives.
///
/// # Errors
///
/// As there.
pub fn channel_binding<K: Keying>(
    lifecycle: &Lifecycle,
    role: Role,
    keying: &K,
    binding: ChannelBinding,
) -> Result<Option<Vec<u8>>> {
    let facts = lifecycle.settled(Operation::ChannelBinding)?;
    match binding {
        ChannelBinding::TlsUnique => tls_unique(facts, keying),
        ChannelBinding::TlsServerEndPoint => tls_server_end_point(facts, role),
        ChannelBinding::TlsExporter => tls_exporter(facts, keying),
    }
}

fn tls_unique<K: Keying>(facts: &Facts, keying: &K) -> Result<Option<Vec<u8>>> {
    if let Support::Unsupported(reason) = K::TLS_UNIQUE {
        return Err(unsupported(Feature::TlsUnique, reason));
    }
    if facts.protocol_version != ProtocolVersion::TLS1_2 {
        return Ok(None);
    }
    let operation = Operation::ChannelBinding;
    require_settled_keys(facts, keying, Feature::TlsUnique, operation)?;
    require_unique_secret(keying)?;
    match keying.first_finished() {
        Some(finished) if !finished.is_empty() => Ok(Some(finished)),
        _ => Err(Error::new(ErrorKind::Backend, Operation::ChannelBinding)
            .with_detail("the engine does not tell the Finished of its handshake")),
    }
}

fn tls_server_end_point(facts: &Facts, role: Role) -> Result<Option<Vec<u8>>> {
    let chain = match role {
        Role::Client => facts.peer_certificates.as_deref(),
        Role::Server => facts.local_certificates.as_deref(),
    };
    let Some(leaf) = chain.and_then(<[_]>::first) else {
        return Ok(None);
    };
    match end_point(leaf) {
        EndPoint::Hash(hash) => Ok(Some(hash)),
        EndPoint::Undefined => Ok(None),
        EndPoint::Unknown(reason) => Err(unsupported(Feature::TlsServerEndPoint, reason)),
    }
}

fn tls_exporter(facts: &Facts, keying: &impl Keying) -> Result<Option<Vec<u8>>> {
    if facts.protocol_version == ProtocolVersion::TLS1_2 {
        // RFC 9266 section 2.
        if keying.may_renegotiate() {
            return Ok(None);
        }
        require_unique_secret(keying)?;
    }
    let mut value = vec![0; TLS_EXPORTER_LENGTH];
    keying.export(&mut value, TLS_EXPORTER, Some(&[]))?;
    Ok(Some(value))
}

/// In the middle of a renegotiation engines export from what they have of the new keys, which may be
/// an empty secret. A peer can make that last. TLS 1.3 has no renegotiation.
fn require_settled_keys(
    facts: &Facts,
    keying: &impl Keying,
    feature: Feature,
    operation: Operation,
) -> Result<()> {
    if facts.protocol_version == ProtocolVersion::TLS1_3 || !keying.is_renegotiating() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported(feature), operation)
        .with_detail("the keys of the connection are being renegotiated"))
}

/// Without it two connections may have one master secret: RFC 7627 section 1.
fn require_unique_secret(keying: &impl Keying) -> Result<()> {
    if keying.has_extended_master_secret() {
        return Ok(());
    }
    Err(unsupported(
        Feature::ExtendedMasterSecret,
        "the connection is not known to have the extended master secret, without which it cannot \
         be told from another one with the same keys",
    ))
}

#[cold]
fn unsupported(feature: Feature, reason: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported(feature), Operation::ChannelBinding).with_detail(reason)
}

fn allowed_label(label: &[u8]) -> Option<&str> {
    let fits = (1..=LONGEST_LABEL).contains(&label.len()) && label.is_ascii();
    let label = std::str::from_utf8(label).ok().filter(|_| fits)?;
    let reserved = RESERVED.iter().any(|reserved| label.starts_with(reserved));
    (!reserved).then_some(label)
}

/// In bytes; that of TLS 1.3, so that what works in one version works in the other.
fn longest_output(suite: CipherSuite) -> usize {
    let long = suite.name().is_some_and(|name| name.ends_with("SHA384"));
    MOST_BLOCKS * if long { 48 } else { 32 }
}

/// The methods of `Session` that ask for bindings, for a session around another: `$inner` may fail,
/// of an `$operation`.
macro_rules! forward_bindings {
    ($self:ident, $operation:pat => $inner:expr) => {
        fn export_keying_material(
            &$self,
            output: &mut [u8],
            label: &[u8],
            context: Option<&[u8]>,
        ) -> Result<()> {
            let $operation = $crate::Operation::Export;
            $inner.export_keying_material(output, label, context)
        }

        fn channel_binding(&$self, binding: $crate::ChannelBinding) -> Result<Option<Vec<u8>>> {
            let $operation = $crate::Operation::ChannelBinding;
            $inner.channel_binding(binding)
        }
    };
}
pub(crate) use forward_bindings;

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that exports the label, and says what it is told to.
    struct Fake {
        secret: bool,
        renegotiates: bool,
        renegotiating: bool,
        finished: Option<Vec<u8>>,
    }

    impl Keying for Fake {
        const TLS_UNIQUE: Support = Support::Native;

        fn export(&self, output: &mut [u8], label: &str, context: Option<&[u8]>) -> Result<()> {
            output.fill(label.len() as u8);
            output[0] = context.map_or(0xff, |context| context.len() as u8);
            Ok(())
        }

        fn has_extended_master_secret(&self) -> bool {
            self.secret
        }

        fn may_renegotiate(&self) -> bool {
            self.renegotiates
        }

        fn is_renegotiating(&self) -> bool {
            self.renegotiating
        }

        fn first_finished(&self) -> Option<Vec<u8>> {
            self.finished.clone()
        }
    }

    const SAFE: Fake = Fake {
        secret: true,
        renegotiates: false,
        renegotiating: false,
        finished: None,
    };

    fn open(version: ProtocolVersion) -> Lifecycle {
        let suite = match version {
            ProtocolVersion::TLS1_3 => CipherSuite::TLS_AES_128_GCM_SHA256,
            _ => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        };
        let mut lifecycle = Lifecycle::new();
        lifecycle.complete_handshake(Facts::new(version, suite));
        lifecycle
    }

    fn bind(
        version: ProtocolVersion,
        engine: &Fake,
        binding: ChannelBinding,
    ) -> std::result::Result<Option<Vec<u8>>, ErrorKind> {
        channel_binding(&open(version), Role::Client, engine, binding).map_err(|error| error.kind())
    }

    #[test]
    fn tls12_binds_nothing_without_the_extended_master_secret() {
        let unsafe_ones = Fake {
            secret: false,
            finished: Some(vec![1; 12]),
            ..SAFE
        };
        let refused = Err(ErrorKind::Unsupported(Feature::ExtendedMasterSecret));
        for binding in [ChannelBinding::TlsUnique, ChannelBinding::TlsExporter] {
            assert_eq!(
                bind(ProtocolVersion::TLS1_2, &unsafe_ones, binding),
                refused
            );
        }
        let exporter = bind(
            ProtocolVersion::TLS1_3,
            &unsafe_ones,
            ChannelBinding::TlsExporter,
        );
        assert!(matches!(exporter, Ok(Some(_))), "TLS 1.3 needs none");
    }

    #[test]
    fn the_exporter_has_its_label_an_empty_context_and_32_bytes() {
        for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
            let value = bind(version, &SAFE, ChannelBinding::TlsExporter);
            let mut expected = vec![24; 32];
            expected[0] = 0;
            assert_eq!(value, Ok(Some(expected)));
        }
    }

    #[test]
    fn renegotiation_leaves_the_exporter_undefined() {
        let renegotiates = Fake {
            renegotiates: true,
            ..SAFE
        };
        let value = |version| bind(version, &renegotiates, ChannelBinding::TlsExporter);
        assert_eq!(value(ProtocolVersion::TLS1_2), Ok(None));
        assert!(matches!(value(ProtocolVersion::TLS1_3), Ok(Some(_))));
    }

    #[test]
    fn nothing_is_taken_from_keys_that_are_being_renegotiated() {
        let changing = Fake {
            renegotiating: true,
            finished: Some(vec![1; 12]),
            ..SAFE
        };
        let unique = ChannelBinding::TlsUnique;
        let refused = Err(ErrorKind::Unsupported(Feature::TlsUnique));
        assert_eq!(bind(ProtocolVersion::TLS1_2, &changing, unique), refused);
        let export = |version| {
            let label = b"EXPERIMENTAL x";
            export_keying_material(&open(version), &changing, &mut [0; 8], label, None)
        };
        let error = export(ProtocolVersion::TLS1_2).unwrap_err();
        let refused = ErrorKind::Unsupported(Feature::Exporter);
        assert_eq!(error.kind(), refused);
        assert!(export(ProtocolVersion::TLS1_3).is_ok());
    }

    #[test]
    fn tls_unique_is_the_finished_of_tls12() {
        let tells = Fake {
            finished: Some(vec![1; 12]),
            ..SAFE
        };
        let value = |version, engine| bind(version, engine, ChannelBinding::TlsUnique);
        assert_eq!(
            value(ProtocolVersion::TLS1_2, &tells),
            Ok(Some(vec![1; 12]))
        );
        assert_eq!(value(ProtocolVersion::TLS1_3, &tells), Ok(None));
        let silent = value(ProtocolVersion::TLS1_2, &SAFE);
        assert_eq!(silent, Err(ErrorKind::Backend));
    }

    #[test]
    fn without_a_certificate_there_is_no_end_point() {
        let value = bind(
            ProtocolVersion::TLS1_3,
            &SAFE,
            ChannelBinding::TlsServerEndPoint,
        );
        assert_eq!(value, Ok(None));
    }
}
