//! How much a peer can make a session record.

use conformance::Pki;
use tls_core::config::Identity;
use tls_core::iana::{AlertDescription, Group, ProtocolVersion};
use tls_core::{AlertDirection, ClientConfig, ErrorKind, ServerConfig};

use crate::pair::{Pair, asking, backends};

/// Each message is smaller than what rustls takes, but there may be three: two hellos and a chain.
#[test]
fn a_client_that_says_too_much_before_its_certificate_is_told_so() {
    for backend in backends() {
        let mut pair = Pair::of(&*backend, talkative(20_000));
        pair.shake_hands();
        let error = pair.server.error();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        let alert = error.alert().unwrap();
        assert_eq!(alert.description, AlertDescription::DECODE_ERROR);
        assert_eq!(alert.direction, AlertDirection::Sent);
        let sentence = error.to_string();
        assert!(sentence.contains("128 KiB"), "{sentence}");
        assert!(pair.server.asked.is_empty());

        // A client has completed its handshake by then.
        let client = &mut pair.client;
        let heard = client.session.read(&mut client.inbox, &mut [0; 10]);
        let alert = heard.unwrap_err().alert().unwrap();
        assert_eq!(alert.description, AlertDescription::DECODE_ERROR);
        assert_eq!(alert.direction, AlertDirection::Received);
    }
}

#[test]
fn a_client_may_say_nearly_as_much() {
    for backend in backends() {
        let mut pair = Pair::of(&*backend, talkative(5_000));
        pair.complete();
    }
}

/// A client whose hellos have nearly 60,000 bytes, and who is made to send two; its chain has about
/// as many bytes as asked.
fn talkative(chain: usize) -> (ClientConfig, ServerConfig) {
    let (mut client, mut server) = asking(ProtocolVersion::TLS1_3);
    client.parameters.alpn = vec![vec![b'a'; 249]; 236];
    client.parameters.groups = Some(vec![Group::SECP256R1, Group::X25519]);
    server.parameters.groups = Some(vec![Group::X25519]);
    client.late_credentials = false;
    client.identity = Some(with_chain(&Pki::shared().client, chain));
    (client, server)
}

/// rustls takes nearly 64 KiB of a chain, and so does a session that keeps it.
#[test]
fn a_long_chain_is_no_reason_to_give_up() {
    for backend in backends() {
        let (client, mut server) = asking(ProtocolVersion::TLS1_3);
        server.identity = with_chain(&Pki::shared().server, 60_000);
        let mut pair = Pair::of(&*backend, (client, server));
        pair.complete();
    }
}

/// The same identity, its last certificate repeated to this many bytes.
fn with_chain(identity: &Identity, length: usize) -> Identity {
    let mut chain = identity.chain().to_vec();
    let filler = chain.last().unwrap().clone();
    let before: usize = chain.iter().map(|it| it.len() + 5).sum();
    let more = length.saturating_sub(before) / (filler.len() + 5);
    chain.extend(vec![filler; more]);
    Identity::from_der(chain, identity.key().clone_key()).unwrap()
}
