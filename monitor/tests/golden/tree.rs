//! A proc file system of plain files: processes in network namespaces that are hard links of one
//! file each, with counter files that real kernels wrote.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

const FILES: [&str; 5] = ["sockstat", "sockstat6", "snmp", "snmp6", "netstat"];

/// A process.
pub(crate) struct Process<'a> {
    pub(crate) pid: u32,
    pub(crate) comm: &'a [u8],
    /// Its network namespace.
    pub(crate) netns: &'a str,
    /// Its line of the unified hierarchy.
    pub(crate) cgroup: &'a str,
    /// In clock ticks since boot.
    pub(crate) started: u64,
}

/// The tree, removed when it is dropped.
pub(crate) struct Tree {
    folder: TempDir,
    namespaces: BTreeMap<String, Namespace>,
}

struct Namespace {
    file: PathBuf,
    counters: PathBuf,
    inode: u64,
}

impl Tree {
    /// A tree with process 1, in the namespace `host`.
    pub(crate) fn new() -> Result<Self> {
        let mut tree = Self {
            folder: tempfile::tempdir()?,
            namespaces: BTreeMap::new(),
        };
        let ipv4 = tree.root().join("sys/net/ipv4");
        fs::create_dir_all(&ipv4)?;
        fs::write(ipv4.join("tcp_mem"), "190500\t254000\t381000\n")?;
        tree.namespace("host", "6.18")?;
        tree.process(&Process {
            pid: 1,
            comm: b"systemd",
            netns: "host",
            cgroup: "/init.scope",
            started: 1,
        })?;
        Ok(tree)
    }

    /// The root, for `--path.procfs`.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("proc")
    }

    /// Adds a network namespace with the counter files of a kernel.
    pub(crate) fn namespace(&mut self, name: &str, kernel: &str) -> Result<()> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/proc");
        let counters = self.folder.path().join("net").join(name);
        fs::create_dir_all(&counters)?;
        for file in FILES {
            fs::copy(fixtures.join(kernel).join(file), counters.join(file))?;
        }
        // One number of its own, so that none can stand under another's name.
        let sockstat = fs::read_to_string(counters.join("sockstat"))?;
        let (_, rest) = sockstat.split_once('\n').context("one line")?;
        let used = 100 + self.namespaces.len();
        let sockstat = format!("sockets: used {used}\n{rest}");
        fs::write(counters.join("sockstat"), sockstat)?;
        let file = self.folder.path().join(format!("net:{name}"));
        fs::write(&file, "")?;
        let inode = fs::metadata(&file)?.ino();
        let namespace = Namespace {
            file,
            counters,
            inode,
        };
        self.namespaces.insert(name.to_owned(), namespace);
        Ok(())
    }

    /// A counter file of a namespace, to be changed or removed before its processes are made.
    pub(crate) fn file(&self, netns: &str, file: &str) -> Result<PathBuf> {
        Ok(self.get(netns)?.counters.join(file))
    }

    /// Adds a process that lives.
    pub(crate) fn process(&self, process: &Process<'_>) -> Result<()> {
        let folder = self.root().join(process.pid.to_string());
        self.entry(&folder, process, ('S', 1))
    }

    /// Adds a process whose leader has exited and whose thread `pid + 1` lives on.
    pub(crate) fn leaderless(&self, process: &Process<'_>) -> Result<()> {
        let folder = self.root().join(process.pid.to_string());
        let thread = folder.join("task").join((process.pid + 1).to_string());
        self.entry(&thread, process, ('S', 2))?;
        fs::write(folder.join("stat"), stat(process, ('Z', 2)))?;
        Ok(())
    }

    fn entry(&self, folder: &Path, process: &Process<'_>, state: (char, u32)) -> Result<()> {
        let netns = self.get(process.netns)?;
        let (ns, net) = (folder.join("ns"), folder.join("net"));
        fs::create_dir_all(&ns)?;
        fs::create_dir_all(&net)?;
        fs::hard_link(&netns.file, ns.join("net"))?;
        for file in fs::read_dir(&netns.counters)? {
            let file = file?;
            fs::copy(file.path(), net.join(file.file_name()))?;
        }
        fs::write(folder.join("cgroup"), format!("0::{}\n", process.cgroup))?;
        fs::write(folder.join("comm"), [process.comm, b"\n"].concat())?;
        fs::write(folder.join("stat"), stat(process, state))?;
        Ok(())
    }

    /// Gives a namespace a name as `ip netns` does.
    pub(crate) fn name(&self, netns: &str, name: &str) -> Result<()> {
        let folder = self.root().join("1/root/run/netns");
        fs::create_dir_all(&folder)?;
        fs::hard_link(&self.get(netns)?.file, folder.join(name))?;
        Ok(())
    }

    /// Writes the names of namespaces where an exposition has their inode numbers.
    pub(crate) fn without_inodes(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, Namespace { inode, .. }) in &self.namespaces {
            text = text.replace(
                &format!("netns=\"{inode}\""),
                &format!("netns=\"<{name}>\""),
            );
            // Behind a name that another container has too.
            text = text.replace(&format!("-{inode}\""), &format!("-<{name}>\""));
        }
        text
    }

    fn get(&self, netns: &str) -> Result<&Namespace> {
        let namespace = self.namespaces.get(netns);
        namespace.with_context(|| format!("no namespace {netns}"))
    }
}

/// `/proc/<pid>/stat` of Linux 6.18, but for the fields given.
fn stat(process: &Process<'_>, (state, threads): (char, u32)) -> Vec<u8> {
    let Process {
        pid, comm, started, ..
    } = process;
    let mut line = format!("{pid} (").into_bytes();
    line.extend_from_slice(comm);
    let rest = format!(
        ") {state} 1 {pid} {pid} 0 -1 4194560 98 0 0 0 0 0 0 0 20 0 {threads} 0 {started} 6021120 \
         224 18446744073709551615 94271 94272 140731 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 9428 9429 \
         9430 140731 140732 140733 140734 0\n"
    );
    line.extend_from_slice(rest.as_bytes());
    line
}
