//! The monitor on a real Docker host: more than 30 containers of a Docker daemon of its own.
//!
//! All checks share the daemon and its containers, which take a while to start, and each starts a
//! monitor of its own. They are one test, since nothing else would end the daemon when the last
//! check is done: a `static` is never dropped. They run in order, every one of them, and the
//! failures are told together.

mod churn;
mod fleet;
mod identity;
mod lifecycle;
mod outage;
mod states;
mod values;

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use testkit::dockerd::PROGRAMS;
use testkit::require;

use fleet::Fleet;

type Check = fn(&mut Fleet) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    (
        "every container has its info",
        identity::every_container_has_its_info,
    ),
    ("one owner a namespace", identity::one_owner_a_namespace),
    ("host network", identity::host_network),
    ("pods", identity::pods),
    ("host interfaces", identity::host_interfaces),
    ("the text format", identity::the_text_format),
    ("values are the files'", values::values_are_the_files),
    ("values are those of ss", values::values_are_those_of_ss),
    ("a thousand connections", values::a_thousand_connections),
    ("states are those of ss", states::states_are_those_of_ss),
    ("containers of a pod", states::containers_of_a_pod),
    (
        "containers on the host's network",
        states::containers_on_the_host_s_network,
    ),
    ("an exited leader", values::an_exited_leader),
    ("stopped", lifecycle::stopped),
    ("killed from outside", lifecycle::killed_from_outside),
    ("removed", lifecycle::removed),
    ("renamed", lifecycle::renamed),
    ("restarted", lifecycle::restarted),
    ("paused", lifecycle::paused),
    ("no namespace kept alive", churn::no_namespace_kept_alive),
    ("containers come and go", churn::containers_come_and_go),
    (
        "the daemon killed and restarted",
        outage::daemon_killed_and_restarted,
    ),
    ("no daemon at the start", outage::no_daemon_at_the_start),
];

#[test]
fn docker_host() -> Result<()> {
    testkit::require!(require::root());
    testkit::require!(require::program("ss"), require::program("promtool"));
    for program in PROGRAMS {
        testkit::require!(require::program(program));
    }
    // For work on one check: a part of its name.
    let only = std::env::var("CONTAINER_MONITOR_TEST_CHECK").unwrap_or_default();
    let chosen = || CHECKS.iter().filter(|(name, _)| name.contains(&only));
    ensure!(
        chosen().next().is_some(),
        "CONTAINER_MONITOR_TEST_CHECK={only}: no check has that in its name"
    );
    let mut fleet = Fleet::start()?;
    let mut failed = Vec::new();
    for (name, check) in chosen() {
        let start = Instant::now();
        let result = check(&mut fleet);
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        eprintln!("{name}: {word} ({:.1} s)", start.elapsed().as_secs_f64());
        if let Err(error) = result {
            failed.push(format!("{name}: {error:?}"));
        }
    }
    if !failed.is_empty() {
        bail!("{} checks failed\n\n{}", failed.len(), failed.join("\n\n"));
    }
    Ok(())
}
