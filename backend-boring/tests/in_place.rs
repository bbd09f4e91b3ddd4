//! Handshake messages of TLS 1.2 in place of a ChangeCipherSpec.

use backend_boring::{Boring, BoringContext, BufferSession};
use tls_core::config::{Identity, Roots};
use tls_core::iana::{AlertDescription, ProtocolVersion};
use tls_core::pki_types::PrivatePkcs8KeyDer;
use tls_core::{
    AlertDirection, Backend, BufferSession as _, ClientConfig, Context, Error, ErrorKind,
    ServerConfig, SessionOptions, Status,
};

/// The content type of handshake messages: RFC 5246 section 6.2.1.
const HANDSHAKE: u8 = 22;
/// client_key_exchange and new_session_ticket: RFC 5246 section 7.4, RFC 5077 section 3.3.
const CLIENT_KEY_EXCHANGE: u8 = 16;
const NEW_SESSION_TICKET: u8 = 4;
/// A HelloRequest, which is a whole message of no bytes: RFC 5246 section 7.4.1.1.
const HELLO_REQUEST: [u8; 4] = [0; 4];

fn pair() -> [BufferSession; 2] {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["server.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let chain = vec![certificate.der().clone()];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let identity = Identity::from_der(chain, key.into()).unwrap();
    let mut client = ClientConfig::new(Roots::given([]));
    client.dangerous.accept_any_certificate = true;
    let mut server = ServerConfig::new(identity);
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.max_version = ProtocolVersion::TLS1_2;
    }
    let client = Boring::new().client(client).unwrap();
    let server = Boring::new().server(server).unwrap();
    let session = |context: BoringContext| context.buffer_session(SessionOptions::new()).unwrap();
    [session(client), session(server)]
}

/// Has the pair shake hands, with a second message in the record that carries one of `kind`, and
/// gives how the side fails that receives it.
fn failure_behind(kind: u8) -> Error {
    let mut sessions = pair();
    let mut input = Vec::new();
    for turn in 0..8 {
        let mut output = vec![0; 16 * 1024];
        let (mut taken, mut produced) = (0, 0);
        loop {
            let session = &mut sessions[turn % 2];
            let progress = match session.handshake(&mut input[taken..], &mut output[produced..]) {
                Ok(progress) => progress,
                Err(error) => return error,
            };
            taken += progress.consumed;
            produced += progress.produced;
            if progress.status != Status::WantWrite {
                break;
            }
        }
        assert_eq!(taken, input.len(), "a side that waits has taken all");
        input = output[..produced].to_vec();
        extend_record(&mut input, kind);
    }
    panic!("no side has failed");
}

fn extend_record(records: &mut Vec<u8>, kind: u8) {
    let mut start = 0;
    while let Some(&[content_type, _, _, high, low, first, ..]) = records.get(start..) {
        let length = u16::from_be_bytes([high, low]);
        let end = start + 5 + usize::from(length);
        if content_type == HANDSHAKE && first == kind {
            let longer = length + HELLO_REQUEST.len() as u16;
            records[start + 3..start + 5].copy_from_slice(&longer.to_be_bytes());
            records.splice(end..end, HELLO_REQUEST);
            return;
        }
        start = end;
    }
}

#[test]
fn they_are_the_fault_of_the_peer() {
    for kind in [CLIENT_KEY_EXCHANGE, NEW_SESSION_TICKET] {
        let error = failure_behind(kind);
        assert_eq!(error.kind(), ErrorKind::Protocol, "{kind}: {error}");
        // The library's own choice.
        let alert = error.alert().unwrap();
        assert_eq!(alert.direction, AlertDirection::Sent);
        assert_eq!(alert.description, AlertDescription::INTERNAL_ERROR);
    }
}
