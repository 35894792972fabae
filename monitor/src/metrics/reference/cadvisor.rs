//! What METRICS.md says of the names of cAdvisor.

/// What stands above the table.
pub(super) const CADVISOR: &str = "\
## The names of cAdvisor

With `--collector.cadvisor`, off where nothing is said: what dashboards and alerts for cAdvisor ask \
for and a kubelet leaves out, under cAdvisor's names, types, label names and label values, also \
where they are odd (gauges that end in `_total`, of which `promtool check metrics` complains). The \
labels are those that a kubelet puts: `id` (the path of the cgroup), `image`, `name`, `namespace`, \
`pod` and `container`; these families alone have them.

What belongs to a network namespace stands once, as cAdvisor has it, under its owner. In a pod that \
is the sandbox: `container` is empty with containerd and `POD` with CRI-O and cri-dockerd, as a \
kubelet has it, and `image` is the sandbox's, so that `image!=\"\"` and `sum by (pod)` work \
unchanged; `name` is the id. Of Docker alone `name` is the container's name, and `namespace`, `pod` \
and `container` are empty; a container that joined another's network has nothing of its own. What \
a container wrote stands under the container.

| values of | |
|---|---|
| `tcp_state` of `…_tcp_usage_total`, `…_tcp6_usage_total` | `established`, `synsent`, `synrecv`, `finwait1`, `finwait2`, `timewait`, `close`, `closewait`, `lastack`, `listen`, `closing`; all of them, `close` always 0: a closed socket is in no table |
| `udp_state` of `…_udp_usage_total`, `…_udp6_usage_total` | `listen` (bound sockets), `dropped` (of the sockets that are open), `rxqueued`, `txqueued` (bytes) |
| `tcp_state` of `…_advance_tcp_stats_total` | the kernel's field in lower case, `tcpsynretrans` of `TCPSynRetrans`: those of cAdvisor that this kernel has, no zeros for others |

The numbers are what cAdvisor reads in `/proc/<pid>/net/{tcp,tcp6,udp,udp6,snmp,netstat}`, at the \
cost of this exporter's collectors, and each needs its own: without `snmp` and `netstat` there is no \
`…_advance_tcp_stats_total`, with `--collector.tcp-states=off` no `…_tcp_usage_total`. What is \
otherwise than with cAdvisor:

- On the host's network nothing of this is published: cAdvisor gives each such container the \
numbers of the whole host. With `--host-network` the host stands once, under `id=\"/\"`.
- `container_sockets` counts the sockets of the network namespace, cAdvisor the descriptors of \
sockets in each container; sums by pod differ by what is open twice or by nobody.
- `container_fs_usage_bytes` is the writable layer as of its last scan, without the container's log.
- There are no timestamps, and no `container_label_…`.
- CRI-O's `name` is the id here, with cAdvisor `k8s_POD_…`.

A kubelet publishes `container_sockets` and `container_fs_*` itself: who scrapes both drops them in \
one place, or sums count twice.

";
