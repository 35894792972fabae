//! Random numbers that a seed determines: SplitMix64.

/// A sequence of numbers, the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end`, without `end`; 0 when there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // So few of 2^64 that no one number is favoured.
        (self.next() % (end.max(1) as u64)) as usize
    }

    /// A number from 1 to `most`.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        1 + self.below(most)
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these, which are not none.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_numbers() {
        // The reference implementation's first numbers for this seed.
        let mut dice = Dice::new(1_234_567);
        assert_eq!(dice.next(), 6_457_827_717_110_365_317);
        assert_eq!(dice.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn stays_within_its_bounds() {
        let mut dice = Dice::new(0);
        let mut seen = [0; 6];
        for _ in 0..600 {
            seen[dice.up_to(6) - 1] += 1;
        }
        assert!(
            seen.iter().all(|count| (50..150).contains(count)),
            "{seen:?}"
        );
        assert_eq!((dice.below(1), dice.below(0)), (0, 0));
    }
}
