//! From a runtime's description to a [`Container`] with a guard: the pid that a runtime gives may
//! be gone, or another process's, by the time it is opened.

use std::sync::Arc;

use super::client::Client;
use super::describe::{Description, describe};
use crate::container::{Container, Runtime};
use crate::discovery::cgroup::replacement;
use crate::discovery::container_id::{is_id, of_process};
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process};
use anyhow::{Context as _, bail};

/// What to look at when a runtime's pids are not those of our `/proc`.
const PID_NAMESPACE: &str = "is this the runtime's pid namespace (--pid=host, hostPID: true, or \
                             --path.procfs)?";

/// How often a container is asked for again because its process changed meanwhile.
const ATTEMPTS: usize = 3;

/// Asks for a container, opens its process and makes sure that it is the container's. `None`
/// when it does not run (any more).
pub(super) async fn look_up(
    client: &Client,
    procfs: &Arc<ProcFs>,
    runtime: Runtime,
    id: &str,
) -> anyhow::Result<Option<Container>> {
    for _ in 0..ATTEMPTS {
        let Some(description) = ask(client, id).await? else {
            return Ok(None);
        };
        let pid = description.pid;
        let process = match procfs.process(pid) {
            Ok(process) => process,
            // It ended since it was described, and may have been started anew.
            Err(error) if is_gone(&error) => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open process {pid} of {id}"));
            }
        };
        match owner(&process, &description.id) {
            Owner::Same => {}
            // Nothing names the container: the pid was right if it still is.
            Owner::Unknown => match ask(client, id).await? {
                Some(again) if again.pid == pid => {}
                Some(_) => continue,
                None => return Ok(None),
            },
            Owner::Other => bail!("its process {pid} is another container's here: {PID_NAMESPACE}"),
            Owner::Gone => continue,
        }
        let container = finish(client, runtime, description, process).await?;
        return Ok(with_living_process(procfs, container).await);
    }
    bail!("its process is not in this /proc, or changes all the time: {PID_NAMESPACE}")
}

async fn ask(client: &Client, id: &str) -> anyhow::Result<Option<Description>> {
    Ok(client.inspect(id).await?.and_then(describe))
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

async fn finish(
    client: &Client,
    runtime: Runtime,
    description: Description,
    process: Process,
) -> anyhow::Result<Container> {
    let mut network_mode = description.network_mode;
    if let Some(joined) = network_mode.strip_prefix("container:")
        && !is_id(joined)
        // The other container may have gone; then the mode stays as it is.
        && let Some(full) = client.inspect(joined).await?.and_then(|answer| answer.id)
    {
        network_mode = format!("container:{full}");
    }
    Ok(Container {
        id: description.id,
        name: description.name,
        image: description.image,
        runtime,
        pod: description.pod,
        sandbox: description.sandbox,
        network_mode,
        started: description.started,
        process: Arc::new(process),
    })
}

/// The container, with another of its processes where the first one has exited and others live on.
async fn with_living_process(procfs: &Arc<ProcFs>, container: Container) -> Option<Container> {
    match container.process.netns_inode() {
        Err(error) if is_gone(&error) => {}
        // Also without the right to look: then the samplers say so.
        _ => return Some(container),
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
