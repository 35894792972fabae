//! Tests of what BTF makes of the globals.

use super::*;
use crate::ebpf::btf::builder::{Builder, bit_field};
use crate::ebpf::kernels::{
    LINUX_5_4, LINUX_5_10, LINUX_5_15, LINUX_6_1, LINUX_6_18, RHEL_8, declarations,
};

const ALL: u64 = u64::MAX;
const LOWER_HALF: u64 = 0xffff_ffff;

#[test]
fn every_kernel_is_read_by_its_own_declarations() {
    for (kernel, inum, protocol, is_pointer, inode_bits, cookie) in [
        (RHEL_8, 16, (513, 0xff), 0, LOWER_HALF, 0),
        (LINUX_5_4, 16, (513, 0xff), 0, LOWER_HALF, 0),
        (LINUX_5_10, 16, (516, 0xffff), 0, ALL, 0x400),
        (LINUX_5_15, 16, (516, 0xffff), 1, ALL, 0x400),
        (LINUX_6_1, 16, (516, 0xffff), 1, ALL, 0x400),
        (LINUX_6_18, 24, (516, 0xffff), 1, ALL, 0x400),
    ] {
        let btf = declarations(&kernel);
        let mut resolver = Resolver::new(&btf);
        let shared = shared(&mut resolver, true).unwrap();
        for (name, expected) in [
            ("SK_NET", 48),
            ("SK_CGROUP", 0x220),
            ("SK_CGROUP_IS_POINTER", is_pointer),
            ("CGROUP_KN", 0x100),
            ("KN_ID", 0x60),
            ("KN_ID_MASK", inode_bits),
            ("NET_INUM", 0x80 + inum),
            ("NET_COOKIE", cookie),
        ] {
            assert_eq!(shared.get(name), expected, "{name} of {kernel:?}");
        }
        let own = transitions(&mut resolver).unwrap();
        let found = (own.get("SK_PROTOCOL"), own.get("SK_PROTOCOL_MASK"));
        assert_eq!(found, protocol, "{kernel:?}");
    }
}

/// Kernels from 5.7 to 5.13 have cookies that user space cannot ask for.
#[test]
fn a_cookie_that_user_space_cannot_ask_for_is_not_used() {
    let btf = declarations(&LINUX_5_10);
    let globals = shared(&mut Resolver::new(&btf), false).unwrap();
    assert_eq!(globals.get("NET_COOKIE"), 0);
}

#[test]
fn sockets_without_a_cgroup_are_counted_by_namespace() {
    let mut builder = Builder::default();
    let (word, pointer) = (builder.int(4), builder.pointer());
    let net = builder.structure("", 8, &[("net", pointer, 0)]);
    let common = builder.structure("sock_common", 56, &[("skc_net", net, 8 * 48)]);
    builder.structure("sock", 56, &[("__sk_common", common, 0)]);
    let ns = builder.structure("ns_common", 24, &[("inum", word, 8 * 16)]);
    builder.structure("net", 24, &[("ns", ns, 0)]);
    let btf = builder.btf();
    let globals = shared(&mut Resolver::new(&btf), true).unwrap();
    assert_eq!((globals.get("SK_NET"), globals.get("SK_CGROUP")), (48, 0));
}

/// The error for a socket whose protocol is such a bit field.
fn refusal(offset: u32, bits: u32) -> String {
    let mut builder = Builder::default();
    let word = builder.int(4);
    builder.structure_with_bit_fields("sock", 4, &[("sk_protocol", word, bit_field(offset, bits))]);
    let btf = builder.btf();
    let refused = transitions(&mut Resolver::new(&btf)).unwrap_err();
    refused.to_string()
}

#[test]
fn a_protocol_that_no_load_can_read_is_refused() {
    assert_eq!(
        refusal(4, 8),
        "the kernel's BTF has no sock.sk_protocol that begins with a byte, but one at bit 4"
    );
    assert_eq!(
        refusal(8, 9),
        "the kernel's BTF has no sock.sk_protocol of 8 or 16 bits, but one of 9"
    );
}

#[test]
fn what_is_missing_is_named() {
    let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel has no BTF");
        return;
    };
    let btf = Btf::parse(data).unwrap();
    let mut resolver = Resolver::new(&btf);
    let error = resolver.offset("sock", &["sk_protocol", "tcp"]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "the kernel's BTF has no sock.sk_protocol.tcp"
    );
    assert_eq!(resolver.size("no_such"), Err(Missing("no_such".to_owned())));
    let globals = shared(&mut resolver, false).unwrap();
    assert_eq!(globals.get("NET_COOKIE"), 0);
    assert!(globals.get("SK_NET") > 0);
}
