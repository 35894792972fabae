//! How the pages are served.

use std::time::Duration;

use super::{Config, ConfigError};
use crate::cli::{WebArgs, WebFileArg};
use crate::collector::{CADVISOR, DISK_IO, FILESYSTEM, TCP_STATES, TRANSITIONS, WRITABLE_LAYER};
use crate::sampler::tcp_states::TcpStatesMode;
use crate::serve::web::Loaded;

/// Beyond this an offset is a slip of the unit.
const MAX_OFFSET: Duration = Duration::from_secs(3600);

/// What the server is told.
#[derive(Debug)]
pub struct WebSettings {
    /// TLS, users, headers and a rate; `None` for plain HTTP without a password.
    pub file: Option<Loaded>,
    /// How much sooner than whoever asks gives up there is an answer.
    pub timeout_offset: Duration,
    /// Open connections, at most.
    pub max_connections: usize,
}

impl WebSettings {
    pub(super) fn new(file: &WebFileArg, args: &WebArgs) -> Result<Self, ConfigError> {
        if args.timeout_offset >= MAX_OFFSET {
            return Err(ConfigError::TimeoutOffset(args.timeout_offset.into()));
        }
        Ok(Self {
            file: file.file.as_deref().map(Loaded::new).transpose()?,
            timeout_offset: args.timeout_offset,
            max_connections: args.max_connections as usize,
        })
    }
}

impl Config {
    /// The collectors that are on and can be asked for by name.
    pub fn collectors(&self) -> impl Iterator<Item = &'static str> {
        let files = self.files.iter().map(|file| file.name());
        let transitions = self.transitions.then_some(TRANSITIONS);
        let others = [
            (self.tcp_states != TcpStatesMode::Off, TCP_STATES),
            (self.filesystem.is_some(), FILESYSTEM),
            (self.layer_budget.is_some(), WRITABLE_LAYER),
            (self.disk_io, DISK_IO),
            (self.cadvisor, CADVISOR),
        ];
        let others = others.into_iter().filter(|(is_on, _)| *is_on);
        files.chain(transitions).chain(others.map(|(_, name)| name))
    }
}
