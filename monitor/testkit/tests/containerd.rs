//! The containerd of the tests: it runs pods as a kubelet makes them, survives being killed, leaves
//! nothing.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testkit::child::has_ended;
use testkit::containerd::{self, CRI_NAMESPACE, ContainerSpec, Containerd, PodSpec};
use testkit::{netns, require, ss};

#[test]
fn containers_of_a_pod_share_its_network() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    testkit::require!(containerd::programs());
    let containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0").label("app", "web"))?;
    let server = containerd.run_container(&pod, &ContainerSpec::new("server", &["serve", "80"]))?;
    let connect = ["connect", "127.0.0.1:80", "10", "--hold"];
    let client = containerd.run_container(&pod, &ContainerSpec::new("client", &connect))?;

    let inode = containerd.sandbox_netns_inode(&pod)?;
    assert_ne!(inode, netns::inode_of(std::process::id())?);
    let (server_pid, client_pid) = (containerd.pid_of(&server)?, containerd.pid_of(&client)?);
    assert_ne!(server_pid, client_pid);
    for pid in [server_pid, client_pid] {
        assert_eq!(netns::inode_of(pid)?, inode);
    }
    let listeners = ss::listeners(client_pid)?;
    assert_eq!(listeners.first().map(|l| l.0), Some(80), "{listeners:?}");
    // From outside it is reached over the bridge.
    let ip = containerd.pod_ip(&pod)?.context("no address")?;
    TcpStream::connect((ip.as_str(), 80))?;

    let cgroups = std::fs::read_to_string(format!("/proc/{server_pid}/cgroup"))?;
    let cgroup = containerd.cgroup_of(&pod, &server);
    assert!(cgroups.contains(&cgroup), "{cgroup}: {cgroups}");
    Ok(())
}

#[test]
fn labels_are_those_of_a_kubelet_and_more() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let spec = PodSpec::new("shop", "web-0").label("app", "web");
    let pod = containerd.run_pod(&spec)?;
    let container = containerd.create_container(&pod, &ContainerSpec::new("server", &[]))?;
    for (id, key, value) in [
        (pod.id(), "app", "web"),
        (pod.id(), "io.kubernetes.pod.uid", spec.uid.as_str()),
        (container.id(), "io.kubernetes.pod.name", "web-0"),
        (container.id(), "io.kubernetes.pod.namespace", "shop"),
        (container.id(), "io.kubernetes.container.name", "server"),
    ] {
        let info = containerd.ctr(CRI_NAMESPACE, &["container", "info", id])?;
        assert!(info.contains(&format!("{key:?}: {value:?}")), "{info}");
    }
    Ok(())
}

#[test]
fn a_pod_on_the_machine_s_network() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec {
        host_network: true,
        ..PodSpec::new("kube-system", "node-agent")
    })?;
    let agent = containerd.run_container(&pod, &ContainerSpec::new("agent", &[]))?;
    let own = netns::inode_of(std::process::id())?;
    assert_eq!(containerd.sandbox_netns_inode(&pod)?, own);
    assert_eq!(netns::inode_of(containerd.pid_of(&agent)?)?, own);
    assert_eq!(containerd.pod_ip(&pod)?, None);
    Ok(())
}

#[test]
fn containers_and_containerd_restart() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let mut containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    let inode = containerd.sandbox_netns_inode(&pod)?;
    let first = containerd.run_container(&pod, &ContainerSpec::new("server", &["serve", "80"]))?;
    let first_pid = containerd.pid_of(&first)?;
    assert!(containerd.create_container(&pod, first.spec()).is_err());

    containerd.stop_container(&first)?;
    assert!(has_ended(first_pid) && !containerd.is_running(&first)?);
    assert!(containerd.pid_of(&first).is_err());
    let second = containerd.create_container(&pod, &first.spec().again())?;
    assert!(!containerd.is_running(&second)?);
    containerd.start_container(&second)?;
    assert_eq!(second.spec().attempt, 1);
    assert_ne!(second.id(), first.id());
    let second_pid = containerd.pid_of(&second)?;
    assert_eq!(netns::inode_of(second_pid)?, inode);
    containerd.remove_container(&first)?;
    assert!(containerd.is_running(&first).is_err());

    containerd.kill();
    assert!(containerd.is_running(&second).is_err());
    assert!(!has_ended(second_pid));
    containerd.restart()?;
    assert_eq!(containerd.pid_of(&second)?, second_pid);
    assert_eq!(containerd.sandbox_netns_inode(&pod)?, inode);
    let third = containerd.run_container(&pod, &ContainerSpec::new("late", &[]))?;
    assert_eq!(netns::inode_of(containerd.pid_of(&third)?)?, inode);

    containerd.remove_pod(&pod)?;
    assert!(has_ended(second_pid));
    assert!(containerd.sandbox_pid(&pod).is_err());
    Ok(())
}

#[test]
fn plain_containers() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    testkit::require!(containerd::programs());
    let containerd = Containerd::start()?;
    let pid = containerd.run_plain("default", "plain", &["serve", "80"])?;
    assert_ne!(netns::inode_of(pid)?, netns::inode_of(std::process::id())?);
    let listeners = ss::listeners(pid)?;
    assert_eq!(listeners.first().map(|l| l.0), Some(80), "{listeners:?}");
    netns::enter(pid, || Ok(TcpStream::connect("127.0.0.1:80")?))?;
    // The same id is another container in another namespace.
    assert_ne!(containerd.run_plain("other", "plain", &["pause"])?, pid);
    containerd.remove_plain("default", "plain")?;
    assert!(has_ended(pid));
    assert!(containerd.plain_pid("default", "plain").is_err());
    Ok(())
}

#[test]
fn nothing_is_left() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let mut containerd = Containerd::start()?;
    let mut pids = vec![containerd.run_plain("default", "plain", &["pause"])?];
    let mut inodes = Vec::new();
    let mut ids = Vec::new();
    for (name, host_network) in [("one", false), ("two", false), ("host", true)] {
        let spec = PodSpec::new("shop", name);
        let pod = containerd.run_pod(&PodSpec {
            host_network,
            ..spec
        })?;
        let container = containerd.run_container(&pod, &ContainerSpec::new("main", &[]))?;
        pids.extend([
            containerd.sandbox_pid(&pod)?,
            containerd.pid_of(&container)?,
        ]);
        if !host_network {
            inodes.push(containerd.sandbox_netns_inode(&pod)?);
        }
        ids.push(pod.id().to_owned());
    }
    let folder = containerd
        .socket()
        .parent()
        .context("no folder")?
        .to_owned();
    let bridge = Path::new("/sys/class/net").join(containerd.bridge());
    let cgroup = containerd.cgroup().to_owned();
    assert!(bridge.exists());
    assert!(!left_in_cgroups(&cgroup)?.is_empty());
    assert!(mounts()?.contains(&cgroup));
    assert!(named_namespaces()?.is_superset(&inodes.iter().copied().collect()));
    assert!(!remembered_by_cni(&ids)?.is_empty());
    let shims = command_lines_with(&folder)?;
    assert!(shims.len() > 3, "{shims:?}");

    // Also when it was killed before: the pods live on.
    containerd.kill();
    drop(containerd);
    for pid in pids {
        assert!(has_ended(pid));
    }
    assert_eq!(command_lines_with(&folder)?, Vec::<String>::new());
    assert!(!folder.exists() && !bridge.exists());
    assert_eq!(left_in_cgroups(&cgroup)?, Vec::<PathBuf>::new());
    assert!(!mounts()?.contains(&cgroup));
    let namespaces = named_namespaces()?;
    assert!(inodes.iter().all(|inode| !namespaces.contains(inode)));
    assert_eq!(remembered_by_cni(&ids)?, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn nothing_is_left_by_a_panic() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let (send, receive) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let containerd = Containerd::start().unwrap();
        let pod = containerd.run_pod(&PodSpec::new("shop", "web-0")).unwrap();
        let pid = containerd.sandbox_pid(&pod).unwrap();
        send.send((containerd.socket().to_owned(), pid)).unwrap();
        panic!("as a test does that fails");
    });
    let (socket, pid) = receive.recv()?;
    assert!(panicked.join().is_err());
    assert!(has_ended(pid) && !socket.parent().context("no folder")?.exists());
    Ok(())
}

fn entries(folder: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.to_owned())?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Cgroups of that name, at the top of any hierarchy.
fn left_in_cgroups(name: &str) -> Result<Vec<PathBuf>> {
    let below = entries("/sys/fs/cgroup")?
        .into_iter()
        .map(|hierarchy| hierarchy.join(name));
    let all = below.chain([Path::new("/sys/fs/cgroup").join(name)]);
    Ok(all.filter(|cgroup| cgroup.exists()).collect())
}

fn mounts() -> Result<String> {
    Ok(std::fs::read_to_string("/proc/self/mountinfo")?)
}

/// The inode numbers of the network namespaces that have a name.
fn named_namespaces() -> Result<BTreeSet<u64>> {
    use std::os::unix::fs::MetadataExt;
    let files = entries("/run/netns")?;
    // Another test may end one of its own meanwhile.
    let inodes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
    Ok(inodes.map(|metadata| metadata.ino()).collect())
}

fn remembered_by_cni(pods: &[String]) -> Result<Vec<PathBuf>> {
    let mut files = entries("/var/lib/cni/results")?;
    files.retain(|file| pods.iter().any(|pod| file.to_string_lossy().contains(pod)));
    Ok(files)
}

/// The command lines of living processes that name the folder.
fn command_lines_with(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.to_string_lossy();
    let lines = entries("/proc")?
        .into_iter()
        .filter_map(|process| std::fs::read_to_string(process.join("cmdline")).ok());
    Ok(lines.filter(|line| line.contains(&*folder)).collect())
}
