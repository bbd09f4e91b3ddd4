//! What OpenSSL itself does when it is told to wait for a verdict: the library under the plain `openssl`
//! crate, without any code of this project. It is why servers wait on a thread of their own here.

#![cfg(not(libressl))]

use std::ffi::{c_int, c_void};
use std::os::unix::net::UnixStream;
use std::ptr;

use foreign_types_shared::ForeignTypeRef;
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509StoreContext, X509StoreContextRef};

/// `SSL_CTRL_SET_RETRY_VERIFY`, behind `SSL_set_retry_verify`.
const SET_RETRY_VERIFY: c_int = 136;
/// `SSL_ERROR_WANT_RETRY_VERIFY`.
const WANT_RETRY_VERIFY: c_int = 12;

unsafe extern "C" {
    fn SSL_CTX_set_cert_verify_callback(
        context: *mut openssl_sys::SSL_CTX,
        callback: Option<
            unsafe extern "C" fn(*mut openssl_sys::X509_STORE_CTX, *mut c_void) -> c_int,
        >,
        argument: *mut c_void,
    );
}

/// Tells the library to wait, whoever the peer is.
unsafe extern "C" fn wait(peer: *mut openssl_sys::X509_STORE_CTX, _: *mut c_void) -> c_int {
    // SAFETY: the library runs the callback with a valid context.
    let peer = unsafe { X509StoreContextRef::from_ptr(peer) };
    let index = X509StoreContext::ssl_idx().unwrap();
    let ssl = peer.ex_data(index).unwrap();
    // SAFETY: the handle is valid, and the command takes no pointer.
    unsafe { openssl_sys::SSL_ctrl(ssl.as_ptr(), SET_RETRY_VERIFY, 0, ptr::null_mut()) };
    1
}

/// Which side is told to wait.
#[derive(Clone, Copy, PartialEq)]
enum Waits {
    Client,
    Server,
}

fn contexts(waits: Waits, version: SslVersion) -> [SslContext; 2] {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["peer.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let certificate = X509::from_der(certificate.der()).unwrap();
    let key = PKey::private_key_from_der(&key.serialize_der()).unwrap();
    [Waits::Client, Waits::Server].map(|side| {
        let mut context = SslContextBuilder::new(SslMethod::tls()).unwrap();
        context.set_min_proto_version(Some(version)).unwrap();
        context.set_max_proto_version(Some(version)).unwrap();
        context.set_certificate(&certificate).unwrap();
        context.set_private_key(&key).unwrap();
        context.set_verify(SslVerifyMode::NONE);
        if side == waits {
            context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
            // SAFETY: the context is valid, and the callback has the type that is asked for.
            unsafe {
                SSL_CTX_set_cert_verify_callback(context.as_ptr(), Some(wait), ptr::null_mut());
            }
        }
        context.build()
    })
}

/// Takes both sides as far as they go; what they came to: `None` is a handshake that is complete.
fn handshake(waits: Waits, version: SslVersion) -> [Option<ErrorCode>; 2] {
    let [client, server] = contexts(waits, version);
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let mut ssl = Ssl::new(&client).unwrap();
    ssl.set_connect_state();
    let client = SslStream::new(ssl, near).unwrap();
    let mut ssl = Ssl::new(&server).unwrap();
    ssl.set_accept_state();
    let server = SslStream::new(ssl, far).unwrap();
    let mut sides = [client, server];
    let mut ends = [None, None];
    for _ in 0..10 {
        for (side, end) in sides.iter_mut().zip(&mut ends) {
            *end = side.do_handshake().err().map(|error| error.code());
        }
    }
    ends
}

#[test]
fn a_client_that_is_told_to_wait_waits() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let [client, server] = handshake(Waits::Client, version);
        assert_eq!(client, Some(ErrorCode::from_raw(WANT_RETRY_VERIFY)));
        assert_eq!(server, Some(ErrorCode::WANT_READ));
    }
}

#[test]
fn a_server_that_is_told_to_wait_accepts() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        assert_eq!(handshake(Waits::Server, version), [None, None]);
    }
}
