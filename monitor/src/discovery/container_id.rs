//! Which container a cgroup belongs to, told by its path alone.
//!
//! Runtimes name the cgroup of a container after it, with either cgroup driver:
//!
//! | runtime | cgroupfs | systemd |
//! |---|---|---|
//! | Docker | `/docker/<id>` | `docker-<id>.scope` |
//! | containerd, CRI | `/kubepods/burstable/pod<uid>/<id>` | `cri-containerd-<id>.scope` |
//! | containerd, `SystemdCgroup` unset on a systemd node | `<slice>:cri-containerd:<id>` | |
//! | containerd, nerdctl | `/default/<id>` | `nerdctl-<id>.scope` |
//! | CRI-O | `crio-<id>` | `crio-<id>.scope` |
//! | Podman | `libpod_parent/libpod-<id>` | `libpod-<id>.scope`, `web.service/libpod-payload-<id>` |
//! | BuildKit in Docker | `/docker/buildkit/<25 letters and digits>` | `<slice>:buildkit:<id>` |
//! | ECS on Fargate | `/ecs/<task>/<32 hex>-<digits>` | |
//!
//! The innermost name counts: a container's own nested cgroups (`…/init.scope`, `…/container`)
//! belong to it, and a container that runs in a container (Docker in Docker, kind) is one of its
//! own. The monitors that Podman and CRI-O start beside a container (`libpod-conmon-<id>.scope`)
//! are not part of it. The runtime is told only where the path names it: a bare id below
//! `kubepods` may be anyone's, and stays [`Runtime::None`].

use crate::container::Runtime;
use crate::procfs::cgroup::memberships;

/// Bytes of a full container id.
const ID_LENGTH: usize = 64;

/// Bytes of an id that BuildKit makes.
const BUILDKIT_ID_LENGTH: usize = 25;

/// How many bytes of an id make a short one, as `docker ps` shows it.
const SHORT_ID_LENGTH: usize = 12;

/// What a cgroup path says about a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerRef<'a> {
    /// The id in full.
    pub id: &'a str,
    /// The runtime, where the path names it.
    pub runtime: Runtime,
    /// The pod's uid as the path has it; [`pod_uid`](Self::pod_uid) gives the usual form.
    raw_pod_uid: Option<&'a str>,
}

impl ContainerRef<'_> {
    /// The uid of the Kubernetes pod, with dashes; a static pod's has none.
    pub fn pod_uid(&self) -> Option<String> {
        self.raw_pod_uid.map(|uid| uid.replace('_', "-"))
    }
}

/// The first 12 bytes of a container id.
pub fn short_id(id: &str) -> &str {
    id.get(..SHORT_ID_LENGTH).unwrap_or(id)
}

/// The container of a process, from the bytes of its `/proc/<pid>/cgroup`: the unified hierarchy
/// is asked first, then the others in the file's order. Lines that cannot be understood say
/// nothing.
pub fn of_process(cgroup_file: &[u8]) -> Option<ContainerRef<'_>> {
    let lines = || memberships(cgroup_file).filter_map(Result::ok);
    lines()
        .filter(|line| line.is_unified())
        .chain(lines().filter(|line| !line.is_unified()))
        .find_map(|line| of_path(line.path))
}

/// The container that a cgroup path belongs to; `None` where no part of it names one.
pub fn of_path(path: &[u8]) -> Option<ContainerRef<'_>> {
    let mut outer = path;
    while let Some((parents, segment)) = split_last(outer) {
        if let Some((id, runtime)) = container(segment, parents) {
            return Some(ContainerRef {
                id,
                runtime,
                raw_pod_uid: pod_uid(segment, parents),
            });
        }
        outer = parents;
    }
    None
}

/// The last segment of a path and what stands before it.
fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = memchr::memrchr(b'/', path)?;
    Some((&path[..slash], &path[slash + 1..]))
}

fn last(path: &[u8]) -> &[u8] {
    split_last(path).map_or(b"", |(_, segment)| segment)
}

fn container<'a>(segment: &'a [u8], parents: &[u8]) -> Option<(&'a str, Runtime)> {
    let segment = std::str::from_utf8(segment).ok()?;
    let parent = last(parents);
    // `<slice>:<prefix>:<id>`: a systemd-style path that was given to the cgroupfs driver.
    if let Some((rest, id)) = segment.rsplit_once(':') {
        let (_, prefix) = rest.rsplit_once(':')?;
        return if prefix == "buildkit" {
            is_buildkit_id(id).then_some((id, Runtime::None))
        } else {
            is_id(id).then(|| (id, runtime_of_prefix(prefix)))
        };
    }
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    if let Some((prefix, id)) = name.rsplit_once('-')
        && is_id(id)
    {
        return (!prefix.ends_with("conmon")).then(|| (id, runtime_of_prefix(prefix)));
    }
    if is_id(segment) {
        return match parent {
            // Podman's pods have ids like containers.
            b"libpod_parent" => None,
            b"docker" => Some((segment, Runtime::Docker)),
            b"default" | b"k8s.io" => Some((segment, Runtime::Containerd)),
            _ => Some((segment, Runtime::None)),
        };
    }
    if parent == b"buildkit" && is_buildkit_id(segment) {
        let runtime = match split_last(parents) {
            Some((before, _)) if last(before) == b"docker" => Runtime::Docker,
            _ => Runtime::None,
        };
        return Some((segment, runtime));
    }
    is_fargate_id(segment).then_some((segment, Runtime::None))
}

fn runtime_of_prefix(prefix: &str) -> Runtime {
    match prefix {
        "docker" => Runtime::Docker,
        "cri-containerd" | "nerdctl" | "containerd" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        // The second with `--cgroups=split`, as units of systemd have it.
        "libpod" | "libpod-payload" => Runtime::Podman,
        _ => Runtime::None,
    }
}

/// The pod's uid, from the container's own segment (`<slice>:cri-containerd:<id>`) or one of its
/// parents: `pod<uid>` or `kubepods-…-pod<uid>.slice`.
fn pod_uid<'a>(segment: &'a [u8], parents: &'a [u8]) -> Option<&'a str> {
    let own = memchr::memchr(b':', segment).map(|colon| &segment[..colon]);
    let parent = split_last(parents).map(|(_, parent)| parent);
    [own, parent].into_iter().flatten().find_map(|segment| {
        let segment = std::str::from_utf8(segment).ok()?;
        let uid = match segment.strip_suffix(".slice") {
            Some(slice) => slice.rsplit_once("-pod")?.1,
            None => segment.strip_prefix("pod")?,
        };
        is_pod_uid(uid).then_some(uid)
    })
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Whether this is a full container id: 64 lower-case hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(is_lower_hex)
}

fn is_buildkit_id(text: &str) -> bool {
    text.len() == BUILDKIT_ID_LENGTH
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// `<32 hexadecimal digits>-<up to 10 digits>`, the id of a Fargate container.
fn is_fargate_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && task.bytes().all(is_lower_hex)
            && (1..=10).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A uid with dashes or underscores, or the 32 digits of a static pod.
fn is_pod_uid(text: &str) -> bool {
    let digits = text.bytes().filter(|&byte| is_lower_hex(byte)).count();
    let others = text
        .bytes()
        .filter(|byte| matches!(byte, b'-' | b'_'))
        .count();
    digits == 32 && digits + others == text.len() && (others == 0 || others == 4)
}

#[cfg(test)]
mod tests;
