//! Numbers that depend on a seed alone.

/// What keeps the seeds of a run apart: the golden ratio in 64 bits, as SplitMix64 steps.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The seed of one of many: the first has the seed of the run, so that it can be repeated alone.
pub(super) fn seed_of(seed: u64, index: u64) -> u64 {
    match index {
        0 => seed,
        _ => mixed(seed.wrapping_add(index.wrapping_mul(STEP))),
    }
}

/// A generator of numbers, good enough to choose by.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// A number below a bound; 0 if the bound is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // Both fit: the remainder is below a usize.
        (self.number() % bound.max(1) as u64) as usize
    }

    /// Whether something happens that happens once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

fn mixed(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        assert_eq!(one.bytes(100), other.bytes(100));
        assert_ne!(one.number(), Random::new(8).number());
    }

    #[test]
    fn the_first_of_a_run_has_its_seed_and_no_two_are_alike() {
        assert_eq!(seed_of(5, 0), 5);
        let seeds: std::collections::BTreeSet<_> =
            (1..10_000).map(|index| seed_of(5, index)).collect();
        assert_eq!(seeds.len(), 9_999);
        assert_eq!(seed_of(seed_of(5, 77), 0), seed_of(5, 77));
    }

    #[test]
    fn bounds_are_kept() {
        let mut random = Random::new(1);
        assert!((0..1_000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }
}
