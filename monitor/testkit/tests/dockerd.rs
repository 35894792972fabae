//! The Docker daemon of the tests: it runs containers, survives being killed, leaves nothing.

use std::path::Path;

use anyhow::Result;
use testkit::child::has_ended;
use testkit::dockerd::{Dockerd, PROGRAMS};
use testkit::{netns, require, ss};

#[test]
fn runs_containers_and_leaves_nothing() -> Result<()> {
    testkit::require!(require::root());
    for program in PROGRAMS {
        testkit::require!(require::program(program));
    }
    let mut docker = Dockerd::start()?;
    let folder = docker.socket();
    docker.run("server", &[], &["serve", "80"])?;
    let pid = docker.pid("server")?;
    assert_ne!(netns::inode_of(pid)?, netns::inode_of(std::process::id())?);
    let server = ["exec", "server", "/workload"];
    let client = ["connect", "127.0.0.1:80", "10"];
    assert_eq!(docker.docker(&[server, client].concat())?, "connected 10");
    let listeners = ss::listeners(pid)?;
    assert_eq!(listeners.first().map(|l| l.0), Some(80), "{listeners:?}");

    docker.kill();
    assert!(docker.docker(&["ps"]).is_err());
    docker.restart()?;
    assert_eq!(docker.pid("server")?, pid);
    docker.docker(&["stop", "server"])?;
    assert!(docker.pid("server").is_err());
    docker.run("left", &[], &["pause"])?;
    let left = docker.pid("left")?;
    let bridge = Path::new("/sys/class/net").join(docker.bridge());
    assert!(bridge.exists());
    drop(docker);
    assert!(has_ended(left));
    assert!(!bridge.exists() && !folder.exists());
    Ok(())
}
