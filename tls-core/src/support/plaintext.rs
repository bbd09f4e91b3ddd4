//! What a caller wants written, cut into pieces of one record.

use std::io::IoSlice;

use super::buffer;
use super::record::MAX_FRAGMENT;

/// Plaintext that is taken piece by piece, each for one record.
pub(crate) trait Plaintext {
    /// Whether all was taken.
    fn is_empty(&self) -> bool;

    /// The next piece, of at most one record; empty once all was taken.
    fn piece(&mut self) -> &[u8];

    /// The session took this many bytes of the piece.
    fn advance(&mut self, count: usize);
}

impl Plaintext for &[u8] {
    #[inline]
    fn is_empty(&self) -> bool {
        <[u8]>::is_empty(self)
    }

    #[inline]
    fn piece(&mut self) -> &[u8] {
        &self[..self.len().min(MAX_FRAGMENT)]
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        *self = &self[count.min(self.len())..];
    }
}

/// Several slices as if they were one: what does not fill a record of its own is joined.
pub(crate) struct Joined<'a, 'b> {
    slices: &'a [IoSlice<'b>],
    /// How much of the first slice was taken.
    offset: usize,
    scratch: Option<Box<[u8]>>,
}

impl<'a, 'b> Joined<'a, 'b> {
    pub(crate) fn new(slices: &'a [IoSlice<'b>]) -> Self {
        let mut joined = Self {
            slices,
            offset: 0,
            scratch: None,
        };
        joined.skip_empty();
        joined
    }

    fn skip_empty(&mut self) {
        while let Some((first, rest)) = self.slices.split_first() {
            if first.len() > self.offset {
                return;
            }
            self.slices = rest;
            self.offset = 0;
        }
    }
}

impl Plaintext for Joined<'_, '_> {
    fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    fn piece(&mut self) -> &[u8] {
        let Some((first, others)) = self.slices.split_first() else {
            return &[];
        };
        let first = &first[self.offset..];
        if first.len() >= MAX_FRAGMENT || others.is_empty() {
            return &first[..first.len().min(MAX_FRAGMENT)];
        }
        let scratch = self.scratch.get_or_insert_with(buffer::take);
        scratch[..first.len()].copy_from_slice(first);
        let mut filled = first.len();
        for slice in others {
            let piece = slice.len().min(MAX_FRAGMENT - filled);
            scratch[filled..filled + piece].copy_from_slice(&slice[..piece]);
            filled += piece;
            if filled == MAX_FRAGMENT {
                break;
            }
        }
        &scratch[..filled]
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.slices.first() {
            let step = count.min(first.len() - self.offset);
            self.offset += step;
            count -= step;
            self.skip_empty();
            if count == 0 {
                return;
            }
        }
    }
}

impl Drop for Joined<'_, '_> {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            buffer::give(scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_taken_as_one() {
        let lengths = [0, 1, 0, MAX_FRAGMENT - 2, 3, 2 * MAX_FRAGMENT + 5, 0, 7, 0];
        let whole: Vec<u8> = (0..lengths.iter().sum::<usize>())
            .map(|index| (index % 251) as u8)
            .collect();
        let mut rest = &whole[..];
        let slices: Vec<_> = lengths
            .iter()
            .map(|&length| {
                let (slice, after) = rest.split_at(length);
                rest = after;
                IoSlice::new(slice)
            })
            .collect();
        for step in [1, 100, MAX_FRAGMENT - 1, MAX_FRAGMENT] {
            let mut joined = Joined::new(&slices);
            let mut taken = Vec::new();
            loop {
                let piece = joined.piece();
                assert!(piece.len() <= MAX_FRAGMENT);
                let count = piece.len().min(step);
                if count == 0 {
                    break;
                }
                taken.extend_from_slice(&piece[..count]);
                joined.advance(count);
            }
            assert!(taken == whole, "steps of {step}");
        }
        assert!(Joined::new(&[]).piece().is_empty());
    }
}
