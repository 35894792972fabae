//! Where a container's cgroup counts its input and output.

use std::path::{Path, PathBuf};

use crate::cgroups::paths::of_container;
use crate::procfs::cgroup::{Membership, memberships};

/// Folders below sysfs where hosts mount the controller of cgroup v1.
const V1: [&str; 2] = ["fs/cgroup/blkio", "fs/cgroup/io"];

/// Folders below sysfs where hosts mount cgroup v2: on a hybrid host, and else.
const V2: [&str; 2] = ["fs/cgroup/unified", "fs/cgroup"];

/// A container's folder in the hierarchy that has the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Of cgroup v1.
    One(PathBuf),
    /// Of cgroup v2.
    Two(PathBuf),
}

/// The folder of the container `id`, from the `/proc/<pid>/cgroup` of one of its processes as the
/// host sees it. `None` where the path does not name the container: then the cgroup may be
/// somebody else's too.
pub fn folder(sysfs: &Path, text: &[u8], id: &str) -> Option<Folder> {
    let lines = || memberships(text).filter_map(Result::ok);
    let one = lines().find(|line| {
        let mut controllers = line.controllers.split(|&byte| byte == b',');
        controllers.any(|controller| controller == b"blkio")
    });
    if let Some(line) = one {
        let root = V1
            .iter()
            .map(|path| sysfs.join(path))
            .find(|root| root.is_dir())?;
        return Some(Folder::One(below(&root, line.path, id)?));
    }
    let line = lines().find(Membership::is_unified)?;
    let is_root = |root: &PathBuf| root.join("cgroup.controllers").is_file();
    let root = V2.iter().map(|path| sysfs.join(path)).find(is_root)?;
    Some(Folder::Two(below(&root, line.path, id)?))
}

fn below(root: &Path, path: &[u8], id: &str) -> Option<PathBuf> {
    Some(root.join(of_container(path, id)?.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn sysfs(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn version_2_and_nested_cgroups() {
        let sysfs = sysfs(&["fs/cgroup/cgroup.controllers"]);
        let text = format!("0::/kubepods.slice/cri-containerd-{ID}.scope/init.scope\n");
        let folder = folder(sysfs.path(), text.as_bytes(), ID).unwrap();
        let path = format!("fs/cgroup/kubepods.slice/cri-containerd-{ID}.scope");
        assert_eq!(folder, Folder::Two(sysfs.path().join(path)));
    }

    #[test]
    fn a_hybrid_host_has_the_controller_in_version_1() {
        let sysfs = sysfs(&[
            "fs/cgroup/unified/cgroup.controllers",
            "fs/cgroup/blkio/tasks",
        ]);
        let text = format!("5:cpu,cpuacct:/x\n4:blkio:/docker/{ID}\n0::/docker/{ID}\n");
        let found = folder(sysfs.path(), text.as_bytes(), ID).unwrap();
        let path = sysfs.path().join(format!("fs/cgroup/blkio/docker/{ID}"));
        assert_eq!(found, Folder::One(path));
        let text = format!("0::/docker/{ID}\n");
        let found = folder(sysfs.path(), text.as_bytes(), ID).unwrap();
        let path = sysfs.path().join(format!("fs/cgroup/unified/docker/{ID}"));
        assert_eq!(found, Folder::Two(path));
    }

    #[test]
    fn a_cgroup_that_is_not_the_container_s_is_none() {
        let sysfs = sysfs(&["fs/cgroup/cgroup.controllers"]);
        for path in ["/user.slice", "/../../docker", ""] {
            let text = format!("0::{path}\n");
            assert_eq!(folder(sysfs.path(), text.as_bytes(), ID), None, "{path}");
        }
        let outside = format!("0::/../../docker/{ID}\n");
        assert_eq!(folder(sysfs.path(), outside.as_bytes(), ID), None);
        assert_eq!(folder(sysfs.path(), b"0::/docker\n", ""), None);
    }
}
