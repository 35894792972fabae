//! Real folders, scanned by a thread or by the test's own.

use super::*;
use crate::testing::process;

#[test]
fn big_layers_rest_longer() {
    assert_eq!(interval(Duration::from_millis(5)), INTERVAL);
    assert_eq!(interval(Duration::from_secs(30)), Duration::from_secs(600));
    assert_eq!(interval(Duration::from_secs(36_000)), LONGEST_INTERVAL);
}

/// Layers of so many files each, and their paths.
fn layers(sizes: &[usize]) -> (tempfile::TempDir, Vec<Path>) {
    let folder = tempfile::tempdir().unwrap();
    let layer = |(at, size): (usize, &usize)| {
        let layer = folder.path().join(at.to_string());
        std::fs::create_dir(&layer).unwrap();
        for file in 0..*size {
            std::fs::write(layer.join(file.to_string()), "").unwrap();
        }
        layer.as_os_str().as_encoded_bytes().into()
    };
    let paths = sizes.iter().enumerate().map(layer).collect();
    (folder, paths)
}

fn files(scanner: &Scanner, path: &Path) -> Option<u64> {
    match scanner.last(path)? {
        Last::Scanned(scan) => Some(scan.totals.files),
        Last::Failed => None,
    }
}

/// A scanner whose thread is the test.
fn by_hand(paths: &[Path]) -> Scanner {
    let shared = Arc::default();
    let scanner = Scanner { shared };
    scanner.set(paths);
    scanner
}

#[test]
fn none_waits_for_a_big_layer() {
    let (_folder, paths) = layers(&[400, 300, 10]);
    let [huge, big, small] = &paths[..] else {
        panic!("three");
    };
    let scanner = by_hand(&paths[..2]);
    let init = process();
    let mut scans = Scans::new(&init, 1_000_000, 20);
    scans.go_on(&scanner.shared);
    scans.go_on(&scanner.shared);
    assert_eq!(scans.open.len(), 2);
    scanner.set(&paths);
    // The small one comes next, after a turn of one that is open.
    assert_eq!(scans.owed, 20);
    scans.go_on(&scanner.shared);
    scans.go_on(&scanner.shared);
    assert_eq!(files(&scanner, small), Some(10));
    assert_eq!((files(&scanner, huge), files(&scanner, big)), (None, None));
    // And comes again all the time: the big ones have their turns all the same.
    let mut steps = 0;
    while files(&scanner, huge).is_none() || files(&scanner, big).is_none() {
        let mut layers = scanner.shared.lock();
        layers.by_path.get_mut(small).unwrap().due = Instant::now();
        drop(layers);
        assert_eq!(scans.go_on(&scanner.shared), None);
        steps += 1;
        assert!(steps < 1_000);
    }
    assert_eq!(files(&scanner, huge), Some(400));
    assert_eq!(files(&scanner, big), Some(300));
    assert!(scans.open.is_empty());
    // The budget is of all of them: every look was counted.
    assert!(scanner.inodes() >= 710 && scanner.inodes() == scans.pace.taken);
}

#[test]
fn more_big_layers_than_may_be_open() {
    let sizes = [300; MOST_OPEN + 2];
    let (_folder, paths) = layers(&sizes);
    let scanner = by_hand(&paths);
    let init = process();
    let mut scans = Scans::new(&init, 1_000_000, 20);
    while scans.go_on(&scanner.shared).is_none() {
        assert!(scans.open.len() <= MOST_OPEN);
    }
    assert!(scans.open.is_empty());
    for path in &paths {
        assert_eq!(files(&scanner, path), Some(300));
    }
}

#[test]
fn a_big_layer_of_a_container_that_ended_is_let_go_of() {
    let (_folder, paths) = layers(&[600]);
    let scanner = by_hand(&paths);
    let init = process();
    let mut scans = Scans::new(&init, 1_000_000, 20);
    scans.go_on(&scanner.shared);
    assert_eq!(scans.open.len(), 1);
    scanner.set(&[]);
    scans.go_on(&scanner.shared);
    assert!(scans.open.is_empty());
    assert_eq!(scans.go_on(&scanner.shared), Some(NAP));
}

/// A scanner of one layer, and how its next scan ends.
fn ends(scanner: &Scanner, path: &Path, expected: impl Fn(Last) -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !scanner.last(path).is_some_and(&expected) {
        assert!(Instant::now() < end, "{:?}", scanner.last(path));
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_layer_that_cannot_be_scanned_any_more_has_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let layer = folder.path().join("layer");
    std::fs::create_dir(&layer).unwrap();
    let path: Path = layer.as_os_str().as_encoded_bytes().into();
    let scanner = Scanner::start(process(), 1_000).unwrap();
    scanner.set(&[Arc::clone(&path)]);
    let due = || scanner.shared.lock().by_path[&path].due;
    // Ends when it has been scanned again.
    let again = || {
        let now = Instant::now();
        let mut layers = scanner.shared.lock();
        layers.by_path.get_mut(&path).unwrap().due = now;
        drop(layers);
        scanner.shared.changed.notify_all();
        while due() == now {
            assert!(now.elapsed() < Duration::from_secs(30), "no scan");
            thread::sleep(Duration::from_millis(5));
        }
    };
    ends(&scanner, &path, |last| matches!(last, Last::Scanned(_)));
    // What is gone keeps its number, for as long as the container is there.
    std::fs::remove_dir(&layer).unwrap();
    again();
    assert!(matches!(scanner.last(&path), Some(Last::Scanned(_))));
    std::fs::write(&layer, "no folder").unwrap();
    again();
    assert_eq!(scanner.last(&path), Some(Last::Failed));
}
