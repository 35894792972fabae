//! A file system that does not answer is nobody's problem but its own.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::fuse::{self, Fuse};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;

use crate::scene::{Scene, eventually};

/// How often it is said that something does not answer.
fn silences(monitor: &Monitor) -> usize {
    let log = monitor.log();
    let said = log.iter().filter(|line| line.contains("does not answer"));
    said.count()
}

#[test]
fn a_hanging_mount_delays_no_scrape() -> Result<()> {
    testkit::require!(crate::needs(), testkit::require::fuse());
    let scene = Scene::new(
        "cmfshangs",
        "mkdir fuse fine; mount -t tmpfs -o size=1m t fine",
    )?;
    let mut fuse = Fuse::mount(scene.netns.pid(), &scene.path("fuse"))?;
    let monitor = scene.monitor(&[])?;
    let error = |metrics: &Metrics| scene.values(metrics, "device_error").get("fuse").copied();
    let start = Instant::now();
    let metrics = eventually(&monitor, Duration::from_secs(20), "an error", |metrics| {
        error(metrics) == Some(1.0)
    })?;
    // Not before its time: a server may be slow.
    ensure!(start.elapsed() > Duration::from_secs(3));
    let sizes = scene.values(&metrics, "size_bytes");
    ensure!(
        sizes.contains_key("fine") && !sizes.contains_key("fuse"),
        "{sizes:?}"
    );
    ensure!(silences(&monitor) == 1, "{:?}", monitor.log());
    // Scrapes go on, and none begins another thread that hangs.
    let threads = metrics.value("process_threads", &[])?;
    for _ in 0..10 {
        let start = Instant::now();
        let metrics = monitor.metrics()?;
        ensure!(error(&metrics) == Some(1.0));
        ensure!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
    let now = monitor.metrics()?.value("process_threads", &[])?;
    ensure!(now <= threads + 1.0, "{threads} threads, then {now}");

    fuse.answer();
    let metrics = eventually(&monitor, crate::SOON, "an answer", |metrics| {
        error(metrics) == Some(0.0)
    })?;
    let sizes = scene.values(&metrics, "size_bytes");
    ensure!(
        sizes.get("fuse") == Some(&((fuse::BLOCKS * 4096) as f64)),
        "{sizes:?}"
    );
    let free = scene.values(&metrics, "avail_bytes");
    ensure!(
        free.get("fuse") == Some(&((fuse::FREE * 4096) as f64)),
        "{free:?}"
    );

    // The program that serves it ends: an error at once, and no hanging.
    drop(fuse);
    eventually(&monitor, crate::SOON, "an error again", |metrics| {
        error(metrics) == Some(1.0)
    })?;
    monitor.stop()?;
    Ok(())
}

/// Many folders of one server are asked side by side, and few at a time: none of them is an error
/// as long as it answers, all are when it does not, and what another one serves goes on.
#[test]
fn folders_of_one_server() -> Result<()> {
    testkit::require!(crate::needs(), testkit::require::fuse());
    const FOLDERS: usize = 80;
    let scene = Scene::new(
        "cmfsfolders",
        "mkdir fuse other fine; mount -t tmpfs -o size=1m t fine
         i=0; while [ $i -lt 80 ]; do mkdir fine/$i; i=$((i + 1)); done",
    )?;
    let mut fuse = Fuse::mount(scene.netns.pid(), &scene.path("fuse"))?;
    let mut other = Fuse::mount(scene.netns.pid(), &scene.path("other"))?;
    fuse.answer();
    other.answer();
    scene.run("i=0; while [ $i -lt 80 ]; do mount --bind fuse/$i fine/$i; i=$((i + 1)); done")?;
    let errors = |metrics: &Metrics| scene.values(metrics, "device_error");
    let of_fuse = |metrics: &Metrics, value: f64| {
        let errors = errors(metrics);
        let folders = errors
            .iter()
            .filter(|(point, _)| point.starts_with("fine/"));
        folders.filter(|(_, error)| **error == value).count()
    };
    let monitor = scene.monitor(&[])?;
    // Every scrape from the first on: an answer may come later, and is no error until then.
    for _ in 0..5 {
        ensure!(of_fuse(&monitor.metrics()?, 1.0) == 0);
    }
    let metrics = eventually(&monitor, crate::SOON, "all answers", |metrics| {
        of_fuse(metrics, 0.0) == FOLDERS
    })?;
    let sizes = scene.values(&metrics, "size_bytes");
    ensure!(sizes.len() == FOLDERS + 3, "{sizes:?}");
    let threads = metrics.value("process_threads", &[])?;

    fuse.hang();
    let metrics = eventually(&monitor, Duration::from_secs(20), "errors", |metrics| {
        of_fuse(metrics, 1.0) == FOLDERS
    })?;
    let now = metrics.value("process_threads", &[])?;
    ensure!(now <= threads + 5.0, "{threads} threads, then {now}");
    ensure!(
        errors(&metrics).get("other") == Some(&0.0),
        "{:?}",
        errors(&metrics)
    );
    let sizes = scene.values(&metrics, "size_bytes");
    ensure!(sizes.len() == 2, "{sizes:?}");
    ensure!(silences(&monitor) == 1, "{:?}", monitor.log());

    fuse.answer();
    eventually(&monitor, crate::SOON, "answers again", |metrics| {
        of_fuse(metrics, 0.0) == FOLDERS
    })?;
    monitor.stop()?;
    Ok(())
}

/// A container ends while its file system is asked: that is nobody's error from then on.
#[test]
fn a_container_that_ends_meanwhile() -> Result<()> {
    testkit::require!(crate::needs(), testkit::require::fuse());
    let scene = Scene::new("cmfsstays", "mkdir fine; mount -t tmpfs -o size=1m t fine")?;
    let monitor = scene.monitor(&["--container-include=container=\"cmfsends\""])?;
    {
        let ends = Scene::new("cmfsends", "mkdir fuse")?;
        let mut fuse = Fuse::mount(ends.netns.pid(), &ends.path("fuse"))?;
        eventually(&monitor, Duration::from_secs(20), "an error", |metrics| {
            ends.values(metrics, "device_error").get("fuse") == Some(&1.0)
        })?;
        fuse.answer();
    }
    let errors = |metrics: &Metrics| {
        let labels = [("collector", "filesystem")];
        metrics.value("container_monitor_sample_errors_total", &labels)
    };
    let metrics = eventually(&monitor, crate::SOON, "it is forgotten", |metrics| {
        metrics
            .matching(
                "container_filesystem_device_error",
                &[("container", "cmfsends")],
            )
            .is_empty()
    })?;
    let before = errors(&metrics)?;
    for _ in 0..3 {
        let now = errors(&monitor.metrics()?)?;
        ensure!(now == before, "{now} errors, {before} before");
    }
    monitor.stop()?;
    Ok(())
}

/// The files of an image that a program of the host fetches when they are read: as long as it does
/// not answer, the way to any mount of the container leads through it.
#[test]
fn a_lazy_image() -> Result<()> {
    testkit::require!(crate::needs(), testkit::require::fuse());
    /// Unmounts at last.
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let flags = rustix::mount::UnmountFlags::DETACH;
            if let Err(error) = rustix::mount::unmount(&self.0, flags) {
                eprintln!("{} is left mounted: {error}", self.0.display());
            }
        }
    }
    let folder = tempfile::tempdir()?;
    let mut fuse = Fuse::mount(std::process::id(), folder.path())?;
    let layers = Mounted(folder.path().to_owned());
    fuse.answer();
    let scene = Scene::new(
        "cmfslazy",
        &format!(
            "mkdir fine image; mount -t tmpfs -o size=1m t fine
             mount -t overlay -o lowerdir={0}/1:{0}/2 overlay image
             mount -t tmpfs -o size=2m t image/3",
            layers.0.display()
        ),
    )?;
    let other = Scene::new("cmfsplain", "mkdir fine; mount -t tmpfs -o size=3m t fine")?;
    let monitor = scene.monitor(&["--container-include=container=\"cmfsplain\""])?;
    let is_whole = |metrics: &Metrics| scene.values(metrics, "size_bytes").contains_key("image/3");
    eventually(&monitor, crate::SOON, "an answer", is_whole)?;

    fuse.hang();
    let errors = |metrics: &Metrics| scene.values(metrics, "device_error");
    let metrics = eventually(&monitor, Duration::from_secs(20), "an error", |metrics| {
        errors(metrics).get("image/3") == Some(&1.0)
    })?;
    let sizes = scene.values(&metrics, "size_bytes");
    ensure!(sizes.contains_key("fine") && sizes.len() == 1, "{sizes:?}");
    ensure!(other.values(&metrics, "size_bytes").contains_key("fine"));

    fuse.answer();
    eventually(&monitor, crate::SOON, "an answer again", is_whole)?;
    monitor.stop()?;
    Ok(())
}
