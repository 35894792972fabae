//! Python with packages of PyPI, for judges that are written in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::fs::FlockOperation;

/// The interpreter of a virtual environment with `packages`, each `NAME==VERSION`; made below
/// the build's `target` folder where it is not there yet.
///
/// # Errors
/// It cannot be made: no `python3` with `venv`, or no package index.
pub fn with_packages(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/python")
        .join(name);
    let python = folder.join("bin/python");
    let run = |command: &mut Command| -> Result<()> {
        let output = command.output().context("can't start Python")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?}: {said}");
        Ok(())
    };
    once(&folder, &packages.join("\n"), || {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder))?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(packages))
    })?;
    Ok(python)
}

/// Has `folder` made, and `wanted` written into it, unless that is what it was made for. Tests that
/// want the same one, of this process or another, wait for whoever makes it.
fn once(folder: &Path, wanted: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let made = folder.join("made");
    let is_made = || std::fs::read_to_string(&made).is_ok_and(|had| had == wanted);
    if is_made() {
        return Ok(());
    }
    let lock = folder.with_extension("lock");
    let name = || lock.display().to_string();
    std::fs::create_dir_all(folder.parent().context("no folder")?).with_context(name)?;
    // Beside the folder, which is emptied before it is made. It is let go of when it is closed.
    let file = std::fs::File::create(&lock).with_context(name)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive).with_context(name)?;
    if is_made() {
        return Ok(());
    }
    make()?;
    std::fs::write(&made, wanted).with_context(|| made.display().to_string())
}

/// Runs `script` with `input` as its standard input, and gives what it prints.
///
/// # Errors
/// It cannot be started, or fails: with what it said.
pub fn run(python: &Path, script: &str, input: &[u8]) -> Result<String> {
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't start Python")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    // A judge reads all before it writes; one that fails early has closed its end.
    let written = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Python: {}: {said}", output.status);
    written.context("Python did not read its input")?;
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn of_many_that_want_it_one_makes_it_and_the_others_wait() -> Result<()> {
        let base = tempfile::tempdir()?;
        let folder = base.path().join("python/it");
        let made = AtomicU32::new(0);
        let together = Barrier::new(4);
        let want = |wanted: &str| {
            once(&folder, wanted, || {
                std::fs::create_dir_all(&folder)?;
                std::thread::sleep(Duration::from_millis(100));
                made.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            let one = || {
                together.wait();
                want("a==1")?;
                ensure!(made.load(Ordering::Relaxed) == 1, "it is not there yet");
                Ok(())
            };
            let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            all.into_iter().try_for_each(|one| one.join().unwrap())
        })?;
        want("a==2")?;
        assert_eq!(made.load(Ordering::Relaxed), 2);
        Ok(())
    }
}
