//! Which mounts of a container are published.
//!
//! A mount is left out where its type is one of the kernel's pseudo file systems, where it is
//! mounted at a place that containers have from their runtime, and where another mount covers it,
//! so that its path leads elsewhere. That a mount of a single file is none shows only when it is
//! opened ([`ask`](super::ask)).

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use regex_lite::Regex;

use crate::metrics::Tail;
use crate::procfs::ParseError;
use crate::procfs::mountinfo::{self, Device, Mount, has_option};

/// Mount points that are left out where nothing else is said: what a runtime mounts for the
/// process rather than for its data.
pub const POINTS_EXCLUDE: &str = "^/(proc|sys)($|/)|^/dev$|^/dev/(pts|mqueue|termination-log)$|\
     ^/(var/)?run/secrets/kubernetes.io/|^/run/\\.containerenv$|^/run/credentials/";

/// Types that are left out where nothing else is said, node_exporter's list: pseudo file systems,
/// images that are full by nature, and `overlay`, whose numbers are those of the disk that the
/// image lies on.
pub const TYPES_EXCLUDE: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|\
     devtmpfs|efivarfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|\
     rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";

/// Types that answer from memory, or from a disk below this kernel. All others may wait for a
/// server or a program, and so may what is mounted below them.
const PROMPT: &[&[u8]] = &[
    b"bcachefs",
    b"binfmt_misc",
    b"bpf",
    b"btrfs",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"debugfs",
    b"devpts",
    b"devtmpfs",
    b"erofs",
    b"exfat",
    b"ext2",
    b"ext3",
    b"ext4",
    b"f2fs",
    b"fusectl",
    b"hugetlbfs",
    b"iso9660",
    b"jfs",
    b"mqueue",
    b"msdos",
    b"nilfs2",
    b"nsfs",
    b"ntfs3",
    b"overlay",
    b"proc",
    b"pstore",
    b"ramfs",
    b"reiserfs",
    b"rootfs",
    b"securityfs",
    b"selinuxfs",
    b"squashfs",
    b"sysfs",
    b"tmpfs",
    b"tracefs",
    b"udf",
    b"vfat",
    b"xfs",
    b"zfs",
];

/// Most mounts of one container that are published: what a container may mount itself has no
/// other bound.
pub const MOST: usize = 128;

/// Most mounts of one container that are looked at, single files among them.
const MOST_LOOKED_AT: usize = MOST * 8;

/// Longest mount point, in bytes: nothing opens a longer path (`PATH_MAX` of
/// `include/uapi/linux/limits.h`, which counts the zero at its end).
const LONGEST_POINT: usize = 4095;

/// Longest value of a label, in bytes.
const LONGEST_LABEL: usize = 1024;

/// What is left out.
#[derive(Clone, Debug)]
pub struct Rules {
    points: Regex,
    types: Regex,
}

/// Why [`Rules`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The expression of mount points.
    #[error("--collector.filesystem.mount-points-exclude: {0}")]
    Points(regex_lite::Error),
    /// The expression of types.
    #[error("--collector.filesystem.fs-types-exclude: {0}")]
    Types(regex_lite::Error),
}

impl Rules {
    /// Mount points and types that match are left out. Neither expression is anchored, and an
    /// empty one leaves nothing out.
    ///
    /// # Errors
    /// One is no regular expression.
    pub fn new(points: &str, types: &str) -> Result<Self, RulesError> {
        // An empty expression would match everything.
        let regex = |text: &str| Regex::new(if text.is_empty() { "$^" } else { text });
        Ok(Self {
            points: regex(points).map_err(RulesError::Points)?,
            types: regex(types).map_err(RulesError::Types)?,
        })
    }

    fn leaves_out(&self, mount: &Mount<'_>) -> bool {
        self.types
            .is_match(&String::from_utf8_lossy(&mount.fs_type))
            || self.points.is_match(&String::from_utf8_lossy(&mount.point))
    }
}

impl Default for Rules {
    fn default() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the expressions are constants, and tested"
        )]
        Self::new(POINTS_EXCLUDE, TYPES_EXCLUDE).expect("the default rules are no expressions")
    }
}

/// What has the same numbers wherever it is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The file system.
    pub device: Device,
    /// What of it is mounted, where that makes a difference: a folder may have a quota of its
    /// own, which is then its size.
    pub root: Option<Box<[u8]>>,
}

/// Whom a mount may have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// Nobody.
    Nobody,
    /// Who serves the file system of this device.
    Of(Device),
    /// Who serves the layers of images that are fetched when they are read.
    OfLayers,
}

/// A mount that is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: u64,
    /// Whose numbers it shows.
    pub key: Key,
    /// Where it is mounted, as seen from the container's root.
    pub point: Box<[u8]>,
    /// What was mounted.
    pub source: Box<[u8]>,
    /// Type of the file system.
    pub fs_type: Box<[u8]>,
    /// The labels of its series.
    pub labels: Tail,
    /// Whether nothing can be written through it.
    pub readonly: bool,
    /// Whom asking it may have to wait for.
    pub server: Server,
    /// Whether the kernel shows files of it under the device number of the mount.
    pub has_own_device: bool,
    /// Whether it was looked at, and is a folder.
    pub is_folder: bool,
}

impl Listed {
    /// Whether it answers without waiting for anyone.
    pub fn is_prompt(&self) -> bool {
        self.server == Server::Nobody
    }
}

/// Places of the host where file systems are mounted that may wait for a server or a program, and
/// what is mounted on them or below them, which may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowPlaces(Vec<Place>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    point: Box<[u8]>,
    is_slow: bool,
}

impl SlowPlaces {
    /// Those in the `mountinfo` of a process of the host.
    ///
    /// # Errors
    /// The text is not understood.
    pub fn of(text: &[u8]) -> Result<Self, ParseError> {
        let mut places: Vec<Place> = Vec::new();
        mountinfo::parse(text, |mount| {
            let is_slow = !PROMPT.contains(&&*mount.fs_type);
            if is_slow
                || places
                    .iter()
                    .any(|place| is_below(&mount.point, &place.point))
            {
                places.push(Place {
                    point: mount.point.as_ref().into(),
                    is_slow,
                });
            }
        })?;
        Ok(Self(places))
    }

    /// Whether a folder of the host is in one of them.
    fn has(&self, path: &[u8]) -> bool {
        let above = self.0.iter().filter(|place| is_below(path, &place.point));
        // Of several at one place the last is seen.
        let nearest = above.max_by_key(|place| place.point.len());
        nearest.is_some_and(|place| place.is_slow)
    }

    /// Whether one of them is below a folder of the host.
    fn are_below(&self, folder: &[u8]) -> bool {
        let mut slow = self.0.iter().filter(|place| self.has(&place.point));
        slow.any(|place| is_below(&place.point, folder))
    }

    /// Whether an overlay has a layer in one of them. Where there are many layers, runtimes name
    /// them from where they all are, which is two folders above the upper one.
    fn has_layer_of(&self, mount: &Mount<'_>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let upper = mount.super_option(b"upperdir");
        let all = upper.and_then(|upper| {
            let mut parts = upper.rsplitn(3, |&byte| byte == b'/');
            let all = parts.nth(2)?.to_vec();
            upper.starts_with(b"/").then_some(all)
        });
        mount.layers().any(|layer| match *layer {
            [b'/', ..] => self.has(&layer),
            _ => all.as_ref().is_some_and(|all| self.are_below(all)),
        })
    }
}

/// Whether `path` is `folder` or below it.
pub(crate) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// The mounts of a container that are worth a look, in the order of its `mountinfo`, and how many
/// more there are. Single files are among them. `slow` are places of the host.
///
/// # Errors
/// The text is not understood.
pub fn listed(
    text: &[u8],
    rules: &Rules,
    slow: &SlowPlaces,
) -> Result<(Vec<Listed>, u64), ParseError> {
    let mut mounts = Vec::new();
    mountinfo::parse(text, |mount| mounts.push(mount))?;
    let tree = Tree::new(&mounts, slow);
    let mut found = Vec::new();
    let mut more = 0;
    // Names that are no UTF-8 may look alike.
    let mut taken = HashSet::new();
    for (at, mount) in mounts.iter().enumerate() {
        if mount.point.len() > LONGEST_POINT || rules.leaves_out(mount) || !tree.is_visible(at) {
            continue;
        }
        if found.len() == MOST_LOOKED_AT {
            more += 1;
            continue;
        }
        let labels = labels(mount);
        if !taken.insert(labels.clone()) {
            continue;
        }
        let own_root = has_quotas_by_folder(mount);
        found.push(Listed {
            id: mount.id,
            key: Key {
                device: mount.device,
                root: own_root.then(|| mount.root.as_ref().into()),
            },
            point: mount.point.as_ref().into(),
            source: mount.source.as_ref().into(),
            fs_type: mount.fs_type.as_ref().into(),
            labels,
            readonly: mount.is_readonly(),
            server: tree.server(at),
            is_folder: false,
            has_own_device: &*mount.fs_type != b"btrfs" && &*mount.fs_type != b"overlay",
        });
    }
    Ok((found, more))
}

fn labels(mount: &Mount<'_>) -> Tail {
    Tail::labels([
        ("mountpoint", &*label(&mount.point)),
        ("device", &*label(&mount.source)),
        ("fstype", &*label(&mount.fs_type)),
    ])
}

/// A text as the value of a label, without what is too much of it.
fn label(text: &[u8]) -> Cow<'_, str> {
    if text.len() <= LONGEST_LABEL {
        return String::from_utf8_lossy(text);
    }
    let shown = String::from_utf8_lossy(&text[..LONGEST_LABEL]);
    Cow::Owned(format!("{shown}…"))
}

/// Whether the size of a file system depends on the folder that is asked: project quotas do that,
/// and whatever is served by someone else may.
fn has_quotas_by_folder(mount: &Mount<'_>) -> bool {
    !PROMPT.contains(&&*mount.fs_type)
        || [&b"prjquota"[..], b"pquota", b"pqnoenforce"]
            .iter()
            .any(|option| has_option(mount.super_options, option))
        // Here the option is not shown, and the feature alone gives folders limits.
        || &*mount.fs_type == b"f2fs"
}

/// How mounts lie on one another.
struct Tree<'m, 'a> {
    mounts: &'m [Mount<'a>],
    by_id: HashMap<u64, usize>,
    /// Mounts by what they are mounted on and where; of several at one place the last one.
    children: HashMap<(u64, &'m [u8]), usize>,
    /// Places where something is mounted, and how long their names are.
    points: HashSet<&'m [u8]>,
    lengths: BTreeSet<usize>,
    root: Option<usize>,
    /// What is mounted on top of each mount, at its own place: often itself.
    topmost: Vec<usize>,
    slow: &'m SlowPlaces,
}

impl<'m, 'a> Tree<'m, 'a> {
    fn new(mounts: &'m [Mount<'a>], slow: &'m SlowPlaces) -> Self {
        let by_id: HashMap<u64, usize> = mounts.iter().map(|mount| mount.id).zip(0..).collect();
        let is_top =
            |mount: &&Mount<'_>| mount.parent == mount.id || !by_id.contains_key(&mount.parent);
        // A mount on itself is not its own child.
        let others = mounts.iter().zip(0..).filter(|(mount, _)| !is_top(mount));
        let children: HashMap<(u64, &[u8]), usize> = others
            .map(|(mount, at)| ((mount.parent, &*mount.point), at))
            .collect();
        let mut topmost: Vec<usize> = (0..mounts.len()).collect();
        // A mount is listed behind what it is mounted on.
        for (at, mount) in mounts.iter().enumerate().rev() {
            if let Some(&child) = children.get(&(mount.id, &*mount.point))
                && child > at
            {
                topmost[at] = topmost[child];
            }
        }
        Self {
            mounts,
            children,
            topmost,
            points: mounts.iter().map(|mount| &*mount.point).collect(),
            lengths: mounts.iter().map(|mount| mount.point.len()).collect(),
            slow,
            root: mounts
                .iter()
                .position(|mount| &*mount.point == b"/" && is_top(&mount)),
            by_id,
        }
    }

    /// Whether a mount's path leads to it, and not to what is mounted over it or over a folder
    /// above it.
    fn is_visible(&self, at: usize) -> bool {
        let Some(mut current) = self.root.map(|root| self.topmost[root]) else {
            // The process's root is no mount point of its own: nothing is known of what covers it.
            return true;
        };
        let point = &*self.mounts[at].point;
        let ends = self.lengths.range(1..=point.len());
        let is_end = |end: &&usize| **end == point.len() || point[**end] == b'/';
        for &end in ends.filter(is_end) {
            let prefix = &point[..end];
            if !self.points.contains(prefix) || prefix == b"/" {
                continue;
            }
            if let Some(&child) = self.children.get(&(self.mounts[current].id, prefix)) {
                current = self.topmost[child];
            }
        }
        current == at
    }

    /// Whom a mount, or one on the way to it, waits for.
    fn server(&self, mut at: usize) -> Server {
        for _ in self.mounts {
            let mount = &self.mounts[at];
            if !PROMPT.contains(&&*mount.fs_type) {
                return Server::Of(mount.device);
            }
            if &*mount.fs_type == b"overlay" && self.slow.has_layer_of(mount) {
                return Server::OfLayers;
            }
            match self.by_id.get(&mount.parent) {
                Some(&parent) if parent != at => at = parent,
                _ => break,
            }
        }
        Server::Nobody
    }
}

#[cfg(test)]
mod tests;
