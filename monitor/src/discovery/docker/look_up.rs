//! From a runtime's description to a [`Container`] with a guard.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::client::Client;
use super::describe::{Description, describe};
use crate::container::{Container, Runtime};
use crate::discovery::container_id::is_id;
use crate::discovery::verify::{ATTEMPTS, Owner, PID_NAMESPACE, owner, with_living_process};
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process};

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
