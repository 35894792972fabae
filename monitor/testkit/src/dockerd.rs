//! A real Docker daemon of its own: its folders, socket, containerd and bridge touch no other.
//!
//! It changes no firewall rule and no sysctl of the machine. Containers survive a killed daemon
//! (live restore), which the tests want; [`sweep`](mod@crate::sweep) ends them when the guard is
//! dropped, and a watchdog does the same when this process is killed.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::child::{Process, find_program, output_within};
use crate::daemon::{answering, command, watchdog};
use crate::{bridge, http, image, sweep};

/// The image that containers run: the `workload` program.
pub const IMAGE: &str = "testkit/workload:latest";

/// The programs it needs, for [`require::program`](crate::require::program).
pub const PROGRAMS: [&str; 6] = [
    "dockerd",
    "docker",
    "containerd",
    "containerd-shim-runc-v2",
    "runc",
    "ip",
];

/// How long a command of Docker may take, such as the removal of many containers.
const COMMAND: Duration = Duration::from_secs(120);
/// How long the daemon may take to answer whether it is there.
const ANSWER: Duration = Duration::from_secs(5);

/// A running Docker daemon. Dropping it ends its containers and leaves nothing behind.
#[derive(Debug)]
pub struct Dockerd {
    // In the order in which they end: see Drop.
    dockerd: Option<Process>,
    containerd: Option<Process>,
    watchdog: Option<Child>,
    folder: TempDir,
    bridge: String,
}

impl Dockerd {
    /// Starts a daemon with [`IMAGE`] in it; takes about two seconds.
    ///
    /// # Errors
    /// When a program is missing or the daemon does not come up; with its log.
    pub fn start() -> Result<Self> {
        let workload = image::workload()?;
        let folder = tempfile::Builder::new().prefix("cm-dockerd-").tempdir()?;
        let mut docker = Self {
            dockerd: None,
            containerd: None,
            watchdog: None,
            bridge: bridge_name(),
            folder,
        };
        docker.watchdog = Some(watchdog(&workload, docker.folder.path())?);
        bridge::make(docker.folder.path(), &docker.bridge)?;
        docker.start_containerd()?;
        docker.restart()?;
        docker.import(&workload)?;
        Ok(docker)
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// The socket as an endpoint: `unix://…`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The name of the bridge that containers are attached to.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// Runs the Docker command line, and gives what it prints, trimmed.
    ///
    /// # Errors
    /// When it fails, with its standard error, or takes longer than two minutes.
    pub fn docker(&self, args: &[&str]) -> Result<String> {
        let mut command = self.command()?;
        command.args(args);
        Ok(output_within(command, COMMAND)?.trim().to_owned())
    }

    /// Starts a container named `name` in the background, with more `options` of `docker run`,
    /// that runs `workload` with `args`. Gives its id.
    ///
    /// # Errors
    /// When Docker can't start it.
    pub fn run(&self, name: &str, options: &[&str], args: &[&str]) -> Result<String> {
        let head = ["run", "--detach", "--name", name];
        self.docker(&[&head, options, &[IMAGE], args].concat())
    }

    /// The process id of a container's first process.
    ///
    /// # Errors
    /// When there is no such container, or it does not run.
    pub fn pid(&self, name: &str) -> Result<u32> {
        match self.inspect(name, "{{.State.Pid}}")?.parse()? {
            0 => bail!("container {name} does not run"),
            pid => Ok(pid),
        }
    }

    /// What `docker inspect --format` gives.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn inspect(&self, name: &str, format: &str) -> Result<String> {
        self.docker(&["inspect", "--format", format, name])
    }

    /// Kills the daemon with SIGKILL; its containers live on.
    pub fn kill(&mut self) {
        // Dropping kills and reaps, so that the pid file is seen to be stale.
        self.dockerd = None;
    }

    /// Starts the daemon, again or for the first time, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; with its log.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        std::fs::write(self.path("daemon.json"), "{}")?;
        let log = self.path("dockerd.log");
        let mut command = command("dockerd", &log)?;
        for (option, file) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "dockerd.pid"),
            ("--containerd", "containerd.sock"),
        ] {
            command.arg(option).arg(self.path(file));
        }
        command
            .args(["--host", &self.endpoint(), "--bridge", &self.bridge])
            .args(["--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--ip-forward=false", "--userland-proxy=false"])
            .args(["--live-restore", "--log-level=warn"]);
        let mut process = Process::spawn(command)?;
        let socket = self.socket();
        answering("dockerd", &log, &mut process, || {
            let stream = UnixStream::connect(&socket)?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.set_write_timeout(Some(ANSWER))?;
            Ok(http::request(stream, "docker", "/_ping", &[])?.status == 200)
        })?;
        self.dockerd = Some(process);
        Ok(())
    }

    fn start_containerd(&mut self) -> Result<()> {
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            self.path("containerd/root"),
            self.path(sweep::STATE),
            self.path("containerd.sock"),
        );
        let file = self.path("containerd.toml");
        std::fs::write(&file, config)?;
        let log = self.path("containerd.log");
        let mut command = command("containerd", &log)?;
        command.arg("--config").arg(file);
        let mut process = Process::spawn(command)?;
        let socket = self.path("containerd.sock");
        answering("containerd", &log, &mut process, || {
            Ok(UnixStream::connect(&socket).is_ok())
        })?;
        self.containerd = Some(process);
        Ok(())
    }

    /// Makes [`IMAGE`] of the static binary.
    fn import(&self, workload: &Path) -> Result<()> {
        let archive = self.path("image.tar");
        std::fs::write(&archive, image::tar("workload", &std::fs::read(workload)?))?;
        let entry = r#"ENTRYPOINT ["/workload"]"#;
        let mut command = self.command()?;
        command.args(["import", "--change", entry]);
        command.arg(&archive).arg(IMAGE);
        output_within(command, COMMAND)?;
        Ok(())
    }

    /// The Docker command line, pointed at this daemon.
    fn command(&self) -> Result<Command> {
        let docker = find_program("docker").context("can't find the program docker")?;
        let mut command = Command::new(docker);
        command
            .args(["--host", &self.endpoint()])
            .env("DOCKER_CONFIG", self.path("client"));
        Ok(command)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

/// A name that no other daemon's bridge has, of 15 bytes at most.
fn bridge_name() -> String {
    static DAEMONS: AtomicU32 = AtomicU32::new(0);
    let daemon = DAEMONS.fetch_add(1, Ordering::Relaxed);
    format!("cmbr{}-{daemon}", std::process::id())
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.dockerd = None;
        self.containerd = None;
        if let Err(error) = sweep::sweep(self.folder.path()) {
            eprintln!("something is left of a test's dockerd: {error:#}");
        }
        if let Some(mut watchdog) = self.watchdog.take() {
            // Both fail only when it has ended already.
            watchdog.kill().ok();
            watchdog.wait().ok();
        }
    }
}
