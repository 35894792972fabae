//! A real containerd of its own, with its CRI plugin: pods as a kubelet makes them, and plain
//! containers as `ctr` does. Its folders, socket, bridge and cgroups touch no other.
//!
//! It is spoken to as a kubelet does, by gRPC over its socket, with messages of the testkit's own:
//! none is shared with the daemon, which is judged by it. It changes no firewall rule and no sysctl
//! of the machine. Pods outlive a containerd that is killed, which the tests want;
//! [`sweep`](mod@crate::sweep) ends them when the guard is dropped, and a watchdog does the same
//! when this process is killed.
//!
//! Where everything of one is: a folder `cm-containerd-XXXXXX`, a bridge with the same letters, a
//! cgroup named as the folder in every hierarchy (below it `kubepods/besteffort/pod<uid>/<id>` and
//! `<namespace>/<id>`). Outside of them containerd puts the network namespaces
//! (`/run/netns/cni-…`), sockets of shims and what CNI remembers, which the sweep knows.

mod config;
mod cri;
mod plain;
mod pods;
mod spec;

use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::child::{Process, find_program};
use crate::require::{Need, Unmet};
use crate::{bridge, daemon, image, sweep};

use cri::Client;
use cri::messages::{ImageSpec, ImageStatusRequest, StatusRequest};

pub use spec::{Container, ContainerSpec, Pod, PodSpec};

/// The image that containers and the sandboxes of pods run: the `workload` program.
pub const IMAGE: &str = "docker.io/testkit/workload:latest";

/// The namespace of containerd where the CRI keeps its containers.
pub const CRI_NAMESPACE: &str = "k8s.io";

/// Programs it needs. The last two are plugins of CNI; a third, `bridge`, is called as another
/// program is, and comes with them.
const PROGRAMS: [&str; 7] = [
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "runc",
    "ip",
    "host-local",
    "loopback",
];

/// Whether every program is there that a [`Containerd`] needs. It needs root's rights too.
pub fn programs() -> Need {
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|name| find_program(name).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Unmet(format!("programs of containerd: {missing:?}")))
}

/// A running containerd. Dropping it ends its pods and containers and leaves nothing behind.
#[derive(Debug)]
pub struct Containerd {
    // In the order in which they end: see Drop.
    client: Option<Client>,
    process: Option<Process>,
    watchdog: Option<Child>,
    folder: TempDir,
    socket: PathBuf,
    bridge: String,
}

impl Containerd {
    /// Starts a containerd with [`IMAGE`] in it; takes about a second.
    ///
    /// # Errors
    /// When a program is missing or it does not come up; with its log.
    pub fn start() -> Result<Self> {
        let workload = image::workload()?;
        let prefix = "cm-containerd-";
        let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
        let name = folder.path().file_name().context("no name")?;
        let letters = name.to_string_lossy().replace(prefix, "");
        let mut containerd = Self {
            client: None,
            process: None,
            watchdog: None,
            socket: folder.path().join("containerd.sock"),
            bridge: format!("cmcd{letters}"),
            folder,
        };
        let folder = containerd.folder.path();
        containerd.watchdog = Some(daemon::watchdog(&workload, folder)?);
        let network = bridge::make(folder, &containerd.bridge)?;
        config::write(folder, &containerd.socket, &containerd.bridge, &network)?;
        let image = image::saved(IMAGE, "workload", &std::fs::read(workload)?);
        std::fs::write(containerd.path("image.tar"), image)?;
        containerd.restart()?;
        Ok(containerd)
    }

    /// The socket, of the CRI and of containerd's own API.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The socket as an endpoint: `unix://…`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The name of the bridge that pods are attached to.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// The name of the cgroup that all others are below, in every hierarchy.
    pub fn cgroup(&self) -> &str {
        let name = self.folder.path().file_name();
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// What containerd has logged.
    ///
    /// # Errors
    /// When its log can't be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path("containerd.log"))?)
    }

    /// Kills containerd with SIGKILL; its pods and containers live on.
    pub fn kill(&mut self) {
        self.client = None;
        // Dropping kills and reaps.
        self.process = None;
    }

    /// Starts containerd, again or for the first time, and waits until it is ready for pods.
    ///
    /// # Errors
    /// When it does not come up; with its log.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let log = self.path("containerd.log");
        let mut command = daemon::command("containerd", &log)?;
        command.arg("--config").arg(self.path("containerd.toml"));
        let mut process = Process::spawn(command)?;
        let client = Client::new(&self.endpoint())?;
        daemon::answering("containerd", &log, &mut process, || {
            let status = client.call(StatusRequest {})?.status.unwrap_or_default();
            Ok(!status.conditions.is_empty() && status.conditions.iter().all(|c| c.status))
        })?;
        self.import(CRI_NAMESPACE)?;
        // The CRI hears of new images by an event.
        daemon::answering("containerd", &log, &mut process, || {
            let image = ImageSpec {
                image: IMAGE.to_owned(),
            };
            let request = ImageStatusRequest { image: Some(image) };
            Ok(client.call(request)?.image.is_some())
        })?;
        (self.process, self.client) = (Some(process), Some(client));
        Ok(())
    }

    fn client(&self) -> Result<&Client> {
        self.client.as_ref().context("containerd was killed")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.kill();
        if let Err(error) = sweep::sweep(self.folder.path()) {
            eprintln!("something is left of a test's containerd: {error:#}");
        }
        if let Some(mut watchdog) = self.watchdog.take() {
            // Both fail only when it has ended already.
            watchdog.kill().ok();
            watchdog.wait().ok();
        }
    }
}
