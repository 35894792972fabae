//! Certificates, a web configuration that names them, and a client that speaks TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use testkit::http::{self, Response};

/// An authority, and a folder with what it has signed: `ca.crt`, `server.crt`, `server.key`, and
/// of clients `NAME.crt` and `NAME.key`.
pub(crate) struct Pki {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Of an authority and of what it signed no two are the same: the latter would pass for its own.
fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

impl Pki {
    /// With a server's certificate for 127.0.0.1.
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let pki = Self {
            folder: tempfile::tempdir()?,
            issuer,
        };
        std::fs::write(pki.path("ca.crt"), pki.issuer.pem())?;
        pki.sign("server", &["localhost", "127.0.0.1"])?;
        Ok(pki)
    }

    /// Signs a new key for `names`.
    pub(crate) fn sign(&self, file: &str, names: &[&str]) -> Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name(file);
        let certificate = params.signed_by(&key, &self.issuer)?;
        // The key first: whoever looks between the two finds a pair that does not go together.
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem())?;
        std::fs::write(self.path(&format!("{file}.crt")), certificate.pem())?;
        Ok(())
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes `web.yml` and gives its path.
    pub(crate) fn web(&self, text: &str) -> Result<String> {
        let path = self.path("web.yml");
        std::fs::write(&path, text)?;
        Ok(path.to_str().context("no UTF-8")?.to_owned())
    }

    /// A client that trusts the authority, with the certificate of a name where there is one.
    pub(crate) fn client(&self, name: Option<&str>) -> Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(pem(&self.path("ca.crt"))?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = std::fs::read(self.path(&format!("{name}.key")))?;
                let chain = vec![pem(&self.path(&format!("{name}.crt")))?];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?
            }
        };
        Ok(Client(Arc::new(config)))
    }
}

/// The certificate in a file.
pub(crate) fn pem(path: &Path) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_slice(&std::fs::read(path)?)?)
}

/// A part of a configuration with the authority's server.
pub(crate) const TLS: &str =
    "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// Speaks TLS.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Arc<ClientConfig>);

impl Client {
    /// Connects, without a word yet.
    pub(crate) fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let name = ServerName::IpAddress(address.ip().into());
        let session = ClientConnection::new(Arc::clone(&self.0), name)?;
        Ok(StreamOwned::new(session, stream))
    }

    /// GETs a path.
    pub(crate) fn get(
        &self,
        address: SocketAddr,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Response> {
        http::request(self.connect(address)?, &address.to_string(), path, fields)
    }

    /// The certificate that the server shows.
    pub(crate) fn shown(&self, address: SocketAddr) -> Result<CertificateDer<'static>> {
        let mut stream = self.connect(address)?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let shown = stream.conn.peer_certificates().unwrap_or_default();
        Ok(shown.first().context("no certificate")?.clone())
    }
}

/// The value of an `Authorization` field.
pub(crate) fn basic(name: &str, password: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("Basic {text}")
}
