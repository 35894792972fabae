//! `tls_server_config`: from the words of the file, which are Go's, to rustls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::Problem;
use super::client;
use super::file::{Text, TlsSection, line};
use super::files::Files;

/// Go's names of the cipher suites that it does not call insecure; those of TLS 1.3 are always
/// on, as in Go. `None` is a suite that Go has and rustls does not: CBC is one padding oracle after
/// the other.
const CIPHER_SUITES: [(&str, Option<CipherSuite>); 13] = [
    (
        "TLS_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
    ),
    (
        "TLS_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384),
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", None),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
];

/// Go's names of curves; `None` is one that the provider does not have.
const CURVES: [(&str, Option<&dyn SupportedKxGroup>); 4] = [
    ("CurveP256", Some(ring::kx_group::SECP256R1)),
    ("CurveP384", Some(ring::kx_group::SECP384R1)),
    ("CurveP521", None),
    ("X25519", Some(ring::kx_group::X25519)),
];

/// Makes the server's side of TLS, and says whether clients must show a certificate. Relative paths are from `folder`, the file's own. What is left
/// out of lists goes to `warnings`.
pub(super) fn server_config(
    section: &TlsSection,
    folder: &Path,
    files: &mut Files,
    warnings: &mut Vec<String>,
) -> Result<(ServerConfig, bool), Problem> {
    let mut pem = Pem { folder, files };
    let certificate = pem.of("cert", &section.cert, "cert_file", &section.cert_file)?;
    let key = pem.of("key", &section.key, "key_file", &section.key_file)?;
    let authorities = pem.of(
        "client_ca",
        &section.client_ca,
        "client_ca_file",
        &section.client_ca_file,
    )?;
    let missing = |what: &str| problem(None, &format!("one of {what} and {what}_file is missing"));
    let certificate = certificate.ok_or_else(|| missing("cert"))?;
    let key = key.ok_or_else(|| missing("key"))?;

    let provider = Arc::new(provider(section, warnings)?);
    let versions = versions(section)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| problem(None, &error.to_string()))?;
    let verifier = client::verifier(section, authorities, &provider)?;
    let demands_certificate = verifier
        .as_ref()
        .is_some_and(|verifier| verifier.client_auth_mandatory());
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = certificate.certificates()?;
    let private = PrivateKeyDer::from_pem_slice(&key.text)
        .map_err(|_| key.problem("no private key in PEM (one with a passphrase cannot be read)"))?;
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| key.problem(&format!("does not go with the certificate: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = section.prefer_server_cipher_suites.unwrap_or(true);
    Ok((config, demands_certificate))
}

pub(super) fn problem(line: Option<u64>, what: &str) -> Problem {
    Problem::new(line, format!("tls_server_config: {what}"))
}

/// Looks for PEM where the file says it is.
struct Pem<'a> {
    folder: &'a Path,
    files: &'a mut Files,
}

/// PEM, and where it came from.
pub(super) struct Source {
    text: Vec<u8>,
    /// The key in the file.
    key: &'static str,
    line: Option<u64>,
    path: Option<PathBuf>,
}

impl Pem<'_> {
    fn of(
        &mut self,
        inline: &'static str,
        text: &Option<Text>,
        file: &'static str,
        path: &Option<Text>,
    ) -> Result<Option<Source>, Problem> {
        // The toolkit takes an empty text for none.
        let given = |text: &Option<Text>| text.clone().filter(|text| !text.value.is_empty());
        match (given(text), given(path)) {
            (None, None) => Ok(None),
            (Some(_), Some(path)) => Err(problem(
                line(&path),
                &format!("{inline} and {file}: only one of them can be meant"),
            )),
            (Some(text), None) => Ok(Some(Source {
                line: line(&text),
                text: text.value.into_bytes(),
                key: inline,
                path: None,
            })),
            (None, Some(path)) => {
                let full = self.folder.join(&path.value);
                let mut source = Source {
                    text: Vec::new(),
                    key: file,
                    line: line(&path),
                    path: Some(full.clone()),
                };
                source.text = self
                    .files
                    .read(&full)
                    .map_err(|error| source.problem(&format!("cannot be read: {error}")))?;
                Ok(Some(source))
            }
        }
    }
}

impl Source {
    /// All certificates in it, of which there must be one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.problem("no certificate in PEM")),
            Err(error) => Err(self.problem(&error.to_string())),
        }
    }

    pub(super) fn problem(&self, what: &str) -> Problem {
        let from = match &self.path {
            Some(path) => format!("{}: {}: {what}", self.key, path.display()),
            None => format!("{}: {what}", self.key),
        };
        problem(self.line, &from)
    }
}

/// The cipher suites and curves that are wanted.
fn provider(section: &TlsSection, warnings: &mut Vec<String>) -> Result<CryptoProvider, Problem> {
    let mut provider = ring::default_provider();
    if let Some(wanted) = listed(
        "cipher_suites",
        &section.cipher_suites,
        &CIPHER_SUITES,
        warnings,
    )? {
        let is_tls13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
        let all = std::mem::take(&mut provider.cipher_suites);
        let by_name = |name: &CipherSuite| all.iter().find(|suite| suite.suite() == *name);
        let chosen = wanted.iter().filter_map(by_name).copied();
        let always = all.iter().filter(|suite| is_tls13(suite)).copied();
        provider.cipher_suites = always
            .chain(chosen.filter(|suite| !is_tls13(suite)))
            .collect();
    }
    if let Some(wanted) = listed(
        "curve_preferences",
        &section.curve_preferences,
        &CURVES,
        warnings,
    )? {
        provider.kx_groups = wanted;
    }
    Ok(provider)
}

/// What the names of a list stand for, without those that there is nothing for; `None` where there
/// is no list.
fn listed<T: Copy>(
    key: &str,
    names: &Option<Vec<Text>>,
    known: &[(&str, Option<T>)],
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<T>>, Problem> {
    let Some(names) = names.as_deref().filter(|names| !names.is_empty()) else {
        return Ok(None);
    };
    let mut wanted = Vec::new();
    for name in names {
        match known.iter().find(|(known, _)| *known == name.value) {
            Some((_, Some(found))) => wanted.push(*found),
            Some((_, None)) => warnings.push(format!(
                "tls_server_config: {key}: {} is not spoken here and left out",
                name.value
            )),
            None => {
                let spoken: Vec<&str> = known
                    .iter()
                    .filter(|(_, found)| found.is_some())
                    .map(|(name, _)| *name)
                    .collect();
                let what = format!(
                    "{key}: {:?} is unknown or insecure (there are {})",
                    name.value,
                    spoken.join(", ")
                );
                return Err(problem(line(name), &what));
            }
        }
    }
    if wanted.is_empty() {
        let line = names.first().and_then(line);
        return Err(problem(
            line,
            &format!("{key}: none of these is spoken here"),
        ));
    }
    Ok(Some(wanted))
}

/// The versions of TLS from the least to the greatest that is wanted.
fn versions(section: &TlsSection) -> Result<Vec<&'static SupportedProtocolVersion>, Problem> {
    let least = version("min_version", &section.min_version)?.unwrap_or(12);
    let greatest = version("max_version", &section.max_version)?.unwrap_or(13);
    if least > greatest {
        let line = section.max_version.as_ref().and_then(line);
        return Err(problem(line, "max_version is below min_version"));
    }
    let known = [(12, &TLS12), (13, &TLS13)].into_iter();
    Ok(known
        .filter(|(number, _)| (least..=greatest).contains(number))
        .map(|(_, version)| version)
        .collect())
}

fn version(key: &str, text: &Option<Text>) -> Result<Option<u8>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let refused = |what: &str| {
        let what = format!("{key}: {:?} {what} (there are TLS12 and TLS13)", text.value);
        Err(problem(line(text), &what))
    };
    match text.value.as_str() {
        "TLS12" => Ok(Some(12)),
        "TLS13" => Ok(Some(13)),
        "TLS10" | "TLS11" => refused("is insecure and not spoken here"),
        _ => refused("is no version of TLS"),
    }
}
