//! Certificates of clients: whether one is asked for, whether it is checked, and the names that it
//! must have one of.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::Problem;
use super::file::{TlsSection, line};
use super::tls::{Source, problem};

/// Go's `ClientAuthType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl ClientAuth {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "NoClientCert" => Self::None,
            "RequestClientCert" => Self::Request,
            // The second is what the toolkit called it first.
            "RequireAnyClientCert" | "RequireClientCert" => Self::RequireAny,
            "VerifyClientCertIfGiven" => Self::VerifyIfGiven,
            "RequireAndVerifyClientCert" => Self::RequireAndVerify,
            _ => return None,
        })
    }
}

/// What checks clients; `None` where they are not asked for a certificate.
pub(super) fn verifier(
    section: &TlsSection,
    authorities: Option<Source>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Problem> {
    let name = section.client_auth_type.as_ref();
    let auth = name.map_or(Some(ClientAuth::None), |name| {
        ClientAuth::named(&name.value)
    });
    let name_line = name.and_then(line);
    let auth = auth.ok_or_else(|| {
        let name = name.map_or("", |name| &name.value);
        let what = format!(
            "client_auth_type: {name:?} is none of NoClientCert, RequestClientCert, \
             RequireAnyClientCert, VerifyClientCertIfGiven and RequireAndVerifyClientCert"
        );
        problem(name_line, &what)
    })?;
    let names = section.client_allowed_sans.as_ref();
    if names.is_some() && !matches!(auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify) {
        let what = "client_allowed_sans needs a client_auth_type of RequireAnyClientCert or \
                    RequireAndVerifyClientCert";
        return Err(problem(name_line, what));
    }
    let verifier: Arc<dyn ClientCertVerifier> = match auth {
        ClientAuth::None => match authorities {
            Some(source) => {
                return Err(source.problem("is of no use without a client_auth_type"));
            }
            None => return Ok(None),
        },
        ClientAuth::Request | ClientAuth::RequireAny => Arc::new(AnyClient {
            mandatory: auth == ClientAuth::RequireAny,
            algorithms: provider.signature_verification_algorithms,
        }),
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
            let source = authorities.ok_or_else(|| {
                problem(name_line, "one of client_ca and client_ca_file is missing")
            })?;
            let mut roots = RootCertStore::empty();
            for certificate in source.certificates()? {
                roots
                    .add(certificate)
                    .map_err(|error| source.problem(&error.to_string()))?;
            }
            let mut builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            if auth == ClientAuth::VerifyIfGiven {
                builder = builder.allow_unauthenticated();
            }
            builder
                .build()
                .map_err(|error| source.problem(&error.to_string()))?
        }
    };
    Ok(Some(match names {
        None => verifier,
        Some(names) => Arc::new(NamedClient {
            verifier,
            names: names.clone(),
        }),
    }))
}

/// Asks for a certificate and takes any, as long as the client has its key.
#[derive(Debug)]
struct AnyClient {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Demands one of some names beside what the other verifier does.
#[derive(Debug)]
struct NamedClient {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl ClientCertVerifier for NamedClient {
    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        let found = alternative_names(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if found.iter().any(|name| self.names.contains(name)) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The names of a certificate's owner (RFC 5280, 4.2.1.6): DNS, e-mail, IP and URI.
fn alternative_names(certificate: &[u8]) -> Result<Vec<String>, impl fmt::Debug> {
    let certificate = Certificate::from_der(certificate)?;
    let extension = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()?;
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    let names = names.into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => Some(name.to_string()),
        GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        GeneralName::IpAddress(octets) => ip(octets.as_bytes()).map(|ip| ip.to_string()),
        _ => None,
    });
    Ok::<_, x509_cert::der::Error>(names.collect())
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}
