//! All containers' input and output, once for a collection.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::cgroup::{Folder, folder};
use super::stat::{ByDevice, Counted, Traffic, blkio, io_stat};
use crate::cgroups::paths::see_host_s_paths;
use crate::container::Container;
use crate::metrics::Tail;
use crate::netns::Placement;
use crate::procfs::Process;
use crate::procfs::mountinfo::Device;

/// The labels of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLabels {
    /// By its name, `sda`, as node_exporter has it.
    pub name: Tail,
    /// By its file, `/dev/sda`, as cAdvisor has it.
    pub file: Tail,
}

/// What went to and came from each block device, by the labels of its series.
pub type TrafficByDevice = Vec<(Arc<DeviceLabels>, Traffic)>;

/// What one collection found.
#[derive(Debug, Default)]
pub struct DiskSample<'a> {
    /// The traffic of each container, by the labels of the device.
    pub containers: Vec<(&'a Arc<Container>, TrafficByDevice)>,
    /// Containers whose files cannot be read or understood.
    pub errors: u64,
    /// How long it took.
    pub duration: Duration,
}

/// A container's folder, as long as its process is the same.
#[derive(Debug)]
struct Known {
    /// Held so that no other process gets its address.
    #[expect(dead_code, reason = "it is there to be held")]
    process: Arc<Process>,
    folder: Option<Folder>,
    is_wanted: bool,
}

/// Reads the cgroups of all containers.
#[derive(Debug)]
pub struct DiskSampler {
    sysfs: PathBuf,
    init: Arc<Process>,
    /// By the address of the process that is held.
    known: HashMap<usize, Known>,
    /// As of one collection: a number that is free is given to another device (NVMe, loop).
    devices: HashMap<Device, Arc<DeviceLabels>>,
    buffer: Vec<u8>,
}

impl DiskSampler {
    /// A sampler of the cgroups below `sysfs`; `init` is a process of the host.
    pub fn new(sysfs: &Path, init: Arc<Process>) -> Self {
        Self {
            sysfs: sysfs.to_owned(),
            init,
            known: HashMap::new(),
            devices: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Reads the cgroups of all containers of `placement` but pods' sandboxes. It may move the
    /// calling thread to the host's cgroup namespace, and so wants one of its own.
    pub fn sample<'a>(&mut self, placement: &'a Placement) -> DiskSample<'a> {
        let start = Instant::now();
        let mut sample = DiskSample::default();
        for known in self.known.values_mut() {
            known.is_wanted = false;
        }
        self.devices.clear();
        let mut sees_paths = false;
        for (container, process) in placement.workloads() {
            let key = Arc::as_ptr(process).addr();
            if !self.known.contains_key(&key) {
                if !std::mem::replace(&mut sees_paths, true) {
                    see_host_s_paths(&self.init);
                }
                let folder = self.folder(container, process);
                let process = Arc::clone(process);
                let is_wanted = true;
                let known = Known {
                    process,
                    folder,
                    is_wanted,
                };
                self.known.insert(key, known);
            }
            let Some(known) = self.known.get_mut(&key) else {
                continue;
            };
            known.is_wanted = true;
            let Some(folder) = &known.folder else {
                continue;
            };
            match traffic(folder, &mut self.buffer) {
                Ok(traffic) if traffic.is_empty() => {}
                Ok(traffic) => {
                    let devices = &mut self.devices;
                    let named = traffic.into_iter().map(|(device, traffic)| {
                        let tail = devices
                            .entry(device)
                            .or_insert_with(|| labels(&self.sysfs, device));
                        (Arc::clone(tail), traffic)
                    });
                    sample.containers.push((container, named.collect()));
                }
                // A container that ended, or a host that counts no input and output.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    sample.errors += 1;
                    debug!(container = container.name, %error, "cannot read what it reads and writes");
                }
            }
        }
        self.known.retain(|_, known| known.is_wanted);
        sample.duration = start.elapsed();
        sample
    }

    fn folder(&mut self, container: &Container, process: &Process) -> Option<Folder> {
        process.read(c"cgroup", &mut self.buffer).ok()?;
        folder(&self.sysfs, &self.buffer, &container.id)
    }
}

fn traffic(folder: &Folder, buffer: &mut Vec<u8>) -> io::Result<ByDevice> {
    let mut traffic = ByDevice::new();
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    match folder {
        Folder::Two(folder) => {
            read(&folder.join("io.stat"), buffer)?;
            io_stat(buffer, &mut traffic).map_err(invalid)?;
        }
        Folder::One(folder) => {
            for (name, counted) in [
                ("blkio.throttle.io_service_bytes", Counted::Bytes),
                ("blkio.throttle.io_serviced", Counted::Operations),
            ] {
                // What is below it too, as cgroup v2 counts; not on old kernels.
                read(&folder.join(format!("{name}_recursive")), buffer)
                    .or_else(|_| read(&folder.join(name), buffer))?;
                blkio(buffer, counted, &mut traffic).map_err(invalid)?;
            }
        }
    }
    Ok(traffic)
}

fn read(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    use std::io::Read as _;
    buffer.clear();
    fs::File::open(path)?.read_to_end(buffer)?;
    Ok(())
}

/// The labels of a device: by its name in sysfs, else by its numbers.
fn labels(sysfs: &Path, device: Device) -> Arc<DeviceLabels> {
    let Device { major, minor } = device;
    let link = fs::read_link(sysfs.join(format!("dev/block/{major}:{minor}")));
    let name = link.ok().and_then(|link| {
        let name = link.file_name()?.to_str()?;
        Some(name.to_owned())
    });
    let file = name.as_ref().map(|name| format!("/dev/{name}"));
    let numbers = || format!("{major}:{minor}");
    let label = |value: Option<String>| Tail::label("device", &value.unwrap_or_else(numbers));
    Arc::new(DeviceLabels {
        name: label(name),
        file: label(file),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::{container, namespace, process};

    /// Of what is read and written by device: the labels `device`.
    fn names(sampler: &mut DiskSampler, placement: &Placement) -> Vec<String> {
        let sample = sampler.sample(placement);
        assert_eq!(sample.errors, 0);
        let traffic = sample
            .containers
            .into_iter()
            .flat_map(|(_, traffic)| traffic);
        traffic
            .map(|(labels, _)| format!("{:?}", labels.name))
            .collect()
    }

    #[test]
    fn a_number_that_is_used_again_has_its_new_name() {
        let sysfs = tempfile::tempdir().unwrap();
        let path = sysfs.path();
        let devices = path.join("dev/block");
        fs::create_dir_all(&devices).unwrap();
        fs::write(
            path.join("io.stat"),
            "259:1 rbytes=1 wbytes=2 rios=3 wios=4\n",
        )
        .unwrap();
        let mut sampler = DiskSampler::new(path, process());
        let placement = Placement {
            namespaces: vec![namespace(1, None, vec![container("id", "name")])],
            ..Placement::default()
        };
        // Its own cgroup is that of the test.
        let (_, process) = placement.workloads().next().unwrap();
        let known = Known {
            process: Arc::clone(process),
            folder: Some(Folder::Two(path.to_owned())),
            is_wanted: true,
        };
        sampler.known.insert(Arc::as_ptr(process).addr(), known);
        symlink("../../devices/nvme0n1", devices.join("259:1")).unwrap();
        let found = names(&mut sampler, &placement);
        assert!(
            matches!(&found[..], [name] if name.contains("nvme0n1")),
            "{found:?}"
        );
        fs::remove_file(devices.join("259:1")).unwrap();
        symlink("../../devices/nvme1n1", devices.join("259:1")).unwrap();
        let found = names(&mut sampler, &placement);
        assert!(
            matches!(&found[..], [name] if name.contains("nvme1n1")),
            "{found:?}"
        );
    }
}
