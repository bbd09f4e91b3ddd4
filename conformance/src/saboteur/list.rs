//! Every way in which the suite breaks a backend.

use std::cell::RefCell;
use std::time::Duration;

use tls_core::config::{ClientAuthentication, DEFAULT_PENDING_OUTPUT_BOUND, ServerResumption};
use tls_core::iana::{CipherSuite, ProtocolVersion};
use tls_core::{Error, ErrorKind, Facts, Misuse, Operation, Progress, Role, Status, Support};

use super::Sabotage;
use super::context::DescriptorHook;
use super::hooks::{
    BufferedMore, DeafToEof, EarlyFacts, ForgetsUnread, OnFacts, OnHandshake, OnRead, OnResult,
    OnShutdown, OnWrite, PendingNothing, ReadsFirst, ShutsDownOnDrop, WantsHeaders,
};

/// A bound on pending output that is none.
const HUGE: usize = 16 * 1024 * 1024;

thread_local! {
    /// What a session has left behind on the thread.
    static LEFT_BEHIND: RefCell<Option<Error>> = const { RefCell::new(None) };
}

fn idle(status: Status) -> tls_core::Result<Progress> {
    Ok(Progress::idle(status))
}

/// Every sabotage, by clause. K13 has none: sessions cannot be suspended yet.
pub(crate) static ALL: &[Sabotage] = &[
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                match call.session().pending_output() {
                    0 => call.read(buffer),
                    _ => idle(Status::WantWrite),
                }
            }))
        },
        ..Sabotage::new("K1", "read waits until all output has left")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                let progress = call.read(buffer)?;
                if progress.status == Status::WantRead {
                    let error = std::io::Error::from(std::io::ErrorKind::WouldBlock);
                    return Err(Error::io(error, Operation::Read));
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K1", "would-block is an error")
    },
    Sabotage {
        hook: || {
            Box::new(OnHandshake::new(|call| {
                let mut progress = call.handshake()?;
                if progress.status == Status::WantRead {
                    progress.status = Status::WantWrite;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K1", "the handshake names the wrong direction")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| match call.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Truncated => idle(Status::Closed),
                result => result,
            }))
        },
        ..Sabotage::new("K2", "truncation reads as closed")
    },
    Sabotage {
        hook: || {
            Box::new(OnHandshake::new(|call| match call.handshake() {
                Err(error) if error.kind() == ErrorKind::Truncated => {
                    Err(Error::new(ErrorKind::Protocol, Operation::Handshake))
                }
                result => result,
            }))
        },
        ..Sabotage::new("K2", "truncation of the handshake is the peer's fault")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| match call.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Reset => {
                    Err(Error::new(ErrorKind::Truncated, Operation::Read))
                }
                result => result,
            }))
        },
        ..Sabotage::new("K2", "a reset is a truncation")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                let mut progress = call.read(buffer)?;
                if progress.status == Status::Closed {
                    progress.status = Status::Complete;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K2", "zero bytes mean closed")
    },
    Sabotage {
        hook: || Box::new(DeafToEof),
        ..Sabotage::new("K2", "the end of input is not heard")
    },
    Sabotage {
        hook: || {
            Box::new(OnWrite::new(|call, data| match data.split_last() {
                Some((_, rest)) if !rest.is_empty() => {
                    let mut progress = call.write(rest)?;
                    if progress.consumed == rest.len() {
                        progress.consumed += 1;
                    }
                    Ok(progress)
                }
                _ => call.write(data),
            }))
        },
        ..Sabotage::new("K3", "a write loses its last byte")
    },
    Sabotage {
        hook: || {
            let mut writes = 0;
            Box::new(OnWrite::new(move |call, data| {
                let mut progress = call.write(data)?;
                writes += 1;
                if writes % 3 == 2 {
                    progress.status = Status::WantWrite;
                    progress.consumed = 0;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K3", "bytes that were taken are asked for again")
    },
    Sabotage {
        client: |backend, mut config| {
            config.parameters.pending_output_bound = HUGE;
            backend.client(config)
        },
        server: |backend, mut config| {
            config.parameters.pending_output_bound = HUGE;
            backend.server(config)
        },
        ..Sabotage::new("K4", "pending output has no bound")
    },
    Sabotage {
        client: |backend, mut config| {
            config.parameters.pending_output_bound = DEFAULT_PENDING_OUTPUT_BOUND;
            backend.client(config)
        },
        server: |backend, mut config| {
            config.parameters.pending_output_bound = DEFAULT_PENDING_OUTPUT_BOUND;
            backend.server(config)
        },
        ..Sabotage::new("K4", "the bound on pending output cannot be set")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| match call.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Protocol => idle(Status::WantRead),
                result => result,
            }))
        },
        ..Sabotage::new("K4", "floods are endured")
    },
    Sabotage {
        hook: || Box::new(PendingNothing),
        ..Sabotage::new("K4", "pending output is not told")
    },
    Sabotage {
        hook: || {
            let mut failed = false;
            Box::new(OnResult::new(move |_, result| {
                let before = failed;
                failed |= result.is_err();
                match result {
                    Err(_) if before => Err(Error::new(ErrorKind::Backend, Operation::Read)),
                    result => result,
                }
            }))
        },
        ..Sabotage::new("K5", "errors do not stay")
    },
    Sabotage {
        hook: || {
            let mut failed = false;
            Box::new(OnResult::new(move |_, result| {
                let before = failed;
                failed |= result.is_err();
                if before {
                    return idle(Status::Complete);
                }
                result
            }))
        },
        ..Sabotage::new("K5", "a failed session goes on")
    },
    Sabotage {
        hook: || {
            Box::new(OnResult::new(|_, result| {
                result.map_err(|error| Error::new(error.kind(), error.operation()))
            }))
        },
        ..Sabotage::new("K5", "the alert is not told")
    },
    Sabotage {
        hook: || {
            Box::new(OnResult::new(|session, result| {
                let mut progress = result?;
                if session.failure().is_some() {
                    progress.produced = 0;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K5", "the alert is lost")
    },
    Sabotage {
        hook: || Box::new(BufferedMore),
        ..Sabotage::new("K6", "more is buffered than can be read")
    },
    Sabotage {
        hook: || {
            let mut reads = 0;
            Box::new(OnRead::new(move |call, buffer| {
                reads += 1;
                match reads % 2 {
                    0 => idle(Status::WantRead),
                    _ => call.read(buffer),
                }
            }))
        },
        ..Sabotage::new("K6", "read sleeps while there is data")
    },
    Sabotage {
        hook: || {
            Box::new(OnShutdown::new(|call| {
                let mut progress = call.shutdown()?;
                if progress.status == Status::Complete {
                    progress.status = Status::Closed;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K7", "shutdown does not wait for the peer's")
    },
    Sabotage {
        hook: || Box::new(ForgetsUnread(false)),
        ..Sabotage::new("K7", "shutdown drops what was not read")
    },
    Sabotage {
        hook: || {
            Box::new(OnWrite::new(|call, data| match call.write(data) {
                Err(error) if error.kind() == ErrorKind::Misuse(Misuse::WriteAfterShutdown) => {
                    Ok(Progress::new(Status::Complete, data.len(), 0))
                }
                result => result,
            }))
        },
        ..Sabotage::new("K7", "write after shutdown is swallowed")
    },
    Sabotage {
        client: |backend, mut config| {
            config.parameters.quiet_shutdown = false;
            backend.client(config)
        },
        server: |backend, mut config| {
            config.parameters.quiet_shutdown = false;
            backend.server(config)
        },
        ..Sabotage::new("K7", "a quiet shutdown is not")
    },
    Sabotage {
        hook: || Box::new(ShutsDownOnDrop),
        ..Sabotage::new("K7", "drop sends")
    },
    Sabotage {
        hook: || {
            Box::new(OnResult::new(|_, result| {
                if let Err(error) = &result {
                    LEFT_BEHIND.set(Some(error.clone()));
                    return result;
                }
                LEFT_BEHIND.take().map_or(result, Err)
            }))
        },
        ..Sabotage::new("K8", "an error of one session is found by the next")
    },
    Sabotage {
        hook: || {
            Box::new(OnResult::new(|_, result| {
                if let Err(error) = &result
                    && error.kind() == ErrorKind::Protocol
                {
                    panic!("the peer broke the protocol");
                }
                result
            }))
        },
        ..Sabotage::new("K9", "bad input is a panic")
    },
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
        descriptor: DescriptorHook::ShutDownBorrowed,
        ..Sabotage::new("K19", "a borrowed descriptor is taken down")
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
