//! What OpenSSL itself does where `gaps.toml` says so: the library under the plain `openssl` crate,
//! without any code of this project.

#![cfg(not(libressl))]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

/// The content type of application data: RFC 5246 section 6.2.1.
const APPLICATION_DATA: u8 = 23;
/// internal_error: RFC 5246 section 7.2.
const INTERNAL_ERROR: i32 = 80;
/// bad_record_mac: RFC 5246 section 7.2.
const BAD_RECORD_MAC: i32 = 20;
/// The number of OpenSSL 4.0.0, which says what is right.
const OPENSSL_4: i64 = 0x4000_0000;
/// `SSL_AD_REASON_OFFSET`.
const ALERT_OFFSET: i32 = 1000;

/// A client and a server of TLS 1.2 with AES-GCM, after the handshake.
fn connected() -> [SslStream<UnixStream>; 2] {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["server.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let mut context = SslContextBuilder::new(SslMethod::tls()).unwrap();
    let tls12 = Some(SslVersion::TLS1_2);
    context.set_min_proto_version(tls12).unwrap();
    context.set_max_proto_version(tls12).unwrap();
    let suite = "ECDHE-ECDSA-AES128-GCM-SHA256";
    context.set_cipher_list(suite).unwrap();
    context.set_verify(SslVerifyMode::NONE);
    let own = X509::from_der(certificate.der()).unwrap();
    context.set_certificate(&own).unwrap();
    let key = PKey::private_key_from_der(&key.serialize_der()).unwrap();
    context.set_private_key(&key).unwrap();
    let context = context.build();

    let (near, far) = UnixStream::pair().unwrap();
    let stream = |socket| SslStream::new(Ssl::new(&context).unwrap(), socket).unwrap();
    let (mut client, mut server) = (stream(near), stream(far));
    thread::scope(|scope| {
        scope.spawn(|| server.accept().unwrap());
        client.connect().unwrap();
    });
    [client, server]
}

#[test]
fn openssl_calls_a_record_too_short_an_internal_error() {
    let mended = openssl::version::number() >= OPENSSL_4;
    let alert = if mended {
        BAD_RECORD_MAC
    } else {
        INTERNAL_ERROR
    };
    for victim_is_server in [false, true] {
        let [client, server] = connected();
        let (mut peer, mut victim) = match victim_is_server {
            true => (client, server),
            false => (server, client),
        };
        let record = [APPLICATION_DATA, 3, 3, 0, 1, 7];
        peer.get_mut().write_all(&record).unwrap();
        peer.get_ref().shutdown(Shutdown::Write).unwrap();
        let error = victim.ssl_read(&mut [0; 8]).expect_err("a refusal");
        assert_eq!(error.code(), ErrorCode::SSL, "{error}");
        let reasons = error.ssl_error().unwrap().errors();
        // Behind what the cipher had to say; newer libraries add that the record layer failed.
        let mut reasons = reasons.iter().filter_map(openssl::error::Error::reason);
        let internal = reasons.any(|reason| reason == "internal error");
        assert_eq!(internal, !mended, "{error}");
        // Its peer is told the same.
        let error = peer.read(&mut [0; 8]).expect_err("an alert");
        let inner = error.get_ref().and_then(|error| error.downcast_ref());
        let inner: &openssl::ssl::Error = inner.expect("an error of the library");
        let reasons = inner.ssl_error().unwrap().errors();
        assert_eq!(reasons[0].reason_code(), ALERT_OFFSET + alert);
    }
}
