//! A real Prometheus that scrapes over TLS, with a password and a certificate of its own.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::netns::Netns;
use testkit::prometheus::Prometheus;
use testkit::require;

use crate::monitor;
use crate::pki::{Pki, TLS};
use crate::secure::users;

#[test]
fn prometheus_scrapes_over_tls_with_a_password() -> Result<()> {
    testkit::require!(require::root(), require::program("prometheus"));
    let netns = Netns::new("web-prom")?;
    let listener = netns.enter(|| Ok(std::net::TcpListener::bind("127.0.0.1:80")?))?;
    let pki = Pki::new()?;
    pki.sign("client", &["prometheus.example"])?;
    let file = pki.web(&format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
         client_allowed_sans: [prometheus.example]\n{}",
        users("secret")?
    ))?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let path = |file| pki.path(file).display().to_string();
    let prometheus = Prometheus::start_with(
        monitor.address(),
        &format!(
            "scheme: https\nbasic_auth: {{username: alice, password: secret}}\n\
             tls_config: {{ca_file: {}, cert_file: {}, key_file: {}}}\n\
             params: {{'exclude[]': [netstat]}}",
            path("ca.crt"),
            path("client.crt"),
            path("client.key")
        ),
    )?;
    let limit = Duration::from_secs(15);
    let of = "container=\"web-prom\"";
    let inuse = format!("container_network_sockets_inuse{{{of},protocol=\"tcp\"}}");
    let inuse = prometheus.query_until(&inuse, limit)?;
    ensure!(inuse.len() == 1 && inuse[0].1 == 1.0, "{inuse:?}");
    // A counter has the name that it has in the text format.
    let segments = format!("container_network_tcp_in_segs_total{{{of}}}");
    ensure!(prometheus.query(&segments)?.len() == 1);
    ensure!(
        prometheus
            .query(&format!(
                "{{__name__=~\"container_network_tcpext_.*\",{of}}}"
            ))?
            .is_empty()
    );
    let up = "min_over_time(up{job=\"monitor\"}[5s]) == 1 and count_over_time(up[5s]) >= 5";
    prometheus.query_until(up, limit)?;
    ensure!(prometheus.last_scrape_error()?.is_empty());
    drop((prometheus, listener));
    monitor.stop()?;
    Ok(())
}
