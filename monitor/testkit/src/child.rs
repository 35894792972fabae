//! Child processes that end with their guard, and with the process that started them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::Signal;

use crate::{sys, wait};

/// Where programs are looked for besides `PATH`, which often lacks the `sbin` folders, and always
/// those of the plugins of CNI.
const MORE_FOLDERS: [&str; 5] = [
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/lib/cni",
    "/opt/cni/bin",
];

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
    /// When it has ended.
    pub fn terminate(&mut self) -> Result<()> {
        // One that was reaped has no process id any more: it may be another process's by now.
        ensure!(self.is_alive()?, "{} has ended already", self.name);
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
    let output = command.output();
    let line = format!("{command:?}");
    successful(&line, output.with_context(|| format!("can't run {line}"))?)
}

/// As [`output`], at most for `limit`; kills it then.
///
/// # Errors
/// As [`output`], and when it still runs after `limit`.
pub fn output_within(command: Command, limit: Duration) -> Result<String> {
    let line = format!("{command:?}");
    let output = finish(command, limit).with_context(|| line.clone())?;
    successful(&line, output)
}

fn successful(line: &str, output: Output) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        return Err(anyhow!("{line}: {status}: {} {stdout}", stderr.trim()));
    }
    Ok(stdout)
}

/// Runs `command` to its end, well or badly, at most for `limit`; kills it then.
///
/// # Errors
/// When it can't be started, or still runs after `limit`.
pub fn finish(mut command: Command, limit: Duration) -> Result<Output> {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::spawn(command)?;
    let stdout = process.child().stdout.take().context("no stdout")?;
    let stderr = process.child().stderr.take().context("no stderr")?;
    // Read meanwhile: a full pipe would make it wait for us.
    let (stdout, stderr) = (read(stdout), read(stderr));
    Ok(Output {
        status: process.wait(limit)?,
        stdout: stdout.recv().context("no end of its output")??,
        stderr: stderr.recv().context("no end of its errors")??,
    })
}

/// Reads `pipe` to its end, on a thread that ends with it.
fn read(mut pipe: impl Read + Send + 'static) -> Receiver<std::io::Result<Vec<u8>>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits for it when the command took too long.
        send.send(read).ok();
    });
    receive
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_does_not_end_is_killed() {
        let start = std::time::Instant::now();
        let error = output_within(sh("exec sleep 60"), Duration::from_millis(200));
        assert!(format!("{:#}", error.unwrap_err()).contains("0.2 s"));
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn more_than_a_pipe_holds_is_read() -> Result<()> {
        let much = sh("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2");
        let output = finish(much, Duration::from_secs(20))?;
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (300_000, 300_000)
        );
        Ok(())
    }

    #[test]
    fn what_was_reaped_gets_no_signal() -> Result<()> {
        let mut process = Process::spawn(sh("exit 3"))?;
        assert_eq!(process.wait(Duration::from_secs(20))?.code(), Some(3));
        let error = process.terminate().unwrap_err();
        assert_eq!(error.to_string(), "sh has ended already");
        Ok(())
    }
}
