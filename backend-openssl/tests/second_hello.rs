//! A client that, asked for another ClientHello, asks for another server in it. OpenSSL takes it.
//! LibreSSL takes the name from its own callback, and compares.

#![cfg(not(libressl))]
#![allow(
    unsafe_code,
    reason = "the safe crate sets a name before the handshake only"
)]

use std::ffi::CString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use backend_openssl::OpenSsl;
use conformance::Pki;
use foreign_types_shared::ForeignTypeRef;
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion};
use tls_core::iana::{AlertDescription, Group, ProtocolVersion};
use tls_core::{
    Backend, BufferSession, Context, Error, ServerConfig, Session, SessionOptions, Status,
};

/// `SSL_CTRL_SET_TLSEXT_HOSTNAME` and `TLSEXT_NAMETYPE_host_name`.
const SET_HOST_NAME: i32 = 55;
const HOST_NAME: i64 = 0;

#[test]
fn a_second_hello_for_another_server_is_refused() {
    let error = serve("two.example").unwrap_err();
    let alert = error.alert().map(|alert| alert.description);
    assert_eq!(alert, Some(AlertDescription::ILLEGAL_PARAMETER), "{error}");
}

#[test]
fn a_second_hello_for_the_same_server_is_taken() {
    assert_eq!(
        serve("one.example").unwrap().as_deref(),
        Some("one.example")
    );
}

/// What a server comes to whose client first asks for one.example and then for `second`.
fn serve(second: &'static str) -> Result<Option<String>, Error> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = thread::spawn(move || connect(theirs, second));
    let served = accept(ours);
    client.join().unwrap();
    served
}

fn accept(mut socket: UnixStream) -> Result<Option<String>, Error> {
    let mut config = ServerConfig::new(Pki::shared().server.clone());
    config.parameters.min_version = ProtocolVersion::TLS1_3;
    // The client's first share is for another group.
    config.parameters.groups = Some(vec![Group::SECP384R1]);
    let context = OpenSsl::new().server(config).unwrap();
    let mut session = context.buffer_session(SessionOptions::new()).unwrap();
    let (mut input, mut output) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let step = session.handshake(&mut input, &mut output)?;
        input.drain(..step.consumed);
        socket.write_all(&output[..step.produced]).unwrap();
        match step.status {
            Status::Complete => {
                return Ok(session.facts().and_then(|facts| facts.server_name.clone()));
            }
            Status::WantRead => {
                let mut received = [0; 4096];
                match socket.read(&mut received).unwrap() {
                    0 => session.input_eof(),
                    count => input.extend_from_slice(&received[..count]),
                }
            }
            _ => {}
        }
    }
}

fn connect(socket: UnixStream, second: &str) {
    let mut context = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    context.set_verify(SslVerifyMode::NONE);
    let tls13 = Some(SslVersion::TLS1_3);
    context.set_min_proto_version(tls13).unwrap();
    context.set_groups_list("X25519:P-384").unwrap();
    let mut ssl = Ssl::new(&context.build()).unwrap();
    ssl.set_hostname("one.example").unwrap();
    let mut stream = SslStream::new(ssl, Slow(socket, 0)).unwrap();
    stream.connect().expect_err("stops before the answer");
    let name = CString::new(second).unwrap();
    let ssl = stream.ssl().as_ptr();
    // SAFETY: SSL_set_tlsext_host_name(3): the name is copied.
    unsafe {
        openssl_sys::SSL_ctrl(
            ssl,
            SET_HOST_NAME,
            HOST_NAME,
            name.as_ptr().cast_mut().cast(),
        )
    };
    // Until the server is done with it.
    if stream.connect().is_ok() {
        let _ = stream.read(&mut [0]);
    }
}

/// Gives nothing the first time it is asked, so that the client can be stopped there.
struct Slow(UnixStream, usize);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 += 1;
        match self.1 {
            1 => Err(ErrorKind::WouldBlock.into()),
            _ => self.0.read(buffer),
        }
    }
}

impl Write for Slow {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
