//! Renegotiations and certificates asked for after the handshake, with the library as the other side:
//! it starts what no client of ours does, changes its certificate, and stops in the middle.

#![allow(
    unsafe_code,
    reason = "the peer is the engine itself, and the safe crate cannot make it do this"
)]

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::io::{self, ErrorKind as IoKind, Read, Write};
use std::rc::Rc;

use backend_openssl::{BufferSession, OpenSsl};
use common::{Leaf, Pki, server_config};
use foreign_types_shared::ForeignTypeRef as _;
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContextBuilder, SslMethod, SslOptions, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl_sys as sys;
use tls_core::config::ClientAuthentication;
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::{
    AlertDirection, Backend, BufferSession as _, CertificateProblem, Context, Error, ErrorKind,
    Misuse, PostHandshakeAuth, Progress, ServerConfig, Session as _, SessionOptions, Status,
};

unsafe extern "C" {
    fn SSL_renegotiate(ssl: *mut sys::SSL) -> c_int;
    #[cfg(not(libressl))]
    fn SSL_certs_clear(ssl: *mut sys::SSL);
    #[cfg(not(libressl))]
    fn SSL_CTX_set_post_handshake_auth(context: *mut sys::SSL_CTX, offered: c_int);
}

/// How many renegotiations a client may start.
const MAX_RENEGOTIATIONS: usize = 8;

/// The versions in which a server of this library can ask after the handshake.
fn versions() -> Vec<ProtocolVersion> {
    let capabilities = common::capabilities();
    let mut versions = vec![ProtocolVersion::TLS1_2];
    if capabilities.post_handshake_auth.is_available() {
        versions.push(ProtocolVersion::TLS1_3);
    }
    versions
}

/// Two queues of bytes, by who reads them.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<[VecDeque<u8>; 2]>>);

/// One end of a wire.
struct End {
    wire: Wire,
    reads: usize,
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.wire.0.borrow_mut()[self.reads].read(buffer) {
            Ok(0) => Err(IoKind::WouldBlock.into()),
            read => read,
        }
    }
}

impl Write for End {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.wire.0.borrow_mut()[1 - self.reads].extend(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The library, driven directly.
struct Raw {
    stream: SslStream<End>,
    received: Vec<u8>,
    failure: Option<String>,
}

impl Raw {
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while self.failure.is_none() {
            match self.stream.ssl_read(&mut buffer) {
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.code() == ErrorCode::WANT_READ => return,
                Err(error) => self.failure = Some(error.to_string()),
            }
        }
    }

    /// Asks for another handshake, which begins with the next write.
    fn renegotiate(&mut self) {
        // SAFETY: SSL_key_update(3): schedules a renegotiation of this valid, established handle.
        assert_eq!(unsafe { SSL_renegotiate(self.stream.ssl().as_ptr()) }, 1);
        if let Err(error) = self.stream.do_handshake() {
            assert_eq!(error.code(), ErrorCode::WANT_READ, "{error}");
        }
    }
}

/// A client that is the library itself, and a server of ours.
struct Meeting {
    client: Raw,
    server: BufferSession,
    wire: Wire,
    incoming: Vec<u8>,
    received: Vec<u8>,
    failure: Option<Error>,
}

impl Meeting {
    /// Shakes hands. `prepare` says what the client can.
    fn new(server: ServerConfig, prepare: impl FnOnce(&mut SslContextBuilder)) -> Self {
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        context.set_verify(SslVerifyMode::NONE);
        prepare(&mut context);
        let mut ssl = Ssl::new(&context.build()).unwrap();
        ssl.set_connect_state();
        let wire = Wire::default();
        let end = End {
            wire: wire.clone(),
            reads: 0,
        };
        let context = OpenSsl::new().server(server).expect("a server context");
        let session = context.buffer_session(SessionOptions::new());
        let mut meeting = Self {
            client: Raw {
                stream: SslStream::new(ssl, end).unwrap(),
                received: Vec::new(),
                failure: None,
            },
            server: session.expect("a session"),
            wire,
            incoming: Vec::new(),
            received: Vec::new(),
            failure: None,
        };
        loop {
            let shaken = meeting.client.stream.do_handshake().is_ok();
            meeting.incoming.extend(meeting.sent());
            let mut output = [0; 20_000];
            let progress = meeting
                .server
                .handshake(&mut meeting.incoming, &mut output)
                .expect("a handshake");
            meeting.incoming.drain(..progress.consumed);
            meeting.deliver(&output[..progress.produced]);
            if shaken && progress.status == Status::Complete {
                meeting.settle();
                return meeting;
            }
        }
    }

    /// What the client has sent, taken off the wire.
    fn sent(&self) -> Vec<u8> {
        self.wire.0.borrow_mut()[1].drain(..).collect()
    }

    fn deliver(&self, ciphertext: &[u8]) {
        self.wire.0.borrow_mut()[0].extend(ciphertext);
    }

    /// Has the server read what has come.
    fn serve(&mut self) {
        self.incoming.extend(self.sent());
        let (mut plaintext, mut output) = ([0; 4096], [0; 20_000]);
        while self.failure.is_none() {
            match self.server.read(&mut self.incoming, &mut plaintext) {
                Ok(progress) => {
                    self.incoming.drain(..progress.consumed);
                    let data = &plaintext[..progress.produced];
                    self.received.extend_from_slice(data);
                    let drained = self.server.drain(&mut output).produced;
                    self.deliver(&output[..drained]);
                    if progress.status == Status::WantRead && self.incoming.is_empty() {
                        return;
                    }
                }
                Err(error) => self.failure = Some(error),
            }
        }
    }

    /// Has both read until nothing is on its way.
    fn settle(&mut self) {
        let drained = {
            let mut output = [0; 20_000];
            let drained = self.server.drain(&mut output).produced;
            output[..drained].to_vec()
        };
        self.deliver(&drained);
        loop {
            self.client.read();
            self.serve();
            let quiet = self.wire.0.borrow()[0].is_empty() || self.client.failure.is_some();
            if quiet && self.wire.0.borrow()[1].is_empty() {
                return;
            }
        }
    }

    /// Data each way, which must arrive.
    fn works(&mut self) {
        self.client.received.clear();
        self.received.clear();
        self.client.stream.ssl_write(b"to the server").unwrap();
        self.serve();
        let mut output = [0; 20_000];
        let written = self.server.write(b"to the client", &mut output);
        let written = written.expect("a write");
        assert_eq!(written.consumed, 13);
        self.deliver(&output[..written.produced]);
        self.settle();
        assert_eq!(self.received, b"to the server", "{:?}", self.failure);
        assert_eq!(self.client.received, b"to the client");
    }

    fn request(&mut self) {
        let status = self.server.request_client_certificate();
        assert_eq!(status.expect("a request"), Status::Complete);
        self.settle();
    }

    /// The server has failed like this, and has sent an alert about it that the client has met.
    #[track_caller]
    fn refused(&self, kind: ErrorKind) -> AlertDescription {
        let error = self.failure.as_ref().expect("the server must fail");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(self.client.failure.is_some(), "the client must be told");
        let alert = error.alert().expect("an alert");
        assert_eq!(alert.direction, AlertDirection::Sent);
        alert.description
    }
}

/// The library presents this certificate from now on.
fn present(client: &mut Raw, leaf: &Leaf) {
    let ssl = client.stream.ssl().as_ptr();
    // SAFETY: the handle is the stream's, which nothing else uses meanwhile.
    let ssl = unsafe { openssl::ssl::SslRef::from_ptr_mut(ssl) };
    ssl.set_certificate(&certificate(leaf)).unwrap();
    ssl.set_private_key(&key(leaf)).unwrap();
}

/// The library presents no certificate any more.
#[cfg(not(libressl))]
fn present_none(client: &Raw) {
    // SAFETY: SSL_CTX_use_certificate(3): "SSL_certs_clear() clears all certificates" of this valid
    // handle.
    unsafe { SSL_certs_clear(client.stream.ssl().as_ptr()) };
}

fn certificate(leaf: &Leaf) -> X509 {
    X509::from_der(&leaf.certificate()).unwrap()
}

fn key(leaf: &Leaf) -> PKey<openssl::pkey::Private> {
    PKey::private_key_from_der(leaf.key.secret_der()).unwrap()
}

fn configuration(pki: &Pki, version: ProtocolVersion) -> ServerConfig {
    let mut server = server_config(pki.server());
    server.parameters.min_version = version;
    server.parameters.max_version = version;
    server.parameters.allow_renegotiation = version == ProtocolVersion::TLS1_2;
    server.client_authentication = ClientAuthentication::OnRequest(pki.roots());
    server
}

/// A client of this version that can be asked, and presents a certificate if it has one.
fn askable(
    version: ProtocolVersion,
    leaf: Option<&Leaf>,
) -> impl FnOnce(&mut SslContextBuilder) + use<'_> {
    move |context| {
        let version = match version {
            ProtocolVersion::TLS1_2 => SslVersion::TLS1_2,
            _ => SslVersion::TLS1_3,
        };
        context.set_min_proto_version(Some(version)).unwrap();
        context.set_max_proto_version(Some(version)).unwrap();
        #[cfg(not(libressl))]
        // SAFETY: SSL_CTX_set_verify(3): has clients of this valid context offer to be asked.
        unsafe {
            SSL_CTX_set_post_handshake_auth(context.as_ptr(), 1);
        }
        if let Some(leaf) = leaf {
            context.set_certificate(&certificate(leaf)).unwrap();
            context.set_private_key(&key(leaf)).unwrap();
        }
    }
}

#[test]
fn a_client_may_not_become_another() {
    for version in versions() {
        let pki = Pki::new();
        let (first, second) = (pki.client(), pki.client());
        let mut meeting =
            Meeting::new(configuration(&pki, version), askable(version, Some(&first)));
        meeting.request();
        let state = meeting.server.post_handshake_auth();
        assert_eq!(state, PostHandshakeAuth::Received, "{:?}", meeting.failure);
        meeting.works();
        present(&mut meeting.client, &second);
        meeting.request();
        meeting.refused(ErrorKind::Certificate(CertificateProblem::Other));
        let known = meeting.server.peer_certificates().map(<[_]>::to_vec);
        assert_eq!(known, Some(first.chain), "{version}");
    }
}

/// By a renegotiation that the client starts too.
#[test]
fn a_client_may_not_become_another_unasked() {
    let version = ProtocolVersion::TLS1_2;
    let pki = Pki::new();
    let (first, second) = (pki.client(), pki.client());
    let mut server = configuration(&pki, version);
    server.client_authentication = ClientAuthentication::Required(pki.roots());
    let mut meeting = Meeting::new(server, askable(version, Some(&first)));
    meeting.client.renegotiate();
    meeting.settle();
    assert!(meeting.failure.is_none(), "{:?}", meeting.failure);
    meeting.works();
    present(&mut meeting.client, &second);
    meeting.client.renegotiate();
    meeting.settle();
    meeting.refused(ErrorKind::Certificate(CertificateProblem::Other));
}

#[cfg(not(libressl))]
#[test]
fn a_client_that_was_authenticated_may_decline_where_the_keys_stay() {
    let version = ProtocolVersion::TLS1_3;
    let pki = Pki::new();
    let leaf = pki.client();
    let mut server = configuration(&pki, version);
    server.client_authentication = ClientAuthentication::Optional(pki.roots());
    let mut meeting = Meeting::new(server, askable(version, Some(&leaf)));
    present_none(&meeting.client);
    meeting.request();
    let state = meeting.server.post_handshake_auth();
    assert_eq!(state, PostHandshakeAuth::Declined, "{:?}", meeting.failure);
    let known = meeting.server.peer_certificates().map(<[_]>::to_vec);
    assert_eq!(known, Some(leaf.chain), "whose keys they are");
    meeting.works();
}

#[cfg(not(libressl))]
#[test]
fn a_client_that_was_authenticated_may_not_become_nobody() {
    let version = ProtocolVersion::TLS1_2;
    let pki = Pki::new();
    let leaf = pki.client();
    let mut server = configuration(&pki, version);
    server.client_authentication = ClientAuthentication::Optional(pki.roots());
    let mut meeting = Meeting::new(server, askable(version, Some(&leaf)));
    present_none(&meeting.client);
    meeting.request();
    meeting.refused(ErrorKind::Protocol);
    let known = meeting.server.peer_certificates().map(<[_]>::to_vec);
    assert_eq!(known, Some(leaf.chain));
}

#[cfg(not(libressl))]
#[test]
fn a_certificate_that_is_required_cannot_be_declined_later() {
    for version in versions() {
        let pki = Pki::new();
        let leaf = pki.client();
        let mut server = configuration(&pki, version);
        server.client_authentication = ClientAuthentication::Required(pki.roots());
        let mut meeting = Meeting::new(server, askable(version, Some(&leaf)));
        present_none(&meeting.client);
        meeting.request();
        let alert = meeting.refused(ErrorKind::Certificate(CertificateProblem::Missing));
        if version == ProtocolVersion::TLS1_3 {
            assert_eq!(alert, AlertDescription::CERTIFICATE_REQUIRED);
        }
    }
}

/// The client's answer is one flight: until all of it is there nothing can be sent, and nobody
/// fails for trying.
#[test]
fn half_an_answer_is_waited_for() {
    for version in versions() {
        let pki = Pki::new();
        let leaf = pki.client();
        let mut meeting = Meeting::new(configuration(&pki, version), askable(version, Some(&leaf)));
        let status = meeting.server.request_client_certificate();
        assert_eq!(status.expect("a request"), Status::Complete);
        let mut output = [0; 20_000];
        let drained = meeting.server.drain(&mut output).produced;
        meeting.deliver(&output[..drained]);
        meeting.client.read();
        // With TLS 1.2 the first flight of another handshake, else all but the end of its only one.
        let mut answer = meeting.sent();
        let whole = match version {
            ProtocolVersion::TLS1_2 => answer.len(),
            _ => answer.len() - 1,
        };
        let rest = answer.split_off(whole);
        while !answer.is_empty() {
            let progress = meeting.server.read(&mut answer, &mut [0; 100]);
            let taken = progress.expect("a part of the answer").consumed;
            assert!(taken > 0);
            answer.drain(..taken);
        }
        let drained = meeting.server.drain(&mut output).produced;
        meeting.deliver(&output[..drained]);
        let written = meeting.server.write(b"now", &mut output).expect("a write");
        assert_eq!(written, Progress::idle(Status::WantRead));
        let closed = meeting.server.shutdown(&mut output).expect("a shutdown");
        assert_eq!(closed, Progress::idle(Status::WantRead));
        let again = meeting.server.request_client_certificate().unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Misuse(Misuse::RequestPending));
        meeting.wire.0.borrow_mut()[1].extend(rest);
        meeting.settle();
        let state = meeting.server.post_handshake_auth();
        assert_eq!(state, PostHandshakeAuth::Received, "{:?}", meeting.failure);
        meeting.works();
    }
}

#[test]
fn a_client_starts_so_many_renegotiations_and_no_more() {
    let version = ProtocolVersion::TLS1_2;
    let pki = Pki::new();
    let leaf = pki.client();
    let mut server = configuration(&pki, version);
    server.client_authentication = ClientAuthentication::Required(pki.roots());
    let mut meeting = Meeting::new(server, askable(version, Some(&leaf)));
    let facts = meeting.server.facts().cloned();
    for count in 0..MAX_RENEGOTIATIONS {
        meeting.client.renegotiate();
        meeting.settle();
        assert!(meeting.failure.is_none(), "{count}: {:?}", meeting.failure);
        meeting.works();
    }
    assert_eq!(meeting.server.facts().cloned(), facts);
    // One that the server asks for still is no attempt of the client's.
    meeting.request();
    let state = meeting.server.post_handshake_auth();
    assert_eq!(state, PostHandshakeAuth::Received, "{:?}", meeting.failure);
    meeting.works();
    meeting.client.renegotiate();
    meeting.settle();
    let told = meeting.client.failure.as_deref().unwrap_or_default();
    assert!(told.contains("no renegotiation"), "{told}");
}

#[test]
fn renegotiation_is_off_unless_it_is_allowed() {
    let version = ProtocolVersion::TLS1_2;
    let pki = Pki::new();
    let mut server = configuration(&pki, version);
    server.client_authentication = ClientAuthentication::None;
    server.parameters.allow_renegotiation = false;
    let mut meeting = Meeting::new(server, askable(version, None));
    meeting.works();
    meeting.client.renegotiate();
    meeting.settle();
    let told = meeting.client.failure.as_deref().unwrap_or_default();
    assert!(told.contains("no renegotiation"), "{told}");
}

/// What a server's session comes to whose client refuses: the engine ends it.
#[test]
fn a_client_that_refuses_to_renegotiate_ends_the_session() {
    let version = ProtocolVersion::TLS1_2;
    let pki = Pki::new();
    let mut meeting = Meeting::new(configuration(&pki, version), |context| {
        askable(version, None)(context);
        context.set_options(no_renegotiation());
    });
    meeting.request();
    let alert = meeting.refused(ErrorKind::Protocol);
    assert_eq!(alert, AlertDescription::HANDSHAKE_FAILURE);
}

/// The same of the library alone, without our code.
#[test]
fn openssl_ends_a_session_whose_client_refuses_to_renegotiate() {
    let pki = Pki::new();
    let leaf = pki.server();
    let mut server = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
    server.set_certificate(&certificate(&leaf)).unwrap();
    server.set_private_key(&key(&leaf)).unwrap();
    server
        .set_max_proto_version(Some(SslVersion::TLS1_2))
        .unwrap();
    let mut client = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    client.set_verify(SslVerifyMode::NONE);
    client.set_options(no_renegotiation());

    let wire = Wire::default();
    let [mut server, mut client] = [(server, 1), (client, 0)].map(|(context, reads)| {
        let mut ssl = Ssl::new(&context.build()).unwrap();
        match reads {
            1 => ssl.set_accept_state(),
            _ => ssl.set_connect_state(),
        }
        let wire = wire.clone();
        Raw {
            stream: SslStream::new(ssl, End { wire, reads }).unwrap(),
            received: Vec::new(),
            failure: None,
        }
    });
    while client.stream.do_handshake().is_err() | server.stream.do_handshake().is_err() {}
    server.renegotiate();
    client.read();
    assert_eq!(
        client.failure, None,
        "the client sends a warning and goes on"
    );
    server.read();
    let told = server.failure.as_deref().unwrap_or_default();
    assert!(told.contains("no renegotiation"), "{told}");
}

/// `SSL_OP_NO_RENEGOTIATION`, which LibreSSL has under another number.
fn no_renegotiation() -> SslOptions {
    SslOptions::from_bits_retain(match cfg!(libressl) {
        true => 0x0004_0000,
        false => 0x4000_0000,
    })
}
