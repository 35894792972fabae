//! What the kernel itself had to say: programs that read its memory must leave it in peace.

use std::io::Read as _;

use anyhow::{Context, Result, ensure};

/// What a line has that tells of something gone wrong inside the kernel.
const TROUBLE: [&str; 8] = [
    "WARNING:",
    "BUG:",
    "Oops",
    "Call Trace",
    "general protection",
    "rcu: INFO",
    "blocked for more than",
    "UBSAN",
];

/// Demands that the kernel has told of no trouble since it started.
pub(crate) fn is_quiet() -> Result<String> {
    let mut log = rustix::fs::open(
        "/dev/kmsg",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    )
    .map(std::fs::File::from)
    .context("/dev/kmsg")?;
    let mut record = vec![0; 8192];
    let mut trouble = Vec::new();
    loop {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                let line = String::from_utf8_lossy(&record[..length]).into_owned();
                if TROUBLE.iter().any(|word| line.contains(word)) {
                    trouble.push(line);
                }
            }
            // Overwritten before it could be read: the next is there.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("/dev/kmsg"),
        }
    }
    ensure!(trouble.is_empty(), "{}", trouble.join("; "));
    Ok("quiet".to_owned())
}
