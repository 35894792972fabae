//! Values are those of `df`, at whatever mount point.

use anyhow::{Context as _, Result, ensure};

use crate::scene::Scene;

/// A small ext4 of a file, nearly full, and another one that has no inode left.
const DISKS: &str = "
    truncate -s 8M full.img many.img
    mkfs.ext4 -q -m 0 full.img; mkfs.ext4 -q -N 32 many.img
    mkdir full many; mount -o loop full.img full; mount -o loop many.img many
    dd if=/dev/zero of=full/fill bs=4096 count=1900 status=none || true
    rm -rf full/lost+found
    size=$(df -B1 --output=size full | tail -1)
    keep=$(df -B1 --output=avail full | tail -1)
    while [ $((keep * 100)) -lt $((size * 5)) ]; do
        truncate -s -4096 full/fill; keep=$(df -B1 --output=avail full | tail -1)
    done
    i=0; while touch many/$i 2>/dev/null; do i=$((i + 1)); done";

/// Mounts at names that need escapes, one with another's mount below it, one read-only, one twice.
const ODD: &str = "
    mkdir 'a blank' 'new\nline' 'back\\slash' \"$(printf 'no\\377utf8')\" plain twice 'quote\"d'
    mount -t tmpfs -o size=1m 'a source' 'a blank'
    mount -t tmpfs -o size=2m t \"$(printf 'new\\nline')\"
    mount -t tmpfs -o size=3m t 'back\\slash'
    mount -t tmpfs -o size=4m t \"$(printf 'no\\377utf8')\"
    mount -t tmpfs -o size=5m,nr_inodes=77 t plain
    mount --bind plain twice; mount -o remount,ro,bind twice
    mount -t tmpfs -o size=7m t 'quote\"d'
    mkdir plain/below; mount -t tmpfs -o size=6m,ro t plain/below
    touch single; touch target; mount --bind single target
    mkdir unlimited; mount -t tmpfs -o size=0 t unlimited
    dd if=/dev/zero of=plain/data bs=4096 count=100 status=none";

/// What the names above are as labels, and how a shell says them.
const POINTS: [(&str, &str); 8] = [
    ("a blank", "'a blank'"),
    ("new\nline", "\"$(printf 'new\\nline')\""),
    ("back\\slash", "'back\\slash'"),
    ("no\u{fffd}utf8", "\"$(printf 'no\\377utf8')\""),
    ("plain", "plain"),
    ("twice", "twice"),
    ("quote\"d", "'quote\"d'"),
    ("plain/below", "plain/below"),
];

/// The five values of a mount as `df` has them: size, free, avail, files, free files.
fn df(scene: &Scene, point: &str) -> Result<[f64; 5]> {
    let script = format!("df -B1 --output=size,used,avail,itotal,iavail -- {point} | tail -n 1");
    let text = scene.run(&script)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(|word| word.parse().with_context(|| format!("df says {text:?}")))
        .collect::<Result<_>>()?;
    let [size, used, avail, files, files_free] = numbers[..] else {
        anyhow::bail!("df says {text:?}");
    };
    Ok([size, size - used, avail, files, files_free])
}

fn published(scene: &Scene, metrics: &testkit::metrics::Metrics, point: &str) -> Result<[f64; 5]> {
    let mut values = [0.0; 5];
    let families = [
        "size_bytes",
        "free_bytes",
        "avail_bytes",
        "files",
        "files_free",
    ];
    for (value, family) in values.iter_mut().zip(families) {
        let all = scene.values(metrics, family);
        *value = *all
            .get(point)
            .with_context(|| format!("no {family} of {point:?}: {all:?}"))?;
    }
    Ok(values)
}

#[test]
fn a_full_disk_and_one_without_inodes() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new("cmfsdisks", DISKS)?;
    let monitor = scene.monitor(&[])?;
    let metrics = monitor.metrics()?;
    for point in ["full", "many"] {
        let found = published(&scene, &metrics, point)?;
        let judge = df(&scene, point)?;
        ensure!(found == judge, "{point}: {found:?}, df says {judge:?}");
    }
    let [size, _, avail, ..] = published(&scene, &metrics, "full")?;
    ensure!((0.04..0.07).contains(&(avail / size)), "{avail} of {size}");
    let [.., files, files_free] = published(&scene, &metrics, "many")?;
    ensure!(
        files >= 16.0 && files_free == 0.0,
        "{files_free} of {files}"
    );
    let devices = metrics.matching("container_filesystem_files", &[("fstype", "ext4")]);
    let loops = devices.iter().filter(|sample| {
        let device = sample.labels.get("device").map_or("", String::as_str);
        device.starts_with("/dev/loop")
    });
    ensure!(loops.count() == 2, "{devices:?}");
    monitor.stop()?;
    Ok(())
}

#[test]
fn mount_points_of_any_name() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new("cmfsnames", ODD)?;
    let monitor = scene.monitor(&[])?;
    let metrics = monitor.metrics()?;
    for (point, shell) in POINTS {
        let found = published(&scene, &metrics, point)?;
        let judge = df(&scene, shell)?;
        ensure!(found == judge, "{point:?}: {found:?}, df says {judge:?}");
    }
    let readonly = scene.values(&metrics, "readonly");
    let of = |point: &str| readonly.get(point).copied();
    ensure!(readonly.len() == POINTS.len(), "{readonly:?}");
    ensure!(
        (of("plain"), of("twice"), of("plain/below")) == (Some(0.0), Some(1.0), Some(1.0)),
        "{readonly:?}"
    );
    let errors = scene.values(&metrics, "device_error");
    ensure!(errors.values().all(|error| *error == 0.0), "{errors:?}");
    let sources = metrics.matching("container_filesystem_files", &[("device", "a source")]);
    ensure!(sources.len() == 1, "{sources:?}");
    // Mounted and unmounted while it runs.
    scene.run("umount plain/below && mkdir new && mount -t tmpfs -o size=9m t new")?;
    let metrics = monitor.metrics()?;
    let sizes = scene.values(&metrics, "size_bytes");
    ensure!(sizes.get("new") == Some(&(9.0 * 1048576.0)), "{sizes:?}");
    ensure!(!sizes.contains_key("plain/below"), "{sizes:?}");
    // What is mounted stays as it is, and is written to no more, or elsewhere.
    scene.run("mount -o remount,ro,bind plain && mount -o remount,ro new")?;
    let readonly = scene.values(&monitor.metrics()?, "readonly");
    ensure!(
        readonly.get("plain") == Some(&1.0) && readonly.get("new") == Some(&1.0),
        "{readonly:?}"
    );
    scene.run("mkdir moved && mount --move new moved")?;
    let gone = scene.values(&monitor.metrics()?, "size_bytes");
    ensure!(!gone.contains_key("new"), "{gone:?}");
    let sizes = scene.values(&monitor.metrics()?, "size_bytes");
    ensure!(sizes.get("moved") == Some(&(9.0 * 1048576.0)), "{sizes:?}");
    monitor.stop()?;
    Ok(())
}

#[test]
fn what_is_excluded_is_left_out() -> Result<()> {
    testkit::require!(crate::needs());
    let scene = Scene::new("cmfsrules", ODD)?;
    let monitor = scene.monitor(&[
        "--collector.filesystem.mount-points-exclude=plain",
        "--collector.filesystem.fs-types-exclude=^(ext4|proc|devpts)$",
    ])?;
    let metrics = monitor.metrics()?;
    let sizes = scene.values(&metrics, "size_bytes");
    ensure!(sizes.len() == POINTS.len() - 2, "{sizes:?}");
    ensure!(
        !sizes.contains_key("plain") && sizes.contains_key("twice"),
        "{sizes:?}"
    );
    monitor.stop()?;
    let monitor = scene.monitor(&["--no-collector.filesystem"])?;
    let metrics = monitor.metrics()?;
    ensure!(scene.values(&metrics, "size_bytes").is_empty());
    let success = metrics.matching(
        "container_monitor_collector_success",
        &[("collector", "filesystem")],
    );
    ensure!(success.is_empty(), "{success:?}");
    monitor.stop()?;
    Ok(())
}
