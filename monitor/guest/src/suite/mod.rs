//! The suite: one check after the other, in an order in which what one of them mounts or forbids
//! does not spoil the next.

mod cgroups;
mod container;
mod counters;
mod daemon;
mod drives;
mod fallbacks;
mod files;
mod kernel_log;
mod mounts;
mod project;
mod rare;
mod report;
mod states;
mod transitions;

use anyhow::Result;
use guest::{
    BY_CGROUP, CGROUP_V1, CGROUP_V2, CONFIDENTIALITY, COUNTERS, COUNTERS_FROM, DISK, Drive,
    FILE_SYSTEMS, FILES, INTEGRITY, KERNEL_LOG, LAYER_EXT4, LAYER_XFS, NO_BPF, NO_BTF, NO_TRACEFS,
    QUEUES, SOCK_DIAG, STATES, STATES_BY_CGROUP, STATES_FROM,
};

pub(crate) use container::{CONNECT, HOLD, hold};
use daemon::Sources;
pub(crate) use files::{TRANSFER, transfer};
use report::Report;
pub(crate) use transitions::{PLAY, play};

/// Runs every check. What fails is said, and does not end the suite.
pub(crate) fn run() -> Result<()> {
    let report = Report::begin()?;
    let usually = daemon::start(&[])?;
    let sources = Sources::of(&usually.metrics()?)?;
    usually.stop()?;
    report.check(STATES_FROM, || Ok(sources.states.clone()));
    report.check(COUNTERS_FROM, || Ok(sources.counters.clone()));
    // Nothing is mounted yet but what every machine has.
    report.check(CGROUP_V1, || cgroups::v1_only(&sources));
    report.check(CGROUP_V2, || cgroups::v2_only(&sources));
    mounts::cgroup2()?;
    report.check(NO_TRACEFS, || fallbacks::no_tracefs(&sources));
    mounts::tracefs()?;
    transitions::check_all(&report);
    report.check(BY_CGROUP, transitions::by_cgroup);
    report.check(STATES, || states::every_state("auto", &sources));
    report.check(SOCK_DIAG, || states::every_state("sock_diag", &sources));
    report.check(QUEUES, || states::queues(&sources));
    report.check(STATES_BY_CGROUP, states::by_cgroup);
    report.check(COUNTERS, || counters::every_counter(&sources));
    report.check(FILES, || counters::every_file(&sources));
    report.check(NO_BTF, || fallbacks::no_btf(&sources));
    report.check(NO_BPF, || fallbacks::no_bpf(&sources));
    report.check(FILE_SYSTEMS, files::file_systems);
    report.check(LAYER_XFS, || files::layer(Drive::Xfs));
    report.check(LAYER_EXT4, || files::layer(Drive::Ext4));
    report.check(DISK, files::disk);
    // There is no way back from these two.
    report.check(INTEGRITY, || fallbacks::lockdown("integrity", &sources));
    report.check(CONFIDENTIALITY, || {
        fallbacks::lockdown("confidentiality", &sources)
    });
    report.check(KERNEL_LOG, kernel_log::is_quiet);
    report.end()
}
