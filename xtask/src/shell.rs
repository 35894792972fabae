//! Running programs: said before they start, and with errors that name them.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The command as a line that could be typed, without its environment.
pub(crate) fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}

/// Prints the command, and runs it with our own standard streams.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("+ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start {line}"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}

/// Runs the command silently and gives what it printed, trimmed.
///
/// # Errors
/// When it cannot be started, fails, or prints what is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = String::from_utf8(bytes(command)?);
    let text = text.with_context(|| format!("output of {}", line(command)))?;
    Ok(text.trim_end().to_owned())
}

/// Runs the command silently and gives what it printed.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn bytes(command: &mut Command) -> Result<Vec<u8>> {
    let line = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {line}"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}
