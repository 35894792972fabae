//! What a real container reads and writes, compared with its cgroup's own files and with what was
//! really done.

use anyhow::{Result, ensure};
use testkit::disk::{Disk, MIB, cgroup_of};
use testkit::dockerd::{Dockerd, PROGRAMS};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::require;

use crate::SOON;

/// What the kernel's own files say of one device: bytes read and written, reads and writes. Of
/// others, which a program is read from, it may change at any time.
fn judge(pid: u32, device: &str) -> Result<[f64; 4]> {
    let (folder, is_v1) = cgroup_of(pid)?;
    let number = std::fs::read_to_string(format!("/sys/block/{device}/dev"))?;
    let is_of_it = |line: &&str| line.split_whitespace().next() == Some(number.trim());
    let mut sums = [0.0; 4];
    if is_v1 {
        for (at, file) in [(0, "io_service_bytes"), (2, "io_serviced")] {
            let text = std::fs::read_to_string(folder.join(format!("blkio.throttle.{file}")))?;
            for line in text.lines().filter(is_of_it) {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words[..] {
                    [_, "Read", value] => sums[at] += value.parse::<f64>()?,
                    [_, "Write", value] => sums[at + 1] += value.parse::<f64>()?,
                    _ => {}
                }
            }
        }
    } else {
        let text = std::fs::read_to_string(folder.join("io.stat"))?;
        let lines = text.lines().filter(is_of_it);
        for word in lines.flat_map(str::split_whitespace) {
            for (sum, key) in sums
                .iter_mut()
                .zip(["rbytes=", "wbytes=", "rios=", "wios="])
            {
                if let Some(value) = word.strip_prefix(key) {
                    *sum += value.parse::<f64>()?;
                }
            }
        }
    }
    Ok(sums)
}

fn published(metrics: &Metrics, container: &str, device: &str) -> [f64; 4] {
    let families = [
        "read_bytes",
        "written_bytes",
        "reads_completed",
        "writes_completed",
    ];
    families.map(|name| {
        let name = format!("container_disk_{name}_total");
        metrics.sum(&name, &[("container", container), ("device", device)])
    })
}

#[test]
fn reads_and_writes_of_a_container() -> Result<()> {
    testkit::require!(crate::needs(), require::program("losetup"));
    for program in PROGRAMS {
        testkit::require!(require::program(program));
    }
    let docker = Dockerd::start()?;
    let disk = Disk::new()?;
    let limits = disk.limits();
    let device = disk.path.trim_start_matches("/dev/");
    docker.run(
        "disk-busy",
        &limits.each_ref().map(String::as_str),
        &["pause"],
    )?;
    docker.run("disk-idle", &[], &["pause"])?;
    let busy = docker.pid("disk-busy")?;
    disk.transfer(busy, 3)?;
    let exe = env!("CARGO_BIN_EXE_container-monitor");
    let endpoint = docker.endpoint();
    let args = [
        "serve",
        "--discovery=docker",
        "--docker.endpoint",
        &endpoint,
    ];
    let monitor = Monitor::start(exe, &args)?;
    monitor.wait_ready()?;
    for mib in [5, 8] {
        let metrics = monitor.metrics()?;
        for (name, pid) in [("disk-busy", busy), ("disk-idle", docker.pid("disk-idle")?)] {
            let (found, judge) = (published(&metrics, name, device), judge(pid, device)?);
            ensure!(
                found == judge,
                "{name}: {found:?}, the cgroup says {judge:?}"
            );
        }
        let before = published(&metrics, "disk-busy", device);
        disk.transfer(busy, mib)?;
        let after = published(&monitor.metrics()?, "disk-busy", device);
        let moved = [(mib - 1) * MIB, mib * MIB].map(|bytes| bytes as f64);
        ensure!(
            [after[0] - before[0], after[1] - before[1]] == moved,
            "{before:?} to {after:?}, and it should be by {moved:?}"
        );
        ensure!(
            after[2] > before[2] && after[3] > before[3],
            "{before:?} to {after:?}"
        );
    }
    docker.docker(&["rm", "--force", "disk-busy", "disk-idle"])?;
    monitor.metrics_when(SOON, |metrics| {
        let left = metrics.series("container_disk_read_bytes_total");
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })?;
    monitor.stop()?;
    Ok(())
}
