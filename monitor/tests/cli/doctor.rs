//! `doctor`: what a host offers, and the health probe.

use anyhow::{Result, ensure};

use crate::{monitor, run, said};

fn printed(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn says_what_there_is_and_what_is_lost() -> Result<()> {
    let output = run(&["doctor", "--web.listen-address=127.0.0.1:1"])?;
    let text = printed(&output);
    ensure!(output.status.code() == Some(0), "{text}");
    for (verdict, what) in [
        ("good", "Linux"),
        ("good", "host's processes"),
        ("lost", "the monitor"),
    ] {
        let is_it = |line: &str| line.starts_with(verdict) && line[6..].starts_with(what);
        ensure!(text.lines().any(is_it), "no {verdict} {what}: {text}");
    }
    let output = run(&["doctor", "--path.procfs=/nowhere"])?;
    let text = printed(&output);
    ensure!(output.status.code() == Some(1), "{text}");
    ensure!(text.contains("--path.procfs"), "{text}");
    Ok(())
}

#[test]
fn is_a_health_probe() -> Result<()> {
    let monitor = monitor(&[])?;
    let address = monitor.address().to_string();
    let probe = ["doctor", "--health", "--web.listen-address", &address];
    let output = run(&probe)?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    ensure!(output.stdout.is_empty() && output.stderr.is_empty());
    monitor.stop()?;
    let output = run(&probe)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let said = said(&output);
    ensure!(said.len() == 1 && said[0].contains(&address), "{said:?}");
    let output = run(&["doctor", "--health", "--web.listen-address=nowhere"])?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    Ok(())
}
