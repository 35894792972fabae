//! Cgroup paths of each runtime, and what only looks like one.

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
    is(
        &format!("/system.slice/web.service/libpod-payload-{A}"),
        A,
        Runtime::Podman,
    );
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
