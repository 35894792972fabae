//! Child processes that end with their guard, and with the process that started them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;

use crate::{sys, wait};

/// Where programs are looked for besides `PATH`, which often lacks the `sbin` folders.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The path of an installed program.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(MORE_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A child process. Dropping it kills it by its process id and reaps it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command`. The child gets SIGKILL when this process ends, however that happens.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let name = Path::new(command.get_program());
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        sys::die_with_parent(&mut command);
        let child = spawner(command).with_context(|| format!("can't start {name}"))?;
        Ok(Self { name, child })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child as the standard library has it, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn terminate(&self) -> Result<()> {
        sys::kill(self.pid(), Signal::TERM).with_context(|| format!("can't stop {}", self.name))
    }

    /// Sends SIGKILL and waits for the end. A process that has ended already is no error.
    pub fn kill(&mut self) {
        // Both fail only when the process was reaped before, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Waits for the end of the process, at most for `limit`.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} (pid {}) has ended", self.name, self.pid());
        wait::until(&what, limit, || Ok(self.child.try_wait()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `command` to its end and gives its standard output.
///
/// # Errors
/// When it can't be started, or fails; the message carries its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("can't run {command:?}"))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        return Err(anyhow!("{command:?}: {status}: {} {stdout}", stderr.trim()));
    }
    Ok(stdout)
}

/// Runs `command` to its end, well or badly, at most for `limit`; kills it then. What it writes
/// must fit a pipe, 64 KiB.
///
/// # Errors
/// When it can't be started, or still runs after `limit`.
pub fn finish(mut command: Command, limit: Duration) -> Result<Output> {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::spawn(command)?;
    let status = process.wait(limit)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let Some(mut pipe) = process.child().stdout.take() {
        pipe.read_to_end(&mut stdout)?;
    }
    if let Some(mut pipe) = process.child().stderr.take() {
        pipe.read_to_end(&mut stderr)?;
    }
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Whether the process `pid` has ended. A zombie has: it waits for whoever adopted it.
pub fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

type Job = (Command, Sender<std::io::Result<Child>>);

/// Starts `command` from a thread that lives as long as this process: the parent-death signal is
/// sent when the *thread* that forked ends, and a test's thread ends long before the process.
fn spawner(command: Command) -> Result<Child> {
    static THREAD: OnceLock<Sender<Job>> = OnceLock::new();
    let jobs = THREAD.get_or_init(|| {
        let (send, receive): (Sender<Job>, Receiver<Job>) = channel();
        std::thread::spawn(move || {
            // A thread starts in its maker's network namespace, and the maker may have been
            // inside another one. A failure shows in the tests, as a wrong namespace.
            sys::join_netns(c"/proc/self/ns/net").ok();
            for (mut command, answer) in receive {
                answer.send(command.spawn()).ok();
            }
        });
        send
    });
    let (send, receive) = channel();
    jobs.send((command, send))
        .map_err(|_| anyhow!("the spawning thread has ended"))?;
    let child = receive.recv().context("the spawning thread has ended")?;
    Ok(child?)
}
