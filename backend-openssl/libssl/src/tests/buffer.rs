//! Moving bytes without I/O: would-block at each byte, spilling, the bound.

use tls_core::{BufferSession, ErrorKind, Misuse, Role, Session, Status};

use super::{FLIGHT, checked, drained, flight, fresh, open, status};
use crate::mock::{DATA, HANDSHAKE, REPLY, WANTS_REPLY, leave_error, record};

#[test]
fn a_handshake_stops_and_goes_on_at_every_byte() {
    for role in [Role::Client, Role::Server] {
        for (input_step, output_step, bound) in [
            (1, 1, 1),
            (1, 5000, 65536),
            (3000, 1, 1),
            (7, 11, 100),
            (9000, 9000, 65536),
        ] {
            let mut session = fresh(role, bound);
            let mut input = flight();
            input.extend(record(DATA, b"behind"));
            let (mut consumed, mut sent) = (0, Vec::new());
            let mut output = vec![0; output_step];
            let mut calls = 0;
            loop {
                let end = input.len().min(consumed + input_step);
                let given = end - consumed;
                let held = session.pending_output();
                let progress =
                    checked(session.handshake(&mut input[consumed..end], &mut output)).unwrap();
                assert!(progress.consumed <= given && progress.produced <= output_step);
                if held > output_step {
                    assert_eq!(progress.consumed, 0, "output goes first");
                }
                consumed += progress.consumed;
                sent.extend_from_slice(&output[..progress.produced]);
                match progress.status {
                    Status::Complete => break,
                    Status::WantRead => assert_eq!(session.pending_output(), 0),
                    Status::WantWrite => assert!(session.pending_output() > 0),
                    other => panic!("{other:?}"),
                }
                assert!(session.pending_output() <= bound + 1005);
                calls += 1;
                assert!(calls < 20_000, "it does not end");
            }
            assert_eq!(consumed, flight().len(), "what is behind stays");
            assert_eq!(sent, flight());
            let again = session
                .handshake(&mut input[consumed..], &mut output)
                .unwrap();
            assert_eq!((again.status, again.consumed), (Status::Complete, 0));
        }
    }
}

#[test]
fn only_the_handshake_comes_before_its_end() {
    let mut session = fresh(Role::Client, 100);
    let kind = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    let results = [
        session.read(&mut [], &mut [0]),
        session.write(b"a", &mut []),
        session.shutdown(&mut []),
    ];
    for result in results {
        assert_eq!(result.unwrap_err().kind(), kind);
    }
    assert!(session.facts().is_none());
    assert_eq!(session.buffered(), 0);
}

#[test]
fn data_comes_out_in_pieces_of_any_size() {
    let stream = [
        record(DATA, &[1; 300]),
        record(HANDSHAKE, b"ticket"),
        record(DATA, b""),
        record(DATA, &[2; 20]),
    ]
    .concat();
    for given in [1, 4, 100, 10_000] {
        for room in [1, 7, 1000] {
            let mut session = open(65536);
            let mut input = stream.clone();
            let (mut consumed, mut received) = (0, Vec::new());
            let mut plaintext = vec![0; room];
            while consumed < input.len() || received.len() < 320 {
                let end = input.len().min(consumed + given);
                let progress =
                    checked(session.read(&mut input[consumed..end], &mut plaintext)).unwrap();
                consumed += progress.consumed;
                received.extend_from_slice(&plaintext[..progress.produced]);
                match progress.status {
                    Status::Complete => assert!(progress.produced > 0),
                    Status::WantRead => {
                        assert_eq!(progress.produced, 0);
                        assert_eq!((consumed, session.buffered()), (end, 0));
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(received, [vec![1; 300], vec![2; 20]].concat());
        }
    }
}

#[test]
fn empty_buffers_do_not_reach_the_engine() {
    let mut session = open(65536);
    leave_error(99);
    let mut input = record(DATA, b"data");
    let read = session.read(&mut input, &mut []).unwrap();
    assert_eq!((read.status, read.consumed), (Status::Complete, 0));
    let written = session.write(&[], &mut [0; 10]).unwrap();
    assert_eq!((written.status, written.produced), (Status::Complete, 0));
    assert_eq!(
        crate::mock::errors_left(),
        1,
        "no entry ritual was performed"
    );
    // The next call does, and what was left there does it no harm.
    let read = checked(session.read(&mut input, &mut [0; 10])).unwrap();
    assert_eq!((read.status, read.produced), (Status::Complete, 4));
}

#[test]
fn writing_spills_up_to_the_bound_and_no_further() {
    for bound in [1, 1000, 16_384, 65_536, 100_000] {
        let mut session = open(bound);
        let data: Vec<u8> = (0..200_000u32).map(|place| (place % 253) as u8).collect();
        let (mut taken, mut sent) = (0, Vec::new());
        let mut output = vec![0; 777];
        while taken < data.len() {
            let progress = checked(session.write(&data[taken..], &mut output)).unwrap();
            taken += progress.consumed;
            sent.extend_from_slice(&output[..progress.produced]);
            assert!(session.pending_output() <= bound + 16_384 + 5);
            match progress.status {
                Status::Complete => assert!(progress.consumed > 0),
                Status::WantWrite => {
                    assert_eq!(progress.consumed, 0);
                    assert!(session.pending_output() >= bound);
                }
                other => panic!("{other:?}"),
            }
        }
        sent.extend(drained(&mut session));
        let expected: Vec<u8> = data
            .chunks(16_384)
            .flat_map(|chunk| record(DATA, chunk))
            .collect();
        assert!(sent == expected, "bound {bound}");
    }
}

#[test]
fn reading_does_not_wait_for_what_write_accepted() {
    let mut session = open(1000);
    let written = session.write(&[5; 50_000], &mut []).unwrap();
    assert_eq!(written.consumed, 16_384);
    let mut plaintext = [0; 10];
    // Data, and then requests whose replies find the bound reached, have the reserve.
    let mut replies = 0;
    loop {
        let mut input = [record(HANDSHAKE, &[WANTS_REPLY]), record(DATA, b"data")].concat();
        let progress = checked(session.read(&mut input, &mut plaintext)).unwrap();
        if progress.status == Status::WantWrite {
            assert_eq!(progress.produced, 0);
            break;
        }
        assert_eq!((progress.status, progress.produced), (Status::Complete, 4));
        replies += 1;
        assert!(replies < 1000, "replies pile up without end");
    }
    let reserve = session.pending_output() - 16_389;
    assert!((4096..4096 + 25).contains(&reserve), "{reserve}");
    assert_eq!(
        status(session.read(&mut [], &mut plaintext)),
        Status::WantWrite
    );
    // With room again the reply that was refused leaves, and reading goes on.
    let output = drained(&mut session);
    assert_eq!(output.len(), 16_389 + reserve);
    assert_eq!(
        status(session.read(&mut [], &mut plaintext)),
        Status::WantRead
    );
    assert_eq!(drained(&mut session), record(HANDSHAKE, &[REPLY; 20]));
}

#[test]
fn one_call_reads_several_records_but_waits_for_none() {
    let mut session = open(65536);
    let mut input = [
        record(DATA, b"one"),
        record(DATA, b"two"),
        record(DATA, b"three"),
    ]
    .concat();
    let whole = input.len();
    let mut plaintext = [0; 100];
    let progress = checked(session.read(&mut input[..whole - 1], &mut plaintext)).unwrap();
    assert_eq!(&plaintext[..progress.produced], b"onetwo");
    assert_eq!(progress.consumed, 16);
    assert_eq!(FLIGHT, 3);
}
