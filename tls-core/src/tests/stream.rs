//! [`TlsStream`] over pipes in memory.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use super::mock::{ALERT, DATA, GARBAGE, HANDSHAKE, Mock, client, open, record, server};
use super::transport::{End, Limits, pair};
use crate::error::{Error, ErrorKind, Misuse};
use crate::session::{BufferSession, Session};
use crate::status::Status;
use crate::stream::TlsStream;

type Stream = TlsStream<End, Mock>;

fn streams() -> (Stream, Stream) {
    let (near, far) = pair();
    (
        TlsStream::new(client(), near),
        TlsStream::new(server(), far),
    )
}

fn connected() -> (Stream, Stream) {
    let (mut near, mut far) = streams();
    assert!(blocked(near.handshake()));
    assert!(blocked(far.handshake()));
    near.handshake().unwrap();
    far.handshake().unwrap();
    (near, far)
}

fn blocked<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
        Err(error) => panic!("{error}"),
    }
}

fn kind(error: &io::Error) -> ErrorKind {
    let inner = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    inner.kind()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Both sides send a message, end it and read the other's to its end.
fn exchange(near: &mut Stream, far: &mut Stream, message: &[u8]) {
    let side = |stream| (stream, Vec::<u8>::new(), 0, false);
    let mut sides = [side(near), side(far)];
    for _ in 0..100_000 {
        let mut done = true;
        for (stream, received, sent, ended) in &mut sides {
            if *sent < message.len() {
                match stream.write(&message[*sent..]) {
                    Ok(count) => *sent += count,
                    other => assert!(blocked(other)),
                }
            } else {
                let status = stream.shutdown();
                assert!(status.is_ok() || blocked(status));
            }
            let mut piece = [0; 1_000];
            match stream.read(&mut piece) {
                Ok(0) => *ended = true,
                Ok(count) => received.extend(&piece[..count]),
                other => assert!(blocked(other)),
            }
            done &= *ended && *sent == message.len() && stream.session().close_notify_sent();
        }
        if done {
            for (_, received, ..) in &sides {
                assert!(received == message);
            }
            return;
        }
    }
    panic!("no end");
}

#[test]
fn a_block_at_every_byte_loses_nothing() {
    let message = pattern(40);
    let (mut near, mut far) = streams();
    exchange(&mut near, &mut far, &message);
    let (read, written) = near.transport().moved();
    for at in 0..read.max(written) {
        let (mut near, mut far) = streams();
        for stream in [&mut near, &mut far] {
            stream.transport_mut().limits = Limits {
                read_pause: Some(at),
                write_pause: Some(at),
                ..Limits::default()
            };
        }
        exchange(&mut near, &mut far, &message);
    }
}

#[test]
fn short_and_interrupted_transports_lose_nothing() {
    for (piece, capacity, length) in [(1, 1, 300), (7, 11, 3_000), (5_000, 9_999, 300_000)] {
        let (mut near, mut far) = streams();
        for stream in [&mut near, &mut far] {
            stream.transport_mut().limits = Limits {
                piece,
                capacity,
                interrupts: Some(false),
                ..Limits::default()
            };
        }
        exchange(&mut near, &mut far, &pattern(length));
    }
}

#[test]
fn the_first_read_or_write_performs_the_handshake() {
    let (mut near, mut far) = streams();
    assert!(blocked(near.write(b"early")));
    assert!(blocked(far.read(&mut [0; 9])));
    assert_eq!(near.write(b"early").unwrap(), 5);
    let mut buffer = [0; 9];
    assert_eq!(far.read(&mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"early");
}

#[test]
fn shutdown_before_the_handshake_is_misuse() {
    let (mut near, _far) = streams();
    let error = near.shutdown().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn only_a_close_notify_is_an_end() {
    let (mut near, mut far) = connected();
    assert_eq!(near.write(b"last").unwrap(), 4);
    near.transport().close();
    let mut buffer = [0; 9];
    assert_eq!(far.read(&mut buffer).unwrap(), 4, "data goes first");
    for _ in 0..3 {
        let error = far.read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&error), ErrorKind::Truncated);
    }

    let (mut near, mut far) = connected();
    assert_eq!(near.shutdown().unwrap(), Status::Complete);
    near.transport().close();
    assert_eq!(far.read(&mut buffer).unwrap(), 0);
    assert_eq!(far.write(b"still").unwrap(), 5, "half-close");
    assert_eq!(far.shutdown().unwrap(), Status::Closed);
    assert_eq!(near.read(&mut buffer).unwrap(), 5);
    assert_eq!(near.read(&mut buffer).unwrap(), 0);
    assert_eq!(near.shutdown().unwrap(), Status::Closed);
}

#[test]
fn a_transport_that_ends_in_the_handshake_truncates_it() {
    let (mut near, far) = streams();
    far.transport().put(&record(HANDSHAKE, b"hello")[..3]);
    far.transport().close();
    for _ in 0..2 {
        let error = near.handshake().unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Truncated);
    }
    assert!(near.session().facts().is_none());
}

#[test]
fn the_alert_leaves_before_the_error() {
    let (mut near, mut far) = connected();
    near.transport_mut().limits.capacity = 0;
    far.transport_mut().put(&record(GARBAGE, b"?"));
    let mut buffer = [0; 9];
    for _ in 0..3 {
        assert!(blocked(near.read(&mut buffer)), "the alert cannot leave");
    }
    near.transport_mut().limits.capacity = usize::MAX;
    let error = near.read(&mut buffer).unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Protocol);
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(far.transport().take_all(), record(ALERT, &[2, 10]));
    assert_eq!(kind(&near.write(b"x").unwrap_err()), ErrorKind::Protocol);
    near.flush().unwrap();
}

#[test]
fn the_alert_of_a_failed_handshake_leaves_too() {
    let (mut near, far) = streams();
    far.transport().put(&record(GARBAGE, b"?"));
    assert_eq!(kind(&near.handshake().unwrap_err()), ErrorKind::Protocol);
    let sent = [record(HANDSHAKE, b"hello"), record(ALERT, &[2, 10])].concat();
    assert_eq!(far.transport().take_all(), sent);
}

#[test]
fn a_session_s_error_is_not_hidden_by_its_transport_s() {
    let (mut near, far) = connected();
    let (_, written) = near.transport().moved();
    near.transport_mut().limits.write_failure = Some((written, io::ErrorKind::BrokenPipe));
    far.transport().put(&record(GARBAGE, b"?"));
    for _ in 0..2 {
        let error = near.read(&mut [0; 9]).unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Protocol);
    }
    assert_eq!(kind(&near.flush().unwrap_err()), ErrorKind::Reset);
}

#[test]
fn what_was_taken_is_counted_and_the_error_comes_next() {
    let (mut near, _far) = connected();
    let (_, written) = near.transport().moved();
    near.transport_mut().limits.write_failure =
        Some((written + 100, io::ErrorKind::PermissionDenied));
    assert_eq!(near.write(&[1; 1_000]).unwrap(), 1_000);
    for _ in 0..2 {
        let error = near.write(&[1; 1_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(kind(&error), ErrorKind::Io);
    }
    assert!(near.read(&mut [0; 9]).is_err());
}

#[test]
fn a_failure_in_the_middle_of_a_write_comes_next_too() {
    let (mut near, _far) = connected();
    let (_, written) = near.transport().moved();
    near.transport_mut().limits.write_failure = Some((written + 100, io::ErrorKind::BrokenPipe));
    let taken = near.write(&[1; 200_000]).unwrap();
    assert!((1..200_000).contains(&taken), "{taken}");
    let error = near.write(&[1; 1_000]).unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Reset);
}

#[test]
fn a_blocked_write_takes_up_to_the_bound_and_flush_goes_on() {
    let (mut near, mut far) = connected();
    near.transport_mut().limits.capacity = 100;
    let message = pattern(1 << 20);
    let taken = near.write(&message).unwrap();
    assert!(
        (64 * 1024..=64 * 1024 + (1 << 14) + 100).contains(&taken),
        "{taken}"
    );
    assert!(blocked(near.write(&message)), "nothing more is taken");
    assert!(blocked(near.flush()));
    near.transport_mut().limits.capacity = usize::MAX;
    near.flush().unwrap();
    let mut received = vec![0; taken];
    far.read_exact(&mut received).unwrap();
    assert!(received == message[..taken]);
    assert!(blocked(far.read(&mut received)));
}

#[test]
fn slices_travel_as_one_message() {
    let (mut near, mut far) = connected();
    let message = pattern(100_000);
    let slices: Vec<_> = message.chunks(100).map(IoSlice::new).collect();
    assert_eq!(near.write_vectored(&slices).unwrap(), message.len());
    assert_eq!(near.session().records, message.len().div_ceil(1 << 14));
    let (mut first, mut second, mut third) = (vec![0; 10], vec![0; 40_000], vec![0; 90_000]);
    let count = far
        .read_vectored(&mut [
            IoSliceMut::new(&mut first),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut second),
            IoSliceMut::new(&mut third),
        ])
        .unwrap();
    let received = [first, second, third].concat();
    assert!(count > 40_010, "all three are used: {count}");
    assert!(received[..count] == message[..count], "without gaps");
    assert_eq!(near.write_vectored(&[]).unwrap(), 0);
    assert_eq!(far.read_vectored(&mut []).unwrap(), 0);
}

#[test]
fn a_vectored_read_that_has_bytes_does_not_wait_for_more() {
    let (mut near, far) = connected();
    let records = [record(DATA, b"data"), record(HANDSHAKE, b"a ticket")].concat();
    far.transport().put(&records);
    let before = near.transport().reads;
    let (mut first, mut second) = ([0; 4], [0; 4]);
    let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(near.read_vectored(&mut buffers).unwrap(), 4);
    assert_eq!(&first, b"data");
    assert_eq!(near.transport().reads, before + 1);
}

#[test]
fn what_follows_the_close_notify_is_handed_back() {
    let (mut near, mut far) = connected();
    near.shutdown().unwrap();
    near.transport_mut().write_all(b"in the clear").unwrap();
    assert_eq!(far.read(&mut [0; 9]).unwrap(), 0);
    let parts = far.into_parts();
    assert_eq!(parts.received, b"in the clear");
    assert!(parts.unsent.is_empty());
}

#[test]
fn unsent_ciphertext_is_handed_back() {
    let (mut near, far) = connected();
    near.transport_mut().limits.capacity = 20;
    let message = pattern(200_000);
    let taken = near.write(&message).unwrap();
    let parts = near.into_parts();
    assert_eq!(parts.session.pending_output(), 0);
    let wire = [far.transport().take_all(), parts.unsent].concat();
    assert!(open(&wire).0 == message[..taken]);
}

#[test]
fn a_stream_over_a_stream() {
    let (near, far) = pair();
    let outer: Box<dyn BufferSession> = Box::new(client());
    let mut near = TlsStream::new(client(), TlsStream::new(outer, near));
    let mut far = TlsStream::new(server(), TlsStream::new(server(), far));
    near.transport_mut().transport_mut().limits.capacity = 50;
    let mut sent = 0;
    let mut received: Vec<u8> = Vec::new();
    let message = pattern(5_000);
    for _ in 0..10_000 {
        match near.write(&message[sent..]) {
            Ok(count) => sent += count,
            other => assert!(blocked(other)),
        }
        let flushed = near.flush();
        assert!(flushed.is_ok() || blocked(flushed));
        let mut piece = [0; 512];
        match far.read(&mut piece) {
            Ok(count) => received.extend(&piece[..count]),
            other => assert!(blocked(other)),
        }
    }
    assert!(received == message);
}

/// Whichever answer it waits for: reading, writing and the handshake say so until it is there.
#[test]
fn a_session_that_waits_after_its_handshake_goes_on_with_the_answer() {
    let (mut near, mut far) = connected();
    far.write_all(b"behind").unwrap();
    for verdict in [false, true] {
        let lifecycle = &mut near.session_mut().lifecycle;
        match verdict {
            true => lifecycle.suspend_for_validation(Vec::new(), Ok(()), 0),
            false => lifecycle.suspend_for_credentials(Vec::new(), 0),
        };
        for _ in 0..2 {
            let read = near.read(&mut [0; 9]).map(drop);
            let write = near.write(b"early").map(drop);
            for waits in [read, write, near.handshake(), near.shutdown().map(drop)] {
                let error = waits.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::Other);
                assert!(
                    error.to_string().starts_with("the session waits"),
                    "{error}"
                );
            }
        }
        let lifecycle = &mut near.session_mut().lifecycle;
        match verdict {
            true => lifecycle.resolve_validation().unwrap(),
            false => lifecycle.resolve_credentials().unwrap(),
        }
        near.handshake().unwrap();
    }
    let mut data = [0; 6];
    near.read_exact(&mut data).unwrap();
    assert_eq!(&data, b"behind");
}

#[test]
fn a_request_for_new_keys_is_sent_in_its_place() {
    let (mut near, far) = connected();
    near.write_all(b"before").unwrap();
    near.request_key_update().unwrap();
    assert_eq!(near.session().pending_output(), 0);
    near.write_all(b"after").unwrap();
    near.flush().unwrap();
    let sent = far.transport().take_all();
    let expected = [
        record(DATA, b"before"),
        record(HANDSHAKE, b"update"),
        record(DATA, b"after"),
    ];
    assert_eq!(sent, expected.concat());
}

#[test]
fn a_request_for_new_keys_waits_for_the_transport_only_with_what_it_has_queued() {
    let (mut near, far) = connected();
    near.transport_mut().limits.capacity = 0;
    // Queued, though nothing of it leaves.
    near.request_key_update().unwrap();
    while near.write(&pattern(1_000)).is_ok() {}
    assert!(blocked(near.request_key_update()), "there is no room");
    near.transport_mut().limits.capacity = usize::MAX;
    near.request_key_update().unwrap();
    let sent = far.transport().take_all();
    let update = record(HANDSHAKE, b"update");
    assert!(sent.starts_with(&update) && sent.ends_with(&update));
}

#[test]
fn a_request_for_new_keys_out_of_place_is_refused() {
    let (mut near, _far) = streams();
    let early = near.request_key_update().unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::InvalidInput);
    let (mut near, _far) = connected();
    for _ in 0..16 {
        near.request_key_update().unwrap();
    }
    let many = near.request_key_update().unwrap_err();
    assert_eq!(kind(&many), ErrorKind::Misuse(Misuse::TooManyKeyUpdates));
    assert_eq!(many.kind(), io::ErrorKind::InvalidInput);
    near.write_all(b"data").unwrap();
    near.shutdown().unwrap();
    let late = near.request_key_update().unwrap_err();
    assert_eq!(kind(&late), ErrorKind::Misuse(Misuse::WriteAfterShutdown));
}
