//! Machines with cgroup v1 only, as older ones are, and with cgroup v2 only, as newer ones are.

use std::path::Path;

use anyhow::{Context, Result};
use testkit::cgroup::Cgroup;
use testkit::published;

use super::container::{Container, holding};
use super::daemon::Sources;
use super::report::Absent;
use super::{daemon, fallbacks, mounts};

/// Every socket says that it is in the root of the unified hierarchy, which nobody has mounted:
/// containers are found by their cgroups in the older ones, and numbers are their namespaces'.
pub(crate) fn v1_only(usually: &Sources) -> Result<String> {
    const HIERARCHY: &str = "/sys/fs/cgroup/pids";
    let tmpfs = mounts::Mounted::new("tmpfs", mounts::CGROUPS, None)?;
    let Ok(pids) = mounts::Mounted::new("cgroup", HIERARCHY, Some("pids")) else {
        return Err(Absent("no cgroup v1".to_owned()).into());
    };
    let left = {
        let monitor = daemon::start(&[])?;
        let cgroup = Cgroup::docker_below(Path::new(HIERARCHY))?;
        let container = Container::in_cgroup(cgroup)?;
        fallbacks::numbers_of(&monitor, &container)?;
        daemon::says(&monitor, &["no cgroup2", "not told apart"])?;
        let left = daemon::left_with(&monitor.metrics()?, usually)?;
        monitor.stop()?;
        left
    };
    drop(pids);
    drop(tmpfs);
    Ok(format!("{left}, by namespace"))
}

/// Containers are told apart by the cgroups of their sockets, on the host's network too.
pub(crate) fn v2_only(usually: &Sources) -> Result<String> {
    let unified = mounts::Mounted::new("cgroup2", mounts::CGROUPS, None)?;
    let left = {
        let monitor = daemon::start(&[])?;
        let container = Container::new()?;
        fallbacks::numbers_of(&monitor, &container)?;
        let on_host = Cgroup::docker()?;
        let held = holding(None, &on_host, 3)?;
        let metrics = monitor.metrics()?;
        let seen = published::states(&metrics, on_host.short_id())?;
        let established = seen.get(&("ipv4", "established"));
        (established == Some(&6))
            .then_some(())
            .with_context(|| format!("on the host's network: {seen:?}"))?;
        drop(held);
        let left = daemon::left_with(&metrics, usually)?;
        monitor.stop()?;
        left
    };
    drop(unified);
    Ok(left)
}
