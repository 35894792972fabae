//! The files that a containerd is started with: its own, and the network of its pods.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::IMAGE;
use crate::child::find_program;
use crate::sweep;

/// Writes `containerd.toml` and the network's description to `folder`. `network` is the bridge's
/// address, such as `10.213.4.1/22`.
pub(super) fn write(folder: &Path, socket: &Path, bridge: &str, network: &str) -> Result<()> {
    let net_d = folder.join("net.d");
    std::fs::create_dir(&net_d)?;
    std::fs::write(
        net_d.join("10-pods.conflist"),
        pods_network(folder, bridge, network)?,
    )?;
    let plugins = find_program("host-local").context("can't find the plugins of CNI")?;
    let plugins = plugins.parent().context("no folder")?;
    let config = format!(
        "version = 2
root = {root:?}
state = {state:?}
[grpc]
address = {socket:?}
[plugins.\"io.containerd.internal.v1.opt\"]
path = {opt:?}
[plugins.\"io.containerd.grpc.v1.cri\"]
sandbox_image = {IMAGE:?}
# Some machines' root may not lower a process's score, and no sandbox would start.
restrict_oom_score_adj = true
[plugins.\"io.containerd.grpc.v1.cri\".cni]
bin_dir = {plugins:?}
conf_dir = {net_d:?}
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]
runtime_type = \"io.containerd.runc.v2\"
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]
# As everywhere where systemd is not the first process.
SystemdCgroup = false
Root = {runc:?}
",
        root = folder.join("containerd/root"),
        state = folder.join(sweep::STATE),
        opt = folder.join("opt"),
        runc = folder.join("runc"),
    );
    std::fs::write(folder.join("containerd.toml"), config)?;
    Ok(())
}

/// The network of pods: ends of the bridge, with addresses of its network, and no way out: a
/// gateway would have the plugin turn on the machine's forwarding.
fn pods_network(folder: &Path, bridge: &str, network: &str) -> Result<String> {
    let (address, length) = network.split_once('/').context("no network")?;
    let (start, _) = address.rsplit_once('.').context("no address")?;
    let bridge = json!({
        "type": "bridge",
        "bridge": bridge,
        "ipam": {
            "type": "host-local",
            "dataDir": folder.join("addresses"),
            // The first address, the bridge's, is left out as the gateway's.
            "ranges": [[{ "subnet": format!("{start}.0/{length}") }]],
        },
    });
    // The sweep finds what CNI remembers by this name.
    let name = &bridge["bridge"];
    let list = json!({ "cniVersion": "0.4.0", "name": name, "plugins": [bridge] });
    Ok(list.to_string())
}
