//! What the guards of container daemons have in common: how one is started, waited for, watched.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::child::{Process, find_program};
use crate::{sweep, wait};

/// A command for a daemon that logs to `log` and finds its helpers.
pub(crate) fn command(name: &str, log: &Path) -> Result<Command> {
    let program = find_program(name).with_context(|| format!("can't find the program {name}"))?;
    let log = File::options().create(true).append(true).open(log)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

/// Waits until a daemon answers.
pub(crate) fn answering(
    name: &str,
    log: &Path,
    process: &mut Process,
    check: impl Fn() -> Result<bool>,
) -> Result<()> {
    let waited = wait::until(name, Duration::from_secs(60), || {
        if !process.is_alive()? {
            bail!("{name} ended at once");
        }
        // Not there yet, or not answering yet, is what is waited for.
        Ok(check().unwrap_or(false).then_some(()))
    });
    waited.with_context(|| {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!(
            "{name} does not come up; its log ends:\n{}",
            tail.join("\n")
        )
    })
}

/// Starts the process that sweeps when this one is gone without having done so. It notices by the
/// end of its standard input.
pub(crate) fn watchdog(workload: &Path, folder: &Path) -> Result<Child> {
    let mut child = Command::new(workload)
        .arg(sweep::SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .context("can't start the watchdog")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    writeln!(stdin, "{}", folder.display())?;
    // Kept open with the child, until this process ends.
    child.stdin = Some(stdin);
    Ok(child)
}
