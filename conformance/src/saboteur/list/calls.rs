//! K1 to K9: what calls give, and what is bounded.

use std::cell::RefCell;

use tls_core::config::DEFAULT_PENDING_OUTPUT_BOUND;
use tls_core::iana::AlertDescription;
use tls_core::{AlertDirection, Error, ErrorKind, Misuse, Operation, Progress, Status};

use super::super::Sabotage;
use super::super::hooks::{
    BufferedMore, DeafToEof, ForgetsUnread, OnHandshake, OnRead, OnResult, OnShutdown, OnWrite,
    PendingNothing, ReadsAhead, ShutsDownOnDrop,
};
use super::idle;

/// A bound on pending output that is none, in bytes.
const HUGE: usize = 16 * 1024 * 1024;

thread_local! {
    /// What a session has left behind on the thread.
    static LEFT_BEHIND: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Whether an error is this alert of the peer's.
fn is_from_peer(error: &Error, description: AlertDescription) -> bool {
    error.alert().is_some_and(|alert| {
        alert.direction == AlertDirection::Received && alert.description == description
    })
}

pub(super) static SABOTAGES: &[Sabotage] = &[
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
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                let mut progress = call.read(buffer)?;
                if progress.status == Status::WantRead {
                    progress.status = Status::Closed;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K2", "nothing to deliver is an end")
    },
    Sabotage {
        hook: || {
            Box::new(OnHandshake::new(|call| match call.handshake() {
                Err(error) if is_from_peer(&error, AlertDescription::CLOSE_NOTIFY) => {
                    idle(Status::Closed)
                }
                result => result,
            }))
        },
        ..Sabotage::new("K2", "a close_notify that nobody authenticated is an end")
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
        hook: || {
            Box::new(OnWrite::new(|call, data| {
                call.write(&data[..data.len().min(1_000)])
            }))
        },
        ..Sabotage::new("K16", "records are small")
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
        hook: || Box::new(ReadsAhead::default()),
        ..Sabotage::new(
            "K4",
            "all that arrives is taken in, whether it is read or not",
        )
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
        hook: || Box::new(ReadsAhead::default()),
        ..Sabotage::new("K5", "a failure overtakes the data before it")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| match call.read(buffer) {
                Err(error) if is_from_peer(&error, AlertDescription::CERTIFICATE_UNKNOWN) => {
                    idle(Status::WantRead)
                }
                result => result,
            }))
        },
        only_case: Some("alerts.other_alerts_are_fatal_in_tls13"),
        ..Sabotage::new("K5", "an alert sent as a warning is ignored in TLS 1.3")
    },
    Sabotage {
        hook: || {
            let mut delivered = false;
            Box::new(OnRead::new(move |call, buffer| match call.read(buffer) {
                Err(error)
                    if error.kind() == ErrorKind::Protocol && !buffer.is_empty() && !delivered =>
                {
                    delivered = true;
                    buffer[0] = b'?';
                    Ok(Progress::new(Status::Complete, 0, 1))
                }
                result => result,
            }))
        },
        ..Sabotage::new("K5", "a changed record is delivered")
    },
    Sabotage {
        hook: || {
            Box::new(OnRead::new(|call, buffer| match call.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Protocol => idle(Status::Closed),
                result => result,
            }))
        },
        ..Sabotage::new("K5", "a changed record reads as closed")
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
            Box::new(OnHandshake::new(|call| {
                let mut progress = call.handshake()?;
                if let (Status::Complete, Some(length)) = (progress.status, call.input_length()) {
                    progress.consumed = length;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K6", "data behind the Finished is dropped")
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
        hook: || {
            Box::new(OnRead::new(|call, buffer| {
                let progress = call.read(buffer)?;
                if progress.status == Status::Closed {
                    let _ = call.shutdown()?;
                }
                Ok(progress)
            }))
        },
        ..Sabotage::new("K7", "the peer's close_notify is answered unasked")
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
];
