//! Whether a process is the container's that a runtime named it for: the pid that a runtime gives
//! may be gone, or another process's, by the time it is opened.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::cgroup::{process_of, replacement};
use super::container_id::{is_id, of_process};
use super::description::Description;
use crate::container::Container;
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process};

/// What to look at when a runtime's pids are not those of our `/proc`.
const PID_NAMESPACE: &str = "is this the runtime's pid namespace (--pid=host, hostPID: true, or \
                             --path.procfs)?";

/// How often a container is asked for again because its process changed meanwhile.
const ATTEMPTS: u32 = 3;

/// The pause before the second attempt; that before the third is twice as long. A runtime may hear
/// later than `/proc` that a process ended.
const RETRY: Duration = Duration::from_millis(100);

/// A runtime names a process that is not there.
///
/// Of a container that has just ended it does so until it has noticed.
#[derive(Debug, thiserror::Error)]
#[error("its process is not in this /proc, or changes all the time: {PID_NAMESPACE}")]
pub(super) struct Vanished;

/// What `ask` says of a container, with its process, which is made sure to be the container's.
/// `None` when it does not run (any more).
///
/// # Errors
/// The runtime does not answer, or what it says of the process is not so here.
pub(super) async fn described<F>(
    procfs: &Arc<ProcFs>,
    ask: impl Fn() -> F,
) -> anyhow::Result<Option<(Description, Process)>>
where
    F: Future<Output = anyhow::Result<Option<Description>>>,
{
    for attempt in 0..ATTEMPTS {
        tokio::time::sleep(RETRY * attempt).await;
        let Some(description) = ask().await? else {
            return Ok(None);
        };
        let id = &description.id;
        let Some(pid) = description.pid else {
            let process = search(procfs, id.clone()).await;
            return Ok(process.map(|process| (description, process)));
        };
        let process = match procfs.process(pid) {
            Ok(process) => process,
            // It ended since it was described, and may have been started anew.
            Err(error) if is_gone(&error) => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open process {pid} of {id}"));
            }
        };
        match owner(&process, id) {
            Owner::Same => {}
            // Nothing names the container: the pid was right if it still is.
            Owner::Unknown => match ask().await? {
                Some(again) if again.pid == Some(pid) => {}
                Some(_) => continue,
                None => return Ok(None),
            },
            Owner::Other => bail!("its process {pid} is another container's here: {PID_NAMESPACE}"),
            Owner::Gone => continue,
        }
        return Ok(Some((description, process)));
    }
    Err(Vanished.into())
}

/// A process of a container that the runtime names none for.
async fn search(procfs: &Arc<ProcFs>, id: String) -> Option<Process> {
    let procfs = Arc::clone(procfs);
    let search = tokio::task::spawn_blocking(move || process_of(&procfs, &id));
    search.await.unwrap_or_default()
}

/// Whose process it is, as far as its cgroup says.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Same,
    Other,
    Unknown,
    Gone,
}

fn owner(process: &Process, id: &str) -> Owner {
    let mut buffer = Vec::new();
    if process.read(c"cgroup", &mut buffer).is_err() {
        return Owner::Gone;
    }
    owner_by_cgroup(&buffer, id)
}

fn owner_by_cgroup(cgroup_file: &[u8], id: &str) -> Owner {
    // What people chose as an id stands in no name that the rules know, and may be a part of others:
    // `web` is one of `webserver.service`.
    if !is_id(id) {
        return Owner::Unknown;
    }
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

    #[test]
    fn a_chosen_id_in_a_path_tells_nothing() {
        for path in [
            "/webserver.service",
            "/default/web",
            &format!("/docker/{B}"),
        ] {
            let file = format!("0::{path}\n");
            let owner = owner_by_cgroup(file.as_bytes(), "web");
            assert_eq!(owner, Owner::Unknown, "{path}");
        }
    }
}
