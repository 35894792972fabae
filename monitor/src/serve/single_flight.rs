//! One collection at a time: scrapes that come while one is under way share its result.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::error;

/// A result under way: `None` until it is there.
type Pending<T> = watch::Receiver<Option<Arc<T>>>;

/// Runs a blocking piece of work on a thread of its own, never twice at a time.
pub struct SingleFlight<T> {
    work: Arc<Mutex<dyn FnMut() -> T + Send>>,
    runs: Mutex<Runs<T>>,
}

struct Runs<T> {
    /// The run that somebody waits for.
    pending: Option<Pending<T>>,
    last_start: Instant,
}

impl<T: Send + Sync + 'static> SingleFlight<T> {
    /// Work that is done when somebody asks.
    pub fn new(work: impl FnMut() -> T + Send + 'static) -> Self {
        Self {
            work: Arc::new(Mutex::new(work)),
            runs: Mutex::new(Runs {
                pending: None,
                last_start: Instant::now(),
            }),
        }
    }

    /// The result of the work under way, or of new work. Giving up the wait does not stop it.
    /// `None` when the work panicked.
    pub async fn get(&self) -> Option<Arc<T>> {
        let mut result = self.join();
        let ready = result.wait_for(Option::is_some).await.ok()?.clone();
        // The result lives as long as somebody sends it, not until the next scrape.
        let mut runs = self.lock();
        if runs
            .pending
            .as_ref()
            .is_some_and(|pending| pending.same_channel(&result))
        {
            runs.pending = None;
        }
        ready
    }

    /// Time since the work was last begun, or since the start.
    pub fn idle_for(&self) -> Duration {
        self.lock().last_start.elapsed()
    }

    fn join(&self) -> Pending<T> {
        let mut runs = self.lock();
        if let Some(running) = &runs.pending
            // Neither finished nor given up in a panic.
            && running.borrow().is_none()
            && running.has_changed().is_ok()
        {
            return running.clone();
        }
        let (sender, receiver) = watch::channel(None);
        runs.pending = Some(receiver.clone());
        runs.last_start = Instant::now();
        let work = Arc::clone(&self.work);
        spawn_blocking(move || {
            // After a panic the work's state is what the panic left; better that than no metrics.
            let mut guard = work.lock().unwrap_or_else(|poisoned| {
                error!("the last collection panicked, going on");
                work.clear_poison();
                poisoned.into_inner()
            });
            sender.send_replace(Some(Arc::new(guard())));
        });
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Runs<T>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> std::fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    fn counting() -> (Arc<SingleFlight<u32>>, Arc<AtomicU32>) {
        let runs = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&runs);
        let flight = SingleFlight::new(move || {
            std::thread::sleep(Duration::from_millis(50));
            counter.fetch_add(1, Ordering::SeqCst)
        });
        (Arc::new(flight), runs)
    }

    #[tokio::test]
    async fn waiters_share_one_run_and_the_next_one_gets_its_own() {
        let (flight, runs) = counting();
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let flight = Arc::clone(&flight);
                tokio::spawn(async move { flight.get().await })
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap().as_deref(), Some(&0));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(flight.get().await.as_deref(), Some(&1));
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_takes_nothing_with_it() {
        let (flight, runs) = counting();
        let waiter = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { flight.get().await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        waiter.abort();
        assert_eq!(flight.get().await.as_deref(), Some(&0));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn after_a_panic_the_next_one_gets_a_result() {
        let mut first = true;
        let flight = SingleFlight::new(move || {
            assert!(!std::mem::take(&mut first), "the first run panics");
            7
        });
        assert_eq!(flight.get().await, None);
        assert_eq!(flight.get().await.as_deref(), Some(&7));
    }
}
