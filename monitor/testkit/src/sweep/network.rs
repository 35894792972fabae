//! The bridge of a folder, and the network namespaces that containerd made for its pods.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::UnmountFlags;
use serde_json::Value;

use super::{bundles, entries};
use crate::child::{find_program, output};

/// The file that names the bridge.
pub(crate) const BRIDGE: &str = "bridge";

/// Where CNI remembers what it did, whoever asked for it; the folder is not to be chosen.
const RESULTS: &str = "/var/lib/cni/results";

/// Where containerd keeps the namespaces of pods, under either name of the folder.
const NAMESPACES: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// Removes the bridge, if it was made.
pub(super) fn remove_bridge(folder: &Path) -> Result<()> {
    let Ok(bridge) = std::fs::read_to_string(folder.join(BRIDGE)) else {
        return Ok(());
    };
    if Path::new("/sys/class/net").join(&bridge).exists() {
        let ip = find_program("ip").context("can't find the program ip")?;
        output(Command::new(ip).args(["link", "delete", &bridge]))?;
    }
    Ok(())
}

/// Removes the namespaces of pods, and with them the pods' ends of the bridge, and what CNI
/// remembers of them.
pub(super) fn remove_namespaces(folder: &Path) -> Result<()> {
    let mut namespaces = BTreeSet::new();
    for bundle in bundles(folder)? {
        namespaces.extend(network_of(&bundle.join("config.json")));
    }
    // A pod that was on its way has no bundle yet; its network may be there already.
    for result in results(folder)? {
        namespaces.extend(sandboxes(&result));
        std::fs::remove_file(&result)
            .with_context(|| format!("can't remove {}", result.display()))?;
    }
    for namespace in namespaces {
        // Containerd may have unmounted it, and not yet removed the file.
        rustix::mount::unmount(&namespace, UnmountFlags::DETACH).ok();
        match std::fs::remove_file(&namespace) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("can't remove {}", namespace.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The network namespace that a container was given; `None` when it is not one of containerd's.
fn network_of(config: &Path) -> Option<PathBuf> {
    let config = read(config)?;
    let namespaces = config["linux"]["namespaces"].as_array()?;
    let network = namespaces.iter().find(|n| n["type"] == "network")?;
    named(network["path"].as_str()?)
}

/// The network namespaces in a result of CNI.
fn sandboxes(result: &Path) -> Vec<PathBuf> {
    let result = read(result).unwrap_or_default();
    let interfaces = result["result"]["interfaces"].as_array();
    let interfaces = interfaces.map(Vec::as_slice).unwrap_or_default();
    let paths = interfaces.iter().filter_map(|i| i["sandbox"].as_str());
    paths.filter_map(named).collect()
}

/// The path, if containerd made it: other namespaces may be lent to a container.
fn named(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let is_there = |folder: &str| path.parent() == Some(Path::new(folder));
    let name = path.file_name()?.to_str()?;
    let ours = name.starts_with("cni-") && NAMESPACES.into_iter().any(is_there);
    ours.then(|| path.to_owned())
}

fn read(file: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// The results of CNI for the pods of `folder`: `<network>-<pod>-<interface>`, where our network
/// is named as the bridge is, and a pod has `lo` beside it.
fn results(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(bridge) = std::fs::read_to_string(folder.join(BRIDGE)) else {
        return Ok(Vec::new());
    };
    let results = entries(Path::new(RESULTS))?;
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let pod = |path: &PathBuf| {
        let name = name(path)?;
        let rest = name.strip_prefix(&bridge)?.strip_prefix('-')?;
        Some(rest.rsplit_once('-')?.0.to_owned())
    };
    let pods: BTreeSet<String> = results.iter().filter_map(pod).collect();
    let ours = |path: &PathBuf| {
        let name = name(path).unwrap_or_default();
        name.rsplit('-').nth(1).is_some_and(|id| pods.contains(id))
    };
    Ok(results.into_iter().filter(ours).collect())
}
