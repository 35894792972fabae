//! How often the sockets are looked at.

use std::time::{Duration, Instant};

/// How many times its own duration an expensive look stays away: it takes 1/60 of a CPU at most.
const REST: u32 = 60;

/// How often the sockets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Least time between two looks.
    pub min_interval: Duration,
    /// Kernel time above which looks are made less often.
    pub max_duration: Duration,
}

impl Pace {
    /// Whether it is time for another look after the last one: when it was begun, and how long
    /// it took.
    pub(super) fn is_due(&self, last: Option<(Instant, Duration)>, now: Instant) -> bool {
        let Some((taken, duration)) = last else {
            return true;
        };
        let rest = if duration > self.max_duration {
            duration * REST
        } else {
            Duration::ZERO
        };
        now.saturating_duration_since(taken) >= rest.max(self.min_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expensive_looks_stay_away() {
        let pace = Pace {
            min_interval: Duration::from_secs(1),
            max_duration: Duration::from_millis(250),
        };
        let start = Instant::now();
        let due = |duration, after| {
            let (duration, after) = (
                Duration::from_millis(duration),
                Duration::from_millis(after),
            );
            pace.is_due(Some((start, duration)), start + after)
        };
        assert!(pace.is_due(None, start));
        assert!(!due(5, 999) && due(5, 1000));
        assert!(!due(250, 999) && due(250, 1000));
        assert!(!due(251, 15_000) && due(251, 15_060));
        assert!(!due(2000, 119_999) && due(2000, 120_000));
    }
}
