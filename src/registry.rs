//! The backends that are compiled in: by constructor, and by name.

#[cfg(any(
    feature = "rustls",
    feature = "rustls-ring",
    feature = "openssl",
    feature = "boring"
))]
use tls_core::Backend;
use tls_core::{ConfigProblem, DynBackend, Error, Result};

type Constructor = fn() -> Box<dyn DynBackend>;

/// Every backend that is compiled in, in the order of [`backends`]. The names are the backends'
/// own.
const COMPILED_IN: &[(&str, Constructor)] = &[
    #[cfg(feature = "rustls")]
    (<backend_rustls::Rustls as Backend>::NAME, || {
        Box::new(rustls())
    }),
    #[cfg(feature = "rustls-ring")]
    (<backend_rustls::RustlsRing as Backend>::NAME, || {
        Box::new(rustls_ring())
    }),
    #[cfg(feature = "openssl")]
    (<backend_openssl::OpenSsl as Backend>::NAME, || {
        Box::new(openssl())
    }),
    #[cfg(feature = "boring")]
    (<backend_boring::Boring as Backend>::NAME, || {
        Box::new(boring())
    }),
];

/// rustls with the aws-lc-rs provider.
#[cfg(feature = "rustls")]
pub fn rustls() -> backend_rustls::Rustls {
    backend_rustls::Rustls::new()
}

/// rustls with the ring provider.
#[cfg(feature = "rustls-ring")]
pub fn rustls_ring() -> backend_rustls::RustlsRing {
    backend_rustls::RustlsRing::new()
}

/// OpenSSL; which version, [`DynBackend::build_info`] says.
#[cfg(feature = "openssl")]
pub fn openssl() -> backend_openssl::OpenSsl {
    backend_openssl::OpenSsl::new()
}

/// BoringSSL; which version, [`DynBackend::build_info`] says.
#[cfg(feature = "boring")]
pub fn boring() -> backend_boring::Boring {
    backend_boring::Boring::new()
}

/// The backends that are compiled in, always in the same order: rustls, rustls-ring, openssl,
/// boring.
pub fn backends() -> Vec<Box<dyn DynBackend>> {
    COMPILED_IN.iter().map(|(_, make)| make()).collect()
}

/// The names of the backends that are compiled in, in the order of [`backends`].
pub fn backend_names() -> Vec<&'static str> {
    COMPILED_IN.iter().map(|(name, _)| *name).collect()
}

/// The backend of this name.
///
/// # Errors
///
/// `Config(UnknownBackend)` if it is not compiled in; the detail says which are.
pub fn backend(name: &str) -> Result<Box<dyn DynBackend>> {
    if let Some((_, make)) = COMPILED_IN.iter().find(|(known, _)| *known == name) {
        return Ok(make());
    }
    let compiled_in = match backend_names() {
        names if names.is_empty() => String::from("none"),
        names => names.join(", "),
    };
    Err(Error::config(
        ConfigProblem::UnknownBackend,
        format!("there is no backend named {name:?}; compiled in: {compiled_in}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tls_core::ErrorKind;

    #[test]
    fn every_backend_is_found_by_its_own_name() {
        for made in backends() {
            let found = backend(made.name()).expect("a listed name is found");
            assert_eq!(found.name(), made.name());
        }
        let names: Vec<_> = backends().iter().map(|backend| backend.name()).collect();
        assert_eq!(names, backend_names());
    }

    #[test]
    fn an_unknown_name_says_what_there_is() {
        let error = backend("gnutls").err().expect("gnutls is not compiled in");
        assert_eq!(
            error.kind(),
            ErrorKind::Config(ConfigProblem::UnknownBackend)
        );
        assert!(error.detail().contains("\"gnutls\""));
        for name in backend_names() {
            assert!(error.detail().contains(name));
        }
    }
}
