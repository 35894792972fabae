//! Where the workspace is, and how cargo is called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::shell;

/// The variable of the build that tells the daemon which commit it is of.
const REVISION: &str = "CONTAINER_MONITOR_REVISION";

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    // What cargo says now, not what it said when this was compiled: the folder may have moved.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The cargo that runs this, called in the workspace.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(workspace());
    command
}

/// Builds the daemon with the release profile and gives its path.
///
/// # Errors
/// When the build fails; cargo has said why.
pub(crate) fn release_daemon() -> Result<PathBuf> {
    let mut command = cargo();
    command
        .args([
            "build",
            "--locked",
            "--release",
            "--package=container-monitor",
        ])
        .args(["--bin=container-monitor"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    // The same text forces no rebuild; another commit does, of this package alone.
    if std::env::var_os(REVISION).is_none()
        && let Some(revision) = revision()
    {
        command.env(REVISION, revision);
    }
    eprintln!("+ cargo build --release --package=container-monitor");
    let output = command.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the daemon does not build");
    // Cargo alone knows the folder: settings and environment move it.
    output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo names no executable")
}

/// The commit that is checked out; `None` without git, or where this is no repository.
fn revision() -> Option<String> {
    let mut git = Command::new("git");
    git.current_dir(workspace())
        .args(["rev-parse", "--short", "HEAD"]);
    shell::output(&mut git).ok()
}

/// The folder of cargo's own binaries and registry.
pub(crate) fn home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .unwrap_or_else(|| PathBuf::from("/root/.cargo"))
}

/// Takes the caller's cargo and rustc settings out of a command's environment; what says where
/// packages come from stays.
pub(crate) fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_setting) {
            command.env_remove(name);
        }
    }
    // Set but empty: not even the configuration file's.
    command.env("RUSTC_WRAPPER", "");
}

fn is_setting(name: &str) -> bool {
    let kept = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        // Without RUSTUP_TOOLCHAIN a dependency's own rust-toolchain.toml would count, and rustup
        // would install what it asks for.
        "RUSTUP_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix));
    (name.starts_with("CARGO") || name.starts_with("RUST")) && !kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_places() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
            "RUSTC",
            "CARGO",
        ] {
            assert!(is_setting(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
            "PATH",
        ] {
            assert!(!is_setting(name), "{name}");
        }
    }

    #[test]
    fn workspace_is_found() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
