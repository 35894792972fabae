//! When the list is taken next.

use std::time::Duration;

use tokio::time::Instant;

/// After an event the list is taken three times: containerd tells of a task before its own CRI
/// part has heard of it, so the first may still be the old one.
const AFTER_EVENT: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// So many times what a list took passes at least before the next one: where they are long, most
/// of the runtime's time is its own.
const REST: u32 = 4;

/// Decides when the list is taken next, beside the full one each minute.
#[derive(Debug)]
pub(super) struct Pace {
    /// Between two lists where events are not followed.
    poll: Option<Duration>,
    last_event: Instant,
    not_before: Instant,
    next: Option<Instant>,
}

impl Pace {
    /// As after an event: what began or ended while the first list was taken may be on neither.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            poll: None,
            last_event: now,
            not_before: now,
            next: None,
        }
    }

    /// From now on the list is taken every so often.
    pub(super) fn poll(&mut self, pause: Duration, now: Instant) {
        self.poll = Some(pause);
        self.next = Some(now + pause);
    }

    /// Notes an event. Those that come together share a list, which none of them puts off.
    pub(super) fn event(&mut self, now: Instant) {
        self.last_event = now;
        let due = (now + AFTER_EVENT[0]).max(self.not_before);
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }

    /// Notes that the list was taken.
    pub(super) fn listed(&mut self, begun: Instant, ended: Instant) {
        self.not_before = ended + AFTER_EVENT[0].max((ended - begun) * REST);
        let after_event = AFTER_EVENT.map(|pause| self.last_event + pause);
        let next = match self.poll {
            Some(pause) => Some(begun + pause),
            None => after_event.into_iter().find(|at| *at > begun),
        };
        self.next = next.map(|next| next.max(self.not_before));
    }

    /// Waits until the list is due.
    pub(super) async fn due(&self) {
        match self.next {
            Some(next) => tokio::time::sleep_until(next).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Pace;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn an_event_is_followed_by_three_lists() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.next, None);
        let event = start + ms(60_000);
        pace.event(event);
        for after in [100, 500, 2000] {
            assert_eq!(pace.next, Some(event + ms(after)));
            pace.listed(event + ms(after), event + ms(after + 5));
        }
        assert_eq!(pace.next, None);
    }

    #[test]
    fn the_first_list_is_taken_again_though_nothing_was_heard() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.listed(start, start + ms(1));
        assert_eq!(pace.next, Some(start + ms(101)));
        pace.listed(start + ms(101), start + ms(102));
        assert_eq!(pace.next, Some(start + ms(500)));
    }

    #[test]
    fn a_stream_of_events_neither_puts_the_list_off_nor_crowds_it() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut lists = Vec::new();
        for millisecond in 0..1000 {
            let now = start + ms(millisecond);
            pace.event(now);
            if pace.next.is_some_and(|next| next <= now) {
                lists.push(millisecond);
                pace.listed(now, now + ms(10));
            }
        }
        assert_eq!(lists.first(), Some(&100));
        assert!((8..=10).contains(&lists.len()), "{lists:?}");
        let gaps = lists.windows(2).all(|pair| pair[1] - pair[0] >= 100);
        assert!(gaps, "{lists:?}");
    }

    #[test]
    fn long_lists_are_taken_seldom() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.listed(start, start + ms(500));
        pace.event(start + ms(501));
        assert_eq!(pace.next, Some(start + ms(2500)));
    }

    #[test]
    fn without_events_the_list_is_taken_every_so_often() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.poll(ms(2000), start);
        assert_eq!(pace.next, Some(start + ms(2000)));
        pace.listed(start + ms(2000), start + ms(2010));
        assert_eq!(pace.next, Some(start + ms(4000)));
        pace.listed(start + ms(4000), start + ms(5000));
        assert_eq!(pace.next, Some(start + ms(9000)));
    }
}
