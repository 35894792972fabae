//! Pods and their containers, made by calls of the CRI as a kubelet makes them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cri::messages::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    ContainerStatusResponse, CreateContainerRequest, ImageSpec, LinuxContainerConfig,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusRequest,
    PodSandboxStatusResponse, RemoveContainerRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
};
use super::{Container, ContainerSpec, Containerd, IMAGE, Pod, PodSpec};
use crate::netns;

/// How many seconds a container has between SIGTERM and SIGKILL. Workloads end at once.
const GRACE: i64 = 10;

impl Containerd {
    /// Starts a pod: its sandbox, with its network.
    ///
    /// # Errors
    /// When containerd can't start it.
    pub fn run_pod(&self, spec: &PodSpec) -> Result<Pod> {
        let config = self.sandbox_config(spec)?;
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
        };
        let answer = self.client()?.call(request)?;
        Ok(Pod {
            id: answer.pod_sandbox_id,
            spec: spec.clone(),
            config,
        })
    }

    /// Ends a pod and its containers, and takes its network away; it can still be asked for.
    ///
    /// # Errors
    /// When containerd can't.
    pub fn stop_pod(&self, pod: &Pod) -> Result<()> {
        let pod_sandbox_id = pod.id.clone();
        self.client()?
            .call(StopPodSandboxRequest { pod_sandbox_id })?;
        Ok(())
    }

    /// Removes a pod and its containers; ends them first if they live.
    ///
    /// # Errors
    /// When containerd can't.
    pub fn remove_pod(&self, pod: &Pod) -> Result<()> {
        self.stop_pod(pod)?;
        let pod_sandbox_id = pod.id.clone();
        self.client()?
            .call(RemovePodSandboxRequest { pod_sandbox_id })?;
        Ok(())
    }

    /// Makes a container in a pod, and does not start it.
    ///
    /// # Errors
    /// When containerd can't make it, or has one of this name and attempt in this pod.
    pub fn create_container(&self, pod: &Pod, spec: &ContainerSpec) -> Result<Container> {
        let mut labels = pod.spec.kubelet_labels();
        labels.insert("io.kubernetes.container.name".to_owned(), spec.name.clone());
        labels.extend(spec.labels.clone());
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: spec.name.clone(),
                attempt: spec.attempt,
            }),
            image: Some(ImageSpec {
                image: IMAGE.to_owned(),
            }),
            args: spec.args.clone(),
            labels,
            annotations: spec.annotations.clone(),
            log_path: format!("{}-{}.log", spec.name, spec.attempt),
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(namespaces(pod.spec.host_network)),
                }),
            }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        Ok(Container {
            id: self.client()?.call(request)?.container_id,
            spec: spec.clone(),
        })
    }

    /// Starts a container that was made and not started yet.
    ///
    /// # Errors
    /// When containerd can't.
    pub fn start_container(&self, container: &Container) -> Result<()> {
        let container_id = container.id.clone();
        self.client()?
            .call(StartContainerRequest { container_id })?;
        Ok(())
    }

    /// Makes a container in a pod and starts it.
    ///
    /// # Errors
    /// When containerd can't.
    pub fn run_container(&self, pod: &Pod, spec: &ContainerSpec) -> Result<Container> {
        let container = self.create_container(pod, spec)?;
        self.start_container(&container)?;
        Ok(container)
    }

    /// Ends a container, by SIGTERM at first.
    ///
    /// # Errors
    /// When containerd can't.
    pub fn stop_container(&self, container: &Container) -> Result<()> {
        let request = StopContainerRequest {
            container_id: container.id.clone(),
            timeout: GRACE,
        };
        self.client()?.call(request)?;
        Ok(())
    }

    /// Removes a container; ends it first if it lives.
    ///
    /// # Errors
    /// When containerd can't.
    pub fn remove_container(&self, container: &Container) -> Result<()> {
        let container_id = container.id.clone();
        self.client()?
            .call(RemoveContainerRequest { container_id })?;
        Ok(())
    }

    /// Whether a container runs; one that was made and not started does not, nor one that ended.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn is_running(&self, container: &Container) -> Result<bool> {
        let (status, _) = self.container_status(container)?;
        Ok(status.state() == ContainerState::Running)
    }

    /// The process id of a container's first process.
    ///
    /// # Errors
    /// When there is no such container, or it does not run.
    pub fn pid_of(&self, container: &Container) -> Result<u32> {
        let (status, info) = self.container_status(container)?;
        if status.state() != ContainerState::Running {
            bail!("{}: {:?}", container.spec.name, status.state());
        }
        pid(&info).with_context(|| container.spec.name.clone())
    }

    /// The process id of a pod's sandbox, which sleeps and holds the pod's namespaces.
    ///
    /// # Errors
    /// When there is no such pod, or it was stopped.
    pub fn sandbox_pid(&self, pod: &Pod) -> Result<u32> {
        pid(&self.pod_status(pod)?.info).with_context(|| pod.spec.name.clone())
    }

    /// The inode number of a pod's network namespace; the machine's own with `host_network`.
    ///
    /// # Errors
    /// When there is no such pod, or it was stopped.
    pub fn sandbox_netns_inode(&self, pod: &Pod) -> Result<u64> {
        netns::inode_of(self.sandbox_pid(pod)?)
    }

    /// A pod's address; `None` with `host_network`.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn pod_ip(&self, pod: &Pod) -> Result<Option<String>> {
        let network = self.pod_status(pod)?.status.unwrap_or_default().network;
        let ip = network.map(|network| network.ip);
        Ok(ip.filter(|ip| !ip.is_empty()))
    }

    /// The path of a container's cgroup, as in `/proc/<pid>/cgroup`.
    pub fn cgroup_of(&self, pod: &Pod, container: &Container) -> String {
        format!("{}/{}", self.cgroup_parent(&pod.spec), container.id)
    }

    fn sandbox_config(&self, spec: &PodSpec) -> Result<PodSandboxConfig> {
        let name = format!("{}_{}_{}", spec.namespace, spec.name, spec.uid);
        let logs = self.path("logs").join(name);
        std::fs::create_dir_all(&logs)?;
        let mut labels = spec.kubelet_labels();
        labels.extend(spec.labels.clone());
        Ok(PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: spec.name.clone(),
                uid: spec.uid.clone(),
                namespace: spec.namespace.clone(),
                attempt: spec.attempt,
            }),
            // One that has the machine's network has its name too.
            hostname: if spec.host_network {
                String::new()
            } else {
                spec.name.clone()
            },
            log_directory: logs.display().to_string(),
            labels,
            annotations: spec.annotations.clone(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup_parent(spec),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces(spec.host_network)),
                }),
            }),
        })
    }

    /// As a kubelet names it, below a cgroup of our own.
    fn cgroup_parent(&self, spec: &PodSpec) -> String {
        format!("/{}/kubepods/besteffort/pod{}", self.cgroup(), spec.uid)
    }

    fn container_status(
        &self,
        container: &Container,
    ) -> Result<(ContainerStatus, BTreeMap<String, String>)> {
        let request = ContainerStatusRequest {
            container_id: container.id.clone(),
            verbose: true,
        };
        let ContainerStatusResponse { status, info } = self.client()?.call(request)?;
        Ok((status.context("no status")?, info))
    }

    fn pod_status(&self, pod: &Pod) -> Result<PodSandboxStatusResponse> {
        self.client()?.call(PodSandboxStatusRequest {
            pod_sandbox_id: pod.id.clone(),
            verbose: true,
        })
    }
}

/// The namespaces as a kubelet wants them: processes of a container see only each other.
fn namespaces(host_network: bool) -> NamespaceOption {
    let network = if host_network {
        NamespaceMode::Node
    } else {
        NamespaceMode::Pod
    };
    NamespaceOption {
        network: network.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Pod.into(),
    }
}

/// The process id in what containerd tells of its own beside the CRI's fields.
fn pid(info: &BTreeMap<String, String>) -> Result<u32> {
    let info = info.get("info").context("no info")?;
    let info: Value = serde_json::from_str(info).context("the info is no JSON")?;
    let pid = info["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    pid.filter(|&pid| pid > 0).context("it has no process")
}
