//! What the host offers, by its files: nothing is loaded.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities};

use super::{Finding, Verdict};
use crate::cgroups::Cgroups;
use crate::daemon::is_hosts_pid_namespace;
use crate::discovery::{cri, docker};

/// Capabilities, and what is lost without each.
const CAPABILITIES: [(CapabilitySet, &str, &str); 6] = [
    (
        CapabilitySet::SYS_PTRACE,
        "CAP_SYS_PTRACE",
        "other processes' namespaces are out of reach",
    ),
    (
        CapabilitySet::SYS_ADMIN,
        "CAP_SYS_ADMIN",
        "no cookies, interfaces and sock_diag of namespaces",
    ),
    (CapabilitySet::BPF, "CAP_BPF", NO_EBPF),
    (CapabilitySet::PERFMON, "CAP_PERFMON", NO_EBPF),
    (
        CapabilitySet::DAC_READ_SEARCH,
        "CAP_DAC_READ_SEARCH",
        "mounts and writable layers incomplete below folders of other users",
    ),
    (
        CapabilitySet::NET_ADMIN,
        "CAP_NET_ADMIN",
        "no names of interfaces",
    ),
];

const NO_EBPF: &str = "no transitions; states by sock_diag, counters from /proc";

/// Looks at everything.
pub(super) fn look(procfs: &Path, sysfs: &Path) -> Vec<Finding> {
    vec![
        kernel(),
        processes(procfs),
        capable(),
        btf(sysfs),
        lockdown(sysfs),
        cgroup2(sysfs),
        runtimes(),
    ]
}

fn kernel() -> Finding {
    let system = rustix::system::uname();
    let (release, machine) = (system.release(), system.machine());
    let found = format!(
        "{} on {}",
        release.to_string_lossy(),
        machine.to_string_lossy()
    );
    Finding::new(Verdict::Good, "Linux", found)
}

fn processes(procfs: &Path) -> Finding {
    let what = "host's processes";
    let shown = procfs.display();
    if std::fs::metadata(procfs.join("self")).is_err() {
        let found = format!("{shown} is no proc file system (--path.procfs)");
        return Finding::new(Verdict::Bad, what, found);
    }
    match is_hosts_pid_namespace(procfs) {
        Some(false) => Finding::new(
            Verdict::Lost,
            what,
            format!(
                "{shown} is of a container's own pid namespace: other containers are not found \
                 (docker run --pid host, hostPID: true)"
            ),
        ),
        _ => Finding::new(Verdict::Good, what, format!("seen at {shown}")),
    }
}

fn capable() -> Finding {
    let what = "capabilities";
    let effective = match capabilities(None) {
        Ok(sets) => sets.effective,
        Err(error) => return Finding::new(Verdict::Lost, what, format!("not told: {error}")),
    };
    let missing: Vec<String> = CAPABILITIES
        .iter()
        .filter(|(capability, ..)| !effective.contains(*capability))
        .map(|(_, name, lost)| format!("no {name} ({lost})"))
        .collect();
    if missing.is_empty() {
        let names = CAPABILITIES.map(|(_, name, _)| name);
        return Finding::new(Verdict::Good, what, names.join(", "));
    }
    Finding::new(Verdict::Lost, what, missing.join("; "))
}

fn btf(sysfs: &Path) -> Finding {
    let path = sysfs.join("kernel/btf/vmlinux");
    match std::fs::metadata(&path) {
        Ok(file) => {
            let found = format!("{}, {} KiB", path.display(), file.size() / 1024);
            Finding::new(Verdict::Good, "BTF", found)
        }
        Err(error) => {
            let found = format!("{}: {error}: {NO_EBPF}", path.display());
            Finding::new(Verdict::Lost, "BTF", found)
        }
    }
}

fn lockdown(sysfs: &Path) -> Finding {
    let what = "lockdown";
    let text = std::fs::read_to_string(sysfs.join("kernel/security/lockdown"));
    match text.as_deref().map(str::trim) {
        Ok(modes) if modes.contains("[confidentiality]") => Finding::new(
            Verdict::Lost,
            what,
            "confidentiality: no program may read the kernel's memory; states by sock_diag, \
             counters from /proc",
        ),
        Ok(modes) => Finding::new(Verdict::Good, what, modes),
        Err(_) => Finding::new(Verdict::Good, what, "none that is shown"),
    }
}

fn cgroup2(sysfs: &Path) -> Finding {
    let what = "cgroup2";
    if Cgroups::open(sysfs).are_there() {
        return Finding::new(Verdict::Good, what, format!("below {}", sysfs.display()));
    }
    let found = "none: containers that share a network namespace are not told apart";
    Finding::new(Verdict::Lost, what, found)
}

fn runtimes() -> Finding {
    let what = "runtimes";
    let docker = [docker::Endpoint::docker(), docker::Endpoint::podman()];
    let there: Vec<String> = cri::Endpoint::usual()
        .iter()
        .map(ToString::to_string)
        .chain(docker.iter().map(ToString::to_string))
        .filter(|endpoint| {
            let path = endpoint.strip_prefix("unix://");
            path.is_some_and(|path| Path::new(path).exists())
        })
        .collect();
    if there.is_empty() {
        let found = "no socket at the usual places: containers are found by their cgroups";
        return Finding::new(Verdict::Lost, what, found);
    }
    Finding::new(Verdict::Good, what, there.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_lost_with_its_reason() {
        let empty = tempfile::tempdir().unwrap();
        let findings = look(empty.path(), empty.path());
        let of = |what| {
            let mut findings = findings.iter();
            findings.find(|finding| finding.what == what).unwrap()
        };
        assert_eq!(of("host's processes").verdict, Verdict::Bad);
        for what in ["BTF", "cgroup2"] {
            assert_eq!(of(what).verdict, Verdict::Lost, "{what}");
        }
        assert!(of("BTF").found.contains("sock_diag"));
        assert_eq!(of("Linux").verdict, Verdict::Good);
    }

    #[test]
    fn confidentiality_is_named() {
        let sysfs = tempfile::tempdir().unwrap();
        let folder = sysfs.path().join("kernel/security");
        std::fs::create_dir_all(&folder).unwrap();
        let verdict = |modes: &str| {
            std::fs::write(folder.join("lockdown"), modes).unwrap();
            lockdown(sysfs.path()).verdict
        };
        assert_eq!(verdict("[none] integrity confidentiality\n"), Verdict::Good);
        assert_eq!(verdict("none [integrity] confidentiality\n"), Verdict::Good);
        assert_eq!(verdict("none integrity [confidentiality]\n"), Verdict::Lost);
    }
}
