//! The configuration in use, and the files behind it looked at again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use super::files::Files;
use super::{Loaded, WebConfig, WebError, load};

/// How long a look at the files counts. Who asks more often gets what was found.
const FRESH: Duration = Duration::from_secs(1);

/// How long a request waits for the files, which may lie on a file system that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// The configuration in use.
#[derive(Debug)]
pub struct Web {
    source: Option<Source>,
    current: Mutex<Arc<WebConfig>>,
}

#[derive(Debug)]
struct Source {
    file: std::path::PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: Files,
    looked: Instant,
}

impl Web {
    /// Starts with what was loaded; without a file there is plain HTTP for everybody.
    pub fn new(loaded: Option<Loaded>) -> Self {
        let Some(Loaded {
            file,
            config,
            files,
        }) = loaded
        else {
            return Self {
                source: None,
                current: Mutex::default(),
            };
        };
        say_warnings(&config);
        Self {
            source: Some(Source {
                file,
                state: Mutex::new(State {
                    files,
                    looked: Instant::now(),
                }),
            }),
            current: Mutex::new(Arc::new(config)),
        }
    }

    /// The configuration, of files that were looked at within the last second.
    pub async fn current(&self) -> Arc<WebConfig> {
        if let Some(source) = &self.source
            && let Some(files) = source.files_to_look_at()
        {
            let file = source.file.clone();
            let look = spawn_blocking(move || files.have_changed().then(|| load(&file)));
            // Late or panicked: the next one looks again.
            if let Ok(Ok(Some((found, files)))) = timeout(PATIENCE, look).await {
                source.state().files = files;
                self.take(source, found);
            }
        }
        Arc::clone(&lock(&self.current))
    }

    fn take(&self, source: &Source, found: Result<WebConfig, WebError>) {
        let mut current = lock(&self.current);
        match found.map_err(|error| error.to_string()) {
            Ok(new) => match opened(&current, &new) {
                None => {
                    say_warnings(&new);
                    info!(file = %source.file.display(), "the web configuration has changed");
                    *current = Arc::new(new);
                }
                // An editor may have emptied the file to write it anew.
                Some(section) => warn!(
                    file = %source.file.display(),
                    "the web configuration has no {section} any more, and the former one stays in \
                     use: restart to go on without"
                ),
            },
            Err(error) => warn!("{error}; the former web configuration stays in use"),
        }
    }
}

/// The section that is gone, and with it what kept others out.
fn opened(old: &WebConfig, new: &WebConfig) -> Option<&'static str> {
    if old.tls.is_some() && new.tls.is_none() {
        Some("tls_server_config")
    } else if old.users.is_some() && new.users.is_none() {
        Some("basic_auth_users")
    } else if old.demands_certificate && !new.demands_certificate {
        Some("client_auth_type that demands a certificate")
    } else {
        None
    }
}

impl Source {
    /// The files, where it is time to look at them.
    fn files_to_look_at(&self) -> Option<Files> {
        let mut state = self.state();
        if state.looked.elapsed() < FRESH {
            return None;
        }
        state.looked = Instant::now();
        Some(state.files.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn say_warnings(config: &WebConfig) {
    for warning in &config.warnings {
        warn!("{warning}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
