//! The configuration in use, and the files behind it looked at again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::files::Files;
use super::look::{Looks, NoLook};
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
    looks: Looks,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: Files,
    looked: Instant,
    /// What stands in the log of looks that give nothing.
    said: Option<NoLook>,
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
                looks: Looks::default(),
                state: Mutex::new(State {
                    files,
                    looked: Instant::now(),
                    said: None,
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
            let look = move || files.have_changed().then(|| load(&file));
            match source.looks.one(PATIENCE, look).await {
                Ok(found) => {
                    source.state().said = None;
                    if let Some((found, files)) = found {
                        source.state().files = files;
                        self.take(source, found);
                    }
                }
                // The next one looks again.
                Err(reason) => source.say(reason),
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

    /// Says why there was no look, once as long as it is the same.
    fn say(&self, reason: NoLook) {
        // The one under way has been told of.
        if reason == NoLook::UnderWay || self.state().said.replace(reason) == Some(reason) {
            return;
        }
        let file = self.file.display();
        let seconds = PATIENCE.as_secs();
        match reason {
            NoLook::UnderWay => {}
            NoLook::Hangs => warn!(
                %file,
                "the web configuration and its files could not be read within {seconds} s, their \
                 file system may hang; the former configuration stays in use"
            ),
            NoLook::NotBegun => warn!(
                %file,
                "no thread was free within {seconds} s to look at the web configuration; the \
                 former one stays in use"
            ),
            NoLook::Panicked => error!(
                %file,
                "a look at the web configuration panicked, which is a bug; the former one stays \
                 in use"
            ),
        }
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
