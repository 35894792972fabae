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
    let mut build = cargo();
    build.args(["build", "--locked", "--release"]);
    let [daemon] = executables(&mut build, ["container-monitor"])?;
    Ok(daemon)
}

/// A build, with the image's profile, of programs that need no libraries.
#[derive(Debug)]
pub(crate) struct StaticBuild {
    target: String,
    flags: Vec<String>,
    toolchain: Option<[&'static str; 2]>,
    variables: Vec<(String, &'static str)>,
}

impl StaticBuild {
    /// For a target, such as `x86_64-unknown-linux-gnu`.
    pub(crate) fn new(target: String) -> Self {
        Self {
            target,
            flags: vec!["-Ctarget-feature=+crt-static".to_owned()],
            toolchain: None,
            variables: Vec::new(),
        }
    }

    /// With a flag of rustc more.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// With a variable of the environment more.
    pub(crate) fn variable(mut self, name: String, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// With another cargo and rustc than those that run this.
    pub(crate) fn toolchain(mut self, cargo: &'static str, rustc: &'static str) -> Self {
        self.toolchain = Some([cargo, rustc]);
        self
    }

    /// Builds programs that have their packages' names, and gives their paths.
    ///
    /// # Errors
    /// When the build fails; cargo has said why.
    pub(crate) fn run<const N: usize>(&self, programs: [&str; N]) -> Result<[PathBuf; N]> {
        let mut build = match self.toolchain {
            Some([cargo, _]) => {
                let mut command = Command::new(cargo);
                command.current_dir(workspace());
                command
            }
            None => cargo(),
        };
        forget_settings(&mut build);
        if let Some([_, rustc]) = self.toolchain {
            build.env("RUSTC", rustc);
        }
        for (name, value) in &self.variables {
            build.env(name, value);
        }
        build
            .args(["build", "--locked", "--profile=image"])
            // With a target named, build scripts and macros are still built as the machine wants.
            .arg(format!("--target={}", self.target))
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags.join("\u{1f}"));
        executables(&mut build, programs)
    }
}

/// Runs a build of programs that have their packages' names, and gives their paths.
fn executables<const N: usize>(build: &mut Command, programs: [&str; N]) -> Result<[PathBuf; N]> {
    for program in programs {
        build.arg(format!("--package={program}"));
        build.arg(format!("--bin={program}"));
    }
    eprintln!("+ {}", shell::line(build));
    build
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    // The same text forces no rebuild; another commit does, of the daemon's package alone.
    if std::env::var_os(REVISION).is_none()
        && let Some(revision) = revision()
    {
        build.env(REVISION, revision);
    }
    let output = build.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the build has failed");
    // Cargo alone knows the folder: settings and environment move it.
    let messages: Vec<serde_json::Value> = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let mut paths = programs.map(|_| PathBuf::new());
    for (path, program) in paths.iter_mut().zip(programs) {
        *path = messages
            .iter()
            .filter(|message| message["target"]["name"] == program)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .with_context(|| format!("cargo names no executable {program}"))?;
    }
    Ok(paths)
}

/// The commit that is checked out; `None` without git, or where this is no repository.
pub(crate) fn revision() -> Option<String> {
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
