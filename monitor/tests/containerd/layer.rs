//! Writable layers of a real containerd, of a pod's container and of a plain one, with `du` as the
//! judge.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::{du, published, require};

use crate::monitor;

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
        let judge = du::of(&upper(pid)?)?;
        ensure!(judge[1] > files, "{name}: {judge:?}");
        monitor.metrics_when(Duration::from_secs(60), |metrics| {
            let found = published::layer(metrics, name)?;
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
