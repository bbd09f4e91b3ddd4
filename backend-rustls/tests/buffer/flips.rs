//! A changed byte anywhere on the way is an error on both ends or harmless, never a panic or a
//! loop.

use tls_core::{BufferSession, ErrorKind, Progress, Result, Session, Status};

use crate::pair::{End, Pair, VERSIONS, contexts};

/// The distance of one changed byte to the next: the whole of it takes seconds.
const STRIDE: usize = 29;

#[test]
fn a_changed_byte_never_panics_and_always_ends() {
    for version in VERSIONS {
        let (client, server) = contexts(version);
        let mut changed = 0;
        while run_changed(&mut Pair::new(&client, &server), changed) {
            changed += STRIDE;
        }
        assert!(changed > 700, "a handshake has more bytes than {changed}");
    }
}

/// Hands both ends each other's bytes, one of them changed: the one at this place in all that is
/// sent. `false` if not so many are sent.
fn run_changed(pair: &mut Pair, changed: usize) -> bool {
    let mut sent = 0;
    let mut ended = [false; 2];
    for _ in 0..100 {
        let mut moved = false;
        for index in 0..2 {
            let (from, to) = match index {
                0 => (&mut pair.client, &mut pair.server),
                _ => (&mut pair.server, &mut pair.client),
            };
            if ended[index] {
                continue;
            }
            let mut output = Vec::new();
            match step(from, &mut output) {
                Ok(progress) => moved |= progress.consumed > 0 || !output.is_empty(),
                Err(error) => {
                    assert!(!matches!(
                        error.kind(),
                        ErrorKind::Backend | ErrorKind::Misuse(_) | ErrorKind::Config(_)
                    ));
                    ended[index] = true;
                    moved = true;
                }
            }
            if let Some(byte) = changed
                .checked_sub(sent)
                .and_then(|place| output.get_mut(place))
            {
                *byte ^= 0x41;
            }
            sent += output.len();
            to.inbox.extend(output);
            if ended[index] && !ended[1 - index] {
                finish(to);
                ended[1 - index] = true;
            }
        }
        if !moved {
            return sent > changed;
        }
    }
    panic!("no end with byte {changed} changed");
}

/// Has an end use up what its peer has sent before the transport ended.
fn finish(end: &mut End) {
    while let Ok(progress) = step(end, &mut Vec::new()) {
        if progress.status == Status::WantRead {
            end.session.input_eof();
        }
    }
    assert!(end.session.failure().is_some());
}

/// Shakes hands, or reads once that is done.
fn step(end: &mut End, output: &mut Vec<u8>) -> Result<Progress> {
    let mut room = [0; 20_000];
    let progress = if end.session.is_handshake_complete() {
        end.session.read(&mut end.inbox, &mut room)?
    } else {
        let progress = end.session.handshake(&mut end.inbox, &mut room)?;
        output.extend_from_slice(&room[..progress.produced]);
        progress
    };
    end.inbox.drain(..progress.consumed);
    if progress.status == Status::WantWrite {
        output.extend(end.drained());
    }
    Ok(progress)
}
