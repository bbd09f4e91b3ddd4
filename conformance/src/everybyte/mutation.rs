//! Changes to records on their way, all of them told by a seed.

use std::collections::VecDeque;

use super::random::Random;
use super::records::{HEADER, body, content_type, take_whole, with_body};
use crate::forge::content_type::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE};
use crate::pair::Side;

/// What a change may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Harm {
    /// The receiver may not even see it: the same bytes in other pieces.
    None,
    /// Either.
    Possible,
    /// Authenticated bytes are not what they were: the receiver must not come to a clean end.
    Certain,
}

/// What is done to one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    FlipBits,
    FlipHeader,
    SetType,
    SetLength,
    Drop,
    Duplicate,
    SwapWithNext,
    CutTail,
    CutTailAndSay,
    ReplaceByStranger,
    InsertStranger,
    InsertBytes,
    InsertForged,
    Flood,
    DeleteBytes,
    Extend,
    Overwrite,
    Reflect,
    Split,
    JoinWithNext,
}

impl What {
    pub(super) const ALL: &[Self] = &[
        Self::FlipBits,
        Self::FlipHeader,
        Self::SetType,
        Self::SetLength,
        Self::Drop,
        Self::Duplicate,
        Self::SwapWithNext,
        Self::CutTail,
        Self::CutTailAndSay,
        Self::ReplaceByStranger,
        Self::InsertStranger,
        Self::InsertBytes,
        Self::InsertForged,
        Self::Flood,
        Self::DeleteBytes,
        Self::Extend,
        Self::Overwrite,
        Self::Reflect,
        Self::Split,
        Self::JoinWithNext,
    ];
}

/// One change: to which record, and what.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The side whose record it is.
    pub(super) from: Side,
    /// The number of the record among those of the side.
    pub(super) index: usize,
    pub(super) what: What,
    random: Random,
}

impl Change {
    /// A change to one of so many records of the client and of the server.
    pub(super) fn choose(random: &mut Random, records: [usize; 2]) -> Self {
        let at = random.below(records[0] + records[1]);
        let (from, index) = match at.checked_sub(records[0]) {
            None => (Side::Client, at),
            Some(index) => (Side::Server, index),
        };
        Self {
            from,
            index,
            what: random.one_of(What::ALL),
            random: Random::new(random.number()),
        }
    }

    #[cfg(test)]
    fn of(what: What, index: usize, seed: u64) -> Self {
        Self {
            from: Side::Client,
            index,
            what,
            random: Random::new(seed),
        }
    }
}

/// Records of another connection.
pub(super) type Strangers = [Vec<Vec<u8>>; 2];

/// Makes changes to what one side sends.
pub(super) struct Tamper {
    changes: Vec<Change>,
    strangers: Strangers,
    stream: Vec<u8>,
    number: usize,
    /// A record that waits for the next, and what it waits for.
    held: Option<(Vec<u8>, What)>,
    tls13: bool,
    /// A ChangeCipherSpec was sent.
    changed_cipher: bool,
    /// What goes back to the sender.
    pub(super) reflected: VecDeque<Vec<u8>>,
    /// What was done, and the worst it may lead to.
    pub(super) done: Vec<(What, Harm)>,
}

impl Tamper {
    pub(super) fn new(tls13: bool, changes: Vec<Change>, strangers: Strangers) -> Self {
        Self {
            changes,
            strangers,
            stream: Vec::new(),
            number: 0,
            held: None,
            tls13,
            changed_cipher: false,
            reflected: VecDeque::new(),
            done: Vec::new(),
        }
    }

    /// What is sent on instead of these bytes of the sender.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.stream.extend_from_slice(bytes);
        let mut out = Vec::new();
        for record in take_whole(&mut self.stream) {
            let number = self.number;
            self.number += 1;
            let change = self
                .changes
                .iter()
                .position(|change| change.index == number);
            let held = self.held.take();
            let made = match change {
                Some(at) => {
                    let change = self.changes.swap_remove(at);
                    self.make(change, &record)
                }
                None => record.clone(),
            };
            self.changed_cipher |= content_type(&record) == CHANGE_CIPHER_SPEC;
            match held {
                Some((first, What::JoinWithNext)) => out.extend(self.join(first, made)),
                Some((first, _)) => {
                    out.extend(made);
                    out.extend(first);
                }
                None => out.extend(made),
            }
        }
        out
    }

    /// Whether a record is a plaintext handshake message, of which the pieces do not matter. In TLS
    /// 1.3 what is sealed says that it is application data.
    fn is_open(&self, record: &[u8]) -> bool {
        content_type(record) == HANDSHAKE && (self.tls13 || !self.changed_cipher)
    }

    /// Two records as one, where the protocol allows that.
    fn join(&mut self, first: Vec<u8>, second: Vec<u8>) -> Vec<u8> {
        // The first was open when it came; the second must be a whole record still.
        if !self.is_open(&second) || first.len() + second.len() > 16_000 {
            return [first, second].concat();
        }
        let mut rest = second;
        let mut joined = body(&first).to_vec();
        let records = take_whole(&mut rest);
        for record in records.iter().take(1) {
            joined.extend_from_slice(body(record));
        }
        let mut out = with_body(&first, &joined);
        out.extend(records.into_iter().skip(1).flatten());
        out.extend(rest);
        out
    }

    fn make(&mut self, change: Change, record: &[u8]) -> Vec<u8> {
        let Change {
            what, mut random, ..
        } = change;
        let random = &mut random;
        let authenticated = matches!(content_type(record), ALERT | HANDSHAKE | APPLICATION_DATA)
            && !body(record).is_empty();
        let certain = |changed: bool| match authenticated && changed {
            true => Harm::Certain,
            false => Harm::Possible,
        };
        let (made, harm) = match what {
            What::FlipBits => {
                let made = flip(record, HEADER..record.len(), 1 + random.below(4), random);
                let changed = made != record;
                (made, certain(changed))
            }
            What::FlipHeader => {
                let made = flip(record, 0..HEADER, 1 + random.below(2), random);
                (made, Harm::Possible)
            }
            What::SetType => {
                let mut made = record.to_vec();
                made[0] = random.one_of(&[0, 20, 21, 22, 23, 24, 25, 99, 128, 255]);
                (made, Harm::Possible)
            }
            What::SetLength => (set_length(record, random), Harm::Possible),
            What::Drop => (Vec::new(), certain(true)),
            What::Duplicate => (record.repeat(2 + random.below(3)), Harm::Possible),
            What::SwapWithNext => {
                self.held = Some((record.to_vec(), what));
                (Vec::new(), Harm::Possible)
            }
            What::CutTail => {
                let kept = HEADER + random.below(record.len() - HEADER);
                (record[..kept].to_vec(), certain(kept < record.len()))
            }
            What::CutTailAndSay => {
                let body = body(record);
                let kept = random.below(body.len());
                let made = with_body(record, &body[..kept]);
                (made, certain(kept < body.len()))
            }
            What::ReplaceByStranger => {
                let made = self.stranger(random).unwrap_or_default();
                let changed = made != record;
                (made, certain(changed))
            }
            What::InsertStranger => {
                let mut made = self.stranger(random).unwrap_or_default();
                made.extend_from_slice(record);
                (made, Harm::Possible)
            }
            What::InsertBytes => {
                let mut made = record.to_vec();
                let at = random.below(record.len() + 1);
                let length = 1 + random.below(40);
                made.splice(at..at, random.bytes(length));
                (made, Harm::Possible)
            }
            What::InsertForged => {
                let mut made = forged(random);
                made.extend_from_slice(record);
                (made, Harm::Possible)
            }
            What::Flood => {
                let mut made = forged(random).repeat(2 + random.below(200));
                made.extend_from_slice(record);
                (made, Harm::Possible)
            }
            What::DeleteBytes => {
                let mut made = record.to_vec();
                let at = random.below(record.len());
                let end = (at + 1 + random.below(20)).min(record.len());
                made.drain(at..end);
                (made, Harm::Possible)
            }
            What::Extend => {
                let length = 1 + random.below(300);
                let mut longer = body(record).to_vec();
                longer.extend(random.bytes(length));
                (with_body(record, &longer), Harm::Possible)
            }
            What::Overwrite => {
                let byte = random.one_of(&[0, 0xff, random.clone().byte()]);
                let made = with_body(record, &vec![byte; body(record).len()]);
                let changed = made != record;
                (made, certain(changed))
            }
            What::Reflect => {
                self.reflected.push_back(record.to_vec());
                (record.to_vec(), Harm::Possible)
            }
            What::Split => self.split(record, random),
            What::JoinWithNext => {
                if !self.is_open(record) {
                    (record.to_vec(), Harm::None)
                } else {
                    self.held = Some((record.to_vec(), what));
                    (Vec::new(), Harm::Possible)
                }
            }
        };
        self.done.push((what, harm));
        made
    }

    /// One record as two. The pieces of open handshake messages do not matter (RFC 8446 section
    /// 5.1, RFC 5246 section 6.2.1).
    fn split(&self, record: &[u8], random: &mut Random) -> (Vec<u8>, Harm) {
        let body = body(record);
        if body.len() < 2 {
            return (record.to_vec(), Harm::None);
        }
        let (first, second) = body.split_at(1 + random.below(body.len() - 1));
        let made = [with_body(record, first), with_body(record, second)].concat();
        let harm = if self.is_open(record) {
            Harm::None
        } else {
            Harm::Certain
        };
        (made, harm)
    }

    /// A record of another connection, of either side.
    fn stranger(&self, random: &mut Random) -> Option<Vec<u8>> {
        let records = &self.strangers[random.below(2)];
        records.get(random.below(records.len())).cloned()
    }
}

fn flip(
    record: &[u8],
    range: std::ops::Range<usize>,
    times: usize,
    random: &mut Random,
) -> Vec<u8> {
    let mut made = record.to_vec();
    if range.is_empty() {
        return made;
    }
    for _ in 0..times {
        let at = range.start + random.below(range.len());
        made[at] ^= 1 << random.below(8);
    }
    made
}

fn set_length(record: &[u8], random: &mut Random) -> Vec<u8> {
    let length = body(record).len();
    let length = match random.below(4) {
        0 => length.wrapping_add(1 + random.below(64)),
        1 => length.wrapping_sub(1 + random.below(64)),
        2 => random.one_of(&[
            0, 1, 2, 16_384, 16_385, 16_640, 16_641, 18_432, 18_433, 65_535,
        ]),
        _ => random.below(65_536),
    };
    let mut made = record.to_vec();
    made[HEADER - 2..HEADER].copy_from_slice(&(length as u16).to_be_bytes());
    made
}

/// A record that nobody sealed.
fn forged(random: &mut Random) -> Vec<u8> {
    let (kind, body) = match random.below(12) {
        0 => (ALERT, vec![1 + random.below(2) as u8, random.byte()]),
        // close_notify and user_canceled.
        1 => (
            ALERT,
            vec![1 + random.below(2) as u8, random.one_of(&[0, 90])],
        ),
        2 => (CHANGE_CIPHER_SPEC, vec![1]),
        3 => (CHANGE_CIPHER_SPEC, random.bytes(2)),
        // HelloRequest; KeyUpdate; a NewSessionTicket and a Finished of nonsense.
        4 => (HANDSHAKE, vec![0, 0, 0, 0]),
        5 => (HANDSHAKE, vec![24, 0, 0, 1, 1]),
        6 => (HANDSHAKE, [vec![4, 0, 0, 40], random.bytes(40)].concat()),
        7 => (HANDSHAKE, [vec![20, 0, 0, 32], random.bytes(32)].concat()),
        8 => (
            HANDSHAKE,
            [vec![random.byte(), 255, 255, 255], random.bytes(100)].concat(),
        ),
        9 => (APPLICATION_DATA, Vec::new()),
        10 => (
            APPLICATION_DATA,
            b"nobody has sealed this, whoever says so".to_vec(),
        ),
        _ => {
            let length = random.below(60);
            (random.byte(), random.bytes(length))
        }
    };
    let minor = random.one_of(&[3, 3, 3, 1, 4, 0]);
    with_body(&[kind, 3, minor, 0, 0], &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: [u8; 9] = [22, 3, 3, 0, 4, 1, 2, 3, 4];
    const DATA: [u8; 7] = [23, 3, 3, 0, 2, 8, 9];
    const CCS: [u8; 6] = [20, 3, 3, 0, 1, 1];

    fn passed(what: What, index: usize, seed: u64) -> (Vec<u8>, Vec<(What, Harm)>) {
        let strangers = [
            vec![vec![23, 3, 3, 0, 1, 77]],
            vec![vec![22, 3, 3, 0, 1, 78]],
        ];
        let mut tamper = Tamper::new(false, vec![Change::of(what, index, seed)], strangers);
        let mut out = tamper.pass(&HELLO);
        out.extend(tamper.pass(&CCS[..2]));
        out.extend(tamper.pass(&CCS[2..]));
        out.extend(tamper.pass(&DATA));
        (out, tamper.done)
    }

    fn original() -> Vec<u8> {
        [&HELLO[..], &CCS, &DATA].concat()
    }

    #[test]
    fn only_what_changes_something_is_said_to_harm() {
        for what in What::ALL {
            for (index, seed) in (0..3).flat_map(|index| (0..50).map(move |seed| (index, seed))) {
                let (out, done) = passed(*what, index, seed);
                let [(_, harm)] = done[..] else {
                    panic!("{what:?} was done {} times", done.len());
                };
                if harm == Harm::Certain {
                    assert_ne!(out, original(), "{what:?}, seed {seed}");
                    assert_ne!(
                        index, 1,
                        "{what:?}: a ChangeCipherSpec is not authenticated"
                    );
                }
            }
        }
    }

    #[test]
    fn every_change_but_new_pieces_changes_bytes() {
        for what in What::ALL {
            let changed = (0..50).any(|seed| passed(*what, 0, seed).0 != original());
            // Not what goes back to the sender, nor a record that has none to be joined with.
            let passes = matches!(what, What::Reflect | What::JoinWithNext);
            assert_eq!(changed, !passes, "{what:?}");
        }
    }

    #[test]
    fn a_record_that_does_not_come_is_not_changed() {
        let (out, done) = passed(What::Drop, 3, 1);
        assert_eq!(out, original());
        assert!(done.is_empty());
    }

    #[test]
    fn open_handshake_records_are_split_and_joined_without_harm() {
        let (out, done) = passed(What::Split, 0, 1);
        assert_eq!(done, [(What::Split, Harm::None)]);
        assert_eq!(out.len(), original().len() + HEADER);
        let mut tamper = Tamper::new(
            false,
            vec![Change::of(What::JoinWithNext, 0, 1)],
            [Vec::new(), Vec::new()],
        );
        assert!(tamper.pass(&HELLO).is_empty());
        assert_eq!(
            tamper.pass(&HELLO),
            [22, 3, 3, 0, 8, 1, 2, 3, 4, 1, 2, 3, 4]
        );
    }

    #[test]
    fn records_are_swapped() {
        let (out, _) = passed(What::SwapWithNext, 1, 1);
        assert_eq!(out, [&HELLO[..], &DATA, &CCS].concat());
    }

    #[test]
    fn a_seed_makes_the_same_change_again() {
        for seed in 0..100 {
            assert_eq!(
                passed(What::FlipBits, 2, seed),
                passed(What::FlipBits, 2, seed)
            );
            assert_eq!(passed(What::Flood, 0, seed), passed(What::Flood, 0, seed));
        }
    }
}
