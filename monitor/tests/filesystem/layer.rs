//! Writable layers of a real Docker, with `du` as the judge.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::dockerd::{Dockerd, PROGRAMS};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::{du, published, require};

use crate::scene::Scene;

/// How long a scan of many files may take.
const SCAN: Duration = Duration::from_secs(60);

fn scanned(monitor: &Monitor, container: &str) -> Result<Metrics> {
    monitor.metrics_when(SCAN, |metrics| {
        published::layer(metrics, container).map(drop)
    })
}

#[test]
fn a_hundred_thousand_files() -> Result<()> {
    testkit::require!(crate::needs(), require::program("du"));
    for program in PROGRAMS {
        testkit::require!(require::program(program));
    }
    let docker = Dockerd::start()?;
    for name in ["layer-big", "layer-small"] {
        docker.run(name, &["--tmpfs", "/elsewhere"], &["pause"])?;
    }
    let root = PathBuf::from(format!("/proc/{}/root", docker.pid("layer-big")?));
    for folder in 0..100 {
        let folder = root.join(format!("data/{folder}"));
        std::fs::create_dir_all(&folder)?;
        for file in 0..1_000 {
            std::fs::write(
                folder.join(file.to_string()),
                if file % 10 == 0 { "x" } else { "" },
            )?;
        }
    }
    for link in 0..500 {
        std::fs::hard_link(
            root.join("data/7/0"),
            root.join(format!("data/link-{link}")),
        )?;
    }
    // What lies outside is no part of it, wherever a link leads and whatever is mounted.
    symlink("/proc/1/root", root.join("data/out"))?;
    symlink("/usr", root.join("data/usr"))?;
    std::fs::write(root.join("elsewhere/much"), vec![1; 1 << 20])?;
    std::fs::File::create(root.join("data/sparse"))?.set_len(1 << 32)?;
    // The page cache gives blocks to files when it is written back.
    rustix::fs::sync();
    let upper = |name: &str| docker.inspect(name, "{{.GraphDriver.Data.UpperDir}}");
    let big = PathBuf::from(upper("layer-big")?);

    let exe = env!("CARGO_BIN_EXE_container-monitor");
    let endpoint = docker.endpoint();
    let args = [
        "serve",
        "--discovery=docker",
        "--docker.endpoint",
        &endpoint,
    ];
    let fast = "--collector.writable-layer.budget=1000000";
    let monitor = Monitor::start(exe, &[&args[..], &[fast]].concat())?;
    monitor.wait_ready()?;
    let metrics = scanned(&monitor, "layer-big")?;
    let (found, judge) = (published::layer(&metrics, "layer-big")?, du::of(&big)?);
    ensure!(found == judge, "{found:?}, du says {judge:?}");
    ensure!(found[1] > 100_000.0, "{found:?}");
    let metrics = scanned(&monitor, "layer-small")?;
    let small = Path::new(&upper("layer-small")?).to_owned();
    ensure!(published::layer(&metrics, "layer-small")? == du::of(&small)?);
    let stamp = metrics.value(
        "container_filesystem_writable_layer_scan_timestamp_seconds",
        &[("container", "layer-big")],
    )?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    ensure!(
        (now.as_secs_f64() - stamp).abs() < 120.0,
        "scanned at {stamp}"
    );
    monitor.stop()?;

    // A container that ends while it is scanned: its layer is let go of, and the next one's turn
    // comes.
    let slow = "--collector.writable-layer.budget=3000";
    let monitor = Monitor::start(exe, &[&args[..], &[slow]].concat())?;
    monitor.wait_ready()?;
    let looked_at =
        |metrics: &Metrics| metrics.value("container_monitor_writable_layer_inodes_total", &[]);
    // More than the other one has: its scan is under way.
    monitor.metrics_when(SCAN, |metrics| {
        let found = looked_at(metrics)?;
        ensure!(found > 1_000.0, "{found} were looked at");
        Ok(())
    })?;
    docker.docker(&["rm", "--force", "layer-big"])?;
    ensure!(!big.exists(), "{} is still there", big.display());
    let metrics = scanned(&monitor, "layer-small")?;
    ensure!(published::layer(&metrics, "layer-big").is_err());
    let found = looked_at(&metrics)?;
    ensure!(found < 100_000.0, "{found}: it was scanned to the end");
    monitor.stop()?;
    Ok(())
}

/// Makes an overlayfs the root of the process, which is called as the container is.
fn into_overlay(name: &str) -> String {
    format!(
        "mkdir -p lower upper work root
        mount -t overlay -o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work o root
        mkdir root/usr; mount --rbind /usr root/usr
        for name in lib lib64; do ln -s usr/$name root/$name; done
        cp \"$(command -v sleep)\" root/{name}; exec chroot root /{name} infinity"
    )
}

/// What every user may make, root of a user namespace: an overlayfs with an upper folder that is
/// another one on the host.
#[test]
fn a_container_s_own_overlay_is_no_layer() -> Result<()> {
    testkit::require!(
        crate::needs(),
        require::program("du"),
        require::program("chroot")
    );
    let honest = Scene::new("cmlayertrue", &into_overlay("cmlayertrue"))?;
    let lying = into_overlay("cmlayerlies")
        .replace('"', "\\\"")
        .replace('$', "\\$");
    let script = format!(
        "mkdir upper; for number in 1 2 3; do touch upper/$number; done
        exec unshare --user --map-root-user --mount \
            sh -ec \"mount -t tmpfs t $PWD; cd $PWD; {lying}\""
    );
    let lying = Scene::new("cmlayerlies", &script)?;
    ensure!(du::of(&lying.path("upper"))?[1] == 3.0);
    let monitor = honest.monitor(&[
        "--log.level=debug",
        "--collector.cadvisor",
        "--container-include=container=cmlayerlies",
    ])?;
    let metrics = scanned(&monitor, "cmlayertrue")?;
    let (found, judge) = (
        published::layer(&metrics, "cmlayertrue")?,
        du::of(&honest.path("upper"))?,
    );
    ensure!(found == judge, "{found:?}, du says {judge:?}");
    ensure!(published::layer(&metrics, "cmlayerlies").is_err());
    for family in ["container_fs_usage_bytes", "container_fs_limit_bytes"] {
        let found = metrics.matching(family, &[("name", "cmlayerlies")]);
        ensure!(found.is_empty(), "{found:?}");
    }
    let log = monitor.log();
    let said = log
        .iter()
        .any(|line| line.contains("cmlayerlies") && line.contains("has no layer"));
    ensure!(said, "{log:?}");
    monitor.stop()?;
    Ok(())
}
