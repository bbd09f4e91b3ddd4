//! Certificates for trying the examples out, and the choice of a backend. A real program reads its
//! own: `Identity::from_pem_files(chain, key)`, `Roots::from_pem_file(path)`.

// Each example uses its part of it.
#![allow(dead_code)]

use std::error::Error;
use std::net::TcpListener;

use polytls::config::{Identity, Roots};
use polytls::pki_types::PrivateKeyDer;
use polytls::{DynBackend, DynContext, ServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

#[cfg(unix)]
pub(crate) mod epoll;

/// The backend of this name, or the first that is compiled in.
pub(crate) fn backend(name: Option<String>) -> Result<Box<dyn DynBackend>, Box<dyn Error>> {
    match name {
        Some(name) => Ok(polytls::backend(&name)?),
        None => {
            let first = polytls::backends().into_iter().next();
            Ok(first.ok_or("no backend is compiled in")?)
        }
    }
}

/// A server context for localhost on a backend, and a listener at an address, both of which the
/// command line names.
pub(crate) fn listen(usage: &str) -> Result<(Box<dyn DynContext>, TcpListener), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listener = TcpListener::bind(arguments.next().ok_or(usage)?)?;
    let backend = backend(arguments.next())?;
    let identity = Authority::new("an authority")?.server("localhost")?;
    let context = backend.server(ServerConfig::new(identity))?;
    println!("{} on {}", backend.build_info(), listener.local_addr()?);
    Ok((context, listener))
}

/// Who vouches for servers and clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self, Box<dyn Error>> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?))
    }

    /// The roots of whoever trusts this authority.
    pub(crate) fn roots(&self) -> Roots {
        Roots::given([self.0.der().clone()])
    }

    /// A server of this DNS name.
    pub(crate) fn server(&self, name: &str) -> Result<Identity, Box<dyn Error>> {
        self.issue(name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client of this name.
    pub(crate) fn client(&self, name: &str) -> Result<Identity, Box<dyn Error>> {
        self.issue(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, Box<dyn Error>> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.0)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Identity::from_der(vec![leaf], key)?)
    }
}
