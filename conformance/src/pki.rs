//! The certificates of the suite, made once per process.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CrlDistributionPoint, CustomExtension,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType, SignatureAlgorithm,
    SigningKey,
};
use time::{Duration, OffsetDateTime};
use tls_core::config::{Identity, Roots};
use tls_core::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The DNS name the server's certificate is valid for.
pub const SERVER_NAME: &str = "localhost";
/// Another DNS name it is valid for.
pub const SECOND_NAME: &str = "service.polytls.test";
/// The IP address it is valid for.
pub const SERVER_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A name no certificate here is valid for.
pub const OTHER_NAME: &str = "other.polytls.test";

/// Every certificate the cases need. All keys but those of two issuers are ECDSA P-256; every chain but those that say so
/// leads over [`intermediate`](Self::intermediate) to [`root`](Self::root).
#[derive(Debug)]
pub struct Pki {
    /// The root that clients and servers of the suite trust.
    pub root: CertificateDer<'static>,
    /// The intermediate certificate that issued the leaves.
    pub intermediate: CertificateDer<'static>,
    /// A root nobody trusts unless told.
    pub other_root: CertificateDer<'static>,
    /// Server for [`SERVER_NAME`], [`SECOND_NAME`] and [`SERVER_IP`].
    pub server: Identity,
    /// Another server for [`SERVER_NAME`], with another key.
    pub second_server: Identity,
    /// The server's leaf without the intermediate certificate.
    pub server_without_intermediate: Identity,
    /// Server for [`SERVER_NAME`], below [`other_root`](Self::other_root).
    pub untrusted_server: Identity,
    /// Server for [`SERVER_NAME`] that expired yesterday.
    pub expired: Identity,
    /// Server for [`SERVER_NAME`] that is valid from tomorrow on.
    pub not_yet_valid: Identity,
    /// Server for [`SERVER_NAME`] whose issuer signs with SHA-384.
    pub sha384: Identity,
    /// Server for [`SERVER_NAME`] whose issuer signs with Ed25519, which has no hash.
    pub ed25519: Identity,
    /// Server whose common name is [`SERVER_NAME`], without that name in subjectAltName (which
    /// has [`OTHER_NAME`]).
    pub common_name_only: Identity,
    /// Server for [`SERVER_NAME`] whose extended key usage allows clients only.
    pub wrong_usage: Identity,
    /// Server for `*.wild.polytls.test`.
    pub wildcard: Identity,
    /// Server for [`SERVER_IP`] and no name.
    pub ip_only: Identity,
    /// Server with the text of [`SERVER_IP`] as a dNSName and no iPAddress.
    pub ip_as_name: Identity,
    /// The server's chain with a key that is not its own.
    pub mismatched: Identity,
    /// Client.
    pub client: Identity,
    /// Another client.
    pub second_client: Identity,
    /// Client below [`other_root`](Self::other_root).
    pub untrusted_client: Identity,
    /// Client that expired yesterday.
    pub expired_client: Identity,
    /// Client whose extended key usage allows servers only.
    pub wrong_usage_client: Identity,
}

impl Pki {
    /// The certificates of this process, made at the first call.
    pub fn shared() -> &'static Self {
        static PKI: OnceLock<Pki> = OnceLock::new();
        PKI.get_or_init(Self::make)
    }

    /// The roots that clients and servers of the suite trust.
    pub fn roots(&self) -> Roots {
        Roots::given([self.root.clone()])
    }

    /// The root nobody trusts unless told.
    pub fn other_roots(&self) -> Roots {
        Roots::given([self.other_root.clone()])
    }

    fn make() -> Self {
        let root = Authority::root("polytls test root");
        let issuer = root.intermediate("polytls test intermediate");
        let other = Authority::root("polytls other root");
        let localhost = || Leaf::server(&[SERVER_NAME]);
        let server = issuer.issue(
            Leaf::server(&[SERVER_NAME, SECOND_NAME]).with_san(SanType::IpAddress(SERVER_IP)),
        );
        let second_server = issuer.issue(localhost());
        Self {
            root: root.certificate(),
            intermediate: issuer.certificate(),
            other_root: other.certificate(),
            server_without_intermediate: identity(
                vec![server.chain()[0].clone()],
                server.key().clone_key(),
            ),
            mismatched: identity(server.chain().to_vec(), second_server.key().clone_key()),
            server,
            second_server,
            untrusted_server: other.issue(localhost()),
            expired: issuer.issue(localhost().valid(-30, -1)),
            sha384: root
                .below_with(
                    authority("polytls SHA-384 intermediate"),
                    &PKCS_ECDSA_P384_SHA384,
                )
                .issue(localhost()),
            ed25519: root
                .below_with(authority("polytls Ed25519 intermediate"), &PKCS_ED25519)
                .issue(localhost()),
            not_yet_valid: issuer.issue(localhost().valid(1, 30)),
            common_name_only: issuer
                .issue(Leaf::server(&[OTHER_NAME]).with_common_name(SERVER_NAME)),
            wrong_usage: issuer.issue(localhost().with_usage(ExtendedKeyUsagePurpose::ClientAuth)),
            wildcard: issuer.issue(Leaf::server(&["*.wild.polytls.test"])),
            ip_only: issuer.issue(Leaf::server(&[]).with_san(SanType::IpAddress(SERVER_IP))),
            ip_as_name: issuer.issue(
                Leaf::server(&[]).with_san(SanType::DnsName(
                    SERVER_IP
                        .to_string()
                        .try_into()
                        .expect("digits and dots are ASCII"),
                )),
            ),
            client: issuer.issue(Leaf::client("client.polytls.test")),
            second_client: issuer.issue(Leaf::client("second-client.polytls.test")),
            untrusted_client: other.issue(Leaf::client("client.polytls.test")),
            expired_client: issuer.issue(Leaf::client("client.polytls.test").valid(-30, -1)),
            wrong_usage_client: issuer.issue(
                Leaf::client("client.polytls.test").with_usage(ExtendedKeyUsagePurpose::ServerAuth),
            ),
        }
    }
}

/// A certificate authority, and the certificates between its leaves and the root.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    between: Vec<CertificateDer<'static>>,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority(name), new_key())
            .expect("a root of fixed parameters");
        Self {
            issuer,
            between: Vec::new(),
        }
    }

    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.below(authority(name))
    }

    /// An intermediate authority with these parameters.
    pub(crate) fn below(&self, params: CertificateParams) -> Self {
        self.below_with(params, &PKCS_ECDSA_P256_SHA256)
    }

    /// An intermediate authority that signs like this.
    fn below_with(&self, params: CertificateParams, signs: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(signs).expect("a key");
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer)
            .expect("an intermediate of fixed parameters");
        let mut between = vec![issuer.der().clone()];
        between.extend(self.between.iter().cloned());
        Self { issuer, between }
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(crate) fn issue(&self, leaf: Leaf) -> Identity {
        self.issue_for(leaf, new_key())
    }

    /// A leaf with a key that is there already.
    pub(crate) fn issue_for(&self, leaf: Leaf, key: KeyPair) -> Identity {
        let certificate = leaf
            .0
            .signed_by(&key, &self.issuer)
            .expect("a leaf of fixed parameters");
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.between.iter().cloned());
        identity(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

/// The parameters of a leaf, valid from a day ago for a month unless told otherwise.
pub(crate) struct Leaf(CertificateParams);

impl Leaf {
    pub(crate) fn server(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Self::new(names, ExtendedKeyUsagePurpose::ServerAuth).with_common_name("polytls server")
    }

    /// The leaf's certificate by an issuer that is no [`Authority`].
    pub(crate) fn signed_by(
        self,
        key: &KeyPair,
        issuer: &Issuer<'_, impl SigningKey>,
    ) -> CertificateDer<'static> {
        let certificate = self.0.signed_by(key, issuer);
        let certificate = certificate.expect("a leaf of fixed parameters");
        certificate.der().clone()
    }

    fn client(name: &str) -> Self {
        Self::new(vec![name.to_owned()], ExtendedKeyUsagePurpose::ClientAuth).with_common_name(name)
    }

    fn new(names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Self {
        let mut params = CertificateParams::new(names).expect("ASCII names");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Self(params).with_usage(usage).valid(-1, 30)
    }

    /// Where its issuer, its status and a list of revoked certificates can be had: RFC 5280
    /// sections 4.2.2.1 and 4.2.1.13.
    pub(crate) fn with_places(mut self, url: &str) -> Self {
        const ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
        /// The end of the identifiers of the two methods, OCSP and caIssuers.
        const METHODS: [u8; 2] = [1, 2];
        let place: Vec<u8> = METHODS
            .iter()
            .flat_map(|method| {
                let method = [0x2b, 6, 1, 5, 5, 7, 0x30, *method];
                let name = der(0x86, url.as_bytes());
                der(0x30, &[der(6, &method), name].concat())
            })
            .collect();
        let access = CustomExtension::from_oid_content(ACCESS, der(0x30, &place));
        self.0.custom_extensions.push(access);
        self.0.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![url.to_owned()],
        }];
        self
    }

    fn with_usage(mut self, usage: ExtendedKeyUsagePurpose) -> Self {
        self.0.extended_key_usages = vec![usage];
        self
    }

    pub(crate) fn with_common_name(mut self, name: &str) -> Self {
        self.0.distinguished_name = rcgen::DistinguishedName::new();
        self.0.distinguished_name.push(DnType::CommonName, name);
        self
    }

    fn with_san(mut self, name: SanType) -> Self {
        self.0.subject_alt_names.push(name);
        self
    }

    /// Validity in days from now.
    pub(crate) fn valid(mut self, from: i64, until: i64) -> Self {
        let now = OffsetDateTime::now_utc();
        self.0.not_before = now + Duration::days(from);
        self.0.not_after = now + Duration::days(until);
        self
    }
}

/// A value with its tag and length, which is below 128.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("a short value");
    assert!(length < 128, "a short value");
    [&[tag, length], value].concat()
}

/// The parameters of an authority.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(60);
    params.not_after = now + Duration::days(60);
    params
}

pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate().expect("an ECDSA P-256 key")
}

pub(crate) fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Identity {
    Identity::from_der(chain, key).expect("the chain is not empty")
}
