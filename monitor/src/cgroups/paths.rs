//! The path of a process's cgroup, as the host sees it.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tracing::debug;

use crate::procfs::Process;
use crate::procfs::cgroup::memberships;

/// Moves the calling thread to the host's cgroup namespace, that of `init`: from within one of our
/// own the kernel shows other paths.
pub fn see_host_s_paths(init: &Process) {
    let moved: io::Result<()> = init.open_cgroup_namespace().and_then(|namespace| {
        let kind = LinkNameSpaceType::ControlGroup;
        Ok(move_into_link_name_space(namespace.as_fd(), Some(kind))?)
    });
    if let Err(error) = moved {
        debug!(%error, "not in the host's cgroup namespace");
    }
}

/// The part of `path` down to the cgroup that is named after the container `id`; what is below it
/// the container made itself. `None` where none is named so, or where the path leads out of our
/// cgroup namespace.
pub fn of_container<'a>(path: &'a [u8], id: &str) -> Option<&'a str> {
    let path = inside(path)?;
    let at = path.find(id).filter(|_| !id.is_empty())?;
    let end = path[at..].find('/').map_or(path.len(), |slash| at + slash);
    Some(&path[..end])
}

fn inside(path: &[u8]) -> Option<&str> {
    let path = std::str::from_utf8(path).ok()?;
    path.split('/').all(|name| name != "..").then_some(path)
}

/// The path of the cgroup that stands for a container, from the `/proc/<pid>/cgroup` of one of its
/// processes: of the unified hierarchy where that names the container, else of another. Where no
/// id is known it is that of the process.
fn path(text: &[u8], id: &str) -> Option<String> {
    let mut lines: Vec<_> = memberships(text).filter_map(Result::ok).collect();
    lines.sort_by_key(|line| !line.is_unified());
    let mut paths = lines.iter().filter_map(|line| match id {
        "" => inside(line.path),
        id => of_container(line.path, id),
    });
    paths.next().map(str::to_owned)
}

/// What is remembered of a process.
#[derive(Debug)]
struct Known {
    /// Held so that no other process gets its address.
    #[expect(dead_code, reason = "it is there to be held")]
    process: Arc<Process>,
    path: String,
    is_wanted: bool,
}

/// The paths of containers' cgroups, each looked up once.
#[derive(Debug)]
pub struct CgroupPaths {
    init: Arc<Process>,
    /// By the address of the process that is held.
    known: HashMap<usize, Known>,
}

impl CgroupPaths {
    /// Nothing is known yet; `init` is a process of the host.
    pub fn new(init: Arc<Process>) -> Self {
        Self {
            init,
            known: HashMap::new(),
        }
    }

    /// The path of each container's cgroup, by its id and the process through which it is read;
    /// empty where it cannot be told. Others are forgotten.
    pub fn look_up(&mut self, containers: &[(&str, &Arc<Process>)]) -> Vec<String> {
        for known in self.known.values_mut() {
            known.is_wanted = false;
        }
        let mut new = Vec::new();
        for (id, process) in containers {
            match self.known.get_mut(&Arc::as_ptr(process).addr()) {
                Some(known) => known.is_wanted = true,
                None => new.push((*id, *process)),
            }
        }
        let found = if new.is_empty() {
            Vec::new()
        } else {
            self.read(&new)
        };
        for ((_, process), path) in new.into_iter().zip(found) {
            let known = Known {
                process: Arc::clone(process),
                path,
                is_wanted: true,
            };
            self.known.insert(Arc::as_ptr(process).addr(), known);
        }
        self.known.retain(|_, known| known.is_wanted);
        let of = |process: &Arc<Process>| self.known.get(&Arc::as_ptr(process).addr());
        let paths = containers.iter().map(|(_, process)| of(process));
        paths
            .map(|known| known.map(|known| known.path.clone()).unwrap_or_default())
            .collect()
    }

    /// Reads them on a thread of their own, which may leave our cgroup namespace.
    fn read(&self, containers: &[(&str, &Arc<Process>)]) -> Vec<String> {
        thread::scope(|scope| {
            let reading = scope.spawn(|| {
                see_host_s_paths(&self.init);
                let mut buffer = Vec::new();
                let mut read = |(id, process): &(&str, &Arc<Process>)| {
                    process.read(c"cgroup", &mut buffer).ok()?;
                    path(&buffer, id)
                };
                let read = containers.iter().map(|one| read(one).unwrap_or_default());
                read.collect()
            });
            reading
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CgroupPaths, path};
    use crate::testing::process;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_cgroup_is_the_container_s_not_one_below_it() {
        for (text, expected) in [
            (
                format!("0::/docker/{ID}/init\n"),
                Some(format!("/docker/{ID}")),
            ),
            (
                format!("4:cpu:/a/docker-{ID}.scope/x\n0::/\n"),
                Some(format!("/a/docker-{ID}.scope")),
            ),
            (
                format!("4:cpu:/one/{ID}\n0::/two/{ID}\n"),
                Some(format!("/two/{ID}")),
            ),
            (format!("0::/../../docker/{ID}\n"), None),
            ("0::/user.slice\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(path(text.as_bytes(), ID), expected, "{text}");
        }
        assert_eq!(
            path(b"0::/user.slice\n", ""),
            Some("/user.slice".to_owned())
        );
    }

    #[test]
    fn a_path_is_kept_as_long_as_it_is_asked_for() {
        let process = process();
        let mut paths = CgroupPaths::new(process.clone());
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let [first] = &paths.look_up(&[("", &process)])[..] else {
            panic!("one");
        };
        assert!(
            text.contains(first.as_str()) && first.starts_with('/'),
            "{first}"
        );
        let again = paths.look_up(&[("", &process)]);
        assert_eq!(&again, std::slice::from_ref(first));
        assert_eq!(paths.known.len(), 1);
        assert!(paths.look_up(&[]).is_empty() && paths.known.is_empty());
    }
}
