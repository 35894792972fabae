//! How much memory the maps of all programs take.

use anyhow::{Context, Result, ensure};
use testkit::require;

use crate::monitor;

#[test]
fn maps_take_less_than_8_mib() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let monitor = monitor(&[])?;
    let (mut maps, mut bytes) = (0, 0);
    for file in std::fs::read_dir(format!("/proc/{}/fdinfo", monitor.pid()))? {
        // One that was closed meanwhile is none any more.
        let info = std::fs::read_to_string(file?.path()).unwrap_or_default();
        if info.contains("\nmap_type:") {
            let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
            bytes += memory.context("no memlock")?.trim().parse::<u64>()?;
            maps += 1;
        }
    }
    eprintln!("{maps} maps take {} KiB", bytes / 1024);
    ensure!(maps >= 2, "only {maps} maps found");
    ensure!(bytes < 8 << 20, "{maps} maps take {bytes} bytes");
    Ok(())
}
