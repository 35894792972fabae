//! A look at files that may hang: a thread is lost with it, but only one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Why a look gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLook {
    /// The one before has not ended yet.
    UnderWay,
    /// It did not end in time.
    Hangs,
    /// No thread was free for it in time.
    NotBegun,
    /// It panicked.
    Panicked,
}

/// Looks, one at a time: who gives up waiting leaves the thread behind, and until that is free
/// again there is no other.
#[derive(Debug, Default)]
pub(super) struct Looks {
    looking: Arc<AtomicBool>,
    begun: Arc<AtomicBool>,
}

impl Looks {
    /// What `look` gives, if it does so within `patience`.
    pub(super) async fn one<T: Send + 'static>(
        &self,
        patience: Duration,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoLook> {
        if self.looking.swap(true, Ordering::SeqCst) {
            return Err(NoLook::UnderWay);
        }
        self.begun.store(false, Ordering::SeqCst);
        // Also where the look panics, or is never begun.
        let end = Ends(Arc::clone(&self.looking));
        let begun = Arc::clone(&self.begun);
        let looked = spawn_blocking(move || {
            let _end = end;
            begun.store(true, Ordering::SeqCst);
            look()
        });
        match timeout(patience, looked).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) => Err(NoLook::Panicked),
            Err(_) if self.begun.load(Ordering::SeqCst) => Err(NoLook::Hangs),
            Err(_) => Err(NoLook::NotBegun),
        }
    }
}

/// Says at its end that another look may begin.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(10);

    fn with_threads(number: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(number)
            .build()
            .unwrap()
    }

    #[test]
    fn one_that_hangs_takes_one_thread() {
        with_threads(2).block_on(async {
            let looks = Looks::default();
            let (release, hang) = mpsc::channel::<()>();
            // Its thread may take a moment to begin.
            let patience = Duration::from_secs(2);
            let hangs = looks.one(patience, move || hang.recv().is_ok()).await;
            assert_eq!(hangs, Err(NoLook::Hangs));
            for _ in 0..5 {
                assert_eq!(looks.one(SHORT, || true).await, Err(NoLook::UnderWay));
            }
            let other = timeout(LONG, spawn_blocking(|| 7)).await;
            assert_eq!(other.unwrap().unwrap(), 7);
            drop(release);
            let again = async {
                while looks.one(LONG, || true).await != Ok(true) {
                    tokio::time::sleep(SHORT).await;
                }
            };
            timeout(LONG, again).await.unwrap();
        });
    }

    #[test]
    fn one_for_which_there_is_no_thread_is_not_begun() {
        with_threads(1).block_on(async {
            let looks = Looks::default();
            let (release, hang) = mpsc::channel::<()>();
            let other = spawn_blocking(move || hang.recv().is_ok());
            let none = looks.one(SHORT, || true).await;
            assert_eq!(none, Err(NoLook::NotBegun));
            assert_eq!(looks.one(SHORT, || true).await, Err(NoLook::UnderWay));
            drop(release);
            assert!(!other.await.unwrap());
        });
    }

    #[tokio::test]
    async fn after_a_panic_there_is_another() {
        let looks = Looks::default();
        let panicked = looks.one(LONG, || panic!("it panics")).await;
        assert_eq!(panicked, Err::<(), _>(NoLook::Panicked));
        assert_eq!(looks.one(LONG, || 1).await, Ok(1));
    }
}
