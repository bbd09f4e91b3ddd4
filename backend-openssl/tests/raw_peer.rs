//! Against peers that this backend would not make: the library driven directly, and no TLS at all.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use backend_openssl::{OpenSsl, OpenSslContext};
use common::{Pki, SERVER_NAME, capabilities, client_config, is_libressl, server_config, to};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSession, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name};
use tls_core::config::Roots;
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::{
    AlertDirection, Backend, BufferSession, CertificateProblem, ChannelBinding, ClientConfig,
    Context, Error, ErrorKind, Facts, Feature, Session, SessionOptions, SharedParameter, Status,
};

/// Handshakes over a blocking stream, then closes: a session whose connection breaks off is not
/// resumable to every version of the library.
fn run(mut session: impl BufferSession, mut stream: UnixStream) -> Result<Facts, Error> {
    handshake(&mut session, &mut stream)?;
    let facts = session.facts().expect("facts").clone();
    let mut output = [0; 4096];
    let closed = session.shutdown(&mut output)?;
    let _ = stream.write_all(&output[..closed.produced]);
    Ok(facts)
}

fn handshake(session: &mut impl BufferSession, stream: &mut UnixStream) -> Result<(), Error> {
    let mut input = Vec::new();
    let mut output = [0; 4096];
    let mut more = [0; 4096];
    loop {
        let progress = session.handshake(&mut input, &mut output)?;
        input.drain(..progress.consumed);
        // The peer may be gone already.
        let _ = stream.write_all(&output[..progress.produced]);
        match progress.status {
            Status::Complete => return Ok(()),
            Status::WantRead => match stream.read(&mut more) {
                Ok(0) | Err(_) => session.input_eof(),
                Ok(read) => input.extend_from_slice(&more[..read]),
            },
            _ => {}
        }
    }
}

fn server_context(pki: &Pki) -> OpenSslContext {
    let names = [SERVER_NAME, "second.example"];
    OpenSsl::new()
        .server(server_config(pki.server_for(&names)))
        .expect("a server context")
}

fn serve(context: &OpenSslContext, stream: UnixStream) -> Result<Facts, Error> {
    let session = context
        .buffer_session(SessionOptions::new())
        .expect("a session");
    run(session, stream)
}

#[test]
fn a_weak_certificate_is_refused() {
    let (certificate, rsa) = weak_certificate();
    let mut server = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
    server.set_security_level(0);
    server.set_certificate(&certificate).unwrap();
    let key = PKey::from_rsa(rsa).unwrap();
    server.set_private_key(&key).unwrap();
    let server = server.build();

    let root = certificate.to_der().unwrap().into();
    for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
        let mut config =
            ClientConfig::new(Roots::given([tls_core::pki_types::CertificateDer::clone(
                &root,
            )]));
        config.parameters.min_version = version;
        config.parameters.max_version = version;
        let client = OpenSsl::new().client(config).expect("a client context");
        let session = client.buffer_session(to(SERVER_NAME)).expect("a session");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ssl = Ssl::new(&server).unwrap();
        let peer = thread::spawn(move || ssl.accept(theirs).map(drop).is_ok());
        let error = run(session, ours).expect_err("a refusal");
        assert!(!peer.join().unwrap());
        assert_eq!(
            error.kind(),
            ErrorKind::Certificate(CertificateProblem::Weak),
            "{error}"
        );
    }
}

/// RFC 7301 section 3.1: the server selects one of those that the client has offered. The library's
/// server sends what its callback says.
#[test]
fn a_protocol_that_was_not_offered_is_refused() {
    let pki = Pki::new();
    for version in [ProtocolVersion::TLS1_2, ProtocolVersion::TLS1_3] {
        for selected in [&b"mine"[..], b"other", b"min", b"mine1"] {
            let mut server = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
            let leaf = pki.server();
            server
                .set_certificate(&X509::from_der(&leaf.certificate()).unwrap())
                .unwrap();
            let key = PKey::private_key_from_der(leaf.key.secret_der()).unwrap();
            server.set_private_key(&key).unwrap();
            server.set_alpn_select_callback(move |_, _| Ok(selected));
            let mut config = client_config(&pki, version);
            config.parameters.alpn = vec![b"first".to_vec(), b"mine".to_vec()];
            let client = OpenSsl::new().client(config).expect("a client context");
            let session = client.buffer_session(to(SERVER_NAME)).expect("a session");
            let (ours, theirs) = UnixStream::pair().unwrap();
            let ssl = Ssl::new(&server.build()).unwrap();
            let peer = thread::spawn(move || ssl.accept(theirs).map(drop).is_ok());
            let outcome = run(session, ours);
            let told = peer.join().unwrap();
            if selected == b"mine" {
                assert_eq!(
                    outcome.expect("a handshake").alpn.as_deref(),
                    Some(selected)
                );
                continue;
            }
            let error = outcome.expect_err("a refusal");
            assert!(!told, "{version}");
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            let alert = error.alert().expect("an alert");
            assert_eq!(alert.direction, AlertDirection::Sent);
            // RFC 7301 names none.
            let alerts = [
                AlertDescription::ILLEGAL_PARAMETER,
                AlertDescription::UNSUPPORTED_EXTENSION,
                AlertDescription::DECODE_ERROR,
            ];
            assert!(alerts.contains(&alert.description), "{error}");
        }
    }
}

/// What is bound to keys that two connections may have in common proves nothing: RFC 7627.
#[test]
fn without_the_extended_master_secret_nothing_is_bound_to_the_keys() {
    let pki = Pki::new();
    let server = server_context(&pki);
    for extended in [true, false] {
        let mut client = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        client.set_verify(SslVerifyMode::NONE);
        client
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
        if !extended && !is_libressl() {
            // `SSL_OP_NO_EXTENDED_MASTER_SECRET` of OpenSSL; LibreSSL never has it.
            client.set_options(SslOptions::from_bits_retain(1));
        }
        let client = client.build();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let ssl = Ssl::new(&client).unwrap();
        let peer = thread::spawn(move || ssl.connect(theirs).map(drop).is_ok());
        let mut session = server.buffer_session(SessionOptions::new()).unwrap();
        handshake(&mut session, &mut ours).expect("a handshake");
        let bind = |binding| {
            let value = session.channel_binding(binding);
            value
                .map(|value| value.is_some())
                .map_err(|error| error.kind())
        };
        let expected = match extended && !is_libressl() {
            true => Ok(true),
            false => Err(ErrorKind::Unsupported(Feature::ExtendedMasterSecret)),
        };
        assert_eq!(bind(ChannelBinding::TlsExporter), expected);
        let expected = match is_libressl() {
            true => Err(ErrorKind::Unsupported(Feature::TlsUnique)),
            false => expected,
        };
        assert_eq!(bind(ChannelBinding::TlsUnique), expected);
        assert_eq!(bind(ChannelBinding::TlsServerEndPoint), Ok(true));
        let mut exported = [0; 32];
        session
            .export_keying_material(&mut exported, b"EXPERIMENTAL", None)
            .expect("RFC 5705 needs nothing more");
        drop(session);
        drop(ours);
        assert!(peer.join().unwrap());
    }
}

/// A certificate with a key of 1,024 bits.
fn weak_certificate() -> (X509, Rsa<openssl::pkey::Private>) {
    let rsa = Rsa::generate(1024).unwrap();
    let key = PKey::from_rsa(rsa.clone()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "weak").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    let (from, until) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
    builder.set_not_before(&from.unwrap()).unwrap();
    builder.set_not_after(&until.unwrap()).unwrap();
    let context = builder.x509v3_context(None, None);
    let names = SubjectAlternativeName::new()
        .dns(SERVER_NAME)
        .build(&context);
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), rsa)
}

/// The library as a client that refuses a certificate in TLS 1.3: it sends its alert before it has
/// changed to the keys of the handshake, so in the clear, which not every server takes.
#[cfg(not(libressl))]
#[test]
fn openssl_sends_the_alert_for_a_certificate_in_the_clear() {
    const ALERT_IN_THE_CLEAR: [u8; 6] = [21, 3, 3, 0, 2, 2];
    let (certificate, rsa) = weak_certificate();
    let mut server = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
    server.set_security_level(0);
    server.set_certificate(&certificate).unwrap();
    let key = PKey::from_rsa(rsa).unwrap();
    server.set_private_key(&key).unwrap();
    let server = Ssl::new(&server.build()).unwrap();

    let mut client = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    client.set_security_level(0);
    client.set_verify(SslVerifyMode::PEER);
    client
        .set_min_proto_version(Some(SslVersion::TLS1_3))
        .unwrap();
    let client = Ssl::new(&client.build()).unwrap();

    let (near, relay_near) = UnixStream::pair().unwrap();
    let (relay_far, far) = UnixStream::pair().unwrap();
    let (mut back_from, mut back_to) = (
        relay_far.try_clone().unwrap(),
        relay_near.try_clone().unwrap(),
    );
    let server = thread::spawn(move || server.accept(far).is_ok());
    let back = thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
    let client = thread::spawn(move || client.connect(near).is_ok());

    let (mut from, mut to, mut sent) = (relay_near, relay_far, Vec::new());
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        sent.extend_from_slice(&piece[..length]);
        let _ = to.write_all(&piece[..length]);
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
    assert!(!client.join().unwrap(), "the certificate is refused");
    assert!(!server.join().unwrap(), "so the server fails too");
    let _ = back.join().unwrap();
    let last = &sent[sent.len() - ALERT_IN_THE_CLEAR.len() - 1..];
    assert_eq!(last[..ALERT_IN_THE_CLEAR.len()], ALERT_IN_THE_CLEAR);
}

/// A client of the library's own, which offers its one session under any name.
struct RawClient {
    context: SslContext,
    session: Arc<Mutex<Option<SslSession>>>,
}

impl RawClient {
    fn new(version: SslVersion) -> Self {
        let session = Arc::new(Mutex::new(None));
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        context.set_verify(SslVerifyMode::NONE);
        context.set_max_proto_version(Some(version)).unwrap();
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        let kept = session.clone();
        context.set_new_session_callback(move |_, session| {
            *kept.lock().unwrap() = Some(session);
        });
        Self {
            context: context.build(),
            session,
        }
    }

    /// Connects under a name; whether the server resumed, and what it took the name to be.
    fn connect(&self, server: &OpenSslContext, name: &str) -> (bool, Option<String>) {
        self.try_connect(server, name).expect("a handshake")
    }

    fn try_connect(
        &self,
        server: &OpenSslContext,
        name: &str,
    ) -> Result<(bool, Option<String>), Error> {
        let mut ssl = Ssl::new(&self.context).unwrap();
        ssl.set_hostname(name).unwrap();
        if let Some(session) = self.session.lock().unwrap().take() {
            offer(&mut ssl, &session);
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = thread::spawn(move || {
            let Ok(mut stream) = ssl.connect(theirs) else {
                return None;
            };
            // The tickets of TLS 1.3 follow the handshake, and are read before the end.
            let _ = stream.read(&mut [0; 16]);
            let resumed = stream.ssl().session_reused();
            let _ = stream.shutdown();
            Some(resumed)
        });
        let facts = serve(server, ours);
        let told = peer.join().unwrap();
        assert_eq!(told, facts.as_ref().ok().map(|facts| facts.resumed));
        facts.map(|facts| (facts.resumed, facts.server_name))
    }
}

#[allow(unsafe_code, reason = "the safe crate leaves it to its caller")]
fn offer(ssl: &mut Ssl, session: &SslSession) {
    // SAFETY: the session was made by a session of the same context.
    unsafe { ssl.set_session(session) }.unwrap();
}

#[test]
fn a_session_is_not_resumed_under_another_name() {
    let pki = Pki::new();
    for (version, resumable) in [
        (SslVersion::TLS1_2, capabilities().tls12_resumption),
        (SslVersion::TLS1_3, capabilities().tls13_resumption),
    ] {
        if !resumable.is_available() {
            continue;
        }
        let server = server_context(&pki);
        let client = RawClient::new(version);
        let connect = |name: &str| client.connect(&server, name);
        let told = |name: &str| Some(name.to_ascii_lowercase());
        assert_eq!(connect(SERVER_NAME), (false, told(SERVER_NAME)));
        if is_libressl() {
            // RFC 6066 section 3 asks for a full handshake; LibreSSL refuses the client.
            let error = client.try_connect(&server, "second.example").unwrap_err();
            let sent = error.alert().map(|alert| alert.description);
            assert_eq!(sent, Some(AlertDescription::UNRECOGNIZED_NAME), "{error}");
            continue;
        }
        assert_eq!(connect("Server.EXAMPLE"), (true, told(SERVER_NAME)));
        // TLS 1.2 renews no ticket: start over.
        let other = "second.example";
        client.session.lock().unwrap().take();
        assert_eq!(connect(SERVER_NAME), (false, told(SERVER_NAME)));
        assert_eq!(connect(other), (false, told(other)));
        assert_eq!(connect(other), (true, told(other)));
    }
}

#[test]
fn an_old_version_is_refused() {
    let server = server_context(&Pki::new());
    // A ClientHello of TLS 1.1, which not every library can be made to send: a random value, no
    // session id, one cipher suite, no compression, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&hello).unwrap();
    let error = serve(&server, ours).expect_err("a refusal");
    assert_eq!(
        error.kind(),
        ErrorKind::NoSharedParameters(SharedParameter::Version),
        "{error}"
    );
}

#[test]
fn what_is_no_tls_is_a_protocol_error_in_one_sentence() {
    let server = server_context(&Pki::new());
    let mut client = ClientConfig::new(Roots::default());
    client.dangerous.accept_any_certificate = true;
    let client = OpenSsl::new().client(client).expect("a client context");
    let cases: [(&[u8], &str); 6] = [
        (
            b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n",
            "speaks plain HTTP",
        ),
        (
            b"CONNECT server.example:443 HTTP/1.1\r\n\r\n",
            "speaks plain HTTP",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
        (&[0xff; 64], "does not speak TLS"),
        // The beginning of a hello in the format of SSL 2.0.
        (
            b"\x80\x1c\x01\x03\x03\x00\x03\x00\x00",
            "does not speak TLS",
        ),
    ];
    for (bytes, said) in cases {
        // LibreSSL looks no further than at the header of a record.
        let said = match is_libressl() {
            true => "does not speak TLS",
            false => said,
        };
        let refused = |session| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(bytes).unwrap();
            let error = run(session, ours).expect_err("a refusal");
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert!(error.detail().contains(said), "{error}");
        };
        let session = server.buffer_session(SessionOptions::new());
        refused(session.expect("a session"));
        let session = client.buffer_session(to(SERVER_NAME));
        refused(session.expect("a session"));
    }
}
