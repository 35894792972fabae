//! Writable layers of a real containerd, of a pod's container and of a plain one, with `du` as the
//! judge.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::child::output_within;
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::metrics::Metrics;
use testkit::require;

use crate::{SOON, monitor};

/// The upper folder of a process's root, as its own mounts show it.
fn upper(pid: u32) -> Result<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let root = text
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"))
        .context("no root")?;
    let upper = root
        .split([' ', ','])
        .find_map(|option| option.strip_prefix("upperdir="));
    Ok(upper.context("the root is no overlayfs")?.into())
}

/// What `du` says of a folder: bytes, and inodes below it.
fn du(folder: &Path) -> Result<[f64; 2]> {
    let first = |option: &str| -> Result<f64> {
        let mut command = Command::new("du");
        command.args(["-s", option]).arg(folder);
        let text = output_within(command, SOON)?;
        let number = text.split_whitespace().next();
        Ok(number.context("du is silent")?.parse()?)
    };
    Ok([first("--block-size=1")?, first("--inodes")? - 1.0])
}

fn published(metrics: &Metrics, container: &str) -> Result<[f64; 2]> {
    let value = |name: &str| {
        let name = format!("container_filesystem_writable_layer_{name}");
        metrics.value(&name, &[("container", container)])
    };
    Ok([value("bytes")?, value("files")?])
}

#[test]
fn layers_are_what_du_says() -> Result<()> {
    testkit::require!(
        require::root(),
        require::program("du"),
        containerd::programs()
    );
    let containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    let server = containerd.run_container(&pod, &ContainerSpec::new("server", &[]))?;
    let server = containerd.pid_of(&server)?;
    let plain = containerd.run_plain("default", "plain", &["pause"])?;
    for (pid, files) in [(server, 300), (plain, 20)] {
        let data = PathBuf::from(format!("/proc/{pid}/root/data/below"));
        std::fs::create_dir_all(&data)?;
        for file in 0..files {
            std::fs::write(data.join(file.to_string()), vec![1; file * 50])?;
        }
    }
    // The page cache gives blocks to files when it is written back.
    rustix::fs::sync();
    let monitor = monitor(&containerd)?;
    for (name, pid, files) in [("server", server, 300.0), ("plain", plain, 20.0)] {
        let judge = du(&upper(pid)?)?;
        ensure!(judge[1] > files, "{name}: {judge:?}");
        monitor.metrics_when(Duration::from_secs(60), |metrics| {
            let found = published(metrics, name)?;
            ensure!(found == judge, "{name}: {found:?}, du says {judge:?}");
            Ok(())
        })?;
    }
    // The sandbox has a root too, and no series of files.
    let family = "container_filesystem_writable_layer_bytes";
    let all = monitor.metrics()?.series(family).len();
    ensure!(all == 2, "{all} layers");
    monitor.stop()?;
    Ok(())
}
