//! A container that is up to no good leads nobody out of it, and what vanishes is no error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::scene::Scene;

/// Every mount point's parent, or the mount point itself, is swapped for a link that leads out. The
/// kernel lists a mount where it is now, so none of them is listed below a link.
const SWAP: &str = "
    mv parent moved; ln -s /proc/1/root parent
    umount direct; rmdir direct; ln -s /proc/1/root direct
    umount shadow; rmdir shadow; ln -s /etc/shadow shadow
    umount absolute; rmdir absolute; ln -s / absolute";

#[test]
fn swapped_mount_points_are_gone() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new(
        "cmfslinks",
        "mkdir -p parent/child direct shadow absolute
         for point in parent/child direct shadow absolute
         do mount -t tmpfs -o size=1m t $point; done",
    )?;
    let monitor = scene.monitor(&[])?;
    let before = scene.values(&monitor.metrics()?, "size_bytes");
    ensure!(before.len() == 4, "{before:?}");
    scene.run(SWAP)?;
    let metrics = monitor.metrics()?;
    let after = scene.values(&metrics, "size_bytes");
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    ensure!(names == ["moved/child"], "{after:?}");
    ensure!(after.values().all(|size| *size == 1048576.0), "{after:?}");
    let errors = metrics.value(
        "container_monitor_sample_errors_total",
        &[("collector", "filesystem")],
    )?;
    ensure!(errors == 0.0, "{errors} errors");
    monitor.stop()?;
    Ok(())
}

/// Once it is listed, a mount's parent may be swapped for a link before it is asked: that leads to
/// another mount, of another size.
#[test]
fn links_lead_nowhere() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new(
        "cmfslinks2",
        "mkdir -p parent/child decoy/child; ln -s decoy link
         mount -t tmpfs -o size=1m t parent/child; mount -t tmpfs -o size=2m t decoy/child",
    )?;
    let monitor = scene.monitor(&[])?;
    let is_over = AtomicBool::new(false);
    // The mounts are of the container alone, and the folders everybody's.
    let swap = || -> Result<()> {
        while !is_over.load(Ordering::Relaxed) {
            let (one, other) = (scene.path("parent"), scene.path("link"));
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).context("cannot swap")?;
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    };
    let scrape = || -> Result<()> {
        let mut seen = 0;
        for _ in 0..200 {
            let sizes = scene.values(&monitor.metrics()?, "size_bytes");
            for (point, size) in &sizes {
                let meant = match point.as_str() {
                    "parent/child" | "link/child" => 1.0,
                    "decoy/child" => 2.0,
                    other => anyhow::bail!("a mount at {other:?}"),
                };
                ensure!(*size == meant * 1048576.0, "{sizes:?}");
                seen += usize::from(meant == 1.0);
            }
        }
        ensure!(seen > 0, "it was never seen");
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let swapping = scope.spawn(swap);
        let scraped = scrape();
        is_over.store(true, Ordering::Relaxed);
        match swapping.join() {
            Ok(swapped) => scraped.and(swapped),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    monitor.stop()?;
    Ok(())
}

/// Mounts come, go and are covered all the time: no scrape fails, and no number is another's.
#[test]
fn what_changes_meanwhile_is_no_error() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new("cmfschurn", "mkdir a b; mkdir -p c/d")?;
    let monitor = scene.monitor(&[])?;
    let script = "
        n=0; while [ $n -lt 20 ]; do n=$((n + 1))
        mount -t tmpfs -o size=1m t a; mount -t tmpfs -o size=2m t b
        mount -t tmpfs -o size=3m t c/d; mount -t tmpfs -o size=4m t c
        umount c; umount a; ln -s /proc/1/root c/link; umount b; umount c/d
        rm -f c/link; done";
    std::thread::scope(|scope| -> Result<()> {
        let churn = scope.spawn(|| scene.run(script));
        let mut seen = 0;
        while !churn.is_finished() {
            let sizes = scene.values(&monitor.metrics()?, "size_bytes");
            for (point, size) in &sizes {
                let meant = match point.as_str() {
                    "a" => 1.0,
                    "b" => 2.0,
                    "c/d" => 3.0,
                    "c" => 4.0,
                    other => anyhow::bail!("a mount at {other:?}"),
                };
                ensure!(*size == meant * 1048576.0, "{sizes:?}");
                seen += 1;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        ensure!(seen > 0, "nothing was ever seen");
        match churn.join() {
            Ok(result) => result.map(drop),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    let errors = monitor.metrics()?.value(
        "container_monitor_sample_errors_total",
        &[("collector", "filesystem")],
    )?;
    ensure!(errors == 0.0, "{errors} errors");
    monitor.stop()?;
    Ok(())
}

/// Nothing that the monitor holds keeps a file system mounted.
#[test]
fn nothing_is_kept_mounted() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new(
        "cmfspins",
        "truncate -s 4M disk.img; mkfs.ext4 -q disk.img; mkdir disk; mount -o loop disk.img disk",
    )?;
    let monitor = scene.monitor(&[])?;
    for _ in 0..3 {
        monitor.metrics()?;
    }
    // EBUSY, if anyone had it open.
    scene.run("umount disk")?;
    monitor.metrics()?;
    let folder = scene.folder.path().display().to_string();
    let held: Vec<_> = monitor
        .fds()?
        .into_iter()
        .filter(|fd| fd.display().to_string().starts_with(&folder))
        .collect();
    ensure!(held.is_empty(), "{held:?}");
    monitor.stop()?;
    Ok(())
}

/// A container with more mounts than anybody needs has a bounded number of series.
#[test]
fn more_mounts_than_are_published() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new(
        "cmfsmany",
        "mkdir $(seq 150); for i in $(seq 150); do mount -t tmpfs -o size=64k t $i; done",
    )?;
    let monitor = scene.monitor(&[])?;
    let metrics = monitor.metrics()?;
    let mine = [("container", scene.name.as_str())];
    let sizes = metrics.matching("container_filesystem_size_bytes", &mine);
    ensure!(sizes.len() == 128, "{} mounts", sizes.len());
    let dropped = metrics.value("container_monitor_series_dropped_total", &[])?;
    ensure!(dropped >= (150.0 - 128.0) * 7.0, "{dropped} dropped");
    monitor.stop()?;
    Ok(())
}
