//! What the test program inside a kernel tells the machine outside, line by line on its console.
//!
//! `cargo xtask kernels` boots the program; this is what both sides know.

use serde::{Deserialize, Serialize};

/// What a line of the report starts with; other lines of the console are for people.
const PREFIX: &str = "@kernels ";

/// Where the archive that the kernel unpacks has the modules, in the order to load them.
pub const MODULES: &str = "modules";

/// Where it has the daemon.
pub const MONITOR: &str = "container-monitor";

/// A drive that the machine is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// Nothing is on it.
    Blank,
    /// XFS.
    Xfs,
    /// ext4 with the features for project quotas.
    Ext4,
}

impl Drive {
    /// All drives.
    pub const ALL: [Self; 3] = [Self::Blank, Self::Xfs, Self::Ext4];

    /// Its serial number, which is the name of the file system.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Xfs => "xfs",
            Self::Ext4 => "ext4",
        }
    }
}

/// A capability that each kernel is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The name in JSON.
    pub id: &'static str,
    /// The name in tables.
    pub title: &'static str,
}

/// Declares the checks, and the list of all.
macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $title:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Check = Check { id: $id, title: $title };
        )*

        /// All checks, in the order of the table.
        pub const CHECKS: &[Check] = &[$($name),*];
    };
}

checks! {
    /// How the daemon attaches the program on transitions.
    ATTACHED = "attached", "transitions: attached by";
    /// How namespaces are told apart.
    NAMESPACES_BY = "namespaces_by", "transitions: namespaces told apart by";
    /// The program's warnings, through aya-log.
    WARNINGS = "warnings", "transitions: the program's own log";
    /// Every case of transitions, counted by tp_btf.
    TP_BTF = "tp_btf", "every transition, by tp_btf (cases)";
    /// Every case of transitions, counted by the plain tracepoint.
    TRACEPOINT = "tracepoint", "every transition, by tracepoint (cases)";
    /// Every case of transitions, in the daemon's scrape.
    TRANSITIONS = "transitions", "every transition, as published (cases)";
    /// Transitions of two containers in one namespace, by cgroup.
    BY_CGROUP = "by_cgroup", "transitions by cgroup";
    /// Where the daemon takes TCP states from.
    STATES_FROM = "states_from", "TCP states: read from";
    /// Every state in every family, held still.
    STATES = "states", "every TCP state";
    /// Accept queues.
    QUEUES = "queues", "accept queues";
    /// Sockets of two containers in one namespace, by cgroup.
    STATES_BY_CGROUP = "states_by_cgroup", "TCP states by cgroup";
    /// The same from sock_diag.
    SOCK_DIAG = "sock_diag", "the same from sock_diag";
    /// Where the daemon takes counters from.
    COUNTERS_FROM = "counters_from", "counters: read from";
    /// Every counter against the kernel's files.
    COUNTERS = "counters", "every counter of snmp, snmp6, netstat";
    /// Every line of the files.
    FILES = "files", "every line of every file is understood";
    /// BTF hidden.
    NO_BTF = "no_btf", "what is left without BTF";
    /// tracefs not mounted.
    NO_TRACEFS = "no_tracefs", "without tracefs";
    /// `bpf(2)` refused.
    NO_BPF = "no_bpf", "without CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN";
    /// Lockdown in mode integrity.
    INTEGRITY = "lockdown_integrity", "with lockdown=integrity";
    /// Lockdown in mode confidentiality.
    CONFIDENTIALITY = "lockdown_confidentiality", "with lockdown=confidentiality";
    /// cgroup v1 only.
    CGROUP_V1 = "cgroup_v1", "with cgroup v1 only";
    /// cgroup v2 only.
    CGROUP_V2 = "cgroup_v2", "with cgroup v2 only";
    /// File systems of a container.
    FILE_SYSTEMS = "file_systems", "file systems, as statvfs has them (mounts)";
    /// A writable layer on XFS.
    LAYER_XFS = "layer_xfs", "writable layer as du has it, XFS with quotas: by";
    /// A writable layer on ext4.
    LAYER_EXT4 = "layer_ext4", "the same on ext4";
    /// Input and output.
    DISK = "disk", "input and output, by cgroup v2";
    /// Warnings of the kernel itself.
    KERNEL_LOG = "kernel_log", "the kernel's own log";
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as it should be; what there is to say of it in a word or two.
    Met(String),
    /// The kernel does not have what is asked for; what that is.
    Absent(String),
    /// It is not as it should be; how not.
    Failed(String),
}

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first: which kernel this is.
    Kernel {
        /// `uname -r`
        release: String,
        /// `uname -m`
        machine: String,
    },
    /// A check has begun.
    Begin(String),
    /// A check has ended.
    Check {
        /// [`Check::id`].
        id: String,
        /// What came of it.
        outcome: Outcome,
    },
    /// The last.
    End,
}

impl Line {
    /// The text, without a line's end.
    ///
    /// # Errors
    /// None in practice: there is nothing in it that JSON lacks.
    pub fn to_text(&self) -> serde_json::Result<String> {
        Ok(format!("{PREFIX}{}", serde_json::to_string(self)?))
    }

    /// Reads a line of the console; `None` where it is none of the report, or was torn.
    pub fn from_text(text: &str) -> Option<Self> {
        // What a kernel or a loader left on the line stands before it.
        let json = text.split_once(PREFIX)?.1;
        serde_json::from_str(json.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() -> serde_json::Result<()> {
        let outcome = Outcome::Failed("a \"b\"\n c".to_owned());
        let id = STATES.id.to_owned();
        for line in [Line::End, Line::Check { id, outcome }] {
            let text = line.to_text()?;
            assert!(!text.contains('\n'));
            assert_eq!(Line::from_text(&format!("\u{1b}[0m{text}\r\n")), Some(line));
        }
        assert_eq!(Line::from_text("Freeing unused memory"), None);
        assert_eq!(Line::from_text("@kernels {\"check\":{\"id\":"), None);
        Ok(())
    }

    #[test]
    fn no_two_checks_have_one_name() {
        let mut ids: Vec<_> = CHECKS.iter().map(|check| check.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), CHECKS.len());
    }
}
