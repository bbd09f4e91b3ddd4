//! K10 to K20: facts, policy, resources.

use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use tls_core::config::{ClientAuthentication, ServerResumption};
use tls_core::iana::{CipherSuite, ProtocolVersion};
use tls_core::{
    Error, ErrorKind, Facts, Feature, Misuse, Operation, Role, ServerConfig, Status, Support,
};

use super::super::Sabotage;
use super::super::context::DescriptorHook;
use super::super::hooks::{
    EarlyFacts, ForgetsFacts, OnFacts, OnHandshake, OnRead, OnResult, OnWrite, ReadsFirst,
    WantsHeaders,
};
use super::idle;
use crate::pki::Pki;

/// Whose turn it is, where sessions take turns.
static TURN: Mutex<()> = Mutex::new(());

pub(super) static SABOTAGES: &[Sabotage] = &[
    Sabotage {
        hook: || {
            Box::new(EarlyFacts(Facts::new(
                ProtocolVersion::TLS1_3,
                CipherSuite::TLS_AES_128_GCM_SHA256,
            )))
        },
        ..Sabotage::new("K10", "facts are told before and without a handshake")
    },
    Sabotage {
        hook: || Box::new(OnFacts::new(|facts| facts.alpn = None)),
        ..Sabotage::new("K10", "the application protocol is not told")
    },
    Sabotage {
        hook: || Box::new(OnFacts::new(|facts| facts.server_name = None)),
        ..Sabotage::new("K10", "the server name is not told")
    },
    Sabotage {
        requires: &[Feature::NegotiatedGroup],
        hook: || Box::new(OnFacts::new(|facts| facts.group = None)),
        ..Sabotage::new("K10", "the group is not told")
    },
    Sabotage {
        hook: || Box::new(OnFacts::new(|facts| facts.cipher_suite = CipherSuite(0))),
        ..Sabotage::new("K10", "another cipher suite is told")
    },
    Sabotage {
        hook: || {
            Box::new(OnFacts::new(|facts| {
                if let Some(chain) = &mut facts.peer_certificates {
                    chain.reverse();
                }
            }))
        },
        ..Sabotage::new("K10", "the chain comes root first")
    },
    Sabotage {
        hook: || {
            Box::new(OnFacts::new(|facts| {
                facts.alpn.get_or_insert_with(|| b"guess".to_vec());
            }))
        },
        ..Sabotage::new("K10", "an application protocol is made up")
    },
    Sabotage {
        hook: || {
            Box::new(OnFacts::new(|facts| {
                facts
                    .peer_certificates
                    .get_or_insert_with(|| Pki::shared().client.chain().to_vec());
            }))
        },
        ..Sabotage::new("K10", "a chain that was not presented is told")
    },
    Sabotage {
        hook: || Box::new(ForgetsFacts),
        ..Sabotage::new("K10", "facts are gone once the peer has shut down")
    },
    Sabotage {
        client: |backend, mut config| {
            config.parameters.max_version = config.parameters.min_version;
            backend.client(config)
        },
        ..Sabotage::new("K10", "the lowest common version is negotiated")
    },
    Sabotage {
        capabilities: |capabilities| {
            capabilities.alpn = Support::Unsupported("says the saboteur");
        },
        ..Sabotage::new("K11", "what is unsupported is taken all the same")
    },
    Sabotage {
        client: |backend, mut config| {
            config.parameters.alpn.clear();
            config.parameters.cipher_suites = None;
            config.parameters.groups = None;
            backend.client(config)
        },
        server: |backend, mut config| {
            config.parameters.alpn.clear();
            config.parameters.cipher_suites = None;
            config.parameters.groups = None;
            backend.server(config)
        },
        ..Sabotage::new("K11", "what is configured is ignored")
    },
    Sabotage {
        client: |backend, mut config| {
            config.send_sni = true;
            backend.client(config)
        },
        ..Sabotage::new("K11", "the server name is sent though it must not be")
    },
    Sabotage {
        server: |backend, config| {
            let usable = ServerConfig::new(Pki::shared().server.clone());
            backend.server(config).or_else(|_| backend.server(usable))
        },
        ..Sabotage::new("K11", "an identity that cannot be used is replaced")
    },
    Sabotage {
        one_server_context: true,
        ..Sabotage::new("K12", "server contexts share their sessions")
    },
    Sabotage {
        client: |backend, mut config| {
            config.resumption.enabled = false;
            backend.client(config)
        },
        ..Sabotage::new("K12", "nothing is resumed")
    },
    Sabotage {
        client: |backend, mut config| {
            config.resumption.enabled = true;
            backend.client(config)
        },
        server: |backend, mut config| {
            config.resumption = ServerResumption::default();
            backend.server(config)
        },
        ..Sabotage::new("K12", "resumption cannot be limited")
    },
    Sabotage {
        server: |backend, mut config| {
            config.resumption.timeout = Duration::from_secs(7200);
            backend.server(config)
        },
        ..Sabotage::new("K12", "sessions do not age")
    },
    Sabotage {
        hook: || Box::new(OnFacts::new(|facts| facts.resumed = !facts.resumed)),
        ..Sabotage::new("K12", "resumed says the opposite")
    },
    Sabotage {
        options: |options| options.resumption_key.clear(),
        ..Sabotage::new("K12", "the caller's key does not keep sessions apart")
    },
    Sabotage {
        client: |backend, mut config| {
            config.roots = Pki::shared().other_roots();
            backend.client(config)
        },
        server: |backend, mut config| {
            if let ClientAuthentication::Optional(roots) | ClientAuthentication::Required(roots) =
                &mut config.client_authentication
            {
                *roots = Pki::shared().other_roots();
            }
            backend.server(config)
        },
        ..Sabotage::new("K14", "other roots are trusted than those given")
    },
    Sabotage {
        client: |backend, mut config| {
            config.dangerous.accept_any_certificate = true;
            backend.client(config)
        },
        ..Sabotage::new("K14", "any certificate is accepted")
    },
    Sabotage {
        client: |backend, mut config| {
            config.dangerous.accept_any_name = true;
            backend.client(config)
        },
        ..Sabotage::new("K14", "any name is accepted")
    },
    Sabotage {
        server: |backend, mut config| {
            config.client_authentication = ClientAuthentication::None;
            backend.server(config)
        },
        ..Sabotage::new("K14", "clients are not asked for a certificate")
    },
    Sabotage {
        server: |backend, mut config| {
            if let ClientAuthentication::Required(roots) = config.client_authentication {
                config.client_authentication = ClientAuthentication::Optional(roots);
            }
            backend.server(config)
        },
        ..Sabotage::new("K14", "a required certificate may be missing")
    },
    Sabotage {
        hook: || {
            Box::new(OnResult::new(|_, result| {
                result.map_err(|error| match error.kind() {
                    ErrorKind::Certificate(_) => Error::new(ErrorKind::Protocol, error.operation()),
                    _ => error,
                })
            }))
        },
        ..Sabotage::new("K14", "what is wrong with a certificate is not told")
    },
    Sabotage {
        context_drop_matters: true,
        ..Sabotage::new("K15", "sessions need the handle of their context")
    },
    Sabotage {
        requires: &[Feature::Verifier],
        hook: || {
            Box::new(OnHandshake::new(|call| {
                let began = Instant::now();
                let turn = loop {
                    match TURN.try_lock() {
                        Ok(turn) => break turn,
                        Err(TryLockError::Poisoned(turn)) => break turn.into_inner(),
                        Err(TryLockError::WouldBlock) => {}
                    }
                    if began.elapsed() > Duration::from_secs(1) {
                        return Err(Error::new(ErrorKind::Backend, Operation::Handshake));
                    }
                    std::thread::yield_now();
                };
                let result = call.handshake();
                drop(turn);
                result
            }))
        },
        ..Sabotage::new("K15", "handshakes take turns")
    },
    Sabotage {
        hook: || Box::new(WantsHeaders),
        ..Sabotage::new("K16", "one-byte input makes no progress")
    },
    Sabotage {
        hook: || {
            Box::new(OnHandshake::new(|call| {
                let offered = call.input_length();
                let mut progress = call.handshake()?;
                if offered.is_some() && progress.consumed > 1 {
                    progress.consumed -= 1;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K16", "consumed is not true")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                if buffer.is_empty() {
                    return idle(Status::WantRead);
                }
                call.read(buffer)
            }))
        },
        ..Sabotage::new("K17", "an empty read wants to read")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                if buffer.is_empty() {
                    return idle(Status::Complete);
                }
                call.read(buffer)
            }))
        },
        ..Sabotage::new("K17", "an empty read hides a failure")
    },
    Sabotage {
        hook: || {
            Box::new(OnWrite::new(|call, data| {
                if data.is_empty() {
                    return idle(Status::WantWrite);
                }
                call.write(data)
            }))
        },
        ..Sabotage::new("K17", "an empty write wants to write")
    },
    Sabotage {
        hook: || Box::new(ReadsFirst(false)),
        ..Sabotage::new("K18", "a client must read before it writes")
    },
    Sabotage {
        descriptor: DescriptorHook::MakeNonblocking,
        ..Sabotage::new("K19", "a blocking descriptor is changed")
    },
    Sabotage {
        descriptor: DescriptorHook::Leak,
        ..Sabotage::new("K19", "the descriptor is not closed")
    },
    Sabotage {
        descriptor: DescriptorHook::ShutDown,
        ..Sabotage::new("K19", "a borrowed descriptor is taken down")
    },
    Sabotage {
        descriptor: DescriptorHook::Signal,
        ..Sabotage::new("K19", "writing to a peer that is gone raises a signal")
    },
    Sabotage {
        descriptor: DescriptorHook::LosePlaintext,
        ..Sabotage::new("K19", "into_fd loses what was not read")
    },
    Sabotage {
        descriptor: DescriptorHook::GiveBackDespite(Misuse::CiphertextHeld),
        ..Sabotage::new("K19", "into_fd loses the ciphertext held")
    },
    Sabotage {
        descriptor: DescriptorHook::GiveBackDespite(Misuse::BorrowedDescriptor),
        ..Sabotage::new("K19", "into_fd gives a borrowed descriptor away")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                let text = format!("{:?}", call.session().role() == Role::Client);
                std::hint::black_box(&text);
                call.read(buffer)
            }))
        },
        ..Sabotage::new("K20", "a read formats")
    },
    Sabotage {
        hook: || {
            Box::new(OnWrite::new(|call, data| {
                for _ in 0..16 {
                    std::hint::black_box(data.to_vec());
                }
                call.write(data)
            }))
        },
        ..Sabotage::new("K20", "a write copies again and again")
    },
];
