//! Certificates that are trusted themselves, and chains of any length: what BoringSSL and LibreSSL
//! alone would take, or BoringSSL fail over.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use backend_openssl::OpenSsl;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tls_core::config::{ClientAuthentication, Identity, Roots};
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::pki_types::{CertificateDer, PrivateKeyDer};
use tls_core::{
    Backend, CertificateProblem, ClientConfig, Context, Error, ErrorKind, ServerConfig,
    SessionOptions, TlsStream,
};

const NAME: &str = "server.example";
const GREETING: &[u8] = b"greetings";
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3];

/// A certificate of a name, with its key and what it was made of.
struct Certified {
    params: CertificateParams,
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Certified {
    /// One issued by another, or else by itself.
    fn new(name: &str, by: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new([NAME.to_owned()]).expect("a name");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = match by {
            Some(by) => params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)),
            None => params.self_signed(&key),
        };
        let certificate = certificate.expect("a certificate").der().clone();
        Self {
            params,
            key,
            certificate,
        }
    }

    fn authority(name: &str, by: Option<&Self>, below: BasicConstraints) -> Self {
        Self::new(name, by, |params| params.is_ca = IsCa::Ca(below))
    }

    fn peer(by: &Self, usage: ExtendedKeyUsagePurpose) -> Self {
        let name = format!("A leaf for {usage:?}");
        Self::new(&name, Some(by), |params| {
            params.extended_key_usages = vec![usage]
        })
    }

    fn roots(&self) -> Roots {
        Roots::given([self.certificate.clone()])
    }

    fn identity(&self, above: &[CertificateDer<'static>]) -> Identity {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key in DER");
        let chain = [std::slice::from_ref(&self.certificate), above].concat();
        Identity::from_der(chain, key).expect("a chain")
    }
}

fn client(roots: Roots, version: ProtocolVersion) -> ClientConfig {
    let mut config = ClientConfig::new(roots);
    config.parameters.min_version = version;
    config.parameters.max_version = version;
    config
}

/// Both ends of one connection after each has greeted the other: whether it was resumed, or why an
/// end failed.
fn connect<C: Context>(client: &C, server: &C) -> [Result<bool, ErrorKind>; 2] {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let options = SessionOptions::to_server(NAME).expect("a name");
    let client = client.buffer_session(options).expect("a client");
    let server = server
        .buffer_session(SessionOptions::new())
        .expect("a server");
    let server = thread::spawn(move || greet(TlsStream::new(server, theirs)));
    let client = greet(TlsStream::new(client, ours));
    [client, server.join().expect("a server")]
}

fn greet<B: tls_core::BufferSession>(
    mut stream: TlsStream<UnixStream, B>,
) -> Result<bool, ErrorKind> {
    let mut greet = || -> io::Result<bool> {
        stream.handshake()?;
        stream.write_all(GREETING)?;
        stream.flush()?;
        let mut greeting = [0; GREETING.len()];
        stream.read_exact(&mut greeting)?;
        assert_eq!(greeting, GREETING);
        Ok(stream.session().facts().expect("facts").resumed)
    };
    greet().map_err(|error| {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        let error = inner.unwrap_or_else(|| panic!("{error}"));
        if let ErrorKind::Certificate(problem) = error.kind() {
            let sent = error.alert().expect("an alert").description;
            assert_eq!(sent, alert_for(problem), "{error}");
        }
        error.kind()
    })
}

fn alert_for(problem: CertificateProblem) -> AlertDescription {
    match problem {
        CertificateProblem::WrongPurpose => AlertDescription::UNSUPPORTED_CERTIFICATE,
        _ => AlertDescription::UNKNOWN_CA,
    }
}

/// What clients that trust the root say of a server.
fn verdicts(roots: &Certified, server: Identity) -> [Result<bool, ErrorKind>; 2] {
    let server = OpenSsl::new()
        .server(ServerConfig::new(server))
        .expect("a server context");
    VERSIONS.map(|version| {
        let client = OpenSsl::new().client(client(roots.roots(), version));
        let [verdict, _] = connect(&client.expect("a client context"), &server);
        verdict
    })
}

fn refused(problem: CertificateProblem) -> [Result<bool, ErrorKind>; 2] {
    [Err(ErrorKind::Certificate(problem)); 2]
}

const ACCEPTED: [Result<bool, ErrorKind>; 2] = [Ok(false); 2];

/// BoringSSL and LibreSSL look at the purposes of all certificates but the anchor.
#[test]
fn a_peer_that_is_trusted_itself_is_so_for_its_purpose() {
    let root = Certified::authority("root", None, BasicConstraints::Unconstrained);
    let server = Certified::peer(&root, ExtendedKeyUsagePurpose::ServerAuth);
    let other = Certified::peer(&root, ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(verdicts(&server, server.identity(&[])), ACCEPTED);
    let wrong = refused(CertificateProblem::WrongPurpose);
    assert_eq!(verdicts(&other, other.identity(&[])), wrong);

    for (own, expected) in [(&other, Ok(false)), (&server, wrong[0])] {
        for version in VERSIONS {
            let mut config = ServerConfig::new(server.identity(&[]));
            config.client_authentication = ClientAuthentication::Optional(own.roots());
            let context = OpenSsl::new().server(config).expect("a server context");
            let mut config = client(root.roots(), version);
            config.identity = Some(own.identity(&[]));
            let client = OpenSsl::new().client(config).expect("a client context");
            let [_, verdict] = connect(&client, &context);
            assert_eq!(verdict, expected, "{version}");
        }
    }
}

#[test]
fn a_trusted_peer_is_no_authority() {
    let root = Certified::authority("root", None, BasicConstraints::Unconstrained);
    let trusted = Certified::peer(&root, ExtendedKeyUsagePurpose::ServerAuth);
    let issued = Certified::new("impostor", Some(&trusted), |_| {});
    let wrong = refused(CertificateProblem::Other);
    assert_eq!(verdicts(&trusted, issued.identity(&[])), wrong);
}

#[test]
fn the_path_length_of_an_anchor_holds() {
    for (allowed, expected) in [(0, refused(CertificateProblem::Other)), (1, ACCEPTED)] {
        let root = Certified::authority("root", None, BasicConstraints::Constrained(allowed));
        let between = Certified::authority("between", Some(&root), BasicConstraints::Unconstrained);
        let server = Certified::peer(&between, ExtendedKeyUsagePurpose::ServerAuth);
        let identity = server.identity(std::slice::from_ref(&between.certificate));
        assert_eq!(verdicts(&root, identity), expected, "{allowed}");
        let server = Certified::peer(&root, ExtendedKeyUsagePurpose::ServerAuth);
        assert_eq!(verdicts(&root, server.identity(&[])), ACCEPTED, "{allowed}");
    }
}

/// LibreSSL passes over the limit of an authority that issued its certificate to itself.
#[test]
fn the_path_length_of_a_new_key_of_an_authority_holds() {
    let root = Certified::authority("root", None, BasicConstraints::Unconstrained);
    let old = Certified::authority("between", Some(&root), BasicConstraints::Unconstrained);
    for (allowed, expected) in [(0, refused(CertificateProblem::Other)), (1, ACCEPTED)] {
        let new = Certified::new("between", Some(&old), |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(allowed));
            params.use_authority_key_identifier_extension = true;
        });
        let below = Certified::new("below", Some(&new), |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.use_authority_key_identifier_extension = true;
        });
        let server = Certified::peer(&below, ExtendedKeyUsagePurpose::ServerAuth);
        let above = [&below, &new, &old].map(|it| it.certificate.clone());
        assert_eq!(
            verdicts(&root, server.identity(&above)),
            expected,
            "{allowed}"
        );
    }
}

#[test]
fn the_purpose_of_an_anchor_holds_for_those_below() {
    for (usage, expected) in [
        (
            ExtendedKeyUsagePurpose::ClientAuth,
            refused(CertificateProblem::WrongPurpose),
        ),
        (ExtendedKeyUsagePurpose::ServerAuth, ACCEPTED),
    ] {
        let root = Certified::new("root", None, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.extended_key_usages = vec![usage];
        });
        let server = Certified::peer(&root, ExtendedKeyUsagePurpose::ServerAuth);
        assert_eq!(verdicts(&root, server.identity(&[])), expected);
    }
}

/// BoringSSL puts a client's chain into its tickets, and cannot send those of more than 64 KiB.
#[test]
fn the_longest_chain_of_a_client_does_no_harm() {
    const PADDING: usize = 4_000;
    let root = Certified::authority("root", None, BasicConstraints::Unconstrained);
    let server = Certified::peer(&root, ExtendedKeyUsagePurpose::ServerAuth);
    let own = Certified::peer(&root, ExtendedKeyUsagePurpose::ClientAuth);
    let padding = Certified::new("padding", Some(&root), |params| {
        let padding = CustomExtension::from_oid_content(&[2, 999], vec![0; PADDING]);
        params.custom_extensions.push(padding);
    });
    for (count, version, tickets) in (0..28)
        .flat_map(|count| VERSIONS.map(|version| (count, version)))
        .flat_map(|(count, version)| [true, false].map(|tickets| (count, version, tickets)))
    {
        let mut config = ServerConfig::new(server.identity(&[]));
        config.client_authentication = ClientAuthentication::Required(root.roots());
        config.resumption.tickets = tickets;
        let context = OpenSsl::new().server(config).expect("a server context");
        let mut config = client(root.roots(), version);
        config.identity = Some(own.identity(&vec![padding.certificate.clone(); count]));
        let client = OpenSsl::new().client(config).expect("a client context");
        let what = format!("{count} more, {version}, tickets {tickets}");
        assert_eq!(connect(&client, &context), [Ok(false); 2], "{what}");
        let resumed = connect(&client, &context).map(|end| end.expect(&what));
        assert_eq!(resumed[0], resumed[1], "{what}");
        let capabilities = OpenSsl::new().capabilities().clone();
        let can = match version {
            ProtocolVersion::TLS1_2 => capabilities.tls12_resumption,
            _ => capabilities.tls13_resumption,
        };
        // Chains of a common length are resumed.
        assert!(resumed[0] || count > 2 || !can.is_available(), "{what}");
    }
}
