//! Globals of the object `passes`, and what of them it can do without.

use monitor_ebpf::COMMON_LEN;

use crate::ebpf::offsets::{Globals, Missing, Resolver};

/// What both passes read: the ring of namespaces, and the tables of each.
///
/// # Errors
/// A member is missing.
pub(super) fn tables(resolver: &mut Resolver<'_>) -> Result<Globals, Missing> {
    let mut globals = Globals::default();
    for (name, structure, path) in [
        ("TASK_NSPROXY", "task_struct", &["nsproxy"][..]),
        ("NSPROXY_NET", "nsproxy", &["net_ns"]),
        ("NET_OPS", "net", &["ns", "ops"]),
        ("NET_LIST", "net", &["list"]),
        ("HASHINFO_EHASH", "inet_hashinfo", &["ehash"]),
        ("HASHINFO_EHASH_MASK", "inet_hashinfo", &["ehash_mask"]),
        ("HASHINFO_LHASH2", "inet_hashinfo", &["lhash2"]),
        ("HASHINFO_LHASH2_MASK", "inet_hashinfo", &["lhash2_mask"]),
        ("SKC_FAMILY", "sock_common", &["skc_family"]),
        ("SKC_STATE", "sock_common", &["skc_state"]),
        ("SKC_NUM", "sock_common", &["skc_num"]),
        ("SKC_NULLS_NODE", "sock_common", &["skc_nulls_node"]),
        ("TW_SUBSTATE", "inet_timewait_sock", &["tw_substate"]),
        ("SK_ACK_BACKLOG", "sock", &["sk_ack_backlog"]),
        ("SK_MAX_ACK_BACKLOG", "sock", &["sk_max_ack_backlog"]),
    ] {
        globals.set(name, resolver.offset(structure, path)?);
    }
    // The program reads these from one copy of the socket's beginning.
    for name in ["SKC_FAMILY", "SKC_STATE", "SKC_NUM", "SKC_NULLS_NODE"] {
        if globals.get(name) + 8 > COMMON_LEN {
            let what = format!(
                "{} in a socket's first {COMMON_LEN} bytes",
                name.to_lowercase()
            );
            return Err(Missing(what));
        }
    }
    // From Linux 5.18 to 6.0 it is a pointer, before and after a structure within.
    let death_row = resolver.member("net", &["ipv4", "tcp_death_row"])?;
    let hashinfo = resolver.offset("inet_timewait_death_row", &["hashinfo"])?;
    globals.set("DEATH_ROW_IS_POINTER", u64::from(death_row.is_pointer));
    globals.set("DEATH_ROW_HASHINFO", hashinfo);
    let within = if death_row.is_pointer { 0 } else { hashinfo };
    globals.set("NET_DEATH_ROW", death_row.offset() + within);
    // Before Linux 5.19 listeners were linked by a node of their own.
    let node = resolver.find("inet_connection_sock", &["icsk_listen_portaddr_node"]);
    let node = match node {
        Some(node) => node.offset(),
        None => globals.get("SKC_NULLS_NODE"),
    };
    globals.set("LISTEN_NODE", node);
    let bucket = "inet_listen_hashbucket";
    let head = resolver
        .find(bucket, &["nulls_head"])
        .map_or_else(|| resolver.member(bucket, &["head"]), Ok)?;
    globals.set("LHASH2_HEAD", head.offset());
    globals.set("LHASH2_STRIDE", resolver.size(bucket)?);
    Ok(globals)
}

/// What the counters are read by, beside [`tables`].
///
/// # Errors
/// A member is missing.
pub(super) fn counters(resolver: &mut Resolver<'_>) -> Result<Globals, Missing> {
    let mut globals = Globals::default();
    for (name, structure, path) in [
        ("ARRAY_PPTRS", "bpf_array", &["pptrs"][..]),
        ("MIB_TCP", "net", &["mib", "tcp_statistics"]),
        ("MIB_UDP", "net", &["mib", "udp_statistics"]),
        ("MIB_NET", "net", &["mib", "net_statistics"]),
    ] {
        globals.set(name, resolver.offset(structure, path)?);
    }
    if let Some(member) = resolver.find("net", &["mib", "udp_stats_in6"]) {
        globals.set("MIB_UDP6", member.offset());
    }
    for (name, structure) in [
        ("MIB_TCP_SIZE", "tcp_mib"),
        ("MIB_UDP_SIZE", "udp_mib"),
        ("MIB_NET_SIZE", "linux_mib"),
    ] {
        globals.set(name, resolver.size(structure)?);
    }
    Ok(globals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ebpf::kernels::{
        LINUX_5_4, LINUX_5_10, LINUX_5_15, LINUX_6_0, LINUX_6_1, LINUX_6_18, RHEL_8, declarations,
    };

    #[test]
    fn every_kernels_tables_are_found_by_its_own_declarations() {
        for (kernel, ops, is_pointer, death_row, node) in [
            (RHEL_8, 8, 0, 0x180 + 64 + 64, 0x4e0),
            (LINUX_5_4, 8, 0, 0x180 + 64 + 64, 0x4e0),
            (LINUX_5_10, 8, 0, 0x180 + 64 + 64, 0x4e0),
            (LINUX_5_15, 8, 0, 0x180 + 64 + 64, 0x4e0),
            (LINUX_6_0, 8, 1, 0x180 + 64, 104),
            (LINUX_6_1, 8, 0, 0x180 + 64 + 64, 104),
            (LINUX_6_18, 16, 0, 0x180 + 64 + 64, 104),
        ] {
            let btf = declarations(&kernel);
            let globals = tables(&mut Resolver::new(&btf)).unwrap();
            for (name, expected) in [
                ("NET_OPS", 0x80 + ops),
                ("NET_DEATH_ROW", death_row),
                ("DEATH_ROW_IS_POINTER", is_pointer),
                ("DEATH_ROW_HASHINFO", 64),
                ("SKC_NUM", 14),
                ("SKC_NULLS_NODE", 104),
                ("LISTEN_NODE", node),
                ("LHASH2_HEAD", 8),
                ("LHASH2_STRIDE", 16),
            ] {
                assert_eq!(globals.get(name), expected, "{name} of {kernel:?}");
            }
        }
    }

    /// None of these kernels declares counters here.
    #[test]
    fn counters_that_are_not_there_are_named() {
        let btf = declarations(&LINUX_5_4);
        let missing = counters(&mut Resolver::new(&btf)).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the kernel's BTF has no bpf_array.pptrs"
        );
    }
}
