//! The budget of the scanner: so many entries a second, whatever they are of.

use std::thread;
use std::time::{Duration, Instant};

/// How often the budget is given out.
const SLICE: Duration = Duration::from_millis(100);

/// Gives out the budget.
#[derive(Debug)]
pub(super) struct Pace {
    slice: u32,
    left: u32,
    ends: Instant,
    /// Entries since start, and how many of them were reported.
    pub(super) taken: u64,
    reported: u64,
}

impl Pace {
    /// `budget` entries a second.
    pub(super) fn new(budget: u32) -> Self {
        Self {
            // A slice has one at least.
            slice: (budget / 10).max(1),
            left: 0,
            ends: Instant::now(),
            taken: 0,
            reported: 0,
        }
    }

    /// Takes one entry, after a while where the slice's are used up.
    pub(super) fn take(&mut self) {
        self.taken += 1;
        if self.left == 0 {
            thread::sleep(self.ends.saturating_duration_since(Instant::now()));
            self.ends = Instant::now() + SLICE;
            self.left = self.slice;
        }
        self.left -= 1;
    }

    /// Entries that were taken since this was asked last.
    pub(super) fn report(&mut self) -> u64 {
        let new = self.taken - self.reported;
        self.reported = self.taken;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_kept() {
        let mut pace = Pace::new(1_000);
        let start = Instant::now();
        for _ in 0..300 {
            pace.take();
        }
        // The first slice at once, the second and the third after a tenth of a second each.
        assert!(start.elapsed() >= SLICE * 2);
        assert_eq!(pace.taken, 300);
    }
}
