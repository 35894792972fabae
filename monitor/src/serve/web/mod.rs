//! The web configuration (`--web.config.file`): TLS, users, headers and a rate, as Prometheus's
//! exporter toolkit has them, re-read when the file or a certificate changes.
//!
//! A file is loaded whole or not at all: what is wrong at the start is an error with its line,
//! what is wrong later leaves the former configuration in use.

mod client;
mod file;
mod files;
mod guard;
mod headers;
mod look;
mod rate;
mod reload;
mod tls;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub use guard::guard;
pub use reload::Web;

use files::Files;
use rate::RateLimit;
use users::Users;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct WebError {
    /// The file.
    file: PathBuf,
    problem: Problem,
}

/// What is wrong, and on which line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    line: Option<u64>,
    what: String,
}

impl Problem {
    fn new(line: Option<u64>, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        formatter.write_str(&self.what)
    }
}

/// What a file says, checked and ready for use.
#[derive(Debug, Default)]
pub struct WebConfig {
    /// How TLS is spoken; `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether clients must show a certificate.
    demands_certificate: bool,
    headers: HeaderMap,
    users: Option<Users>,
    rate: Option<RateLimit>,
    warnings: Vec<String>,
}

impl WebConfig {
    fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter()
    }
}

/// A configuration, and the files that it was made of.
#[derive(Debug)]
pub struct Loaded {
    file: PathBuf,
    config: WebConfig,
    files: Files,
}

impl Loaded {
    /// Loads `file`, and the certificates it names.
    ///
    /// # Errors
    /// It cannot be read, or is not understood, or one of its values is of no use.
    pub fn new(file: &Path) -> Result<Self, WebError> {
        let (config, files) = load(file);
        Ok(Self {
            file: file.to_owned(),
            config: config?,
            files,
        })
    }

    /// Whether TLS is spoken.
    pub fn has_tls(&self) -> bool {
        self.config.tls.is_some()
    }
}

fn load(file: &Path) -> (Result<WebConfig, WebError>, Files) {
    let mut files = Files::default();
    let config = read(file, &mut files).map_err(|problem| WebError {
        file: file.to_owned(),
        problem,
    });
    (config, files)
}

fn read(path: &Path, files: &mut Files) -> Result<WebConfig, Problem> {
    let text = files
        .read(path)
        .map_err(|error| Problem::new(None, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(text).map_err(|_| Problem::new(None, "is no UTF-8"))?;
    let file = file::parse(&text)?;
    let mut warnings = Vec::new();
    let folder = path.parent().unwrap_or(Path::new(""));
    let tls = match file.tls_server_config {
        Some(section) if !section.is_empty() => {
            Some(tls::server_config(&section, folder, files, &mut warnings)?)
        }
        _ => None,
    };
    let users = file.basic_auth_users.unwrap_or_default();
    let http = file.http_server_config.unwrap_or_default();
    Ok(WebConfig {
        demands_certificate: tls.as_ref().is_some_and(|(_, demands)| *demands),
        tls: tls.map(|(config, _)| Arc::new(config)),
        headers: headers::headers(http.headers.unwrap_or_default())?,
        users: Users::new(users)?,
        rate: file.rate_limit.map(RateLimit::new).transpose()?.flatten(),
        warnings,
    })
}

#[cfg(test)]
mod tests;
