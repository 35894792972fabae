//! The file as it is written: the format of Prometheus's exporter toolkit, which node_exporter and
//! its kin read too (`docs/web-configuration.md` of prometheus/exporter-toolkit).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Problem;

/// A text, and the line that it stands on.
pub(super) type Text = Spanned<String>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebFile {
    pub(super) tls_server_config: Option<TlsSection>,
    pub(super) http_server_config: Option<HttpSection>,
    pub(super) basic_auth_users: Option<BTreeMap<String, Text>>,
    pub(super) rate_limit: Option<RateSection>,
}

/// `tls_server_config`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsSection {
    pub(super) cert: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) client_ca: Option<Text>,
    pub(super) cert_file: Option<Text>,
    pub(super) key_file: Option<Text>,
    pub(super) client_ca_file: Option<Text>,
    pub(super) client_auth_type: Option<Text>,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) min_version: Option<Text>,
    pub(super) max_version: Option<Text>,
    pub(super) cipher_suites: Option<Vec<Text>>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
    pub(super) curve_preferences: Option<Vec<Text>>,
}

impl TlsSection {
    /// Whether nothing is said in it.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            cert,
            key,
            client_ca,
            cert_file,
            key_file,
            client_ca_file,
            client_auth_type,
            client_allowed_sans,
            min_version,
            max_version,
            cipher_suites,
            prefer_server_cipher_suites,
            curve_preferences,
        } = self;
        let texts = [
            cert,
            key,
            client_ca,
            cert_file,
            key_file,
            client_ca_file,
            client_auth_type,
            min_version,
            max_version,
        ];
        texts.into_iter().all(Option::is_none)
            && client_allowed_sans.is_none()
            && cipher_suites.is_none()
            && prefer_server_cipher_suites.is_none()
            && curve_preferences.is_none()
    }
}

/// `http_server_config`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpSection {
    /// Taken and of no effect: only HTTP/1.1 is spoken, which every client that can do HTTP/2 can.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    pub(super) headers: Option<BTreeMap<String, Text>>,
}

/// `rate_limit`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateSection {
    pub(super) interval: Option<Text>,
    pub(super) burst: Option<Spanned<i64>>,
}

/// Reads the text of a file. An empty one says nothing, which is allowed.
pub(super) fn parse(text: &str) -> Result<WebFile, Problem> {
    let options = serde_saphyr::options! { with_snippet: false };
    let parsed = serde_saphyr::from_str_with_options::<Option<WebFile>>(text, options);
    match parsed {
        Ok(file) => Ok(file.unwrap_or_default()),
        Err(error) => {
            let line = error.location().map(|location| location.line());
            let said = error.to_string();
            let said = said.lines().next().unwrap_or_default();
            // It says the line once more.
            let said = said.rsplit_once(" at line ").map_or(said, |(said, _)| said);
            Err(Problem::new(line, said))
        }
    }
}

/// The line that a text stands on.
pub(super) fn line<T>(spanned: &Spanned<T>) -> Option<u64> {
    let line = spanned.referenced.line();
    (line > 0).then_some(line)
}
