//! A server that renegotiates, settles something else than before, and sends data right behind its
//! Finished. OpenSSL takes the two in one call.

#![cfg(not(libressl))]
#![allow(
    unsafe_code,
    reason = "the safe crate can neither renegotiate nor change a session's suites"
)]

use std::ffi::{CStr, c_char, c_int};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use backend_openssl::OpenSsl;
use conformance::{Pki, SERVER_NAME};
use foreign_types_shared::ForeignTypeRef;
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContextBuilder, SslMethod, SslOptions, SslStream, SslVersion,
};
use openssl::x509::X509;
use tls_core::config::SocketTransport;
use tls_core::iana::ProtocolVersion;
use tls_core::{
    Backend, ClientConfig, Context, ErrorKind, Session, SessionOptions, SocketSession, Status,
};

unsafe extern "C" {
    fn SSL_renegotiate(ssl: *mut openssl_sys::SSL) -> c_int;
    fn SSL_is_init_finished(ssl: *const openssl_sys::SSL) -> c_int;
    fn SSL_set_cipher_list(ssl: *mut openssl_sys::SSL, list: *const c_char) -> c_int;
}

const FIRST: &CStr = c"ECDHE+AES128";
const SECOND: &CStr = c"ECDHE+AES256";

#[test]
fn no_data_of_a_refused_renegotiation_is_given() {
    for transport in [SocketTransport::Gathered, SocketTransport::Plain] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut server = Server::new(theirs);
        let mut client = client(ours, transport);
        while client.handshake().unwrap() != Status::Complete {
            server.step();
        }
        server.step();
        server.renegotiate();

        let mut room = [0; 100];
        let error = loop {
            match client.read(&mut room) {
                Ok(progress) => assert_eq!(progress.produced, 0, "{transport:?}"),
                Err(error) => break error,
            }
            server.step();
        };
        assert!(server.renegotiated, "{transport:?}: {error}");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{transport:?}: {error}");

        for _ in 0..3 {
            assert_eq!(client.buffered(), 0, "{transport:?}");
            let again = client.read(&mut room).expect_err("data of the handshake");
            assert_eq!(again.kind(), error.kind(), "{transport:?}");
        }
        let told = server.told();
        assert!(told.contains("alert record overflow"), "{told}");
    }
}

fn client(socket: UnixStream, transport: SocketTransport) -> impl SocketSession {
    let mut config = ClientConfig::new(Pki::shared().roots());
    config.parameters.max_version = ProtocolVersion::TLS1_2;
    config.parameters.allow_renegotiation = true;
    config.parameters.socket_transport = transport;
    let context = OpenSsl::new().client(config).unwrap();
    socket.set_nonblocking(true).unwrap();
    let options = SessionOptions::to_server(SERVER_NAME).unwrap();
    context
        .socket_session(OwnedFd::from(socket), options)
        .unwrap()
}

/// The library, driven directly.
struct Server {
    stream: SslStream<UnixStream>,
    /// It has settled another suite, and sent data right behind that.
    renegotiated: bool,
}

impl Server {
    fn new(socket: UnixStream) -> Self {
        let identity = &Pki::shared().server;
        let mut context = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
        let tls12 = Some(SslVersion::TLS1_2);
        context.set_max_proto_version(tls12).unwrap();
        context.set_options(SslOptions::NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
        context.set_cipher_list(FIRST.to_str().unwrap()).unwrap();
        let mut chain = identity.chain().iter();
        let mut next = || chain.next().map(|der| X509::from_der(der).unwrap());
        context.set_certificate(&next().unwrap()).unwrap();
        while let Some(issuer) = next() {
            context.add_extra_chain_cert(issuer).unwrap();
        }
        let key = PKey::private_key_from_der(identity.key().secret_der()).unwrap();
        context.set_private_key(&key).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut ssl = Ssl::new(&context.build()).unwrap();
        ssl.set_accept_state();
        Self {
            stream: SslStream::new(ssl, socket).unwrap(),
            renegotiated: false,
        }
    }

    /// Takes what has come; once the second handshake is complete, sends data.
    fn step(&mut self) {
        if let Err(error) = self.stream.ssl_read(&mut [0; 100]) {
            assert_eq!(error.code(), ErrorCode::WANT_READ, "{error}");
        }
        // SAFETY: SSL_is_init_finished(3) asks a valid handle.
        let finished = unsafe { SSL_is_init_finished(self.stream.ssl().as_ptr()) } == 1;
        let suite = self.stream.ssl().current_cipher();
        let second = suite.is_some_and(|suite| suite.name().contains("AES256"));
        if finished && second && !self.renegotiated {
            self.renegotiated = true;
            self.stream.write_all(&[b'x'; 10_000]).unwrap();
        }
    }

    /// Asks for another handshake, with another suite.
    fn renegotiate(&mut self) {
        let ssl = self.stream.ssl().as_ptr();
        // SAFETY: SSL_set_cipher_list(3) reads a string that ends with a zero, for a valid handle.
        assert_eq!(unsafe { SSL_set_cipher_list(ssl, SECOND.as_ptr()) }, 1);
        // SAFETY: SSL_key_update(3): schedules a renegotiation of this valid, established handle.
        assert_eq!(unsafe { SSL_renegotiate(ssl) }, 1);
        if let Err(error) = self.stream.do_handshake() {
            assert_eq!(error.code(), ErrorCode::WANT_READ, "{error}");
        }
    }

    /// What the client has said last.
    fn told(&mut self) -> String {
        let told = self.stream.ssl_read(&mut [0; 100]);
        told.expect_err("the client is gone").to_string()
    }
}
