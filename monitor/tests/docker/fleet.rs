//! The containers that the checks look at, and how a check starts its monitor.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::dockerd::Dockerd;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::{ss, wait};

/// Containers named `web-0`, `web-1` and so on, each with a server.
pub(crate) const SERVERS: usize = 20;
/// Connections that the container `leak` leaves in CLOSE_WAIT.
pub(crate) const LEAKS: u64 = 10;
/// Length of the accept queue of the container `full`.
pub(crate) const BACKLOG: u32 = 4;
/// Connections held open in the container `held`.
pub(crate) const HELD: u64 = 25;

/// One container, as a check expects to find it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Docker's name.
    pub(crate) name: String,
    /// The identity labels of its own: namespace, pod, container.
    pub(crate) identity: [String; 3],
    /// Whether it stands in the host's network.
    pub(crate) host_network: bool,
}

impl Expected {
    /// The identity as label matchers.
    pub(crate) fn labels(&self) -> [(&str, &str); 3] {
        let [namespace, pod, container] = &self.identity;
        [
            ("namespace", namespace),
            ("pod", pod),
            ("container", container),
        ]
    }
}

/// A Docker daemon with containers in it.
pub(crate) struct Fleet {
    /// The daemon.
    pub(crate) docker: Dockerd,
    /// What runs in it.
    pub(crate) containers: Vec<Expected>,
}

impl Fleet {
    /// Starts the daemon and all containers.
    pub(crate) fn start() -> Result<Self> {
        let mut fleet = Self {
            docker: Dockerd::start()?,
            containers: Vec::new(),
        };
        for number in 0..SERVERS {
            fleet.add(&format!("web-{number}"), &[], &["serve", "80"])?;
        }
        fleet.add("side", &["--network=container:web-0"], &["pause"])?;
        fleet.add("hosty", &["--network=host"], &["pause"])?;
        fleet.add("lonely", &["--network=none"], &["serve", "80"])?;
        fleet.add("held", &[], &["serve", "0.0.0.0:80"])?;
        fleet.add(
            "leak",
            &[],
            &["leak-close-wait", "0.0.0.0:80", &LEAKS.to_string()],
        )?;
        let queue = ["full-accept-queue", "80", &BACKLOG.to_string()];
        fleet.add("full", &[], &queue)?;
        fleet.add("udp", &[], &["udp", "5000", "5"])?;
        fleet.add("leaderless", &[], &["leaderless", "0.0.0.0:80"])?;
        for pod in ["shop-0", "shop-1"] {
            fleet.add_pod("default", pod, &["app", "proxy"])?;
        }
        fleet.connect("held", HELD, &["--hold"])?;
        fleet.connect("leak", LEAKS, &[])?;
        fleet.settle()?;
        ensure!(fleet.containers.len() >= 30, "too few containers");
        Ok(fleet)
    }

    /// Starts a monitor that asks this daemon alone, and waits until it is ready.
    pub(crate) fn monitor(&self, more: &[&str]) -> Result<Monitor> {
        let endpoint = self.docker.endpoint();
        let args = [
            "serve",
            "--discovery",
            "docker",
            "--docker.endpoint",
            &endpoint,
        ];
        let exe = env!("CARGO_BIN_EXE_container-monitor");
        let monitor = Monitor::start(exe, &[&args[..], more].concat())?;
        monitor.wait_ready()?;
        Ok(monitor)
    }

    /// One scrape of a monitor of its own, which then has to end in good order.
    pub(crate) fn scrape(&self, more: &[&str]) -> Result<Metrics> {
        let monitor = self.monitor(more)?;
        let metrics = monitor.metrics()?;
        monitor.stop()?;
        Ok(metrics)
    }

    /// Starts a plain container, which owns its namespace unless an option says otherwise.
    pub(crate) fn add(&mut self, name: &str, options: &[&str], work: &[&str]) -> Result<()> {
        self.docker.run(name, options, work)?;
        self.containers.push(Expected {
            name: name.to_owned(),
            identity: [String::new(), String::new(), name.to_owned()],
            host_network: options.contains(&"--network=host"),
        });
        Ok(())
    }

    /// Starts containers as a kubelet with Docker did: a sandbox, and others in its network.
    fn add_pod(&mut self, namespace: &str, pod: &str, containers: &[&str]) -> Result<()> {
        let sandbox = format!("k8s_POD_{pod}_{namespace}");
        let label = |key: &str, value: &str| format!("--label=io.kubernetes.{key}={value}");
        let common = [label("pod.namespace", namespace), label("pod.name", pod)];
        let network = format!("--network=container:{sandbox}");
        let parts = [("POD", "podsandbox")].into_iter();
        let parts = parts.chain(containers.iter().map(|&name| (name, "container")));
        for (container, kind) in parts {
            let own = [
                label("container.name", container),
                label("docker.type", kind),
            ];
            let mut options: Vec<&str> = common.iter().chain(&own).map(String::as_str).collect();
            let is_sandbox = kind == "podsandbox";
            if !is_sandbox {
                options.push(&network);
            }
            let name = format!("k8s_{container}_{pod}_{namespace}");
            let work: &[&str] = if container == "app" {
                &["serve", "80"]
            } else {
                &["pause"]
            };
            self.docker.run(&name, &options, work)?;
            let shown = if is_sandbox { "" } else { container };
            self.containers.push(Expected {
                name,
                identity: [namespace, pod, shown].map(str::to_owned),
                host_network: false,
            });
        }
        Ok(())
    }

    /// Makes `count` connections inside a container to its port 80.
    pub(crate) fn connect(&self, name: &str, count: u64, options: &[&str]) -> Result<()> {
        let count = count.to_string();
        let hold = options.contains(&"--hold");
        let detach: &[&str] = if hold { &["--detach"] } else { &[] };
        let work = [name, "/workload", "connect", "127.0.0.1:80", &count];
        self.docker
            .docker(&[&["exec"], detach, &work, options].concat())?;
        Ok(())
    }

    /// Waits until the prepared sockets are there, by the word of `ss`.
    fn settle(&self) -> Result<()> {
        let states = |name: &str, state, family, count: u64| {
            let pid = self.docker.pid(name)?;
            wait::until(
                &format!("{name}: {count} {state}"),
                Duration::from_secs(20),
                || {
                    let seen = ss::states(pid)?.get(&(family, state)).copied();
                    Ok((seen == Some(count)).then_some(()))
                },
            )
        };
        // Both ends stand in the same namespace.
        states("held", "established", "ipv4", 2 * HELD)?;
        states("leak", "close_wait", "ipv4", LEAKS)?;
        states(
            "full",
            "syn_sent",
            "ipv4",
            testkit::workload::WAITING as u64,
        )
    }
}
