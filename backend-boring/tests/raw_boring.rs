//! What BoringSSL itself does where `gaps.toml` says so: the library under the plain `boring` crate,
//! without any code of this project, and rustls as its peer.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use boring::pkey::PKey;
use boring::ssl::{
    HandshakeError, MidHandshakeSslStream, Ssl, SslAlert, SslContextBuilder, SslInfoCallbackMode,
    SslInfoCallbackValue, SslMethod, SslStream, SslStreamBuilder, SslVerifyMode, SslVersion,
};
use boring::symm::{Cipher, encrypt_aead};
use boring::x509::X509;
use foreign_types::ForeignTypeRef;
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets, RootCertStore,
    ServerConfig, ServerConnection,
};

const NAME: &str = "server.example";
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

type Alerts = Arc<Mutex<Vec<SslAlert>>>;

/// The library, as a client or a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// What the library reads and what it has written.
#[derive(Debug, Default)]
struct Transport {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(self.input.len());
        buffer[..length].copy_from_slice(&self.input[..length]);
        self.input.drain(..length);
        Ok(length)
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The library and its peer, before the handshake.
fn pair(role: Role, tls13: bool) -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([NAME.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();

    let mut context = SslContextBuilder::new(SslMethod::tls()).unwrap();
    let version_here = Some(if tls13 {
        SslVersion::TLS1_3
    } else {
        SslVersion::TLS1_2
    });
    context.set_min_proto_version(version_here).unwrap();
    context.set_max_proto_version(version_here).unwrap();
    context.set_verify(SslVerifyMode::NONE);
    let alerts = Alerts::default();
    let seen = alerts.clone();
    context.set_info_callback(move |_, mode, value| {
        if let (SslInfoCallbackMode::WRITE_ALERT, SslInfoCallbackValue::Alert(alert)) =
            (mode, value)
        {
            seen.lock().unwrap().push(alert.alert());
        }
    });
    if role == Role::Server {
        let own = X509::from_der(certificate.der()).unwrap();
        context.set_certificate(&own).unwrap();
        let key = PKey::private_key_from_der(&key.serialize_der()).unwrap();
        context.set_private_key(&key).unwrap();
    }
    let ssl = Ssl::new(&context.build()).unwrap();
    let crypto = Arc::new(CryptoProvider {
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ],
        ..provider::default_provider()
    });
    let versions = &[if tls13 {
        &rustls::version::TLS13
    } else {
        &rustls::version::TLS12
    }];
    let peer = match role {
        Role::Client => {
            let mut config = ServerConfig::builder_with_provider(crypto)
                .with_protocol_versions(versions)
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
            config.enable_secret_extraction = true;
            config.send_tls13_tickets = 0;
            Connection::from(ServerConnection::new(Arc::new(config)).unwrap())
        }
        Role::Server => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate.der().clone()).unwrap();
            let mut config = ClientConfig::builder_with_provider(crypto)
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.enable_secret_extraction = true;
            let name = ServerName::try_from(NAME).unwrap();
            Connection::from(ClientConnection::new(Arc::new(config), name).unwrap())
        }
    };
    let mut library = SslStreamBuilder::new(ssl, Transport::default());
    match role {
        Role::Client => library.set_connect_state(),
        Role::Server => library.set_accept_state(),
    }
    let library = match library.handshake() {
        Err(HandshakeError::WouldBlock(library)) => library,
        other => panic!("nothing was sent yet: {other:?}"),
    };
    connect(library, peer, alerts)
}

struct Pair {
    library: SslStream<Transport>,
    peer: Connection,
    /// What the library says that it has sent, in order.
    alerts: Alerts,
}

fn connect(
    mut library: MidHandshakeSslStream<Transport>,
    mut peer: Connection,
    alerts: Alerts,
) -> Pair {
    // More rounds than a handshake has.
    for _ in 0..10 {
        exchange(library.get_mut(), &mut peer);
        match library.handshake() {
            Ok(mut library) => {
                exchange(library.get_mut(), &mut peer);
                assert!(!peer.is_handshaking());
                return Pair {
                    library,
                    peer,
                    alerts,
                };
            }
            Err(HandshakeError::WouldBlock(again)) => library = again,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the handshake does not end");
}

fn exchange(transport: &mut Transport, peer: &mut Connection) {
    let mut arrived = io::Cursor::new(std::mem::take(&mut transport.output));
    while peer.read_tls(&mut arrived).expect("memory") > 0 {
        peer.process_new_packets().expect("an honest library");
    }
    while peer.wants_write() {
        peer.write_tls(&mut transport.input).expect("memory");
    }
}

impl Pair {
    /// Gives the library records with the next keys of its peer; gives the reason of its error,
    /// and the alerts it has sent.
    fn deliver(self, record: impl Fn(Connection) -> Vec<u8>) -> (i32, Vec<SslAlert>) {
        let Self {
            mut library,
            peer,
            alerts,
        } = self;
        library.get_mut().input = record(peer);
        let error = library.ssl_read(&mut [0; 64]).expect_err("a refusal");
        let stack = error.ssl_error().expect("an error of the library");
        let reason = stack.errors().first().expect("a reason").reason_code();
        let alerts = alerts.lock().unwrap().clone();
        (reason, alerts)
    }
}

/// Seals a record with the next keys of a peer: RFC 8446 section 5.2.
fn seal(peer: Connection, content_type: u8, content: &[u8]) -> Vec<u8> {
    let (sequence, secrets) = peer.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
        panic!("another cipher");
    };
    let mut nonce = iv.as_ref().to_vec();
    for (byte, counted) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
        *byte ^= counted;
    }
    let inner = [content, &[content_type]].concat();
    let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
    let header = [23, 3, 3, length[0], length[1]];
    let mut tag = [0; 16];
    let cipher = Cipher::aes_128_gcm();
    let sealed = encrypt_aead(
        cipher,
        key.as_ref(),
        Some(&nonce),
        &header,
        &inner,
        &mut tag,
    );
    [&header, &sealed.unwrap()[..], &tag].concat()
}

/// The same for TLS 1.2, and for one record after another: RFC 5288 section 3. The number of a record
/// is its nonce too.
fn seal_tls12(peer: Connection, records: &[(u8, &[u8])]) -> Vec<u8> {
    let (first, secrets) = peer.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
        panic!("another cipher");
    };
    let mut sent = Vec::new();
    for (sequence, &(content_type, content)) in (first..).zip(records) {
        let explicit = sequence.to_be_bytes();
        let nonce = [&iv.as_ref()[..4], &explicit].concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        let additional = [&explicit[..], &[content_type, 3, 3], &length].concat();
        let mut tag = [0; 16];
        let sealed = encrypt_aead(
            Cipher::aes_128_gcm(),
            key.as_ref(),
            Some(&nonce),
            &additional,
            content,
            &mut tag,
        );
        let length = u16::try_from(8 + content.len() + 16).unwrap().to_be_bytes();
        let header = [content_type, 3, 3, length[0], length[1]];
        sent.extend([&header, &explicit[..], &sealed.unwrap(), &tag].concat());
    }
    sent
}

#[test]
fn boringssl_refuses_error_alerts_of_the_level_warning() {
    const CERTIFICATE_UNKNOWN: u8 = 46;
    for role in [Role::Client, Role::Server] {
        let alert = |peer| seal(peer, ALERT, &[1, CERTIFICATE_UNKNOWN]);
        let (reason, alerts) = pair(role, true).deliver(alert);
        assert_eq!(reason, boring_sys::SSL_R_BAD_ALERT, "{role:?}");
        assert_eq!(alerts, [SslAlert::DECODE_ERROR], "{role:?}");
    }
}

#[test]
fn boringssl_refuses_any_handshake_message_as_renegotiation() {
    let finished = [&[20, 0, 0, 12][..], &[0x5a; 12]].concat();
    let (reason, alerts) =
        pair(Role::Server, false).deliver(|peer| seal_tls12(peer, &[(HANDSHAKE, &finished)]));
    assert_eq!(reason, boring_sys::SSL_R_NO_RENEGOTIATION);
    assert_eq!(alerts, [SslAlert::NO_RENEGOTIATION]);
}

#[test]
fn boringssl_takes_no_data_behind_a_hello_request() {
    let pair = pair(Role::Client, false);
    let mode = boring_sys::ssl_renegotiate_mode_t::ssl_renegotiate_freely;
    // SAFETY: "SSL_set_renegotiate_mode configures how ssl, a client, reacts to renegotiation
    // attempts by a server" (ssl.h); the handle is the stream's.
    unsafe { boring_sys::SSL_set_renegotiate_mode(pair.library.ssl().as_ptr(), mode) };
    let records: [(u8, &[u8]); 2] = [(HANDSHAKE, &[0; 4]), (APPLICATION_DATA, b"behind")];
    let (reason, alerts) = pair.deliver(|peer| seal_tls12(peer, &records));
    assert_eq!(reason, boring_sys::SSL_R_UNEXPECTED_RECORD);
    assert_eq!(alerts, [SslAlert::UNEXPECTED_MESSAGE]);
}
