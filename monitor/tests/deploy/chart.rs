//! The chart, rendered by Helm's own library, and the manifests, against the schemas of Kubernetes'
//! API: what the API server would refuse, or take for nothing.

use std::process::Command;

use anyhow::{Result, ensure};
use testkit::child::output;
use testkit::{python, require};

/// Of PyPI: Helm as a library, and the schemas of all versions.
const PACKAGES: [&str; 3] = [
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.0",
    "pyyaml==6.0.4",
];

#[test]
fn chart_and_manifests_fit_the_api() -> Result<()> {
    testkit::require!(require::python_venv());
    if cfg!(not(target_arch = "x86_64")) {
        eprintln!("not checked: the chart (Helm's library is there for x86-64 alone)");
        return Ok(());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/chart.py");
    let python = python::with_packages("deploy", &PACKAGES)?;
    let said = output(Command::new(python).arg(script))?;
    eprint!("{said}");
    ensure!(
        said.contains("documents fit the schemas of 1.25,"),
        "{said}"
    );
    Ok(())
}
