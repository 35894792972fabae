//! Boots a kernel and reads what the test program inside says.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use guest::{CHECKS, Drive, Line, Outcome};
use testkit::child::Process;

use super::drives::Drives;
use super::packages::Kernel;

/// How long a kernel may take in all. One that hangs shall not hold up the others.
const LIMIT: Duration = Duration::from_secs(300);

/// How many lines of the console are kept to be shown when something went wrong.
const TAIL: usize = 40;

/// What a kernel answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// `uname -r`; empty where it never came to that.
    pub(super) release: String,
    /// `uname -m`
    pub(super) machine: String,
    /// What came of each check, by its name in JSON.
    pub(super) outcomes: BTreeMap<String, Outcome>,
    /// Whether the test program came to its end.
    pub(super) complete: bool,
    /// The console's last lines that were none of the report.
    pub(super) console: VecDeque<String>,
    /// Time it took.
    pub(super) duration: Duration,
}

/// Boots a kernel with an archive, and waits until the machine has ended. `say` is given every
/// line of the console.
///
/// # Errors
/// When the emulator cannot be started.
pub(super) fn boot(
    kernel: &Kernel,
    archive: &Path,
    drives: &Drives,
    say: impl Fn(&str),
) -> Result<Answers> {
    let start = Instant::now();
    let mut process = Process::spawn(command(kernel, archive, drives)).context("the emulator")?;
    let console = process.child().stdout.take().context("no console")?;
    let lines = read(console);
    let mut answers = Answers::default();
    let mut begun = None;
    let ended = loop {
        let left = LIMIT.saturating_sub(start.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                say(&line);
                match Line::from_text(&line) {
                    Some(Line::Kernel { release, machine }) => {
                        (answers.release, answers.machine) = (release, machine);
                    }
                    Some(Line::Begin(id)) => begun = Some(id),
                    Some(Line::Check { id, outcome }) => {
                        answers.outcomes.insert(id, outcome);
                        begun = None;
                    }
                    Some(Line::End) => answers.complete = true,
                    None => {
                        if answers.console.len() == TAIL {
                            answers.console.pop_front();
                        }
                        answers.console.push_back(line);
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => break false,
            Err(RecvTimeoutError::Disconnected) => break true,
        }
    };
    process.kill();
    let why = if ended {
        "the machine ended before it"
    } else {
        "it took too long"
    };
    for check in CHECKS {
        let during = begun.as_deref() == Some(check.id);
        let why = if during {
            "the machine ended meanwhile, or hung"
        } else {
            why
        };
        answers
            .outcomes
            .entry(check.id.to_owned())
            .or_insert_with(|| Outcome::Failed(why.to_owned()));
    }
    answers.duration = start.elapsed();
    Ok(answers)
}

fn command(kernel: &Kernel, archive: &Path, drives: &Drives) -> Command {
    let architecture = kernel.architecture;
    let mut command = Command::new(architecture.emulator().0);
    command
        .args(architecture.machine())
        .args(["-accel", "tcg", "-smp", "2", "-m", "768"])
        // Nothing but a serial port; and the end of the machine where it restarts.
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(archive)
        .arg("-append")
        .arg(format!(
            // The console is for the report: of the kernel, only what it dies of. There is
            // nothing in here that mitigations of CPUs' faults would protect.
            "console={} panic=-1 loglevel=2 random.trust_cpu=on mitigations=off",
            architecture.console()
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    for drive in Drive::ALL {
        let name = drive.name();
        let path = drives.path(drive).display().to_string();
        command
            // What is written goes with the machine.
            .arg("-drive")
            .arg(format!(
                "id={name},file={path},format=raw,if=none,snapshot=on"
            ))
            .arg("-device")
            .arg(format!("virtio-blk-pci,drive={name},serial={name}"));
    }
    command
}

/// Reads the console line by line, on a thread that ends with it.
fn read(console: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut console = BufReader::new(console);
        let mut line = Vec::new();
        while console
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if send.send(text).is_err() {
                break;
            }
        }
    });
    receive
}
