//! From a runtime's description to a [`Container`] with a guard.

use std::sync::Arc;

use super::client::Client;
use super::describe::describe;
use crate::container::{Container, Runtime};
use crate::discovery::container_id::is_id;
use crate::discovery::description::Description;
use crate::discovery::verify::{described, with_living_process};
use crate::procfs::ProcFs;

/// Asks for a container, opens its process and makes sure that it is the container's. `None`
/// when it does not run (any more).
pub(super) async fn look_up(
    client: &Client,
    procfs: &Arc<ProcFs>,
    runtime: Runtime,
    id: &str,
) -> anyhow::Result<Option<Container>> {
    let Some((mut description, process)) = described(procfs, || ask(client, id)).await? else {
        return Ok(None);
    };
    if let Some(joined) = description.network_mode.strip_prefix("container:")
        && !is_id(joined)
        // The other container may have gone; then the mode stays as it is.
        && let Some(full) = client.inspect(joined).await?.and_then(|answer| answer.id)
    {
        description.network_mode = format!("container:{full}");
    }
    let container = description.into_container(runtime, process);
    Ok(with_living_process(procfs, container).await)
}

async fn ask(client: &Client, id: &str) -> anyhow::Result<Option<Description>> {
    Ok(client.inspect(id).await?.and_then(describe))
}
