//! A file system that does not answer is nobody's problem but its own.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::fuse::{self, Fuse};
use testkit::metrics::Metrics;

use crate::scene::{Scene, eventually};

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
    ensure!(
        monitor
            .log()
            .iter()
            .filter(|line| line.contains("does not answer"))
            .count()
            == 1,
        "{:?}",
        monitor.log()
    );
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
