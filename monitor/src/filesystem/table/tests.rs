//! Tests of the parent module.

use proptest::prelude::{any, prop, proptest};

use super::{LONGEST_LABEL, Listed, MOST_LOOKED_AT, Rules, Server, SlowPlaces, is_below};
use crate::procfs::ParseError;

fn listed(text: &[u8], rules: &Rules) -> Result<(Vec<Listed>, u64), ParseError> {
    super::listed(text, rules, &SlowPlaces::default())
}

/// A pod's container: what a kubelet and a runtime mount into it, and what its owner wants.
const POD: &[u8] = b"\
100 50 0:57 / / rw,relatime - overlay overlay rw,upperdir=/u\n\
101 100 0:60 / /proc rw - proc proc rw\n\
102 100 0:61 / /dev rw - tmpfs tmpfs rw,size=65536k,mode=755\n\
103 102 0:62 / /dev/pts rw - devpts devpts rw\n\
104 102 0:63 / /dev/shm rw - tmpfs shm rw,size=65536k\n\
105 102 0:64 / /dev/mqueue rw - mqueue mqueue rw\n\
106 100 0:65 / /sys ro - sysfs sysfs ro\n\
107 106 0:66 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n\
108 100 254:0 /pods/1/etc-hosts /etc/hosts rw - ext4 /dev/vda rw\n\
109 100 0:67 / /run/secrets/kubernetes.io/serviceaccount ro - tmpfs tmpfs rw\n\
110 100 254:0 /pods/1/volumes/data /data ro - ext4 /dev/vda rw\n\
111 100 8:1 / /claim rw - xfs /dev/sda1 rw,prjquota\n\
112 100 0:68 / /nfs rw - nfs4 server:/export rw\n\
113 112 0:69 / /nfs/tmp rw - tmpfs tmpfs rw\n\
114 101 0:61 /null /proc/kcore rw - tmpfs tmpfs rw\n";

fn points(text: &[u8], rules: &Rules) -> Vec<String> {
    let (mounts, _) = listed(text, rules).unwrap();
    let point = |mount: &Listed| String::from_utf8_lossy(&mount.point).into_owned();
    mounts.iter().map(point).collect()
}

#[test]
fn what_an_owner_mounted_is_listed() {
    let (mounts, left_out) = listed(POD, &Rules::default()).unwrap();
    assert_eq!(
        points(POD, &Rules::default()),
        [
            "/dev/shm",
            "/etc/hosts",
            "/data",
            "/claim",
            "/nfs",
            "/nfs/tmp"
        ]
    );
    assert_eq!(left_out, 0);
    let prompt: Vec<bool> = mounts.iter().map(|mount| mount.is_prompt()).collect();
    assert_eq!(prompt, [true, true, true, true, false, false]);
    let readonly: Vec<bool> = mounts.iter().map(|mount| mount.readonly).collect();
    assert_eq!(readonly, [false, false, true, false, false, false]);
    // A volume and a file of one disk are asked once, a folder with a quota and a server's export
    // for themselves.
    assert_eq!(mounts[1].key, mounts[2].key);
    assert!(mounts[3].key.root.is_some() && mounts[4].key.root.is_some());
    assert_eq!(mounts[2].key.root, None);
}

/// Who waits for whom: what is mounted on a share waits for its server too, and so does a
/// container whose image is fetched by a program of the host when it is read.
#[test]
fn whom_a_mount_waits_for() {
    let (mounts, _) = listed(POD, &Rules::default()).unwrap();
    assert_eq!(mounts[3].server, Server::Nobody);
    assert!(matches!(mounts[4].server, Server::Of(device) if device.minor == 68));
    assert_eq!(mounts[5].server, mounts[4].server);
    let host = b"1 0 8:1 / / rw - ext4 /dev/a rw\n\
2 1 0:90 / /var/lib/lazy/7/fs rw - fuse.lazy lazy rw\n";
    let slow = SlowPlaces::of(host).unwrap();
    let servers = |lower: &str| {
        let text = format!(
            "1 0 0:57 / / rw - overlay overlay rw,lowerdir={lower},upperdir=/u\n\
             2 1 0:60 / /data rw - tmpfs tmpfs rw\n"
        );
        let (mounts, _) = super::listed(text.as_bytes(), &Rules::default(), &slow).unwrap();
        mounts[0].server
    };
    assert_eq!(servers("/a:/var/lib/lazy/7/fs"), Server::OfLayers);
    assert_eq!(servers("/a:/var/lib/lazy/7/fs/x:/b"), Server::OfLayers);
    assert_eq!(servers("/a,lowerdir+=/var/lib/lazy/7/fs"), Server::OfLayers);
    assert_eq!(servers("/a:/var/lib/lazy/71/fs"), Server::Nobody);
    // Many layers are named from where they are, which the upper folder tells.
    assert_eq!(servers("7/fs:8/fs"), Server::Nobody);
    let with_upper = |upper: &str| servers(&format!("7/fs:8/fs,upperdir={upper}"));
    assert_eq!(with_upper("/var/lib/lazy/9/fs"), Server::OfLayers);
    assert_eq!(with_upper("/var/lib/other/9/fs"), Server::Nobody);
}

/// On a slow root, or below an automounter, a disk is a disk.
#[test]
fn what_is_mounted_on_a_slow_place_is_not_slow() {
    let host = b"1 0 0:1 / / rw - nfs4 server:/root rw\n\
2 1 8:1 / /var/lib/containers rw - ext4 /dev/a rw\n\
3 2 0:2 / /var/lib/containers/lazy rw - fuse.lazy lazy rw\n\
4 1 0:3 / /data rw - autofs auto rw\n5 4 8:2 / /data rw - xfs /dev/b rw\n";
    let slow = SlowPlaces::of(host).unwrap();
    for (path, is_slow) in [
        ("/home", true),
        ("/var/lib/containers/7/fs", false),
        ("/var/lib/containers/lazy/7/fs", true),
        ("/data/7/fs", false),
    ] {
        assert_eq!(slow.has(path.as_bytes()), is_slow, "{path}");
    }
    assert!(slow.are_below(b"/var/lib/containers"));
    assert!(!slow.are_below(b"/data"));
}

/// What nothing can open is left out, what is too long is cut, and a tower of folders is not
/// looked at floor by floor.
#[test]
fn names_without_end() {
    let long = "x".repeat(200);
    let deep = |count: usize| format!("/{long}").repeat(count);
    let text = format!(
        "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / {} rw - ext4 b rw\n3 1 8:3 / {} rw - ext4 c rw\n",
        deep(20),
        deep(21)
    );
    let (mounts, _) = listed(text.as_bytes(), &Rules::default()).unwrap();
    let ids: Vec<u64> = mounts.iter().map(|mount| mount.id).collect();
    assert_eq!(ids, [1, 2]);
    let labels = format!("{:?}", mounts[1].labels);
    assert!(
        labels.len() < LONGEST_LABEL + 200 && labels.contains('…'),
        "{labels}"
    );
}

#[test]
fn rules_are_for_the_user_to_change() {
    let all = Rules::new("", "").unwrap();
    assert_eq!(points(POD, &all).len(), 15);
    let rules = Rules::new("^/(nfs|dev)", "^(tmpfs|proc|sysfs|cgroup2)$").unwrap();
    assert_eq!(points(POD, &rules), ["/", "/etc/hosts", "/data", "/claim"]);
    for (points, types, flag) in [
        ("(", "", "--collector.filesystem.mount-points-exclude: "),
        ("", "(", "--collector.filesystem.fs-types-exclude: "),
    ] {
        let error = Rules::new(points, types).unwrap_err().to_string();
        assert!(error.starts_with(flag), "{error}");
    }
}

#[test]
fn what_is_covered_is_not_listed() {
    let text = b"\
1 0 8:1 / / rw - ext4 /dev/a rw\n\
2 1 8:2 / /a rw - ext4 /dev/b rw\n\
3 2 8:3 / /a/b rw - ext4 /dev/c rw\n\
4 2 8:4 / /a rw - ext4 /dev/d rw\n\
5 1 8:5 / /c/d rw - ext4 /dev/e rw\n\
6 1 8:6 / /c rw - ext4 /dev/f rw\n\
7 6 8:7 / /c/d rw - ext4 /dev/g rw\n\
8 1 8:8 / /c.d rw - ext4 /dev/h rw\n";
    let (mounts, _) = listed(text, &Rules::default()).unwrap();
    let ids: Vec<u64> = mounts.iter().map(|mount| mount.id).collect();
    assert_eq!(ids, [1, 4, 6, 7, 8]);
}

#[test]
fn folders_and_what_is_below_them() {
    for (path, folder, expected) in [
        ("/var/lib", "/", true),
        ("/var/lib", "/var", true),
        ("/var/lib", "/var/lib", true),
        ("/var/lib", "/va", false),
        ("/variable", "/var", false),
        ("/", "/", true),
    ] {
        let found = is_below(path.as_bytes(), folder.as_bytes());
        assert_eq!(found, expected, "{path} {folder}");
    }
}

#[test]
fn a_container_has_only_so_many() {
    use std::fmt::Write as _;
    let mut text = String::from("1 0 8:1 / / rw - ext4 /dev/a rw\n");
    for id in 2..MOST_LOOKED_AT + 12 {
        writeln!(text, "{id} 1 0:{id} / /m{id} rw - tmpfs t rw").unwrap();
    }
    let (mounts, left_out) = listed(text.as_bytes(), &Rules::default()).unwrap();
    assert_eq!((mounts.len(), left_out), (MOST_LOOKED_AT, 11));
}

/// A pile is looked at once, and not once for each that lies in it: that would take minutes.
#[test]
fn thousands_of_mounts_at_one_place() {
    use std::fmt::Write as _;
    let mut text = String::from("1 0 8:1 / / rw - ext4 /dev/a rw\n");
    for id in 2..50_000 {
        writeln!(text, "{id} {} 0:5 / /a rw - tmpfs t rw", id - 1).unwrap();
    }
    let (mounts, left_out) = listed(text.as_bytes(), &Rules::default()).unwrap();
    let ids: Vec<u64> = mounts.iter().map(|mount| mount.id).collect();
    assert_eq!((&ids[..], left_out), (&[1, 49_999][..], 0));
}

/// Two names that are no UTF-8 and look alike are one series.
#[test]
fn names_that_look_alike_are_one() {
    let text = b"1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /\xfe rw - ext4 b rw\n3 1 8:3 / /\xff rw - ext4 b rw\n";
    let (mounts, left_out) = listed(text, &Rules::default()).unwrap();
    assert_eq!((mounts.len(), left_out), (2, 0));
}

proptest! {
    /// Whatever lies on whatever, each path leads to one mount at most.
    #[test]
    fn no_two_mounts_are_seen_at_one_place(
        mounts in prop::collection::vec((0u64..12, 0u64..12, 0usize..6), 0..12),
        top in any::<bool>(),
    ) {
        use std::collections::HashSet;
        use std::fmt::Write as _;
        let places = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/b"];
        let mut text = String::new();
        if top {
            text.push_str("20 99 8:1 / / rw - ext4 a rw\n");
        }
        for (id, parent, place) in mounts {
            writeln!(text, "{id} {parent} 0:{id} / {} rw - tmpfs t{id} rw", places[place]).unwrap();
        }
        if let Ok((mounts, _)) = listed(text.as_bytes(), &Rules::default())
            && top
        {
            let points: HashSet<_> = mounts.iter().map(|mount| &mount.point).collect();
            assert_eq!(points.len(), mounts.len());
        }
    }
}
