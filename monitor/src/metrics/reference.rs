//! METRICS.md, the reference of all metrics: prose of its own, tables from the metric tables.

mod cadvisor;

use std::fmt::{self, Write};

use super::tables::namespace::NamespaceMetric;
use super::tables::{self, CounterFile, Metric, container, disk, filesystem, host, namespace, own};

/// The whole text of METRICS.md.
pub fn reference() -> String {
    let mut out = String::new();
    // Writing to a String cannot fail; the result is there for the sake of `?`.
    let _ = write_reference(&mut out);
    out
}

fn write_reference(out: &mut String) -> fmt::Result {
    out.write_str(INTRODUCTION)?;
    out.write_str(NAMESPACE)?;
    namespace_table(out)?;
    out.write_str(MORE_FIELDS)?;
    out.write_str(CONTAINER)?;
    table(out, container::METRICS)?;
    out.write_str(FILES)?;
    table(out, filesystem::METRICS)?;
    out.write_str(LAYER)?;
    table(out, filesystem::LAYER)?;
    out.write_str(DISK)?;
    table(out, disk::METRICS)?;
    out.write_str(cadvisor::CADVISOR)?;
    table(out, tables::cadvisor::METRICS)?;
    out.write_str(HOST)?;
    table(out, host::METRICS)?;
    out.write_str(OWN)?;
    table(out, own::METRICS)?;
    out.write_str(PROCESS)?;
    out.write_str(QUERIES)
}

const HEAD: &str =
    "| name | type | labels | meaning | source |\n|------|------|--------|---------|--------|\n";

fn table(out: &mut String, metrics: &[Metric]) -> fmt::Result {
    out.write_str(HEAD)?;
    for metric in metrics {
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        row(
            out,
            metric.name,
            metric.kind.as_str(),
            &labels.join(", "),
            metric.help,
            metric.source,
        )?;
    }
    out.write_char('\n')
}

fn namespace_table(out: &mut String) -> fmt::Result {
    out.write_str(HEAD)?;
    for metric in namespace::METRICS {
        let values: Vec<&str> = metric.series.iter().map(|source| source.value).collect();
        let labels = match metric.label {
            "" => String::new(),
            label => format!("`{label}`: {}", values.join(", ")),
        };
        row(
            out,
            metric.name,
            metric.kind.as_str(),
            &labels,
            metric.help,
            &sources(metric),
        )?;
    }
    out.write_char('\n')
}

fn row(
    out: &mut String,
    name: &str,
    kind: &str,
    labels: &str,
    meaning: &str,
    source: &str,
) -> fmt::Result {
    writeln!(
        out,
        "| `{name}` | {kind} | {labels} | {meaning} | {source} |"
    )
}

/// The files of a family, each with its groups and field: `sockstat: TCP, UDP inuse`.
fn sources(metric: &NamespaceMetric) -> String {
    let mut parts = Vec::new();
    for file in CounterFile::ALL {
        let of_file = || metric.series.iter().filter(move |s| s.file == file);
        let Some(first) = of_file().next() else {
            continue;
        };
        let groups: Vec<&str> = of_file().map(|source| source.group).collect();
        parts.push(format!(
            "{}: {} {}",
            file.name(),
            groups.join(", "),
            first.field
        ));
    }
    parts.join("; ")
}

const INTRODUCTION: &str = "\
<!-- Generated from the metric tables in monitor/src/metrics. To rewrite it:
     UPDATE_REFERENCE=1 cargo test -p container-monitor --test metrics_reference -->
# Metrics

All that container-monitor publishes. Names and labels are stable: a dashboard that works today \
goes on working.

## Who a series speaks of

Every series of a workload carries exactly three identity labels: `namespace`, `pod` and \
`container`. (Those under the names of cAdvisor have its labels instead.)

| | `namespace` | `pod` | `container` |
|---|---|---|---|
| network namespace of a Kubernetes pod | set | set | empty: it belongs to the pod, not to one container |
| container of a Kubernetes pod | set | set | set |
| Docker, Podman or containerd alone | empty | empty | the container's name; of containerd nerdctl's, else its id, a long one shortened |
| no runtime that answers | empty | empty | the short container id of its cgroup, else its name under `/run/netns`, else a command's name |
| the host itself, with `--host-network` | empty | empty | `/` |

- Some facts belong to a network namespace and some to a container; the sections below say which. \
A network namespace that several containers share is reported once, under its owner: the pod's \
sandbox, or the container that the others joined.
- A container on the host's network has container-scoped series only. The host's own network \
namespace is reported with `--host-network` alone.
- Everything else that is known of a container (id, image, runtime, interface) stands on \
`container_network_info` and is joined on.
- A container that ended has no series at the next scrape.
- A container that is left out (`--container-include`, `--container-exclude`, \
`--min-container-age`, `--limit.containers`, `--limit.series`) has none either, and what it owns \
moves to no other: a sum over a pod is then that of the containers that are published. Which ones \
those are does not change while they live: of too many the oldest stay. Over `--limit.series` the \
youngest go, and come back where a twentieth of the limit stays free beside them. A pod's own series \
stay as long as one of its containers does.
- What this kernel does not count, or what could not be read, has no series. It is never 0.

";

const NAMESPACE: &str = "\
## Network namespaces

From the files of `/proc/<pid>/net`, read once for each network namespace. *Source* gives the \
file, the line or group in it, and the field. Each file is a collector of its own, to be switched \
off with `--no-collector.NAME`.

";

const MORE_FIELDS: &str = "\
### More of the kernel's counters

`--collector.netstat.fields REGEX` publishes further fields of `snmp`, `snmp6` and `netstat`: \
those whose `Group_Field`, as node_exporter writes it (`TcpExt_TCPFastOpenActive`, \
`IpExt_InOctets`, `Udp6_InCsumErrors`), matches the expression somewhere; anchor it with `^` and \
`$`. Their names follow from the kernel's: `container_network_<group>_<field>`, the group in \
lower case, the field in snake case and, in `TcpExt`, without the prefix `TCP`; counters end in \
`_total`. So `TcpExt_TCPSACKReneging` is `container_network_tcpext_sack_reneging_total`. Gauges \
are `Ip_Forwarding`, `Ip_DefaultTTL`, `Tcp_RtoAlgorithm`, `Tcp_RtoMin`, `Tcp_RtoMax`, \
`Tcp_MaxConn` and `MPTcpExt_MPCurrEstab`. Which fields there are is learned from the host's own \
files when the exporter starts.

";

const CONTAINER: &str = "\
## Containers

A socket's cgroup says whose it is, also within a shared network namespace and on the host's \
network; where it says nothing (another process inside, a container that ended, a host with cgroup \
v1 only) the owner of the namespace gets it, so that the sum over a pod is always the pod's. \
Sandboxes have only what is told of no container of their pod; sockets of a namespace without a \
container are nobody's.

**Sockets by state** are counted in the kernel's own tables, all containers in one pass, as `ss` \
counts them: the states are `established`, `syn_sent`, `syn_recv`, `fin_wait1`, `fin_wait2`, \
`time_wait`, `close_wait`, `last_ack`, `listen` and `closing`, and a container has all of them, 0 \
where it has no socket in one; of `ipv6` only where it has a socket of that family. (A closed socket is in no table.) What TIME_WAIT \
leaves of a connection is `time_wait`, or `fin_wait2` as long as the other end has not closed; a \
handshake under way is `syn_recv`. These two have no cgroup any more or not yet and stand under the \
namespace's owner. A socket made for IPv6 is `ipv6` even when it speaks to a v4-mapped address. \
Where the tables cannot be read (see `container_monitor_tcp_states_source`) the same numbers come \
from sock_diag in each namespace, at a multiple of the cost (README has figures). Scrapes within \
`--collector.tcp-states.min-interval` share one look; a network namespace that is newer than the \
look, or that could not be looked into, has no states rather than zeros.

**Accept queues** stand on a listening port: all of the container's sockets that listen there in one \
family together. Of a namespace with more than 64 listening ports the lowest 64 are told apart, and \
the others stand under `port=\"other\"`. A queue at its limit drops new connections \
(`container_network_tcpext_listen_overflows_total`).

**Transitions** are counted by an eBPF program as they happen, so that a connection which lives \
shorter than the scrape interval shows too; only pairs of states that occurred have a series, and \
`close` is one of the states here. Under heavy load up to a few events in a thousand are missed \
(`container_monitor_ebpf_missed_events_total`), which is why gauges are never made of them. Events \
of a container that discovery does not know yet appear once it does.

**Labels of pods** stand on `container_network_info` where `--pod-labels` and `--pod-annotations` \
name them, as kube-state-metrics writes them, in snake case: `app.kubernetes.io/name` is \
`label_app_kubernetes_io_name`, `example.com/costCenter` is `label_example_com_cost_center`, an \
annotation `annotation_…`. Every row has all of them, empty where the pod has none and where there is \
no pod. They come over the CRI, as they were when the pod's sandbox was made.

";

const FILES: &str = "\
## File systems of containers

One series for each mount that a container has of its own (volumes, bind mounts, `tmpfs`, claims), \
under the names that node_exporter uses. They are asked through the container's own root at every \
scrape, a file system once however often it is mounted; a container on the host's network has them \
too. Left out are mounts of single files (`/etc/resolv.conf`, secrets), what a runtime mounts under \
`/proc`, `/sys` and `/dev` (but for `/dev/shm`), the token of a service account, file systems \
without blocks, what another mount covers, what may not be looked at (a FUSE without \
`allow_other`), and the types of `--collector.filesystem.fs-types-exclude`: the kernel's own, and \
`overlay`, since the size of a container's root is that of the disk that all images lie on; and \
images that are full by nature (`squashfs`, `erofs`, `iso9660`). Of a container with more than 128 \
mounts the first 128 are published (`container_monitor_series_dropped_total` counts the others), \
and of names the first 1,024 bytes.

File systems of a server or a program (NFS, CIFS, Ceph, FUSE and all that are not known to answer \
at once) are asked on threads of their own, and no scrape waits for them longer than 20 ms; so is all that lies below \
one of them, and what containers have whose image is fetched by such a program when it is read. One \
that is slow shows the answer to the scrape before; one that has not answered for five seconds has \
`container_filesystem_device_error` 1 and no size, and nothing more is asked of its server before \
it has. Bytes of a name that are no UTF-8 stand as U+FFFD.

";

const LAYER: &str = "\
### The writable layer

What a container wrote into its root file system, where that is an overlayfs (Docker, containerd, \
CRI-O, Podman as root). Which folder that is says the host's own mount table; where a runtime keeps \
its mounts to itself, the container's is believed, unless it is in a user namespace with mounts of \
its own (rootless runtimes): then it has none of these series.

Where the file system keeps a project quota of the layer alone (XFS and ext4 mounted with \
`prjquota`, as Docker's `--storage-opt size=…` wants it; Linux 5.14), the sums are the kernel's, and \
nothing is walked. Else the folder is walked in the background, \
`--collector.writable-layer.budget` inodes a second, each layer when it is new and then again after \
a minute, or after twenty times what its scan took, six hours at most. A scan of more than 10,000 inodes takes turns with the others \
and leaves them half of the budget. Numbers are those of `du -s --block-size=1` and of `du \
--inodes` less one: hard links count once, links are not followed, other file systems not entered. \
A layer of which the last scan failed, as for a folder that may not be read or is more than 1,000 \
deep, has no number: then `container_monitor_sample_errors_total{collector=\"writable-layer\"}` grows, \
and the log says why (the first one as a warning, all of them with `--log.level debug`).

";

const DISK: &str = "\
### Disks

What a container's cgroup, with all below it, read from each block device and wrote to it; \
`device` is its name as node_exporter has it (`sda`, `nvme0n1`, `dm-0`). Only what reached the \
device is counted, not what the page cache answered. With cgroup v1 buffered writes are the root's, \
but for those that the container itself waits for (`fsync`), and since Linux 6.10 it counts only \
devices for which the cgroup has a limit. A container whose cgroup does not bear its id has no \
series.

";

const HOST: &str = "\
## The host

Every network namespace's `sockstat` shows these fields, and each time the same number: the kernel \
counts them for the whole host. They are published once, without identity labels. (Reported per \
container, as tools do that take the file at its word, they would be wrong as often as there are \
containers.)

";

const OWN: &str = "\
## The exporter itself

The `ebpf` values are absent when transitions are off or cannot be had, but for \
`container_monitor_ebpf_attached`, which is 0 then. `container_monitor_tcp_mismatch_sockets` is the \
proof of the states: at every look they are compared with `CurrEstab` and with `inuse` of sockstat, \
before and after. It is 0 where nothing moves, and a handful under heavy load.

";

const PROCESS: &str = "\
Beside these, the process metrics that Prometheus clients usually have: \
`process_cpu_seconds_total`, `process_max_fds`, `process_open_fds`, \
`process_resident_memory_bytes`, `process_start_time_seconds`, `process_threads` and \
`process_virtual_memory_bytes`.

";

const QUERIES: &str = r#"## Questions and answers

**Which container is leaking sockets?** Its sockets in use grow and do not come back:

```promql
topk(10, delta(container_network_sockets_used[6h]))
```

**Does it forget to close connections that the other side has closed?** Those stand in CLOSE_WAIT:

```promql
topk(10, sum by (instance, namespace, pod, container) (container_network_tcp_sockets{state="close_wait"}))
```

**Whose connections hang in the making, or in the closing?**

```promql
container_network_tcp_sockets{state=~"syn_sent|fin_wait1|last_ack|closing"} > 10
```

**Whose accept queue is filling?** Before it overflows:

```promql
container_network_tcp_accept_queue / container_network_tcp_accept_queue_limit > 0.5
```

**Which container's listener is overrun?** Its accept queue is full, and clients wait or are
refused:

```promql
rate(container_network_tcpext_listen_overflows_total[5m]) > 0
```

**Who opens a new connection for each request?** Connections begun a second, and the TIME_WAIT
sockets they leave:

```promql
topk(10, rate(container_network_tcp_active_opens_total[5m]))
```

```promql
topk(10, container_network_tcp_time_wait_sockets)
```

**Whose network loses segments?** The share of segments that had to be sent again:

```promql
rate(container_network_tcp_retrans_segs_total[5m])
  / rate(container_network_tcp_out_segs_total[5m])
  > 0.01
```

**Which container drops UDP datagrams because it reads too slowly?**

```promql
rate(container_network_udp_rcvbuf_errors_total[5m]) > 0
```

**Which volume is full by tomorrow?**

```promql
predict_linear(container_filesystem_avail_bytes[6h], 24 * 3600) < 0
```

**Who fills the node's disk through its own image?**

```promql
topk(10, container_filesystem_writable_layer_bytes)
```

**Who keeps the disk busy?**

```promql
topk(10, sum by (instance, namespace, pod, container) (rate(container_disk_written_bytes_total[5m])))
```

**How near is the host to its limit of TCP memory?**

```promql
container_monitor_host_tcp_memory_bytes
  / ignoring (level) container_monitor_host_tcp_memory_limit_bytes{level="pressure"}
```

**What image is that container?**

```promql
topk(10, container_network_tcp_curr_estab)
  * on (instance, namespace, pod, container) group_left (image) container_network_info
```

In Kubernetes a network namespace belongs to the pod, and so do its series; the images of the pod's
containers are `container_network_info{namespace="…", pod="…"}`.

Names are unique on one node, not between nodes: keep `instance` in every `by` and `on`.
"#;
