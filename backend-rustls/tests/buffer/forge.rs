//! A client that can be made to send any record: a rustls connection without a session around it,
//! whose keys are taken out once it has shaken hands.

use std::sync::Arc;

use backend_rustls::RustlsContext;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, DigitallySignedStruct,
    ProtocolVersion, SignatureScheme, SupportedCipherSuite,
};
use tls_core::{BufferSession, Context, Session, SessionOptions};

use crate::pair::End;

/// Seals and opens records under the keys of a client.
pub(crate) struct Forge {
    seal: (u64, Box<dyn MessageEncrypter>),
    open: (u64, Box<dyn MessageDecrypter>),
}

/// A client, taken apart after it has shaken hands with a session of this server.
pub(crate) fn forged_client(server: &RustlsContext) -> (Forge, End) {
    let (client, end) = raw_client(server);
    (taken_apart(client), end)
}

/// The keys of a client that has shaken hands.
pub(crate) fn taken_apart(client: ClientConnection) -> Forge {
    let suite = client.negotiated_cipher_suite().unwrap();
    let secrets = client.dangerous_extract_secrets().unwrap();
    let (sent, received) = (key(secrets.tx.1), key(secrets.rx.1));
    match suite {
        SupportedCipherSuite::Tls13(suite) => Forge {
            seal: (secrets.tx.0, suite.aead_alg.encrypter(sent.0, sent.1)),
            open: (
                secrets.rx.0,
                suite.aead_alg.decrypter(received.0, received.1),
            ),
        },
        SupportedCipherSuite::Tls12(suite) => {
            let (ours, theirs) = (sent.1.as_ref(), received.1.as_ref());
            Forge {
                seal: (
                    secrets.tx.0,
                    suite.aead_alg.encrypter(sent.0, &ours[..4], &ours[4..]),
                ),
                open: (
                    secrets.rx.0,
                    suite.aead_alg.decrypter(received.0, &theirs[..4]),
                ),
            }
        }
    }
}

/// A client that has shaken hands with a session of this server.
pub(crate) fn raw_client(server: &RustlsContext) -> (ClientConnection, End) {
    let mut client = fresh_client();
    let mut end = End {
        session: server.buffer_session(SessionOptions::new()).unwrap(),
        inbox: Vec::new(),
    };
    while client.is_handshaking() || !end.session.is_handshake_complete() {
        end.inbox.extend(sent(&mut client));
        let mut room = [0; 8_000];
        let progress = end.session.handshake(&mut end.inbox, &mut room).unwrap();
        end.inbox.drain(..progress.consumed);
        receive(&mut client, &room[..progress.produced]);
    }
    (client, end)
}

/// A client that has not begun, and trusts anybody.
pub(crate) fn fresh_client() -> ClientConnection {
    // Under TLS 1.2 aws-lc seals only what it numbers itself.
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    let name = ServerName::try_from("server.test").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// What the client has to send.
pub(crate) fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Has the client receive; gives the application data in it.
pub(crate) fn receive(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plaintext = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        let state = client.process_new_packets().unwrap();
        let mut piece = vec![0; state.plaintext_bytes_to_read()];
        std::io::Read::read_exact(&mut client.reader(), &mut piece).unwrap();
        plaintext.extend(piece);
    }
    plaintext
}

impl Forge {
    pub(crate) fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let (sequence, encrypter) = &mut self.seal;
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let record = encrypter.encrypt(message, *sequence).unwrap();
        *sequence += 1;
        record.encode()
    }

    /// The content type and content of the last of these records.
    pub(crate) fn open(&mut self, mut records: &[u8]) -> (ContentType, Vec<u8>) {
        let mut last = None;
        while !records.is_empty() {
            let end = 5 + usize::from(u16::from_be_bytes([records[3], records[4]]));
            let mut payload = records[5..end].to_vec();
            let version = ProtocolVersion::TLSv1_2;
            let record =
                InboundOpaqueMessage::new(ContentType::from(records[0]), version, &mut payload);
            let (sequence, decrypter) = &mut self.open;
            let message = decrypter.decrypt(record, *sequence).unwrap();
            *sequence += 1;
            last = Some((message.typ, message.payload.to_vec()));
            records = &records[end..];
        }
        last.unwrap()
    }
}

fn key(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (key, iv),
        _ => panic!("the suite is one of AES-GCM"),
    }
}

#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
