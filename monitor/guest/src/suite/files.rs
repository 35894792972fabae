//! A container's file systems, its writable layer, and what it reads and writes, as published,
//! beside what the kernel says to those who ask it otherwise.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use guest::Drive;
use rustix::fs::{Mode, OFlags, open, statvfs};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use testkit::cgroup::Cgroup;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::published;

use super::container::Container;
use super::daemon::{self, SOON};
use super::drives::{self, Mount};
use super::mounts::Mounted;
use super::project;

/// The argument that makes this program write to a disk and read from it.
pub(crate) const TRANSFER: &str = "transfer";

/// One MiB, in bytes.
const MIB: usize = 1 << 20;

/// How much a project with a limit may take.
const LIMIT: u64 = 8 << 20;

/// How many inodes.
const INODES: u64 = 500;

/// What a container's root is made of: the image, in which there is but this program.
const IMAGE: &str = "/image";

/// A container, and its root, which is mounted on the host too.
struct Rooted {
    // Ends before its root is unmounted.
    container: Container,
    _root: Mounted,
}

/// A container with a root of its own, an overlayfs whose upper folder is below `folder`. It is
/// mounted at `root`.
fn container(folder: &Path, root: PathBuf, mounts: &[(&str, &Path)]) -> Result<Rooted> {
    let image = Path::new(IMAGE);
    if !image.exists() {
        fs::create_dir(image)?;
        fs::hard_link("/init", image.join("init"))?;
        fs::write(image.join("deleted"), "x")?;
        for name in ["tmp", "limited", "whole"] {
            fs::create_dir(image.join(name))?;
        }
    }
    for name in ["diff", "work"] {
        fs::create_dir(folder.join(name))?;
    }
    fs::write(folder.join("link"), "SHORTERNAMEOFTHELAYER")?;
    let tmp = root.join("tmp");
    let text = |name: &str| folder.join(name).display().to_string();
    let options = format!(
        "lowerdir={IMAGE},upperdir={},workdir={}",
        text("diff"),
        text("work")
    );
    let mounted = Mounted::new("overlay", &root, Some(&options))?;
    let mounts: Vec<(PathBuf, PathBuf)> = mounts
        .iter()
        .map(|(name, from)| (root.join(name), from.to_path_buf()))
        .collect();
    let mut command = Command::new("/init");
    command.arg(crate::SLEEP);
    let cgroup = Cgroup::docker()?;
    cgroup.put(&mut command)?;
    let set_up = move || {
        // SAFETY: NEWNS is not FILES; no descriptor table is unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        for (place, from) in &mounts {
            mount_bind(from, place)?;
        }
        let size = c"size=1m,nr_inodes=77";
        mount("tmpfs", &tmp, "tmpfs", MountFlags::empty(), size)?;
        rustix::process::chroot(&root)?;
        rustix::process::chdir("/")?;
        Ok(())
    };
    // SAFETY: the hook makes system calls; all that it hands over was made before.
    unsafe { command.pre_exec(set_up) };
    let netns = testkit::netns::Netns::with_holder(command)?;
    Ok(Rooted {
        container: Container { netns, cgroup },
        _root: mounted,
    })
}

/// File systems of several kinds, one of them with a quota for the folder that is mounted.
pub(crate) fn file_systems() -> Result<String> {
    let xfs = Mount::new(Drive::Xfs)?;
    let limited = xfs.path().join("limited");
    fs::create_dir(&limited)?;
    project::limit(&limited, &xfs.device, 7, LIMIT, INODES)?;
    fs::write(limited.join("data"), vec![1; MIB])?;
    let layer = xfs.path().join("layer");
    fs::create_dir(&layer)?;
    let mounts_of = [("limited", &*limited), ("whole", xfs.path())];
    let rooted = container(&layer, layer.join("merged"), &mounts_of)?;
    let container = &rooted.container;
    rustix::fs::sync();
    let monitor = daemon::start(&[])?;
    let metrics = monitor.metrics()?;
    let found = mounts(&metrics, container.name());
    let places = ["/limited", "/tmp", "/whole"];
    ensure!(
        found.keys().map(String::as_str).eq(places),
        "mounts: {found:?}"
    );
    for place in places {
        let path = format!("/proc/{}/root{place}", container.netns.pid());
        let all = statvfs(&*path)?;
        let judge = [
            all.f_blocks * all.f_frsize,
            all.f_bavail * all.f_frsize,
            all.f_files,
            all.f_ffree,
        ]
        .map(|value| value as f64);
        ensure!(
            found[place] == judge,
            "{place}: {:?}, statvfs says {judge:?}",
            found[place]
        );
    }
    let [size, ..] = found["/limited"];
    ensure!(size == LIMIT as f64, "the quota is no size: {size}");
    ensure!(found["/whole"][0] > size, "{found:?}");
    monitor.stop()?;
    Ok(format!("exact ({})", places.len()))
}

/// Size, what is available, inodes and free inodes of each mount of a container.
fn mounts(metrics: &Metrics, container: &str) -> BTreeMap<String, [f64; 4]> {
    let mut found = BTreeMap::<String, [f64; 4]>::new();
    for (at, family) in ["size_bytes", "avail_bytes", "files", "files_free"]
        .into_iter()
        .enumerate()
    {
        let name = format!("container_filesystem_{family}");
        for sample in metrics.matching(&name, &[("container", container)]) {
            if let Some(place) = sample.labels.get("mountpoint") {
                found.entry(place.clone()).or_default()[at] = sample.value;
            }
        }
    }
    found
}

/// A layer of a file system with project quotas, as big as all that is in it. Gives how it was
/// summed.
pub(crate) fn layer(drive: Drive) -> Result<String> {
    let disk = Mount::new(drive)?;
    let folder = disk.path().join("0123456789");
    fs::create_dir(&folder)?;
    project::limit(&folder, &disk.device, 9, LIMIT, INODES)?;
    // Docker mounts it beside the layer, containerd elsewhere.
    let root = match drive {
        Drive::Ext4 => PathBuf::from("/run/rootfs"),
        Drive::Xfs | Drive::Blank => folder.join("merged"),
    };
    let rooted = container(&folder, root, &[])?;
    let container = &rooted.container;
    let root = PathBuf::from(format!("/proc/{}/root", container.netns.pid()));
    fs::create_dir_all(root.join("a/b"))?;
    for number in 0..200 {
        fs::write(root.join(format!("a/b/{number}")), vec![1; 20 * number])?;
    }
    fs::write(root.join("a/data"), vec![1; MIB])?;
    for number in 0..20 {
        fs::hard_link(root.join("a/data"), root.join(format!("a/link-{number}")))?;
    }
    symlink("/proc/1/root", root.join("a/out"))?;
    fs::File::create(root.join("a/sparse"))?.set_len(1 << 30)?;
    // Overlayfs says so with inodes of its own, which may have further names in its work folder.
    fs::remove_file(root.join("deleted"))?;
    fs::remove_dir(root.join("limited"))?;
    fs::write(root.join("tmp/elsewhere"), vec![1; 10_000])?;
    rustix::fs::sync();
    let monitor = daemon::start(&["--collector.writable-layer.budget=1000000"])?;
    let metrics = monitor.metrics_when(SOON, |metrics| {
        published::layer(metrics, container.name()).map(drop)
    })?;
    let (found, judge) = (
        published::layer(&metrics, container.name())?,
        du(&folder.join("diff"))?,
    );
    ensure!(found == judge, "{found:?}, added up it is {judge:?}");
    ensure!(judge[1] > 200.0, "{judge:?}");
    let looked_at = metrics.value("container_monitor_writable_layer_inodes_total", &[])?;
    monitor.stop()?;
    Ok(if looked_at < judge[1] {
        "project quota"
    } else {
        "walk"
    }
    .to_owned())
}

/// Bytes and inodes of a folder, as `du` has them; the folder itself is no inode in it.
fn du(folder: &Path) -> Result<[f64; 2]> {
    let mut seen = HashSet::new();
    let mut bytes = fs::metadata(folder)?.blocks() * 512;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if !seen.insert(metadata.ino()) {
                continue;
            }
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok([bytes as f64, seen.len() as f64])
}

/// What a container reads and writes, counted by cgroup v2.
pub(crate) fn disk() -> Result<String> {
    let device = drives::device(Drive::Blank)?;
    let cgroup = Cgroup::docker()?;
    let slice = cgroup.path().parent().context("a cgroup has no slice")?;
    let root = slice.parent().context("a slice has no root")?;
    for folder in [root, slice] {
        fs::write(folder.join("cgroup.subtree_control"), "+io")
            .context("cannot have input and output counted")?;
    }
    let container = Container::in_cgroup(cgroup)?;
    let disk = device.to_str().context("a device's name")?;
    let monitor = daemon::start(&[])?;
    for written in [3, 8] {
        let before = traffic(&monitor, &container)?;
        container.run(&[TRANSFER, disk, &written.to_string()])?;
        let after = traffic(&monitor, &container)?;
        let expected = [written - 1, written].map(|mib| (mib * MIB) as f64);
        for (at, expected) in expected.into_iter().enumerate() {
            let moved = after[at] - before[at];
            ensure!(
                moved == expected,
                "{moved} bytes, expected {expected}: {after:?}"
            );
        }
        ensure!(
            after[2] > before[2] && after[3] > before[3],
            "no operations: {after:?}"
        );
    }
    monitor.stop()?;
    Ok("exact".to_owned())
}

/// Bytes read and written, reads and writes, of a container, as published of the drive.
fn traffic(monitor: &Monitor, container: &Container) -> Result<[f64; 4]> {
    let metrics = monitor.metrics()?;
    let sum = |name: &str| {
        let name = format!("container_disk_{name}_total");
        metrics.sum(&name, &[("container", container.name())])
    };
    Ok([
        "read_bytes",
        "written_bytes",
        "reads_completed",
        "writes_completed",
    ]
    .map(sum))
}

/// Writes so many MiB to a disk and reads one less from it, past the page cache.
pub(crate) fn transfer(disk: &str, mib: usize) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    let disk = open(disk, flags, Mode::empty()).with_context(|| disk.to_owned())?;
    // The kernel wants the memory to begin where a block does.
    let mut memory = vec![7_u8; MIB + 4096];
    let start = memory.as_ptr().align_offset(4096);
    let block = &mut memory[start..start + MIB];
    for number in 0..mib {
        let count = rustix::io::pwrite(&disk, block, (number * MIB) as u64)?;
        ensure!(count == MIB, "{count} bytes were written");
    }
    for number in 1..mib {
        let count = rustix::io::pread(&disk, &mut *block, (number * MIB) as u64)?;
        ensure!(count == MIB, "{count} bytes were read");
    }
    Ok(())
}
