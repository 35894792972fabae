//! The first process: file systems, modules, loopback, the suite, the end of the machine.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};

/// The argument that makes this program the suite.
pub(crate) const SUITE: &str = "suite";

/// What every Linux machine has mounted. What some lack (tracefs, cgroups) the suite mounts.
const MOUNTS: [(&str, &str); 5] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
];

/// Runs the suite, and restarts the machine, which ends the emulator.
pub(crate) fn run() -> Result<()> {
    if let Err(error) = set_up_and_run() {
        eprintln!("error: {error:#}");
    }
    rustix::fs::sync();
    reboot(RebootCommand::Restart).context("cannot restart the machine")
}

fn set_up_and_run() -> Result<()> {
    for (kind, place) in MOUNTS {
        std::fs::create_dir_all(place)?;
        mount(kind, place, kind, MountFlags::empty(), None)
            .with_context(|| format!("cannot mount {kind} at {place}"))?;
    }
    load_modules(&Path::new("/").join(guest::MODULES))?;
    testkit::netns::loopback_up().context("cannot set lo up")?;
    let mut suite = Command::new("/proc/self/exe")
        .arg(SUITE)
        .env_clear()
        .env("PATH", "/bin")
        .spawn()
        .context("cannot start the suite")?;
    // Orphans of the suite's children become children of this process.
    let status = loop {
        let ended = rustix::process::wait(rustix::process::WaitOptions::empty())?;
        if let Some((pid, status)) = ended
            && pid.as_raw_nonzero().get().cast_unsigned() == suite.id()
        {
            break status;
        }
    };
    // It has been waited for.
    suite.try_wait().ok();
    ensure!(
        status.exit_status() == Some(0),
        "the suite ended with {status:?}"
    );
    Ok(())
}

/// Loads every module of a folder, in the order of their names. One that the kernel has already,
/// built in or as another's part, is no error.
fn load_modules(folder: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let file = File::open(&path)?;
        match finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => eprintln!("warning: cannot load {}: {error}", path.display()),
        }
    }
    Ok(())
}
