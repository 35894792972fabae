//! Debian's packages of another suite or architecture than the machine's, unpacked into a folder:
//! with an apt state of their own, so that the machine's stays as it is. Needs no root's rights.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{shell, system};

/// An apt state of its own.
#[derive(Debug)]
pub(super) struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

/// A package and its version.
pub(super) type Package = (String, String);

impl Apt {
    /// A state in this folder for packages of an architecture: those of a suite of Debian, or
    /// those that the machine's own sources have.
    ///
    /// # Errors
    /// Without apt, or a mirror of Debian.
    pub(super) fn new(folder: PathBuf, architecture: &str, suite: Option<&str>) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "packages"] {
            let path = folder.join(part);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
        }
        let place = |name: &str, path: &Path| format!("-oDir::{name}={}", path.display());
        let status = folder.join("status");
        std::fs::write(&status, "")?;
        let mut options = vec![
            place("State::Lists", &folder.join("lists")),
            place("State::Status", &status),
            place("Cache", &folder.join("cache")),
            format!("-oAPT::Architecture={architecture}"),
            format!("-oAPT::Architectures={architecture}"),
            // Neither descriptions in other languages nor what software centres show.
            "-oAcquire::Languages=none".to_owned(),
            "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "-oAcquire::Retries=3".to_owned(),
            // Its own user may not enter the build's folder.
            "-oAPT::Sandbox::User=root".to_owned(),
        ];
        if let Some(suite) = suite {
            let list = folder.join("sources.list");
            std::fs::write(&list, source(architecture, suite)?)?;
            options.push(place("Etc::SourceList", &list));
            options.push("-oDir::Etc::SourceParts=/dev/null".to_owned());
        }
        Ok(Self { folder, options })
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).args(arguments);
        command
    }

    /// Downloads the lists of packages, as far as they have changed.
    ///
    /// # Errors
    /// When apt fails, without network too.
    pub(super) fn update(&self) -> Result<()> {
        shell::output(&mut self.command("apt-get", &["-qq", "update"]))?;
        Ok(())
    }

    /// Finds a package by its name, and those that it needs whose names begin with one of
    /// `parts`.
    ///
    /// # Errors
    /// When one is not offered.
    pub(super) fn find(&self, name: &str, parts: &[&str]) -> Result<Vec<Package>> {
        let mut found: Vec<Package> = Vec::new();
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            let show = ["show", "--no-all-versions", &name];
            let text = shell::output(&mut self.command("apt-cache", &show))?;
            let version = field(&text, "Version").context("a package without version")?;
            found.push((name, version.to_owned()));
            let depends = field(&text, "Depends").unwrap_or_default();
            let names = depends
                .split(", ")
                .filter_map(|need| need.split(' ').next());
            for name in names.filter(|name| parts.iter().any(|part| name.starts_with(part))) {
                let is_known = |known: &String| known == name;
                if !found.iter().any(|(known, _)| is_known(known)) && !open.iter().any(is_known) {
                    open.push(name.to_owned());
                }
            }
        }
        Ok(found)
    }

    /// Downloads and unpacks packages, unless that was done before, and gives the folder. What
    /// was unpacked of other versions goes.
    ///
    /// # Errors
    /// When one cannot be had.
    pub(super) fn unpack(&self, packages: &[Package]) -> Result<PathBuf> {
        let root = self.root(packages.first().context("no package")?);
        if root.exists() {
            return Ok(root);
        }
        self.forget()?;
        let names: Vec<String> = packages
            .iter()
            .map(|(name, version)| format!("{name}={version}"))
            .collect();
        eprintln!("getting {}", names.join(", "));
        let downloads = self.folder.join("packages");
        let mut download = self.command("apt-get", &["-qq", "download"]);
        shell::output(download.args(names).current_dir(&downloads))?;
        // Whole, or not there.
        let partial = self.folder.join("partial");
        for package in std::fs::read_dir(&downloads)? {
            let path = package?.path();
            shell::output(Command::new("dpkg").arg("-x").arg(&path).arg(&partial))?;
            std::fs::remove_file(path)?;
        }
        std::fs::rename(&partial, &root)?;
        Ok(root)
    }

    /// What was unpacked before, if it was this version.
    pub(super) fn unpacked_version(&self, package: &Package) -> Option<PathBuf> {
        Some(self.root(package)).filter(|root| root.exists())
    }

    /// Where packages are unpacked of which this is the first.
    fn root(&self, (_, version): &Package) -> PathBuf {
        let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let version: String = version.chars().map(legal).collect();
        self.folder.join(format!("root-{version}"))
    }

    /// What was unpacked before, whichever version.
    pub(super) fn unpacked(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find(|path| name_of(path).starts_with("root-"))
    }

    fn forget(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if name_of(&path).starts_with("root-") || name_of(&path) == "partial" {
                std::fs::remove_dir_all(path)?;
            }
        }
        for package in std::fs::read_dir(self.folder.join("packages"))? {
            std::fs::remove_file(package?.path())?;
        }
        Ok(())
    }
}

fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// The mirror of Debian that the machine's own apt has.
///
/// # Errors
/// Without apt, or such a mirror.
pub(super) fn mirror() -> Result<String> {
    ensure!(
        system::is_debian(),
        "Debian's kernels come over Debian's own apt, and this machine runs something else"
    );
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)"]);
    let text = shell::output(targets.arg("Created-By: Packages"))?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    // Updates are beside the suite itself, those for security on a server of their own.
    let mut mirrors = lines.filter(|(_, suite)| !suite.contains('-'));
    let (mirror, _) = mirrors
        .next()
        .context("this machine's apt has no mirror of Debian")?;
    Ok(mirror.to_owned())
}

/// A suite of Debian, for apt.
fn source(architecture: &str, suite: &str) -> Result<String> {
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let signed = if Path::new(keys).exists() {
        format!(" signed-by={keys}")
    } else {
        String::new()
    };
    let mirror = mirror()?;
    Ok(format!(
        "deb [arch={architecture}{signed}] {mirror} {suite} main\n"
    ))
}

/// A field of a package's description.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart() {
        let text = "Package: linux-image-cloud-amd64\nVersion: 7.2.13-1\nInstalled-Size: 15\n";
        assert_eq!(field(text, "Version"), Some("7.2.13-1"));
        assert_eq!(field(text, "Size"), None);
    }
}
