//! A receiver's name looked up, which takes as long as name servers say nothing: half a minute is
//! usual. Whoever gives up waiting leaves the thread behind, and the next one waits for it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

type Addresses = io::Result<Vec<SocketAddr>>;

/// Look-ups of one name, never two at a time.
pub(super) struct Lookup {
    look: Arc<dyn Fn() -> Addresses + Send + Sync>,
    under_way: Mutex<Option<JoinHandle<Addresses>>>,
}

impl Lookup {
    /// Looks up what the system knows of `host`.
    pub(super) fn new(host: String, port: u16) -> Self {
        Self::with(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
    }

    fn with(look: impl Fn() -> Addresses + Send + Sync + 'static) -> Self {
        Self {
            look: Arc::new(look),
            under_way: Mutex::default(),
        }
    }

    /// The addresses, from the look-up under way or a new one.
    pub(super) async fn addresses(&self) -> Addresses {
        let mut under_way = self.under_way.lock().await;
        let look = under_way.get_or_insert_with(|| {
            let look = Arc::clone(&self.look);
            spawn_blocking(move || look())
        });
        let found = look.await;
        *under_way = None;
        found.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_that_hangs_is_waited_for_and_not_begun_again() {
        let (release, hang) = mpsc::channel::<()>();
        let (hang, begun) = (std::sync::Mutex::new(hang), Arc::new(AtomicU32::new(0)));
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let lookup = Lookup::with({
            let begun = Arc::clone(&begun);
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                hang.lock().unwrap().recv().ok();
                Ok(vec![address])
            }
        });
        for _ in 0..5 {
            let late = timeout(Duration::from_millis(20), lookup.addresses()).await;
            assert!(late.is_err());
        }
        // Its thread may take a moment to begin.
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        release.send(()).unwrap();
        assert_eq!(lookup.addresses().await.unwrap(), [address]);
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        // What was found is not kept.
        drop(release);
        assert_eq!(lookup.addresses().await.unwrap(), [address]);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_address_is_its_own() {
        let lookup = Lookup::new("::1".to_owned(), 7);
        let found = lookup.addresses().await.unwrap();
        assert_eq!(found, ["[::1]:7".parse().unwrap()]);
    }
}
