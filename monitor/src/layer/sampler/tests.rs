//! Containers in a `/proc` of the test's own, where process 1 is the host's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::procfs::ProcFs;
use crate::testing::{namespace, plain};

const HOST: &str = "1 0 8:1 / / rw - ext4 /dev/sda rw\n";

struct Scene {
    proc: TempDir,
    placement: Placement,
    sampler: LayerSampler,
}

impl Scene {
    /// A container that is process 7, still among the mounts of the host.
    fn new() -> Self {
        let proc = tempfile::tempdir().unwrap();
        for pid in ["1", "7"] {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("mountinfo"), HOST).unwrap();
        }
        symlink("/", proc.path().join("1/root")).unwrap();
        let procfs = ProcFs::open(proc.path()).unwrap();
        let init = Arc::new(procfs.process(1).unwrap());
        let mut container = plain("id", "name");
        container.process = Arc::new(procfs.process(7).unwrap());
        let members = vec![Arc::new(container)];
        let scanner = Scanner::start(Arc::clone(&init), 1_000).unwrap();
        Self {
            proc,
            placement: Placement {
                namespaces: vec![namespace(1, None, members)],
                ..Placement::default()
            },
            sampler: LayerSampler::new(scanner, init),
        }
    }

    /// Gives it a root of its own, which the host has mounted too.
    fn enter(&self, upper: &Path) {
        let upper = upper.display();
        let overlay = format!("rw - overlay overlay rw,upperdir={upper}");
        let write = |pid: &str, text: String| {
            fs::write(self.proc.path().join(pid).join("mountinfo"), text).unwrap();
        };
        write("1", format!("{HOST}5 1 0:57 / /merged {overlay}\n"));
        write("7", format!("9 8 0:57 / / {overlay}\n"));
    }

    fn sample(&mut self) -> LayerSample<'_> {
        self.sampler.sample(&self.placement)
    }

    fn path(&mut self) -> Option<Arc<[u8]>> {
        assert_eq!(self.sample().errors, 0);
        self.sampler.known.values().next().unwrap().path.clone()
    }

    /// Lets time pass.
    fn wait(&mut self, time: Duration) {
        for known in self.sampler.known.values_mut() {
            known.first_seen -= time;
            known.looked_up -= time;
        }
    }
}

#[test]
fn a_container_is_met_before_it_has_its_root() {
    let mut scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(scene.path(), None);
    scene.enter(folder.path());
    // Not at every collection.
    assert_eq!(scene.path(), None);
    scene.wait(SOON);
    let path = scene.path().unwrap();
    assert_eq!(&*path, folder.path().as_os_str().as_encoded_bytes());
    // It may still get another one, but not when it has been looked at after a minute.
    scene.enter(Path::new("/other"));
    scene.wait(SETTLED);
    let other = scene.path().unwrap();
    assert_eq!(&*other, b"/other");
    scene.enter(folder.path());
    scene.wait(SETTLED);
    assert_eq!(scene.path(), Some(other));
}

#[test]
fn one_without_a_layer_is_looked_at_again_now_and_then() {
    let mut scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(scene.path(), None);
    for _ in 0..5 {
        scene.wait(SETTLED);
        assert_eq!(scene.path(), None);
    }
    scene.enter(folder.path());
    scene.wait(SETTLED / 2);
    assert_eq!(scene.path(), None);
    scene.wait(SETTLED / 2);
    assert!(scene.path().is_some());
}

#[test]
fn a_layer_that_cannot_be_scanned_is_an_error() {
    let mut scene = Scene::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    scene.enter(file.path());
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let sample = scene.sample();
        assert!(sample.containers.is_empty());
        if sample.errors == 1 {
            break;
        }
        assert!(Instant::now() < end, "no error");
        std::thread::sleep(Duration::from_millis(5));
    }
    // At every collection, until a scan succeeds.
    assert_eq!(scene.sample().errors, 1);
}
