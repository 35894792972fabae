//! On which CPU the kernel counts.

use anyhow::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two of the CPUs that this thread may run on, or the only one.
pub(super) fn two() -> Result<Vec<CpuSet>> {
    let allowed = sched_getaffinity(None)?;
    let one = |cpu| {
        let mut set = CpuSet::new();
        set.set(cpu);
        set
    };
    let cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    Ok(cpus.take(2).map(one).collect())
}

/// Keeps the calling thread there, and those that it starts.
pub(super) fn pin(cpu: &CpuSet) -> Result<()> {
    Ok(sched_setaffinity(None, cpu)?)
}
