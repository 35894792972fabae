//! `cargo xtask image`: a static binary, and an image that holds it and nothing else, made by a
//! container engine of this machine. Nothing is pulled.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::child::find_program;
use testkit::dockerd::Dockerd;
use testkit::wait;

use crate::cargo::{self, StaticBuild};
use crate::shell;

/// The image's name, without a tag.
const NAME: &str = "container-monitor";

/// The most bytes that it may have.
const LARGEST: u64 = 12_000_000;

/// Options of `image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The engine that makes it: docker or podman, whichever answers
    #[arg(long, value_name = "PROGRAM")]
    engine: Option<String>,
    /// Its name and tag [default: container-monitor:VERSION]
    #[arg(long, value_name = "NAME:TAG")]
    tag: Option<String>,
}

/// Builds and says what came of it.
///
/// # Errors
/// When there is no engine, when it fails, or when the image is too large.
pub(crate) fn run(args: &Args) -> Result<()> {
    let engine = match &args.engine {
        Some(program) => Engine::named(program)?,
        None => Engine::find()?,
    };
    let tag = args.tag.clone().unwrap_or_else(default_tag);
    let size = build(&engine, &tag)?;
    println!("{tag}: {:.1} MB", size as f64 / 1e6);
    Ok(())
}

/// Builds the image with a Docker of our own, runs it, and waits until its health probe is
/// content.
///
/// # Errors
/// When it is not, or as [`run`].
pub(crate) fn test() -> Result<()> {
    let docker = Dockerd::start()?;
    let mut engine = Engine::named("docker")?;
    engine.host = Some(docker.endpoint());
    let tag = format!("{NAME}:test");
    let size = build(&engine, &tag)?;
    let name = "monitor-image";
    // What the least privileged DaemonSet has; a health probe wants nothing.
    let mut options = vec!["run", "--detach", "--name", name, "--pid=host"];
    options.extend(["--network=host", "--read-only", "--volume=/sys:/sys:ro"]);
    let capabilities =
        ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"].map(|name| format!("--cap-add={name}"));
    options.extend(capabilities.iter().map(String::as_str));
    options.extend([
        "--env=CONTAINER_MONITOR_WEB_LISTEN_ADDRESS=127.0.0.1:10042",
        &tag,
    ]);
    docker.docker(&options)?;
    let healthy = wait::until("the image is healthy", Duration::from_secs(60), || {
        let status = docker.inspect(name, "{{.State.Health.Status}}")?;
        Ok((status == "healthy").then_some(()))
    });
    healthy.with_context(|| docker.docker(&["logs", name]).unwrap_or_default())?;
    // Whoever runs it can read it.
    docker.docker(&["run", "--rm", "--user=65534:65534", &tag, "--version"])?;
    eprintln!("image: {:.1} MB, healthy", size as f64 / 1e6);
    Ok(())
}

/// A container engine's command line.
#[derive(Debug)]
struct Engine {
    program: PathBuf,
    /// `DOCKER_HOST`, where it is not the user's.
    host: Option<String>,
}

impl Engine {
    fn named(program: &str) -> Result<Self> {
        let found = find_program(program);
        Ok(Self {
            program: found.with_context(|| format!("there is no program {program}"))?,
            host: None,
        })
    }

    /// The first that answers.
    fn find() -> Result<Self> {
        for program in ["docker", "podman"] {
            if let Ok(engine) = Self::named(program)
                && shell::output(&mut engine.command(&["info"])).is_ok()
            {
                return Ok(engine);
            }
        }
        bail!("neither docker nor podman answers: start one, or name it with --engine")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    fn is_podman(&self) -> bool {
        self.program.ends_with("podman")
    }
}

fn default_tag() -> String {
    format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

/// Builds the binary and the image, and gives its size in bytes.
fn build(engine: &Engine, tag: &str) -> Result<u64> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let [binary] = StaticBuild::new(target).run([NAME])?;
    let context = cargo::workspace().join("target/image");
    std::fs::create_dir_all(&context)?;
    std::fs::copy(&binary, context.join(NAME)).with_context(|| binary.display().to_string())?;
    let file = cargo::workspace().join("deploy/docker/Dockerfile");
    shell::run(&mut command(engine, tag, &file, &context))?;
    let inspect = ["image", "inspect", "--format", "{{.Size}}", tag];
    let size: u64 = shell::output(&mut engine.command(&inspect))?.parse()?;
    ensure!(
        size <= LARGEST,
        "{tag} has {size} bytes, more than {LARGEST}"
    );
    Ok(size)
}

fn command(engine: &Engine, tag: &str, file: &Path, context: &Path) -> Command {
    let mut command = engine.command(&["build", "--quiet", "--tag", tag, "--file"]);
    command.arg(file);
    let revision = cargo::revision().unwrap_or_default();
    for argument in [
        format!("VERSION={}", env!("CARGO_PKG_VERSION")),
        format!("REVISION={revision}"),
    ] {
        command.arg("--build-arg").arg(argument);
    }
    if engine.is_podman() {
        // Its own format has no health probe.
        command.arg("--format=docker");
    }
    command.arg(context);
    command
}
