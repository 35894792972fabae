//! A pid namespace with a mount namespace and a `/proc` of its own, in which a shell script makes
//! what a test looks at; and cgroups that go away with the test. Both need root.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::procfs::ProcFs;

/// What the scripts may use.
const PRELUDE: &str = "
    set -e
    mount -t tmpfs none /run
    mkdir /run/netns
    # Reports a process id to the test.
    say() { echo $1; }
    # The same for one that is written to a file.
    await() { until [ -s $1 ]; do sleep 0.01; done; say $(cat $1); }
    # Long enough for the next process to start in a later clock tick, and for exec to happen.
    pause() { sleep 0.05; }
";

/// The shell at the head of the namespace takes commands until it is killed, and with it all that
/// it started.
pub(super) struct Island {
    pub(super) procfs: ProcFs,
    unshare: Child,
    said: Vec<u32>,
    shell: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Drop for Island {
    fn drop(&mut self) {
        // Its child, process 1 of the namespace, is killed with it.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

impl Island {
    /// Runs a script, and returns when it and all that it started is at rest.
    pub(super) fn start(script: &str) -> Self {
        Self::start_with("", script)
    }

    /// The same with `$CGROUP`.
    pub(super) fn start_in(cgroup: &Cgroup, script: &str) -> Self {
        Self::start_with(&cgroup.path.display().to_string(), script)
    }

    fn start_with(cgroup: &str, script: &str) -> Self {
        let mut unshare = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
            ])
            .env("CGROUP", cgroup)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = unshare.stdin.take().unwrap();
        let mut stdout = BufReader::new(unshare.stdout.take().unwrap());
        let said = run(
            &mut stdin,
            &mut stdout,
            &format!("{PRELUDE}\n{script}\npause"),
        );
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", unshare.id()));
        let init: u32 = children.unwrap().trim().parse().unwrap();
        let procfs = ProcFs::open(format!("/proc/{init}/root/proc").as_ref()).unwrap();
        Self {
            procfs,
            unshare,
            said,
            shell: Mutex::new((stdin, stdout)),
        }
    }

    /// What the script said: process ids as the island's `/proc` has them.
    pub(super) fn said(&self) -> &[u32] {
        &self.said
    }

    /// Runs a script in the island's shell.
    pub(super) fn run(&self, script: &str) {
        let (stdin, stdout) = &mut *self.shell.lock().unwrap();
        run(stdin, stdout, script);
    }

    /// Kills a process and returns when it is a zombie or gone.
    pub(super) fn kill(&self, pid: u32) {
        self.run(&format!("kill -9 {pid}"));
        for _ in 0..1000 {
            let mut buffer = Vec::new();
            let gone = match self.procfs.read(format!("{pid}/stat"), &mut buffer) {
                Ok(()) => {
                    let stat = crate::procfs::stat::parse(&buffer).unwrap();
                    stat.has_exited() && stat.threads < 2
                }
                Err(_) => true,
            };
            if gone {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("process {pid} survives");
    }
}

/// Gives a shell a script; the numbers that it printed.
fn run(stdin: &mut ChildStdin, stdout: &mut BufReader<ChildStdout>, script: &str) -> Vec<u32> {
    writeln!(stdin, "{script}\necho end").unwrap();
    let mut said = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        let length = stdout.read_line(&mut line).unwrap();
        assert_ne!(
            length, 0,
            "the shell of the island ended: is this root?\n{script}"
        );
        match line.trim() {
            "end" => return said,
            number => said.push(number.parse().unwrap()),
        }
    }
}

/// A folder in the unified cgroup hierarchy, removed when dropped.
pub(super) struct Cgroup {
    pub(super) path: PathBuf,
    children: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes one with these children.
    pub(super) fn new(children: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts
            .lines()
            .find_map(|line| {
                let mut fields = line.split(' ');
                let path = fields.nth(1)?;
                (fields.next()? == "cgroup2").then_some(path)
            })
            .expect("cgroup2 is mounted");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(mount).join(format!("scan-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let children = children.iter().map(|name| path.join(name)).collect();
        let cgroup = Self { path, children };
        for child in &cgroup.children {
            fs::create_dir(child).unwrap();
        }
        cgroup
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in self.children.iter().chain([&self.path]) {
            // The last processes of the island may still be on their way out.
            for _ in 0..1000 {
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
