//! What LibreSSL itself does where `gaps.toml` says so: the library under the plain `openssl` crate,
//! without any code of this project, and rustls as its peer.

#![cfg(libressl)]

use std::io::{self, Read, Write};
use std::sync::Arc;

use openssl::pkey::PKey;
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::symm::{Cipher, encrypt_aead};
use openssl::x509::X509;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring as provider};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets, RootCertStore,
    ServerConfig, ServerConnection,
};

const NAME: &str = "server.example";
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// `SSL_AD_REASON_OFFSET`.
const ALERT_OFFSET: i32 = 1000;

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

/// The library and its peer, before the handshake; the library takes only this group.
fn pair(role: Role, group: &str, theirs: &'static dyn SupportedKxGroup) -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([NAME.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();

    let mut context = SslContextBuilder::new(SslMethod::tls()).unwrap();
    let tls13 = Some(SslVersion::TLS1_3);
    context.set_min_proto_version(tls13).unwrap();
    context.set_max_proto_version(tls13).unwrap();
    context.set_groups_list(group).unwrap();
    context.set_verify(SslVerifyMode::NONE);
    if role == Role::Server {
        let own = X509::from_der(certificate.der()).unwrap();
        context.set_certificate(&own).unwrap();
        let key = PKey::private_key_from_der(&key.serialize_der()).unwrap();
        context.set_private_key(&key).unwrap();
    }
    let mut ssl = Ssl::new(&context.build()).unwrap();
    match role {
        Role::Client => ssl.set_connect_state(),
        Role::Server => ssl.set_accept_state(),
    }

    let crypto = Arc::new(CryptoProvider {
        cipher_suites: vec![provider::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![theirs],
        ..provider::default_provider()
    });
    let tls13 = &[&rustls::version::TLS13];
    let peer = match role {
        Role::Client => {
            let mut config = ServerConfig::builder_with_provider(crypto)
                .with_protocol_versions(tls13)
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
                .with_protocol_versions(tls13)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.enable_secret_extraction = true;
            let name = ServerName::try_from(NAME).unwrap();
            Connection::from(ClientConnection::new(Arc::new(config), name).unwrap())
        }
    };
    Pair {
        library: SslStream::new(ssl, Transport::default()).unwrap(),
        peer,
    }
}

struct Pair {
    library: SslStream<Transport>,
    peer: Connection,
}

impl Pair {
    fn connected(role: Role) -> Self {
        let mut pair = pair(role, "P-256", provider::kx_group::SECP256R1);
        pair.handshake().expect("a handshake");
        assert!(!pair.peer.is_handshaking());
        pair
    }

    fn handshake(&mut self) -> Result<(), Error> {
        let mut done = false;
        // More rounds than a handshake has.
        for _ in 0..10 {
            if !done {
                match self.library.do_handshake() {
                    Ok(()) => done = true,
                    Err(error) if error.code() == ErrorCode::WANT_READ => {}
                    Err(error) => return Err(error),
                }
            }
            let transport = self.library.get_mut();
            let mut arrived = io::Cursor::new(std::mem::take(&mut transport.output));
            while self.peer.read_tls(&mut arrived).expect("memory") > 0 {
                self.peer.process_new_packets().expect("an honest library");
            }
            while self.peer.wants_write() {
                self.peer.write_tls(&mut transport.input).expect("memory");
            }
        }
        assert!(done, "the handshake does not end");
        Ok(())
    }

    /// Gives the library one record under the peer's keys.
    fn deliver(&mut self, record: Vec<u8>) -> Error {
        self.library.get_mut().input = record;
        self.library.ssl_read(&mut [0; 64]).expect_err("a refusal")
    }

    /// Nothing has left, and nothing leaves by whatever is called next; a shutdown is not tried,
    /// since it would say that all is well.
    #[track_caller]
    fn sends_nothing(&mut self) {
        assert!(self.library.get_ref().output.is_empty());
        let _ = self.library.do_handshake();
        let _ = self.library.ssl_read(&mut [0; 64]);
        let _ = self.library.ssl_write(b"data");
        let _ = self.library.ssl_read(&mut [0; 64]);
        let output = &self.library.get_ref().output;
        // What `ssl_write` was given may leave; an alert has one length under these keys.
        let data = 5 + 4 + 1 + 16;
        assert!(
            output.is_empty() || output.len() == data,
            "{} bytes",
            output.len()
        );
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

fn reasons(error: &Error) -> Vec<i32> {
    let stack = error.ssl_error().expect("an error of the library");
    stack
        .errors()
        .iter()
        .map(openssl::error::Error::reason_code)
        .collect()
}

fn in_both_roles(check: impl Fn(Role)) {
    for role in [Role::Client, Role::Server] {
        check(role);
    }
}

#[test]
fn libressl_sends_no_alert_for_a_changed_record() {
    in_both_roles(|role| {
        let mut pair = Pair::connected(role);
        let mut record = Vec::new();
        pair.peer.writer().write_all(b"data").unwrap();
        pair.peer.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        let error = pair.deliver(record);
        assert_eq!(error.code(), ErrorCode::SSL, "{role:?} {error}");
        pair.sends_nothing();
    });
}

#[test]
fn libressl_sends_no_alert_for_a_record_too_short_to_be_sealed() {
    in_both_roles(|role| {
        let mut pair = Pair::connected(role);
        let error = pair.deliver(vec![23, 3, 3, 0, 1, 7]);
        assert_eq!(error.code(), ErrorCode::SSL, "{role:?} {error}");
        pair.sends_nothing();
    });
}

#[test]
fn libressl_sends_no_alert_without_a_common_group() {
    let mut pair = pair(Role::Server, "P-256", provider::kx_group::SECP384R1);
    let error = pair.handshake().expect_err("a refusal");
    assert_eq!(error.code(), ErrorCode::SSL, "{error}");
    pair.sends_nothing();
}

#[test]
fn libressl_sends_no_alert_for_a_second_finished() {
    in_both_roles(|role| {
        let mut pair = Pair::connected(role);
        let finished = [&[20, 0, 0, 32][..], &[0x5a; 32]].concat();
        let peer = std::mem::replace(&mut pair.peer, stranger());
        let error = pair.deliver(seal(peer, HANDSHAKE, &finished));
        assert_eq!(error.code(), ErrorCode::SSL, "{role:?} {error}");
        pair.sends_nothing();
    });
}

#[test]
fn libressl_refuses_error_alerts_of_the_level_warning() {
    const CERTIFICATE_UNKNOWN: u8 = 46;
    const ILLEGAL_PARAMETER: i32 = 47;
    in_both_roles(|role| {
        let mut pair = Pair::connected(role);
        let peer = std::mem::replace(&mut pair.peer, stranger());
        let error = pair.deliver(seal(peer, ALERT, &[1, CERTIFICATE_UNKNOWN]));
        // The alert that it sends, in place of the one that it was sent.
        assert_eq!(reasons(&error), [ALERT_OFFSET + ILLEGAL_PARAMETER]);
        assert!(!pair.library.get_ref().output.is_empty());
    });
}

/// Asked for new keys behind its close_notify, it owes an answer that it may not send any more, and
/// reads nothing from then on.
#[test]
fn libressl_reads_nothing_behind_a_request_that_its_close_notify_forbids_to_answer() {
    in_both_roles(|role| {
        for asked in [false, true] {
            let mut pair = Pair::connected(role);
            pair.library.shutdown().expect("a close_notify");
            pair.library.get_mut().output.clear();
            if asked {
                pair.peer.refresh_traffic_keys().expect("new keys");
            }
            pair.peer.writer().write_all(b"data").unwrap();
            let mut records = Vec::new();
            pair.peer.write_tls(&mut records).unwrap();
            pair.library.get_mut().input = records;

            let mut data = [0; 64];
            if !asked {
                let count = pair.library.ssl_read(&mut data).expect("data");
                assert_eq!(&data[..count], b"data", "{role:?}");
                continue;
            }
            for _ in 0..3 {
                let error = pair.library.ssl_read(&mut data).expect_err("no data");
                assert_eq!(error.code(), ErrorCode::SYSCALL, "{role:?} {error}");
                assert!(error.io_error().is_none() && error.ssl_error().is_none());
                let Transport { input, output } = pair.library.get_ref();
                assert_eq!((input.len(), output.len()), (5 + 4 + 1 + 16, 0));
            }
        }
    });
}

/// Any connection, where the one that was there is used up.
fn stranger() -> Connection {
    pair(Role::Server, "P-256", provider::kx_group::SECP256R1).peer
}
