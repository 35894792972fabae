//! Manifests: kustomize makes them, and both it and the chart say the same.

use std::process::Command;

use anyhow::{Result, ensure};
use testkit::child::{find_program, output};

use crate::{deploy, text, values};

/// What kustomize makes of a folder of `deploy/kubernetes`; nothing where there is no kubectl, which
/// Debian has only in versions that are too old for these files before Debian 13.
fn kustomize(folder: &str) -> Result<Option<String>> {
    let Some(kubectl) = find_program("kubectl") else {
        eprintln!("not checked: {folder} (needs kubectl)");
        return Ok(None);
    };
    let mut command = Command::new(kubectl);
    command
        .arg("kustomize")
        .arg(deploy("kubernetes").join(folder));
    output(&mut command).map(Some)
}

#[test]
fn kustomize_makes_them() -> Result<()> {
    let kinds = ["DaemonSet", "NetworkPolicy", "Service", "ServiceAccount"];
    let privileged = |text: &str| values(text, "privileged:").eq(["true"]);
    for (folder, is_privileged, host_network) in [
        ("base", true, false),
        ("overlays/least-privilege", false, false),
        ("overlays/host-network", true, true),
    ] {
        let Some(made) = kustomize(folder)? else {
            return Ok(());
        };
        let mut found: Vec<&str> = values(&made, "kind:").collect();
        found.sort_unstable();
        ensure!(found == kinds, "{folder}: {found:?}");
        ensure!(privileged(&made) == is_privileged, "{made}");
        ensure!(made.contains("hostNetwork: true") == host_network, "{made}");
        for line in [
            "hostPID: true",
            "readOnlyRootFilesystem: true",
            "automountServiceAccountToken: false",
            "path: /healthz",
            "path: /readyz",
            "priorityClassName: system-node-critical",
        ] {
            ensure!(made.contains(line), "{folder}: no {line}");
        }
        ensure!(!made.contains("readOnly: false"));
    }
    Ok(())
}

/// The version in the manifests is that of the crate; a release changes all of them.
#[test]
fn versions_are_the_crate_s() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("image: container-monitor:{version}");
    for file in ["kubernetes/base/daemonset.yaml", "compose/compose.yaml"] {
        ensure!(text(file)?.contains(&image), "{file}");
    }
    let chart = text("helm/container-monitor/Chart.yaml")?;
    for field in ["version:", "appVersion:"] {
        let mut found = values(&chart, field).map(|value| value.trim_matches('"'));
        ensure!(found.next() == Some(version), "{field} {chart}");
    }
    Ok(())
}

/// The chart's files are links to what is deployed without it.
#[test]
fn the_chart_has_the_rules_and_dashboards() -> Result<()> {
    for (own, shipped) in [
        ("alerts.yaml", "prometheus/rules/alerts.yaml"),
        ("recording.yaml", "prometheus/rules/recording.yaml"),
        ("fleet.json", "grafana/fleet.json"),
        ("node.json", "grafana/node.json"),
        ("pod.json", "grafana/pod.json"),
    ] {
        let own = format!("helm/container-monitor/files/{own}");
        ensure!(text(&own)? == text(shipped)?, "{own}");
    }
    Ok(())
}
