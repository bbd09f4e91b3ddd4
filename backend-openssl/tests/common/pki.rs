//! An authority made for one test, and the certificates it issues.

use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use tls_core::config::{Identity, Roots};
use tls_core::pki_types::{CertificateDer, PrivateKeyDer};

/// The name that certificates are valid for, unless a test says otherwise.
pub(crate) const SERVER_NAME: &str = "server.example";

/// An authority.
pub(crate) struct Pki {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, with those between it and the authority.
pub(crate) struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority("The authority");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// An authority under this one, and its certificate.
    pub(crate) fn subordinate(&self) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority("The authority below");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::given([self.certificate()])
    }

    /// A server's certificate for [`SERVER_NAME`].
    pub(crate) fn server(&self) -> Leaf {
        self.server_for(&[SERVER_NAME])
    }

    /// A server's certificate for these names, or IP addresses.
    pub(crate) fn server_for(&self, names: &[&str]) -> Leaf {
        self.issue(names, |_| {})
    }

    /// A client's certificate.
    pub(crate) fn client(&self) -> Leaf {
        self.issue(&["client.example"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// A certificate for these names, a server's unless `change` makes it another.
    pub(crate) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = common_name("A leaf");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key in DER"),
        }
    }
}

impl Leaf {
    pub(crate) fn identity(self) -> Identity {
        Identity::from_der(self.chain, self.key).expect("a chain")
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.chain[0].clone()
    }

    /// The same with another certificate at the end of the chain.
    pub(crate) fn above(mut self, authority: &Pki) -> Self {
        self.chain.push(authority.certificate());
        self
    }
}

impl Clone for Leaf {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// No two authorities have the same name: a chain that ends below an authority of another key is
/// one of a bad signature, not of an unknown issuer.
fn authority(name: &str) -> CertificateParams {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("{name} {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
