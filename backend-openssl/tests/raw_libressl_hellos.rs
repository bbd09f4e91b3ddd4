//! What LibreSSL itself does in handshakes where `gaps.toml` says so: the library at both ends, under
//! the plain `openssl` crate, without any code of this project.

#![cfg(libressl)]

use std::io::{self, Read, Write};

use openssl::pkey::PKey;
use openssl::ssl::{
    AlpnError, ErrorCode, Ssl, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

const NAME: &str = "server.example";
/// Content types: RFC 5246 section 6.2.1.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// A handshake message, and the length of what precedes its body: RFC 5246 section 7.4.
const CERTIFICATE: u8 = 11;
const HEADER: usize = 4;
/// Alerts: RFC 8446 section 6.
const FATAL: u8 = 2;
const ILLEGAL_PARAMETER: u8 = 47;
const PROTOCOL_VERSION: u8 = 70;

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

type Stream = SslStream<Transport>;

/// A client and a server of this version, before the handshake.
fn pair(version: SslVersion, adjust: impl Fn(&mut SslContextBuilder)) -> [Stream; 2] {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([NAME.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let mut context = SslContextBuilder::new(SslMethod::tls()).unwrap();
    context.set_min_proto_version(Some(version)).unwrap();
    context.set_max_proto_version(Some(version)).unwrap();
    context.set_verify(SslVerifyMode::NONE);
    // Of AES-GCM in TLS 1.2, whose records begin with a nonce.
    context
        .set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256")
        .unwrap();
    let own = X509::from_der(certificate.der()).unwrap();
    context.set_certificate(&own).unwrap();
    let key = PKey::private_key_from_der(&key.serialize_der()).unwrap();
    context.set_private_key(&key).unwrap();
    adjust(&mut context);
    let context = context.build();
    let [mut client, mut server] = [(), ()].map(|()| Ssl::new(&context).unwrap());
    client.set_connect_state();
    server.set_accept_state();
    [client, server].map(|ssl| SslStream::new(ssl, Transport::default()).unwrap())
}

/// A client and a server after the handshake.
fn connected(version: SslVersion, adjust: impl Fn(&mut SslContextBuilder)) -> [Stream; 2] {
    let mut streams = pair(version, adjust);
    let mut done = [false; 2];
    // More rounds than a handshake has.
    for _ in 0..5 {
        for at in 0..2 {
            if !done[at] {
                done[at] = goes_on(&mut streams[at]);
            }
            let sent = std::mem::take(&mut streams[at].get_mut().output);
            streams[1 - at].get_mut().input.extend(sent);
        }
    }
    assert_eq!(done, [true; 2]);
    streams
}

/// One step of a handshake that nothing disturbs; whether it is done.
fn goes_on(stream: &mut Stream) -> bool {
    match stream.do_handshake() {
        Ok(()) => true,
        Err(error) if error.code() == ErrorCode::WANT_READ => false,
        Err(error) => panic!("a handshake: {error}"),
    }
}

/// What this one has said so far.
fn said(stream: &mut Stream) -> Vec<u8> {
    assert!(!goes_on(stream));
    std::mem::take(&mut stream.get_mut().output)
}

/// Hears these records in its handshake, and refuses them by this alert and nothing else.
#[track_caller]
fn refuses(stream: &mut Stream, records: Vec<u8>, alert: u8) {
    stream.get_mut().input = records;
    let error = stream.do_handshake().expect_err("a refusal");
    assert_eq!(error.code(), ErrorCode::SSL, "{error}");
    let output = &stream.get_ref().output;
    assert_eq!(output[..], [ALERT, 3, 3, 0, 2, FATAL, alert]);
}

/// The handshake messages of a flight in the clear.
fn messages(mut flight: &[u8]) -> Vec<Vec<u8>> {
    let mut joined = Vec::new();
    while let [HANDSHAKE, 3, _, high, low, rest @ ..] = flight {
        let (payload, behind) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        joined.extend_from_slice(payload);
        flight = behind;
    }
    assert!(flight.is_empty());
    let mut messages = Vec::new();
    let mut left = &joined[..];
    while let [_, a, b, c, ..] = left {
        let length = HEADER + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (message, behind) = left.split_at(length);
        messages.push(message.to_vec());
        left = behind;
    }
    messages
}

/// Each message in a record of its own.
fn records(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut records = Vec::new();
    for message in messages {
        records.extend([HANDSHAKE, 3, 3]);
        records.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        records.extend(message);
    }
    records
}

/// What does not parse is taken for a hello of TLS 1.2, which this server does not speak.
#[test]
fn libressl_takes_a_hello_cut_short_for_an_older_one() {
    let [mut client, mut server] = pair(SslVersion::TLS1_3, |_| {});
    let mut hello = messages(&said(&mut client));
    let body = hello[0].len() - HEADER - 3;
    hello[0].truncate(HEADER + body);
    hello[0][1..HEADER].copy_from_slice(&u32::try_from(body).unwrap().to_be_bytes()[1..]);
    refuses(&mut server, records(&hello), PROTOCOL_VERSION);
}

#[test]
fn libressl_calls_a_certificate_left_out_an_illegal_parameter() {
    let [mut client, mut server] = pair(SslVersion::TLS1_2, |_| {});
    server.get_mut().input = said(&mut client);
    let mut flight = messages(&said(&mut server));
    let all = flight.len();
    flight.retain(|message| message[0] != CERTIFICATE);
    assert_eq!(flight.len(), all - 1);
    refuses(&mut client, records(&flight), ILLEGAL_PARAMETER);
}

#[test]
fn libressl_takes_a_protocol_that_it_has_not_offered() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let [client, _] = connected(version, |context| {
            context.set_alpn_protos(b"\x05mine1").unwrap();
            context.set_alpn_select_callback(|_, _| Ok::<_, AlpnError>(b"other"));
        });
        assert_eq!(client.ssl().selected_alpn_protocol(), Some(&b"other"[..]));
    }
}

#[test]
fn libressl_offers_no_newer_version_than_its_session_has() {
    /// The extension supported_versions of a client that has both: RFC 8446 section 4.2.1.
    const BOTH: [u8; 9] = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    let [client, _] = connected(SslVersion::TLS1_2, |_| {});
    let session = client.ssl().session().expect("a session");
    for resumes in [false, true] {
        let context = SslContextBuilder::new(SslMethod::tls()).unwrap().build();
        let mut ssl = Ssl::new(&context).unwrap();
        ssl.set_connect_state();
        if resumes {
            // SAFETY: SSL_set_session(3): the session is one of a client.
            unsafe { ssl.set_session(session).unwrap() };
        }
        let mut stream = SslStream::new(ssl, Transport::default()).unwrap();
        let hello = said(&mut stream);
        let both = hello.windows(BOTH.len()).any(|window| window == BOTH);
        assert_eq!(both, !resumes);
    }
}

/// Nor does it give a reason.
#[test]
fn libressl_sends_no_alert_for_a_record_without_its_nonce() {
    for at in 0..2 {
        let mut streams = connected(SslVersion::TLS1_2, |_| {});
        let stream = &mut streams[at];
        assert!(stream.get_ref().output.is_empty());
        stream
            .get_mut()
            .input
            .extend([APPLICATION_DATA, 3, 3, 0, 1, 7]);
        let error = stream.ssl_read(&mut [0; 8]).expect_err("a refusal");
        assert_eq!(error.code(), ErrorCode::SYSCALL, "{error}");
        assert!(error.io_error().is_none() && error.ssl_error().is_none());
        assert!(stream.get_ref().output.is_empty());
    }
}

#[test]
fn libressl_takes_no_ed25519_certificate() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = rcgen::CertificateParams::new([NAME.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let own = X509::from_der(certificate.der()).unwrap();
    let mut context = SslContextBuilder::new(SslMethod::tls()).unwrap();
    let errors = context.set_certificate(&own).expect_err("a refusal");
    let reason = errors.errors()[0].reason();
    assert_eq!(reason, Some("unknown certificate type"));
}

#[test]
fn libressl_sends_no_name_with_an_underscore() {
    let context = SslContextBuilder::new(SslMethod::tls()).unwrap().build();
    let mut ssl = Ssl::new(&context).unwrap();
    ssl.set_hostname("xn--bcher-kva.example").unwrap();
    let errors = ssl
        .set_hostname("under_score.example")
        .expect_err("a refusal");
    let reason = errors.errors()[0].reason();
    assert_eq!(reason, Some("ssl3 ext invalid servername"));
}
