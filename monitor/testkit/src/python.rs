//! Python with packages of PyPI, for judges that are written in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The interpreter of a virtual environment with `packages`, each `NAME==VERSION`; made below
/// the build's `target` folder where it is not there yet.
///
/// # Errors
/// It cannot be made: no `python3` with `venv`, or no package index.
pub fn with_packages(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/python")
        .join(name);
    let (python, made) = (folder.join("bin/python"), folder.join("made"));
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&made).is_ok_and(|packages| packages == wanted) {
        return Ok(python);
    }
    let run = |command: &mut Command| -> Result<()> {
        let output = command.output().context("can't start Python")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?}: {said}");
        Ok(())
    };
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet"])
        .args(packages))?;
    std::fs::write(made, wanted)?;
    Ok(python)
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
