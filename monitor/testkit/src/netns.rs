//! Real network namespaces, a millisecond each, without a container runtime.
//!
//! A namespace lives as long as its holder, a process of its own whose command name is the name
//! given here: that is how discovery without a runtime names it. This process keeps no
//! descriptor of the namespace, so that "nobody keeps a dead one alive" can be tested.

use std::ffi::CString;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::mount::UnmountFlags;

use crate::child::{Process, find_program};
use crate::sys;

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// The inode number of the network namespace of a process, as in `net:[4026531840]`.
///
/// # Errors
/// When the process is gone, or is a zombie without a living thread.
pub fn inode_of(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/ns/net");
    let leader = std::fs::metadata(&path);
    // Where the first thread has exited, another one answers.
    let mut threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("there is no process {pid}"))?
        .filter_map(|thread| std::fs::metadata(thread.ok()?.path().join("ns/net")).ok());
    let file = leader.or_else(|error| threads.next().ok_or(error));
    Ok(file.with_context(|| format!("can't read {path}"))?.ino())
}

/// Runs `f` on a thread inside the network namespace of the process `pid`: sockets made there
/// belong to that namespace.
///
/// # Errors
/// When the namespace can't be entered, and what `f` fails with. A panic in `f` goes on here.
pub fn enter<T: Send>(pid: u32, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = CString::new(format!("/proc/{pid}/ns/net"))?;
    let inside = move || {
        sys::join_netns(&path).with_context(|| format!("can't enter {path:?}"))?;
        f()
    };
    std::thread::scope(|scope| match scope.spawn(inside).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A command that runs inside the network namespace of the process `pid`.
///
/// # Errors
/// None in practice: a process id makes a valid path.
pub fn command(pid: u32, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
    let mut command = Command::new(program);
    sys::in_netns(&mut command, CString::new(format!("/proc/{pid}/ns/net"))?);
    Ok(command)
}

/// Sets `lo` up in the network namespace of the calling thread.
///
/// # Errors
/// Without root's rights.
pub fn loopback_up() -> Result<()> {
    Ok(sys::loopback_up()?)
}

/// A network namespace of its own, with `lo` up and a process in it.
#[derive(Debug)]
pub struct Netns {
    /// The process that holds the namespace.
    pub holder: Process,
    inode: u64,
    mount: Option<PathBuf>,
}

impl Netns {
    /// Makes a namespace, held by a sleeping process whose command name is `name`.
    ///
    /// # Errors
    /// When `name` is no command name (1 to 15 bytes, no slash), or without root's rights.
    pub fn new(name: &str) -> Result<Self> {
        ensure!(
            (1..=15).contains(&name.len()) && !name.contains('/'),
            "{name:?} is no command name: 1 to 15 bytes without a slash"
        );
        // The kernel takes the command name from the path of the program, a link's too.
        let sleep = find_program("sleep").context("can't find the program sleep")?;
        let folder = tempfile::tempdir()?;
        let link = folder.path().join(name);
        symlink(sleep, &link)?;
        let mut command = Command::new(link);
        command.arg("infinity");
        Self::with_holder(command)
    }

    /// Makes a namespace, held by `command`. It ends when that process does.
    ///
    /// # Errors
    /// When the program can't be started, or without root's rights.
    pub fn with_holder(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null());
        sys::in_new_netns(&mut command);
        let holder = Process::spawn(command)?;
        let inode = inode_of(holder.pid())?;
        Ok(Self {
            holder,
            inode,
            mount: None,
        })
    }

    /// Makes a namespace that also has a name under `/run/netns`, as `ip netns add` gives it; its
    /// holder's command name is `holder`. It outlives that process (see [`Process::kill`]) until
    /// this guard is dropped.
    ///
    /// # Errors
    /// When the name is taken or can't be mounted, or without root's rights.
    pub fn named(name: &str) -> Result<Self> {
        let mut netns = Self::new("holder")?;
        std::fs::create_dir_all(NAMED)?;
        let path = PathBuf::from(NAMED).join(name);
        std::fs::File::create_new(&path)
            .with_context(|| format!("can't make {}", path.display()))?;
        // From here on Drop removes the file.
        netns.mount = Some(path.clone());
        let source = format!("/proc/{}/ns/net", netns.holder.pid());
        rustix::mount::mount_bind(source.as_str(), &path)
            .with_context(|| format!("can't mount {source} at {}", path.display()))?;
        Ok(netns)
    }

    /// Ends this namespace and makes others until one has its inode number: the kernel gives the
    /// lowest free number out, and frees one a moment after its namespace has ended. `None` when
    /// the number does not come within three seconds: somebody else got it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn reused(self, name: &str) -> Result<Option<Self>> {
        let inode = self.inode;
        drop(self);
        let start = Instant::now();
        let mut others = Vec::new();
        while start.elapsed() < Duration::from_secs(3) {
            let netns = Self::new(name)?;
            if netns.inode == inode {
                return Ok(Some(netns));
            }
            others.push(netns);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(None)
    }

    /// The process id of the holder.
    pub fn pid(&self) -> u32 {
        self.holder.pid()
    }

    /// The namespace's inode number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Runs `f` on a thread inside: sockets made there belong to this namespace.
    ///
    /// # Errors
    /// When the holder has ended, and what `f` fails with. A panic in `f` goes on here.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        enter(self.pid(), f)
    }

    /// A command that runs inside.
    ///
    /// # Errors
    /// None in practice: a process id makes a valid path.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        command(self.pid(), program)
    }

    /// Reads one of the namespace's own files, such as `net/sockstat`.
    ///
    /// # Errors
    /// When the holder has ended, or there is no such file.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.pid());
        std::fs::read_to_string(&path).with_context(|| format!("can't read {path}"))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Some(path) = &self.mount {
            // Fails when the mount was never made; the file goes in any case.
            rustix::mount::unmount(path, UnmountFlags::DETACH).ok();
            std::fs::remove_file(path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn is_another_namespace_with_loopback() -> Result<()> {
        crate::require!(require::root());
        let own = inode_of(std::process::id())?;
        let netns = Netns::new("kit-loopback")?;
        assert_ne!(netns.inode(), own);
        assert_eq!(netns.read("comm")?, "kit-loopback\n");
        let used = netns.enter(|| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            let table = std::fs::read_to_string("/proc/thread-self/net/sockstat")?;
            drop(client);
            Ok(table)
        })?;
        // The listener and both ends; the server's end is established though not accepted.
        assert!(used.contains("TCP: inuse 3 "), "{used}");
        let inside = crate::child::output(netns.command("readlink")?.arg("/proc/self/ns/net"))?;
        assert_eq!(inside.trim(), format!("net:[{}]", netns.inode()));
        assert_eq!(inode_of(std::process::id())?, own);
        Ok(())
    }

    #[test]
    fn ends_with_its_guard() -> Result<()> {
        crate::require!(require::root());
        let netns = Netns::new("kit-end")?;
        let pid = netns.pid();
        drop(netns);
        assert!(inode_of(pid).is_err());
        Ok(())
    }

    #[test]
    fn named_outlives_its_holder() -> Result<()> {
        crate::require!(require::root());
        let name = format!("kit-{}", std::process::id());
        let mut netns = Netns::named(&name)?;
        let path = PathBuf::from(NAMED).join(&name);
        netns.holder.kill();
        assert_eq!(std::fs::metadata(&path)?.ino(), netns.inode());
        drop(netns);
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn refuses_what_is_no_command_name() {
        assert!(Netns::new("sixteen-bytes-xx").is_err());
        assert!(Netns::new("a/b").is_err());
        assert!(Netns::new("").is_err());
    }
}
