//! The bridge that containers of a test are attached to. No firewall rule and no sysctl of the
//! machine is changed, so that they reach each other and this machine, and nobody else.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::child::{find_program, output};
use crate::sweep;

/// Makes the bridge `name` for the daemon in `folder`, with the first private network of a small
/// range that is free. Gives the bridge's address in it, such as `10.213.4.1/22`.
///
/// # Errors
/// When `ip` is missing or fails, as it does without root's rights.
pub(crate) fn make(folder: &Path, name: &str) -> Result<String> {
    // Two threads that look at once would find the same network free.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let ip = find_program("ip").context("can't find the program ip: install iproute2")?;
    let ip = |args: &[&str]| output(Command::new(&ip).args(args));
    // The sweep removes what this file names.
    std::fs::write(folder.join(sweep::BRIDGE), name)?;
    let used = ip(&["-oneline", "-4", "address"])?;
    let net = (0..256).step_by(4).map(|n| format!("10.213.{n}.1/22"));
    let net = net.into_iter().find(|net| !used.contains(net.as_str()));
    let net = net.context("no free network in 10.213.0.0/16")?;
    ip(&["link", "add", name, "type", "bridge"])?;
    ip(&["address", "add", &net, "dev", name])?;
    ip(&["link", "set", name, "up"])?;
    Ok(net)
}
