//! Tests of the BTF reader.

use super::builder::{Builder, bit_field, build};
use super::*;

/// A member of the sample's structure.
fn member(btf: &Btf, path: &[&str]) -> Option<Member> {
    btf.structure("s")?.member(path)
}

/// ```c
/// typedef int i;                             // 1: int, 2: typedef i
/// struct s { i a; struct { i b : 8; }; i c; }; // 3: anonymous, 4: s
/// ```
fn sample() -> Vec<u8> {
    let (int, i, s, a, b, c) = (1, 5, 7, 9, 11, 13);
    build(
        &[
            int,
            KIND_INT << 24,
            4,
            32,
            i,
            KIND_TYPEDEF << 24,
            1,
            0,
            1 << 31 | KIND_STRUCT << 24 | 1,
            4,
            b,
            2,
            8 << 24 | 8,
            s,
            KIND_STRUCT << 24 | 3,
            12,
            a,
            2,
            0,
            0,
            3,
            32,
            c,
            2,
            64,
        ],
        b"\0int\0i\0s\0a\0b\0c\0",
    )
}

#[test]
fn members_are_found_through_typedefs_and_anonymous_structures() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(
        member(&btf, &["a"]),
        Some(Member {
            bit_offset: 0,
            bits: 32,
            is_pointer: false,
        })
    );
    assert_eq!(
        member(&btf, &["b"]),
        Some(Member {
            bit_offset: 40,
            bits: 8,
            is_pointer: false,
        })
    );
    assert_eq!(
        member(&btf, &["c"]),
        Some(Member {
            bit_offset: 64,
            bits: 32,
            is_pointer: false,
        })
    );
    assert_eq!(member(&btf, &["c"]).unwrap().offset(), 8);
    assert_eq!(member(&btf, &["d"]), None);
    assert!(btf.structure("t").is_none());
    assert_eq!(btf.structure("s").unwrap().size(), 12);
    assert_eq!(member(&btf, &["a", "b"]), None);
    assert_eq!(member(&btf, &[]), None);
}

/// `unsigned int low : 8, high : 8;` as either kind of structure says it.
#[test]
fn a_bit_field_has_its_own_size_and_place_in_both_encodings() {
    let expected = Some(Member {
        bit_offset: 40,
        bits: 8,
        is_pointer: false,
    });
    let mut flagged = Builder::default();
    let word = flagged.int(4);
    flagged.structure_with_bit_fields(
        "s",
        8,
        &[
            ("low", word, bit_field(32, 8)),
            ("high", word, bit_field(40, 8)),
        ],
    );
    assert_eq!(member(&flagged.btf(), &["high"]), expected);
    // One integer type for both, or one whose bits begin later.
    for (start, offset) in [(0, 40), (8, 32)] {
        let mut plain = Builder::default();
        let byte_of_word = plain.int_of_bits(4, start, 8);
        plain.structure("s", 8, &[("high", byte_of_word, offset)]);
        assert_eq!(member(&plain.btf(), &["high"]), expected, "{start}");
    }
}

#[test]
fn bad_btf_is_an_error() {
    assert_eq!(Btf::parse(vec![]).unwrap_err(), BtfError::Truncated(0));
    assert_eq!(Btf::parse(vec![0; 64]).unwrap_err(), BtfError::Magic(0));
    let whole = sample();
    for len in 2..whole.len() {
        assert!(
            Btf::parse(whole[..len].to_vec()).is_err(),
            "cut to {len} bytes"
        );
    }
    let unknown = build(&[0, 30 << 24, 0], b"\0");
    assert_eq!(
        Btf::parse(unknown).unwrap_err(),
        BtfError::UnknownKind { id: 1, kind: 30 }
    );
}

proptest::proptest! {
    #[test]
    fn damaged_btf_never_panics(position in 4usize..120, value: u8) {
        let mut data = sample();
        if let Some(byte) = data.get_mut(position) {
            *byte = value;
        }
        if let Ok(btf) = Btf::parse(data) {
            let _ = member(&btf, &["b"]);
            let _ = btf.constants().count();
        }
    }
}

/// ```c
/// struct s { struct { … } ; struct { … } ; };   // both anonymous ones are s itself
/// ```
#[test]
fn structures_within_themselves_come_to_an_end() {
    let s = 1;
    let btf = build(&[s, KIND_STRUCT << 24 | 2, 8, 0, 1, 32, 0, 1, 32], b"\0s\0");
    assert_eq!(member(&Btf::parse(btf).unwrap(), &["a"]), None);
}

#[test]
fn constants_have_their_values() {
    let (a, b) = (1, 3);
    let types = [0, KIND_ENUM << 24 | 2, 4, a, 0, b, 7];
    let btf = Btf::parse(build(&types, b"\0a\0b\0")).unwrap();
    let constants: Vec<_> = btf.constants().collect();
    assert_eq!(constants, [(&b"a"[..], 0), (&b"b"[..], 7)]);
}

#[test]
fn the_running_kernel_is_understood() {
    let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel has no BTF");
        return;
    };
    let btf = Btf::parse(data).unwrap();
    let sock = btf.structure("sock").unwrap();
    let common = sock.member(&["__sk_common"]).unwrap();
    assert_eq!((common.bit_offset, common.is_pointer), (0, false));
    let net = sock.member(&["__sk_common", "skc_net", "net"]).unwrap();
    assert!(net.is_pointer);
    // Nothing is looked for behind a pointer.
    assert_eq!(
        sock.member(&["__sk_common", "skc_net", "net", "list"]),
        None
    );
    assert!(
        btf.structure("net")
            .unwrap()
            .member(&["ns", "inum"])
            .is_some()
    );
    // include/uapi/linux/snmp.h: the first one, and an anonymous enumeration.
    let mut constants = btf.constants();
    assert_eq!(
        constants.find(|(name, _)| *name == b"TCP_MIB_RTOALGORITHM"),
        Some((&b"TCP_MIB_RTOALGORITHM"[..], 1))
    );
}
