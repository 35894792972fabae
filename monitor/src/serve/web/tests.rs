//! Files as they are written: those that the toolkit documents, and everything that is wrong with
//! others.

use std::path::Path;

use tempfile::TempDir;

use super::{Loaded, WebConfig, load};

/// A folder with the certificate and key that the examples name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("server.crt", made.cert.pem()),
        ("server.key", made.signing_key.serialize_pem()),
        ("other.key", other.signing_key.serialize_pem()),
        ("empty.pem", String::new()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn loaded(folder: &Path, text: &str) -> Result<WebConfig, String> {
    let file = folder.join("web.yml");
    std::fs::write(&file, text).unwrap();
    let (config, _) = load(&file);
    config.map_err(|error| {
        let said = error.to_string();
        let prefix = format!("{}: ", file.display());
        assert!(said.starts_with(&prefix) && !said.contains('\n'), "{said}");
        said[prefix.len()..].to_owned()
    })
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// `docs/web-config.yml` of the toolkit, as it stands.
const DOCUMENTED: &str = r#"# TLS and basic authentication configuration example.
#
# Additionally, a certificate and a key file are needed.
tls_server_config:
  cert_file: server.crt
  key_file: server.key

# Usernames and passwords required to connect.
# Passwords are hashed with bcrypt: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md#about-bcrypt.
basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m

# Rate limiting requests on the endpoint using a token bucket
rate_limit:
  interval: "1s" # time interval between two requests, set to 0 to disable rate limiter
  burst: 20 # and permits a burst of up to 20 requests.
"#;

#[test]
fn the_documented_example() {
    let folder = folder();
    let config = loaded(folder.path(), DOCUMENTED).unwrap();
    assert!(config.tls.is_some() && config.users.is_some() && config.rate.is_some());
    assert!(config.warnings.is_empty() && !config.demands_certificate);
}

#[test]
fn every_documented_key() {
    let folder = folder();
    let text = "\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: server.crt
  client_allowed_sans:
    - client.example
    - 10.0.0.1
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_AES_128_GCM_SHA256
    - TLS_AES_256_GCM_SHA384
    - TLS_CHACHA20_POLY1305_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
    - TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
    - TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
    - TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    - TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]
http_server_config:
  http2: yes
  headers:
    Content-Security-Policy: default-src 'none'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: ''
    Strict-Transport-Security: max-age=31536000
basic_auth_users: {}
rate_limit: {interval: 0, burst: 0}
";
    let config = loaded(folder.path(), text).unwrap();
    // Go's CBC suites, and the curve that ring lacks.
    assert_eq!(config.warnings.len(), 5, "{:?}", config.warnings);
    assert_eq!(config.headers.len(), 4);
    assert!(config.users.is_none() && config.rate.is_none() && config.demands_certificate);
    let tls = config.tls.unwrap();
    assert!(!tls.ignore_client_order);
    let provider = tls.crypto_provider();
    assert_eq!(provider.cipher_suites.len(), 9);
    assert_eq!(provider.kx_groups.len(), 3);
    assert_eq!(provider.kx_groups[0].name(), rustls::NamedGroup::secp256r1);
}

#[test]
fn what_says_nothing_changes_nothing() {
    let folder = folder();
    for text in [
        "",
        "# nothing\n",
        "{}",
        "tls_server_config:\n",
        "tls_server_config: {}\n",
    ] {
        let config = loaded(folder.path(), text).unwrap();
        assert!(config.tls.is_none() && config.users.is_none(), "{text:?}");
    }
}

#[test]
fn certificates_may_stand_in_the_file() {
    let folder = folder();
    let indented = |name| {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.replace('\n', "\n    ")
    };
    let text = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n  client_ca: |\n    {}\n  \
         client_auth_type: VerifyClientCertIfGiven\n",
        indented("server.crt"),
        indented("server.key"),
        indented("server.crt")
    );
    assert!(loaded(folder.path(), &text).unwrap().tls.is_some());
}

#[test]
fn every_way_to_ask_for_a_certificate() {
    let folder = folder();
    for (name, demands) in [
        ("NoClientCert", false),
        ("RequestClientCert", false),
        ("RequireClientCert", true),
        ("RequireAnyClientCert", true),
        ("VerifyClientCertIfGiven", false),
        ("RequireAndVerifyClientCert", true),
    ] {
        let authority = if name.contains("Verify") {
            "  client_ca_file: server.crt\n"
        } else {
            ""
        };
        let text = format!("{TLS}  client_auth_type: {name}\n{authority}");
        let config = loaded(folder.path(), &text).unwrap();
        assert_eq!(config.demands_certificate, demands, "{name}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let folder = folder();
    let tls = |line: &str| format!("{TLS}  {line}\n");
    for (text, line, words) in [
        ("a: [", 1, vec![]),
        ("tls_server: {}", 1, vec!["tls_server"]),
        (&tls("tls_min: TLS12"), 4, vec!["tls_min"]),
        (
            &tls("min_version: TLS10"),
            4,
            vec!["min_version", "TLS10", "insecure", "TLS12"],
        ),
        (
            &tls("min_version: TLS11"),
            4,
            vec!["min_version", "TLS11", "insecure"],
        ),
        (&tls("max_version: SSL30"), 4, vec!["max_version", "SSL30"]),
        (
            &tls("min_version: TLS13\n  max_version: TLS12"),
            5,
            vec!["max_version", "min_version"],
        ),
        (
            &tls("cipher_suites:\n  - TLS_AES_128_GCM_SHA256\n  - TLS_RSA_WITH_RC4_128_SHA"),
            6,
            vec!["cipher_suites", "TLS_RSA_WITH_RC4_128_SHA", "insecure"],
        ),
        (
            &tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]"),
            4,
            vec!["cipher_suites", "none"],
        ),
        (
            &tls("curve_preferences: [CurveP224]"),
            4,
            vec!["curve_preferences", "CurveP224"],
        ),
        (
            &tls("curve_preferences: [CurveP521]"),
            4,
            vec!["curve_preferences", "none"],
        ),
        (
            &tls("client_auth_type: Sometimes"),
            4,
            vec!["client_auth_type", "Sometimes"],
        ),
        (
            &tls("client_ca_file: server.crt"),
            4,
            vec!["client_ca_file", "client_auth_type"],
        ),
        (
            &tls("client_auth_type: RequireAndVerifyClientCert"),
            4,
            vec!["client_ca", "missing"],
        ),
        (
            &tls("client_auth_type: RequestClientCert\n  client_allowed_sans: [a]"),
            4,
            vec!["client_allowed_sans", "RequireAnyClientCert"],
        ),
        (&tls("cert: x"), 2, vec!["cert", "cert_file"]),
        (
            "tls_server_config: {cert_file: server.crt, key_file: missing.key}",
            1,
            vec!["key_file", "missing.key", "No such file"],
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: other.key}",
            1,
            vec!["key_file", "other.key", "does not go with"],
        ),
        (
            "tls_server_config: {cert_file: empty.pem, key_file: server.key}",
            1,
            vec!["cert_file", "empty.pem", "no certificate"],
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: server.crt}",
            1,
            vec!["key_file", "no private key"],
        ),
        (
            "tls_server_config: {cert_file: ., key_file: server.key}",
            1,
            vec!["it is no file"],
        ),
        (
            "basic_auth_users:\n  alice: secret",
            2,
            vec!["basic_auth_users", "alice", "bcrypt"],
        ),
        (
            "basic_auth_users:\n  alice: $apr1$5Sd8n0lA$f3tH7Q1a4vYk9gDDgQ0yR/",
            2,
            vec!["alice", "bcrypt"],
        ),
        ("basic_auth_users: [alice]", 1, vec![]),
        (
            "http_server_config:\n  headers:\n    Server: x",
            3,
            vec!["Server", "X-Frame-Options"],
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: maybe",
            3,
            vec!["X-Frame-Options", "maybe", "deny"],
        ),
        (
            "http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\nb\"",
            3,
            vec!["X-XSS-Protection"],
        ),
        ("http_server_config:\n  http2: maybe", 2, vec![]),
        (
            "rate_limit:\n  interval: soon\n  burst: 1",
            2,
            vec!["rate_limit.interval", "soon"],
        ),
        (
            "rate_limit:\n  interval: 1s\n  burst: 0",
            3,
            vec!["rate_limit.burst", "at least 1"],
        ),
        (
            "rate_limit:\n  interval: 1s",
            2,
            vec!["rate_limit.burst", "at least 1"],
        ),
    ] {
        let error = loaded(folder.path(), text).unwrap_err();
        let prefix = format!("line {line}: ");
        assert!(error.starts_with(&prefix), "{text}: {error}");
        for word in words {
            assert!(error.contains(word), "{text}: no {word:?} in {error}");
        }
        eprintln!("{error}");
    }
}

#[test]
fn what_concerns_no_line_is_named_too() {
    let folder = folder();
    for (text, word) in [
        (
            "tls_server_config: {min_version: TLS13}",
            "one of cert and cert_file is missing",
        ),
        (
            "tls_server_config: {cert_file: server.crt}",
            "one of key and key_file is missing",
        ),
    ] {
        let error = loaded(folder.path(), text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
    let missing = Loaded::new(&folder.path().join("missing.yml")).unwrap_err();
    assert!(missing.to_string().contains("No such file"), "{missing}");
    let not_a_file = Loaded::new(folder.path()).unwrap_err();
    assert!(not_a_file.to_string().contains("no file"), "{not_a_file}");
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    let folder = folder();
    let error = loaded(folder.path(), &format!("{TLS}{TLS}")).unwrap_err();
    assert!(error.starts_with("line 4: "), "{error}");
}
