//! Certificates made for a test.

use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tls_core::config::{Identity, Roots};
use tls_core::pki_types::{CertificateDer, PrivateKeyDer};

/// How many roots were made.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A root, and what it issues.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Roots of one name would make a stranger's signature a bad one, not an unknown one.
        let name = &mut params.distinguished_name;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        name.push(DnType::CommonName, format!("test root {number}"));
        let root = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::given([self.root.clone()])
    }

    /// A server certificate for `server.test` and 127.0.0.1.
    pub(crate) fn server(&self) -> Identity {
        self.issue(params(&["server.test", "127.0.0.1"]))
    }

    pub(crate) fn client(&self) -> Identity {
        let mut params = params(&["client.test"]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    pub(crate) fn expired(&self) -> Identity {
        let mut params = params(&["server.test"]);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.issue(params)
    }

    /// `server.test` as the common name, and as no subjectAltName.
    pub(crate) fn common_name_only(&self) -> Identity {
        let mut params = params(&[]);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "server.test");
        self.issue(params)
    }

    /// An authority with a server's name, as `openssl req -x509` makes them.
    pub(crate) fn authority_as_server(&self) -> Identity {
        let mut params = params(&["server.test"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity::from_der(vec![certificate.der().clone()], key).unwrap()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
