//! The image of test containers: the `workload` program as a static binary, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

use crate::child::output;

/// The static `workload` binary; built once a process, and by cargo only when its sources changed.
///
/// # Errors
/// When cargo can't build it, with cargo's words.
pub fn workload() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(|error| anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    // Its own folder: cargo's lock on the usual one may be held by whoever runs us.
    let target = target_folder().join("testkit");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["rustc", "--release", "--locked", "--bin", "workload"])
        // The workload calls no containerd.
        .arg("--no-default-features")
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "-C", "target-feature=+crt-static"]);
    output(&mut command).context("can't build the static workload")?;
    Ok(target.join("release/workload"))
}

/// Cargo's target folder: the one that this program was built in, else the workspace's.
fn target_folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let tagged = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    let built_in = exe.ancestors().skip(1).find(tagged).map(Path::to_owned);
    built_in
        .or_else(|| std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}

/// A tar archive (POSIX ustar) with `content` as its only file, executable, for `docker import`.
pub fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    tar_of(&[(name, content)])
}

/// A tar archive of executable files.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        archive.extend_from_slice(&header(name, content.len()));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    // Two blocks of zeroes are the end.
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn header(name: &str, length: usize) -> [u8; 512] {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, "00000000000\0");
    // The checksum is taken with its own field full of spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// An image of one executable, as `docker save` writes it and `ctr image import` reads it. Its
/// containers run `/<name>` with their own arguments, or with `pause` where they have none.
#[cfg(feature = "containerd")]
pub(crate) fn saved(tag: &str, name: &str, executable: &[u8]) -> Vec<u8> {
    use serde_json::json;
    use sha2::{Digest, Sha256};

    let layer = tar(name, executable);
    let digest: String = Sha256::digest(&layer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": [format!("/{name}")], "Cmd": ["pause"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = json!([{
        "Config": "config.json",
        "RepoTags": [tag],
        "Layers": ["layer.tar"],
    }]);
    tar_of(&[
        ("layer.tar", &layer),
        ("config.json", config.to_string().as_bytes()),
        ("manifest.json", manifest.to_string().as_bytes()),
    ])
}

/// This machine's architecture, in the words of images.
#[cfg(feature = "containerd")]
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_it() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let archive = folder.path().join("a.tar");
        std::fs::write(&archive, tar("file", &[7; 1000]))?;
        let mut tar = Command::new("tar");
        output(tar.arg("-xf").arg(&archive).arg("-C").arg(folder.path()))?;
        assert_eq!(std::fs::read(folder.path().join("file"))?, [7; 1000]);
        Ok(())
    }
}
