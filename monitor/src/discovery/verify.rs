//! Whether a process is the container's that a runtime named it for: the pid that a runtime gives
//! may be gone, or another process's, by the time it is opened.

use std::sync::Arc;

use super::cgroup::replacement;
use super::container_id::of_process;
use crate::container::Container;
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process};

/// What to look at when a runtime's pids are not those of our `/proc`.
pub(super) const PID_NAMESPACE: &str = "is this the runtime's pid namespace (--pid=host, \
                                        hostPID: true, or --path.procfs)?";

/// How often a container is asked for again because its process changed meanwhile.
pub(super) const ATTEMPTS: usize = 3;

/// Whose process it is, as far as its cgroup says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The container's.
    Same,
    /// Another container's.
    Other,
    /// Nothing names a container.
    Unknown,
    /// Nobody's any more.
    Gone,
}

/// Whether a process belongs to the container `id`.
pub(super) fn owner(process: &Process, id: &str) -> Owner {
    let mut buffer = Vec::new();
    if process.read(c"cgroup", &mut buffer).is_err() {
        return Owner::Gone;
    }
    owner_by_cgroup(&buffer, id)
}

fn owner_by_cgroup(cgroup_file: &[u8], id: &str) -> Owner {
    // The id may stand in a name that no rule knows (a cgroup parent of the user's own), or
    // above a container's own nested containers.
    if memchr::memmem::find(cgroup_file, id.as_bytes()).is_some() {
        return Owner::Same;
    }
    match of_process(cgroup_file) {
        Some(_) => Owner::Other,
        None => Owner::Unknown,
    }
}

/// Whether a container's process still stands; without the right to look it is taken for granted.
pub(super) fn has_process(container: &Container) -> bool {
    !container
        .process
        .netns_inode()
        .is_err_and(|error| is_gone(&error))
}

/// The container, with another of its processes where the first one has exited and others live on.
pub(super) async fn with_living_process(
    procfs: &Arc<ProcFs>,
    container: Container,
) -> Option<Container> {
    if has_process(&container) {
        // Also without the right to look: then the samplers say so.
        return Some(container);
    }
    let procfs = Arc::clone(procfs);
    let search = tokio::task::spawn_blocking(move || {
        let process = Arc::new(replacement(&procfs, &container)?);
        Some(Container {
            process,
            ..container
        })
    });
    search.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Owner, owner_by_cgroup};

    const A: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const B: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

    #[test]
    fn a_cgroup_tells_whose_process_it_is() {
        for (path, expected) in [
            (format!("/docker/{A}"), Owner::Same),
            (format!("/docker/{A}/docker/{B}"), Owner::Same),
            (format!("/odd.name+{A}+"), Owner::Same),
            (format!("/docker/{B}"), Owner::Other),
            ("/user.slice".to_owned(), Owner::Unknown),
            ("/".to_owned(), Owner::Unknown),
        ] {
            let file = format!("0::{path}\n");
            assert_eq!(owner_by_cgroup(file.as_bytes(), A), expected, "{path}");
        }
    }
}
