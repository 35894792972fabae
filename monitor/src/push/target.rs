//! Where a push goes, and what of a URL may be shown.

use hyper::Uri;

/// Where a push goes: an `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(super) uri: Uri,
    pub(super) authority: String,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a URL is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL.
    #[error("no URL (expected http://HOST:PORT/PATH)")]
    NoUrl,
    /// TLS is asked for.
    #[error(
        "TLS is not spoken here; send to an agent or collector on this node over http://, which \
         speaks it to others"
    )]
    Tls,
    /// Neither http nor https.
    #[error("the scheme must be http (expected http://HOST:PORT/PATH)")]
    Scheme,
    /// There is a password in it.
    #[error("a URL with a user and password is not taken; use a header")]
    User,
}

impl Target {
    /// Reads a URL; `path` gives the path from the one in the URL.
    ///
    /// # Errors
    /// It is none that can be reached over plain HTTP.
    pub fn new(url: &str, path: impl FnOnce(&str) -> String) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::NoUrl)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(TargetError::Tls),
            Some(_) => return Err(TargetError::Scheme),
            None => return Err(TargetError::NoUrl),
        }
        let authority = uri.authority().ok_or(TargetError::NoUrl)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::User);
        }
        let host = authority.host();
        // A port that is no number is found by `port_u16` alone.
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str() == host => 80,
            None => return Err(TargetError::NoUrl),
        };
        if host.is_empty() || port == 0 {
            return Err(TargetError::NoUrl);
        }
        let mut query = path(uri.path());
        if let Some(text) = uri.query() {
            query.push('?');
            query.push_str(text);
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            authority: authority.as_str().to_owned(),
            port,
            uri: query.parse().map_err(|_| TargetError::NoUrl)?,
        })
    }

    /// The path and query that are asked for.
    pub fn path(&self) -> String {
        self.uri.to_string()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.uri.path())
    }
}

/// A URL as it may be shown: a password can stand before the host, and a token in the query.
pub fn shown(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else {
        return "(not shown)".to_owned();
    };
    let scheme = uri.scheme_str().map(|scheme| format!("{scheme}://"));
    let mut shown = scheme.unwrap_or_default();
    if let Some(authority) = uri.authority() {
        shown.push_str(authority.host());
        if let Some(port) = authority.port() {
            shown.push_str(&format!(":{port}"));
        }
    }
    // Of a host alone it is a slash, which nobody typed.
    if uri.path() != "/" || url.ends_with('/') {
        shown.push_str(uri.path());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused_with_their_reason() {
        let target = |url| Target::new(url, str::to_owned);
        let read = target("http://[::1]:4318/a?b=c").unwrap();
        assert_eq!((read.host.as_str(), read.port), ("::1", 4318));
        assert_eq!(
            (read.authority.as_str(), read.path().as_str()),
            ("[::1]:4318", "/a?b=c")
        );
        assert_eq!(read.to_string(), "http://[::1]:4318/a");
        assert_eq!(target("http://agent/x").unwrap().port, 80);
        for (url, error) in [
            ("https://a/", TargetError::Tls),
            ("ftp://a/", TargetError::Scheme),
            ("http://u:p@a/", TargetError::User),
            ("127.0.0.1:1988", TargetError::NoUrl),
            ("/v1/push", TargetError::NoUrl),
            ("http://a:0/", TargetError::NoUrl),
            ("http://a:99999/", TargetError::NoUrl),
            ("http://a b/", TargetError::NoUrl),
            ("", TargetError::NoUrl),
        ] {
            assert_eq!(target(url), Err(error), "{url}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for (url, expected) in [
            (
                "http://user:secret@host:1/a?token=secret",
                "http://host:1/a",
            ),
            ("https://secret@host", "https://host"),
            ("http://[::1]:4318/?secret", "http://[::1]:4318"),
            ("127.0.0.1:1988", "127.0.0.1:1988"),
            ("user:secret@host", "host"),
            ("http://user:secret", "http://user"),
            ("http://user:sec ret@host/", "(not shown)"),
            ("http://user:1?secret@host/", "http://user:1/"),
            ("", "(not shown)"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }
}
