//! What kernels declare, as far as the programs read it: BTF of several, for tests.
//!
//! What differs between them is as in their sources, each kind of difference by itself; the
//! offsets of other members are not theirs.

use super::btf::Btf;
use super::btf::builder::{Builder, bit_field};

/// In what a kernel differs from others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    protocol: Protocol,
    socket_cgroup: SocketCgroup,
    node_id: NodeId,
    cookie: Cookie,
    namespace: Namespace,
    death_row: DeathRow,
    listeners: Listeners,
}

/// `sock.sk_protocol`
#[derive(Clone, Copy, Debug)]
enum Protocol {
    /// `unsigned int … sk_protocol : 8, sk_type : 16;`
    BitField,
    /// `u16 sk_protocol;` (5.6)
    Number,
}

/// `struct sock_cgroup_data`
#[derive(Clone, Copy, Debug)]
enum SocketCgroup {
    /// `union { struct { u8 is_data; … }; u64 val; };`
    Shared,
    /// `struct cgroup *cgroup; u32 classid; …` (5.15)
    Pointer,
}

/// `kernfs_node.id`, and what `struct kernfs_root` has to count by.
#[derive(Clone, Copy, Debug)]
enum NodeId {
    /// `union kernfs_node_id id;` and `next_generation`.
    Union,
    /// The same, its name and place given to `u64 id;` (RHEL 8).
    Replaced,
    /// `u64 id;` and `id_highbits` (5.5).
    Number,
}

/// `net.net_cookie`
#[derive(Clone, Copy, Debug)]
enum Cookie {
    None,
    /// `atomic64_t`, made when it is first asked for (5.7).
    Atomic,
    /// `u64` (5.12).
    Number,
}

/// `struct ns_common`
#[derive(Clone, Copy, Debug)]
enum Namespace {
    /// `stashed`, `ops`, `inum`.
    OpsFirst,
    /// `ns_type` before them (6.18).
    TypeFirst,
}

/// `net.ipv4.tcp_death_row`
#[derive(Clone, Copy, Debug)]
enum DeathRow {
    Within,
    /// 5.18 to 6.0.
    Pointer,
}

/// How the sockets of `lhash2` are linked.
#[derive(Clone, Copy, Debug)]
enum Listeners {
    /// By `icsk_listen_portaddr_node`, from `head`.
    OwnNode,
    /// The same, `head` and `nulls_head` being one (5.5).
    OwnNodeOfUnion,
    /// By the node that other sockets are linked by, from `nulls_head` (5.19).
    CommonNode,
}

/// 4.18.0-…el8.
pub(crate) const RHEL_8: Kernel = Kernel {
    node_id: NodeId::Replaced,
    ..LINUX_5_4
};
pub(crate) const LINUX_5_4: Kernel = Kernel {
    protocol: Protocol::BitField,
    node_id: NodeId::Union,
    cookie: Cookie::None,
    listeners: Listeners::OwnNode,
    ..LINUX_5_10
};
pub(crate) const LINUX_5_10: Kernel = Kernel {
    socket_cgroup: SocketCgroup::Shared,
    cookie: Cookie::Atomic,
    ..LINUX_5_15
};
pub(crate) const LINUX_5_15: Kernel = Kernel {
    listeners: Listeners::OwnNodeOfUnion,
    ..LINUX_6_1
};
pub(crate) const LINUX_6_0: Kernel = Kernel {
    death_row: DeathRow::Pointer,
    ..LINUX_6_1
};
pub(crate) const LINUX_6_1: Kernel = Kernel {
    namespace: Namespace::OpsFirst,
    ..LINUX_6_18
};
pub(crate) const LINUX_6_18: Kernel = Kernel {
    protocol: Protocol::Number,
    socket_cgroup: SocketCgroup::Pointer,
    node_id: NodeId::Number,
    cookie: Cookie::Number,
    namespace: Namespace::TypeFirst,
    death_row: DeathRow::Within,
    listeners: Listeners::CommonNode,
};

/// The BTF of a kernel.
pub(crate) fn declarations(kernel: &Kernel) -> Btf {
    let mut builder = Builder::default();
    sock(&mut builder, kernel);
    cgroup(&mut builder, kernel);
    net(&mut builder, kernel);
    tables(&mut builder, kernel);
    builder.btf()
}

/// Offset in bits.
fn at(byte: u32) -> u32 {
    8 * byte
}

fn sock(builder: &mut Builder, kernel: &Kernel) {
    let (byte, half, word, double) = (
        builder.int(1),
        builder.int(2),
        builder.int(4),
        builder.int(8),
    );
    let pointer = builder.pointer();
    let net = builder.structure("", 8, &[("net", pointer, 0)]);
    let ports = builder.structure("", 4, &[("skc_dport", half, 0), ("skc_num", half, at(2))]);
    let port_pair = builder.union("", 4, &[("skc_portpair", word), ("", ports)]);
    let node = builder.structure("hlist_nulls_node", 16, &[("next", pointer, 0)]);
    let nodes = builder.union("", 16, &[("skc_node", node), ("skc_nulls_node", node)]);
    let common = builder.structure(
        "sock_common",
        136,
        &[
            ("", port_pair, at(12)),
            ("skc_family", half, at(16)),
            ("skc_state", byte, at(18)),
            ("skc_net", net, at(48)),
            ("", nodes, at(104)),
        ],
    );
    let cgroup_data = match kernel.socket_cgroup {
        SocketCgroup::Shared => {
            let numbers = builder.structure("", 8, &[("is_data", byte, 0)]);
            let shared = builder.union("", 8, &[("", numbers), ("val", double)]);
            builder.structure("sock_cgroup_data", 8, &[("", shared, 0)])
        }
        SocketCgroup::Pointer => {
            builder.structure("sock_cgroup_data", 16, &[("cgroup", pointer, 0)])
        }
    };
    let mut fields = vec![
        ("__sk_common", common, 0),
        ("sk_ack_backlog", word, at(0x210)),
        ("sk_max_ack_backlog", word, at(0x214)),
        ("sk_cgrp_data", cgroup_data, at(0x220)),
    ];
    match kernel.protocol {
        Protocol::BitField => fields.extend([
            ("sk_userlocks", word, bit_field(at(512) + 4, 4)),
            ("sk_protocol", word, bit_field(at(512) + 8, 8)),
            ("sk_type", word, bit_field(at(512) + 16, 16)),
        ]),
        Protocol::Number => fields.extend([
            ("sk_userlocks", byte, bit_field(at(512) + 4, 4)),
            ("sk_type", half, at(514)),
            ("sk_protocol", half, at(516)),
        ]),
    }
    builder.structure_with_bit_fields("sock", 0x300, &fields);
    builder.structure("inet_timewait_sock", 248, &[("tw_substate", byte, at(140))]);
    let mut fields = vec![("icsk_accept_queue", double, at(0x400))];
    if !matches!(kernel.listeners, Listeners::CommonNode) {
        fields.push(("icsk_listen_portaddr_node", node, at(0x4e0)));
    }
    builder.structure("inet_connection_sock", 0x500, &fields);
}

fn cgroup(builder: &mut Builder, kernel: &Kernel) {
    let (word, double, pointer) = (builder.int(4), builder.int(8), builder.pointer());
    builder.structure("cgroup", 0x800, &[("kn", pointer, at(0x100))]);
    let parts = builder.structure("", 8, &[("ino", word, 0), ("generation", word, at(4))]);
    let union = builder.union("kernfs_node_id", 8, &[("", parts), ("id", double)]);
    let (name, id) = match kernel.node_id {
        NodeId::Union => ("id", union),
        NodeId::Number => ("id", double),
        // RH_KABI_REPLACE of include/linux/rh_kabi.h.
        NodeId::Replaced => {
            let hidden = builder.structure("", 8, &[("id", union, 0)]);
            let fields = [("id", double), ("rh_kabi_hidden_172", hidden)];
            ("", builder.union("", 8, &fields))
        }
    };
    builder.structure("kernfs_node", 0x88, &[(name, id, at(0x60))]);
    let counter = match kernel.node_id {
        NodeId::Union | NodeId::Replaced => "next_generation",
        NodeId::Number => "id_highbits",
    };
    builder.structure("kernfs_root", 0x88, &[(counter, word, at(40))]);
}

fn net(builder: &mut Builder, kernel: &Kernel) {
    let (word, double, pointer) = (builder.int(4), builder.int(8), builder.pointer());
    let (ops, inum) = match kernel.namespace {
        Namespace::OpsFirst => (8, 16),
        Namespace::TypeFirst => (16, 24),
    };
    let fields = [("ops", pointer, at(ops)), ("inum", word, at(inum))];
    let ns = builder.structure("ns_common", 32, &fields);
    let list = builder.structure("list_head", 16, &[("next", pointer, 0)]);
    let fields = [("hashinfo", pointer, at(64))];
    let within = builder.structure("inet_timewait_death_row", 128, &fields);
    let death_row = match kernel.death_row {
        DeathRow::Within => within,
        DeathRow::Pointer => pointer,
    };
    let ipv4 = builder.structure("netns_ipv4", 640, &[("tcp_death_row", death_row, at(64))]);
    let mut fields = vec![
        ("list", list, at(0x20)),
        ("ns", ns, at(0x80)),
        ("ipv4", ipv4, at(0x180)),
    ];
    match kernel.cookie {
        Cookie::None => {}
        Cookie::Atomic => {
            let atomic = builder.structure("", 8, &[("counter", double, 0)]);
            fields.push(("net_cookie", atomic, at(0x400)));
        }
        Cookie::Number => fields.push(("net_cookie", double, at(0x400))),
    }
    builder.structure("net", 0x800, &fields);
    builder.structure("nsproxy", 64, &[("net_ns", pointer, at(40))]);
    builder.structure("task_struct", 0x1000, &[("nsproxy", pointer, at(0xb00))]);
}

fn tables(builder: &mut Builder, kernel: &Kernel) {
    let (word, pointer) = (builder.int(4), builder.pointer());
    builder.structure(
        "inet_hashinfo",
        128,
        &[
            ("ehash", pointer, 0),
            ("ehash_mask", word, at(16)),
            ("lhash2_mask", word, at(40)),
            ("lhash2", pointer, at(48)),
        ],
    );
    let head = builder.structure("hlist_head", 8, &[("first", pointer, 0)]);
    let (name, head) = match kernel.listeners {
        Listeners::OwnNode => ("head", head),
        Listeners::CommonNode => ("nulls_head", head),
        Listeners::OwnNodeOfUnion => {
            let heads = [("head", head), ("nulls_head", head)];
            ("", builder.union("", 8, &heads))
        }
    };
    let fields = [("lock", word, 0), (name, head, at(8))];
    builder.structure("inet_listen_hashbucket", 16, &fields);
}
