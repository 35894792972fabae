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
//! | Podman | `libpod_parent/libpod-<id>` | `libpod-<id>.scope` |
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
        "libpod" => Runtime::Podman,
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
mod tests {
    use proptest::prelude::*;

    use super::{ContainerRef, of_path, of_process, short_id};
    use crate::container::Runtime;

    const A: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const B: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
    const UID: &str = "9f3ba1ca-6dc0-4f3c-a1e9-0b43c3bd6b54";
    const STATIC_UID: &str = "1ce7c1b1f0c44d4e2f0bb7d4b0a8a9aa";

    fn found(path: &str) -> Option<(String, Runtime)> {
        of_path(path.as_bytes()).map(|container| (container.id.to_owned(), container.runtime))
    }

    #[track_caller]
    fn is(path: &str, id: &str, runtime: Runtime) {
        assert_eq!(found(path), Some((id.to_owned(), runtime)), "{path}");
    }

    #[track_caller]
    fn is_none(path: &str) {
        assert_eq!(found(path), None, "{path}");
    }

    #[track_caller]
    fn pod_uid(path: &str) -> Option<String> {
        of_path(path.as_bytes()).unwrap().pod_uid()
    }

    #[test]
    fn docker_with_either_driver() {
        is(&format!("/docker/{A}"), A, Runtime::Docker);
        is(
            &format!("/system.slice/docker-{A}.scope"),
            A,
            Runtime::Docker,
        );
        is(&format!("/system.slice:docker:{A}"), A, Runtime::Docker);
        let rootless = "/user.slice/user-1000.slice/user@1000.service/user.slice";
        is(&format!("{rootless}/docker-{A}.scope"), A, Runtime::Docker);
    }

    #[test]
    fn a_docker_parent_of_the_users_own_names_no_runtime() {
        is(&format!("/my-parent/{A}"), A, Runtime::None);
    }

    #[test]
    fn containerd_with_either_driver() {
        let slice = "/kubepods.slice/kubepods-burstable.slice";
        let pod = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
        let systemd = format!("{slice}/{pod}/cri-containerd-{A}.scope");
        is(&systemd, A, Runtime::Containerd);
        assert_eq!(pod_uid(&systemd).as_deref(), Some(UID));

        let colons = format!("/system.slice/containerd.service/{pod}:cri-containerd:{A}");
        is(&colons, A, Runtime::Containerd);
        assert_eq!(pod_uid(&colons).as_deref(), Some(UID));

        is(&format!("/default/{A}"), A, Runtime::Containerd);
        is(&format!("/k8s.io/{A}"), A, Runtime::Containerd);
        is(
            &format!("/system.slice/nerdctl-{A}.scope"),
            A,
            Runtime::Containerd,
        );
    }

    #[test]
    fn a_bare_id_in_a_pod_names_no_runtime() {
        for class in ["/burstable", "/besteffort", ""] {
            let path = format!("/kubepods{class}/pod{UID}/{A}");
            is(&path, A, Runtime::None);
            assert_eq!(pod_uid(&path).as_deref(), Some(UID));
        }
        let fixed = format!("/kubepods/burstable/pod{STATIC_UID}/{A}");
        assert_eq!(pod_uid(&fixed).as_deref(), Some(STATIC_UID));
        let slice = format!("/kubepods.slice/kubepods-pod{STATIC_UID}.slice/docker-{A}.scope");
        is(&slice, A, Runtime::Docker);
        assert_eq!(pod_uid(&slice).as_deref(), Some(STATIC_UID));
        assert_eq!(pod_uid(&format!("/docker/{A}")), None);
        assert_eq!(pod_uid(&format!("/podium/{A}")), None);
    }

    #[test]
    fn a_pod_without_a_container_is_none() {
        is_none(&format!("/kubepods/burstable/pod{UID}"));
        is_none(&format!(
            "/kubepods.slice/kubepods-pod{}.slice",
            UID.replace('-', "_")
        ));
    }

    #[test]
    fn cri_o_but_not_its_monitor() {
        is(&format!("/kubepods.slice/crio-{A}.scope"), A, Runtime::CriO);
        is(
            &format!("/kubepods.slice/crio-{A}.scope/container"),
            A,
            Runtime::CriO,
        );
        is(&format!("/kubepods/pod{UID}/crio-{A}"), A, Runtime::CriO);
        is_none(&format!("/kubepods.slice/crio-conmon-{A}.scope"));
        is_none(&format!("/kubepods/pod{UID}/crio-conmon-{A}"));
    }

    #[test]
    fn podman_but_not_its_monitor_nor_its_pod() {
        is(
            &format!("/machine.slice/libpod-{A}.scope"),
            A,
            Runtime::Podman,
        );
        is(
            &format!("/machine.slice/libpod-{A}.scope/container"),
            A,
            Runtime::Podman,
        );
        is(&format!("/libpod_parent/libpod-{A}"), A, Runtime::Podman);
        is_none(&format!("/machine.slice/libpod-conmon-{A}.scope"));
        is_none(&format!("/libpod_parent/libpod-conmon-{A}"));
        let pod = format!("/machine.slice/machine-libpod_pod_{B}.slice");
        is(&format!("{pod}/libpod-{A}.scope"), A, Runtime::Podman);
        is_none(&pod);
        is(
            &format!("/libpod_parent/{B}/libpod-{A}"),
            A,
            Runtime::Podman,
        );
        is_none(&format!("/libpod_parent/{B}"));
    }

    #[test]
    fn nested_cgroups_belong_to_the_container_around_them() {
        is(&format!("/docker/{A}/init.scope"), A, Runtime::Docker);
        is(
            &format!("/docker/{A}/system.slice/nginx.service"),
            A,
            Runtime::Docker,
        );
    }

    #[test]
    fn a_container_in_a_container_is_one_of_its_own() {
        is(&format!("/docker/{A}/docker/{B}"), B, Runtime::Docker);
        let kind = format!("/docker/{A}/kubelet/kubepods/burstable/pod{UID}/{B}");
        is(&kind, B, Runtime::None);
        assert_eq!(pod_uid(&kind).as_deref(), Some(UID));
        // The inner monitor belongs to the outer container.
        is(
            &format!("/docker/{A}/libpod_parent/libpod-conmon-{B}"),
            A,
            Runtime::Docker,
        );
    }

    #[test]
    fn buildkit_and_fargate() {
        let build = "k3xkz1m6hthmn9uhx8wl0d8xv";
        is(&format!("/docker/buildkit/{build}"), build, Runtime::Docker);
        is(&format!("/buildkit/{build}"), build, Runtime::None);
        is(
            &format!("/system.slice:buildkit:{build}"),
            build,
            Runtime::None,
        );
        is_none(&format!("/other/{build}"));
        let fargate = format!("{STATIC_UID}-2531612879");
        is(
            &format!("/ecs/{STATIC_UID}/{fargate}"),
            &fargate,
            Runtime::None,
        );
        is(&format!("/ecs/{STATIC_UID}/{A}"), A, Runtime::None);
    }

    #[test]
    fn what_only_looks_like_an_id_is_none() {
        is_none("/");
        is_none("");
        is_none("no-slash");
        is_none("/init.scope");
        is_none("/user.slice/user-0.slice/session-1.scope");
        is_none(&format!("/docker/{}", &A[1..]));
        is_none(&format!("/docker/{A}0"));
        is_none(&format!("/docker/{}", A.to_uppercase()));
        is_none(&format!("/{}-12345678901", STATIC_UID));
        is_none(&format!("/{}-", STATIC_UID));
        is_none("/system.slice:docker:abc");
        is_none("/a:b");
    }

    #[test]
    fn a_foreign_cgroup_namespace_changes_nothing() {
        is(&format!("/../../docker/{A}"), A, Runtime::Docker);
        is(&format!("/../{A}"), A, Runtime::None);
    }

    #[test]
    fn the_unified_line_is_asked_first_and_a_bad_line_says_nothing() {
        let text = format!("9:pids:/docker/{A}\ngarbage\n0::/docker/{B}\n");
        assert_eq!(of_process(text.as_bytes()).unwrap().id, B);
        let text = format!("9:pids:/docker/{A}\n0::/\n");
        assert_eq!(of_process(text.as_bytes()).unwrap().id, A);
        assert_eq!(of_process(b"0::/\n"), None);
        let text = format!("0::/docker/{A} (deleted)\n");
        assert_eq!(of_process(text.as_bytes()).unwrap().id, A);
    }

    #[test]
    fn short_ids_are_cut_and_shorter_ones_kept() {
        assert_eq!(short_id(A), "0a1b2c3d4e5f");
        assert_eq!(short_id("abc"), "abc");
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of_path(&path);
        }

        #[test]
        fn an_id_is_found_below_any_parents_and_above_any_children(
            parents in "(/[a-z:.-]{1,12}){0,3}",
            id in "[0-9a-f]{64}",
            children in "(/[g-z.]{1,12}){0,3}",
        ) {
            let path = format!("{parents}/docker-{id}.scope{children}");
            let expected = ContainerRef { id: &id, runtime: Runtime::Docker, raw_pod_uid: None };
            prop_assert_eq!(of_path(path.as_bytes()), Some(expected));
        }
    }
}
