//! The inverse check: asking a backend for what it says it lacks.

use std::sync::Arc;
use std::time::Duration;

use tls_core::config::{
    ClientAuthentication, Parameters, PeerVerification, Roots, SocketTransport, UnverifiedPeer,
    Verifier,
};
use tls_core::iana::{CipherSuite, Group, ProtocolVersion};
use tls_core::{
    ChannelBinding, ClientConfig, ErrorKind, Feature, Result, ServerConfig, SessionOptions, Verdict,
};

use crate::case::{CaseResult, Failure, Mode, describe};
use crate::pki::SERVER_IP;
use crate::scene::Scene;

/// Asks for a feature that the backend says it lacks; it must answer `Unsupported` with that very
/// feature.
///
/// # Errors
///
/// `inverse` if the backend does anything else, or nobody has written how to ask.
pub fn refused(scene: &Scene<'_>, feature: Feature) -> CaseResult {
    let Some(answer) = ask(scene, feature)? else {
        return Err(Failure::new(
            "inverse",
            format!("the suite does not know how to ask for {feature}"),
        ));
    };
    match answer {
        Err(error) if error.kind() == ErrorKind::Unsupported(feature) => Ok(()),
        Err(error) => Err(Failure::new(
            "inverse",
            format!(
                "asked for {feature}, which it lacks, the backend gave {}",
                describe(&error)
            ),
        )),
        Ok(()) => Err(Failure::new(
            "inverse",
            format!("the backend says it lacks {feature}, and takes it when asked"),
        )),
    }
}

/// The answer to asking for a feature; `None` if there is no way to ask.
fn ask(scene: &Scene<'_>, feature: Feature) -> CaseResult<Option<Result<()>>> {
    Ok(Some(match feature {
        Feature::BufferMode | Feature::SocketMode => return ask_for_mode(scene, feature).map(Some),
        Feature::DeferredServerContext => scene.backend.deferred_server().map(drop),
        Feature::Unread => return unread(scene).map(Some),
        Feature::KeyUpdate => scene.connected()?.client.request_key_update().map(drop),
        Feature::Exporter => {
            let pair = scene.connected()?;
            pair.client
                .session()
                .export_keying_material(&mut [0; 32], b"EXPERIMENTAL", None)
        }
        Feature::TlsUnique => bind(scene, ChannelBinding::TlsUnique)?,
        Feature::TlsServerEndPoint => bind(scene, ChannelBinding::TlsServerEndPoint)?,
        Feature::TlsExporter => bind(scene, ChannelBinding::TlsExporter)?,
        Feature::ExtendedMasterSecret => {
            let version = ProtocolVersion::TLS1_2;
            bind(&Scene { version, ..*scene }, ChannelBinding::TlsExporter)?
        }
        Feature::NegotiatedGroup => return negotiated_group(scene).map(Some),
        Feature::Tls12Resumption | Feature::Tls13Resumption => {
            return resumption(scene, feature).map(Some);
        }
        Feature::IpServerName => ask_for_ip_name(scene),
        Feature::PlainSocketTransport => client(scene, |config| {
            config.parameters.socket_transport = SocketTransport::Plain;
        }),
        Feature::Tls12 => client(scene, |config| {
            config.parameters.min_version = ProtocolVersion::TLS1_2;
            config.parameters.max_version = ProtocolVersion::TLS1_2;
        }),
        Feature::Tls13 => client(scene, |config| {
            config.parameters.min_version = ProtocolVersion::TLS1_3;
            config.parameters.max_version = ProtocolVersion::TLS1_3;
        }),
        Feature::Tls12CipherSuites => client(scene, |config| {
            config.parameters.min_version = ProtocolVersion::TLS1_2;
            config.parameters.max_version = ProtocolVersion::TLS1_2;
            config.parameters.cipher_suites =
                Some(vec![CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]);
        }),
        Feature::Tls13CipherSuites => client(scene, |config| {
            config.parameters.min_version = ProtocolVersion::TLS1_3;
            config.parameters.max_version = ProtocolVersion::TLS1_3;
            config.parameters.cipher_suites = Some(vec![CipherSuite::TLS_AES_128_GCM_SHA256]);
        }),
        Feature::GroupsList => client(scene, |config| {
            config.parameters.groups = Some(vec![Group::SECP256R1]);
        }),
        Feature::Alpn => client(scene, |config| {
            config.parameters.alpn = vec![b"h2".to_vec()];
        }),
        Feature::Sni => client(scene, |config| config.send_sni = true),
        Feature::SniOff => client(scene, |config| config.send_sni = false),
        Feature::ClientCertificate => client(scene, |config| {
            config.identity = Some(scene.pki.client.clone());
        }),
        Feature::SystemRoots => client(scene, |config| config.roots = Roots::system()),
        Feature::QuietShutdown => client(scene, |config| config.parameters.quiet_shutdown = true),
        Feature::PendingOutputBound => client(scene, |config| {
            config.parameters.pending_output_bound = 10_000;
        }),
        Feature::ClientAuthentication => server(scene, |config| {
            config.client_authentication = ClientAuthentication::Required(scene.pki.roots());
        }),
        Feature::Verifier => client(scene, |config| {
            config.peer_verification = PeerVerification::Verifier(Arc::new(Careless));
        }),
        Feature::SuspendedVerificationClient => client(scene, |config| {
            config.peer_verification = PeerVerification::Suspended;
        }),
        Feature::SuspendedVerificationServer => server(scene, |config| {
            config.client_authentication = ClientAuthentication::Required(scene.pki.roots());
            config.peer_verification = PeerVerification::Suspended;
        }),
        Feature::LateClientCredentials => client(scene, |config| config.late_credentials = true),
        Feature::SessionCacheSize => server(scene, |config| {
            config.resumption.tickets = false;
            config.resumption.cache_size = 1;
        }),
        Feature::SessionTimeout => server(scene, |config| {
            config.resumption.timeout = Duration::from_secs(1);
        }),
        Feature::PostHandshakeAuth => return ask_for_requests(scene).map(Some),
        Feature::RenegotiationClient => client(scene, |config| {
            config.parameters.allow_renegotiation = true;
        }),
        Feature::RenegotiationServer => server(scene, |config| {
            config.parameters.allow_renegotiation = true;
        }),
        Feature::StatelessTickets => server(scene, |config| config.resumption.tickets = true),
        _ => return Ok(None),
    }))
}

/// Takes everybody.
#[derive(Debug)]
struct Careless;

impl Verifier for Careless {
    fn verify(&self, _: &UnverifiedPeer<'_>) -> Verdict {
        Verdict::Accept
    }
}

fn client(scene: &Scene<'_>, change: impl FnOnce(&mut ClientConfig)) -> Result<()> {
    let mut config = scene.client_config();
    change(&mut config);
    scene.backend.client(config).map(drop)
}

fn server(scene: &Scene<'_>, change: impl FnOnce(&mut ServerConfig)) -> Result<()> {
    let mut config = scene.server_config();
    change(&mut config);
    scene.backend.server(config).map(drop)
}

/// Both sides are asked when their contexts are built, and a server once more by the call: the first
/// that does not refuse answers for all.
fn ask_for_requests(scene: &Scene<'_>) -> CaseResult<Result<()>> {
    let tls13 = |parameters: &mut Parameters| {
        parameters.min_version = ProtocolVersion::TLS1_3;
        parameters.max_version = ProtocolVersion::TLS1_3;
    };
    let offered = client(scene, |config| config.post_handshake_auth = true);
    let on_request = server(scene, |config| {
        tls13(&mut config.parameters);
        config.client_authentication = ClientAuthentication::OnRequest(scene.pki.roots());
    });
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    tls13(&mut client.parameters);
    tls13(&mut server.parameters);
    let mut pair = scene.pair_with(client, server)?;
    pair.handshake()?;
    let asked = pair.server.request_client_certificate().map(drop);
    let unsupported = ErrorKind::Unsupported(Feature::PostHandshakeAuth);
    let refuses = |answer: &Result<()>| answer.as_ref().is_err_and(|it| it.kind() == unsupported);
    let answers = [offered, on_request, asked];
    let telling = answers.iter().position(|answer| !refuses(answer));
    let [.., last] = &answers;
    Ok(telling.map_or(last, |place| &answers[place]).clone())
}

fn bind(scene: &Scene<'_>, binding: ChannelBinding) -> CaseResult<Result<()>> {
    let pair = scene.connected()?;
    Ok(pair.server.session().channel_binding(binding).map(drop))
}

fn ask_for_ip_name(scene: &Scene<'_>) -> Result<()> {
    let options = SessionOptions::to_server(&SERVER_IP.to_string())?;
    let context = scene.backend.client(scene.client_config())?;
    match scene.mode {
        Mode::Buffer => context.buffer_session(options).map(drop),
        Mode::Socket => {
            let (fd, _peer) = scene.sockets().expect("a pair of sockets");
            context.socket_session(fd, options).map(drop)
        }
    }
}

fn ask_for_mode(scene: &Scene<'_>, feature: Feature) -> CaseResult<Result<()>> {
    let context = match scene.backend.client(scene.client_config()) {
        Ok(context) => context,
        Err(error) => return Ok(Err(error)),
    };
    if feature == Feature::BufferMode {
        return Ok(context.buffer_session(scene.options()).map(drop));
    }
    let (fd, _peer) = scene.sockets()?;
    Ok(context.socket_session(fd, scene.options()).map(drop))
}

fn unread(scene: &Scene<'_>) -> CaseResult<Result<()>> {
    let context = scene.backend.server(scene.server_config())?;
    let (fd, _peer) = scene.sockets()?;
    let mut session = context.socket_session(fd, SessionOptions::new())?;
    Ok(session.unread(&[22]))
}

/// A client that would resume, twice with the same contexts: lacking resumption means two full
/// handshakes that say so.
fn resumption(scene: &Scene<'_>, feature: Feature) -> CaseResult<Result<()>> {
    let version = match feature {
        Feature::Tls12Resumption => ProtocolVersion::TLS1_2,
        _ => ProtocolVersion::TLS1_3,
    };
    let (mut client, mut server) = (scene.client_config(), scene.server_config());
    for parameters in [&mut client.parameters, &mut server.parameters] {
        parameters.min_version = version;
        parameters.max_version = version;
    }
    let client = scene.backend.client(client)?;
    let server = scene.backend.server(server)?;
    for _ in 0..2 {
        let mut pair = scene
            .build()
            .client_context(&*client)
            .server_context(&*server)
            .connected()?;
        pair.ping_pong()?;
        if pair.client.session().resumed() == Some(true) {
            return Ok(Ok(()));
        }
    }
    Ok(Err(tls_core::Error::unsupported(
        feature,
        "nothing is resumed",
    )))
}

/// A fact cannot be asked for; lacking it means saying nothing, never a guess.
fn negotiated_group(scene: &Scene<'_>) -> CaseResult<Result<()>> {
    let pair = scene.connected()?;
    for session in [pair.client.session(), pair.server.session()] {
        if session.group().is_some() {
            return Ok(Ok(()));
        }
    }
    Ok(Err(tls_core::Error::unsupported(
        Feature::NegotiatedGroup,
        "no group is told",
    )))
}
