//! BTF, the kernel's own description of its types, as far as offsets of structure members go.
//!
//! The format: `Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`. aya reads BTF too, but
//! shows no members.

use std::ops::Range;

const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// More modifiers (const, typedef…) or nested anonymous structures than any real type has.
const MAX_DEPTH: u32 = 32;

/// Why BTF cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The file does not begin like BTF of this machine's byte order.
    #[error("no BTF: magic number is {0:#06x}")]
    Magic(u16),
    /// A part reaches beyond the file's end.
    #[error("BTF is cut short at byte {0}")]
    Truncated(usize),
    /// A kind of type that is newer than this reader; its length is unknown.
    #[error("type {id} has unknown kind {kind}")]
    UnknownKind {
        /// Type id.
        id: usize,
        /// `BTF_KIND_…`
        kind: u32,
    },
}

/// A member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Offset from the outermost structure's start, in bits.
    pub bit_offset: u32,
    /// Size in bits: a bit field's own, else its type's; 0 where the type has none.
    pub bits: u32,
}

impl Member {
    /// Offset in bytes.
    pub fn offset(self) -> u64 {
        u64::from(self.bit_offset / 8)
    }
}

/// Parsed BTF.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    /// Where each type begins in `data`; type ids count from 1.
    types: Vec<u32>,
    strings: Range<usize>,
}

/// A type's fixed part.
#[derive(Clone, Copy)]
struct Type {
    /// Where its kind's own data begins.
    rest: usize,
    name: u32,
    kind: u32,
    members: usize,
    bit_fields: bool,
    /// Size in bytes or id of another type, by kind.
    size_or_type: u32,
}

impl Btf {
    /// Parses the contents of `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// It is not BTF, is cut short, or has types of an unknown kind.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let magic = data.first_chunk::<2>().ok_or(BtfError::Truncated(0))?;
        let magic = u16::from_ne_bytes(*magic);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let mut btf = Self {
            data,
            types: Vec::new(),
            strings: 0..0,
        };
        let header = btf.word(4)? as usize;
        let types = btf.part(header, btf.word(8)?, btf.word(12)?)?;
        btf.strings = btf.part(header, btf.word(16)?, btf.word(20)?)?;
        let mut position = types.start;
        while position < types.end {
            btf.types.push(position as u32);
            let found = btf.type_at(position)?;
            position = found.rest + extra_len(found, btf.types.len())?;
        }
        if position == types.end {
            Ok(btf)
        } else {
            Err(BtfError::Truncated(types.end))
        }
    }

    /// The member of `structure` at `path`, a name for each level; anonymous structures and
    /// unions on the way need none. `None` where this kernel has no such structure or member.
    pub fn member(&self, structure: &str, path: &[&str]) -> Option<Member> {
        self.types.iter().find_map(|&position| {
            let found = self.type_at(position as usize).ok()?;
            let matches =
                found.kind == KIND_STRUCT && self.name(found.name) == structure.as_bytes();
            if matches {
                self.member_of(found, path, 0)
            } else {
                None
            }
        })
    }

    fn member_of(&self, structure: Type, path: &[&str], base: u32) -> Option<Member> {
        let (first, rest) = path.split_first()?;
        let (member, target) = self.direct_member(structure, first.as_bytes(), base, 0)?;
        if rest.is_empty() {
            return Some(member);
        }
        self.member_of(self.structure(target)?, rest, member.bit_offset)
    }

    /// The member with this name, and its type; looks into anonymous members.
    fn direct_member(
        &self,
        structure: Type,
        name: &[u8],
        base: u32,
        depth: u32,
    ) -> Option<(Member, u32)> {
        if depth > MAX_DEPTH {
            return None;
        }
        (0..structure.members).find_map(|index| {
            let at = structure.rest + 12 * index;
            let (name_offset, target, offset) = (
                self.word(at).ok()?,
                self.word(at + 4).ok()?,
                self.word(at + 8).ok()?,
            );
            let (bit_offset, bit_field) = if structure.bit_fields {
                (offset & 0xff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            let bit_offset = base + bit_offset;
            let found = self.name(name_offset);
            if found == name {
                let bits = if bit_field > 0 {
                    bit_field
                } else {
                    self.bits(target)
                };
                Some((Member { bit_offset, bits }, target))
            } else if found.is_empty() {
                self.direct_member(self.structure(target)?, name, bit_offset, depth + 1)
            } else {
                None
            }
        })
    }

    /// The structure or union behind typedefs and modifiers.
    fn structure(&self, id: u32) -> Option<Type> {
        let found = self.resolve(id)?;
        matches!(found.kind, KIND_STRUCT | KIND_UNION).then_some(found)
    }

    fn bits(&self, id: u32) -> u32 {
        match self.resolve(id) {
            Some(Type {
                kind: KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM,
                size_or_type,
                ..
            }) => size_or_type.saturating_mul(8),
            _ => 0,
        }
    }

    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let position = *self.types.get((id as usize).checked_sub(1)?)?;
            let found = self.type_at(position as usize).ok()?;
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = found.size_or_type;
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn type_at(&self, position: usize) -> Result<Type, BtfError> {
        let info = self.word(position + 4)?;
        Ok(Type {
            rest: position + 12,
            name: self.word(position)?,
            kind: info >> 24 & 0x1f,
            members: (info & 0xffff) as usize,
            bit_fields: info >> 31 == 1,
            size_or_type: self.word(position + 8)?,
        })
    }

    fn name(&self, offset: u32) -> &[u8] {
        let strings = self.data.get(self.strings.clone()).unwrap_or_default();
        let name = strings.get(offset as usize..).unwrap_or_default();
        name.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    fn word(&self, position: usize) -> Result<u32, BtfError> {
        let bytes = self
            .data
            .get(position..)
            .and_then(|rest| rest.first_chunk());
        bytes
            .map(|bytes| u32::from_ne_bytes(*bytes))
            .ok_or(BtfError::Truncated(position))
    }

    fn part(&self, header: usize, offset: u32, len: u32) -> Result<Range<usize>, BtfError> {
        let start = header.saturating_add(offset as usize);
        let end = start.saturating_add(len as usize);
        if end <= self.data.len() {
            Ok(start..end)
        } else {
            Err(BtfError::Truncated(self.data.len()))
        }
    }
}

/// Bytes that follow a type's fixed part.
fn extra_len(found: Type, id: usize) -> Result<usize, BtfError> {
    Ok(match found.kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * found.members,
        KIND_ENUM | KIND_FUNC_PROTO => 8 * found.members,
        // Pointers, forward declarations, typedefs, modifiers, functions and floats.
        kind if (1..=KIND_ENUM64).contains(&kind) => 0,
        kind => return Err(BtfError::UnknownKind { id, kind }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds BTF by hand: `types` are words, `strings` begins with the empty name.
    fn build(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        data.extend(MAGIC.to_ne_bytes());
        data.extend([1, 0]);
        let len = 4 * types.len() as u32;
        for word in [24, 0, len, len, strings.len() as u32] {
            data.extend(word.to_ne_bytes());
        }
        data.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        data.extend(strings);
        data
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
            btf.member("s", &["a"]),
            Some(Member {
                bit_offset: 0,
                bits: 32
            })
        );
        assert_eq!(
            btf.member("s", &["b"]),
            Some(Member {
                bit_offset: 40,
                bits: 8
            })
        );
        assert_eq!(
            btf.member("s", &["c"]),
            Some(Member {
                bit_offset: 64,
                bits: 32
            })
        );
        assert_eq!(btf.member("s", &["c"]).unwrap().offset(), 8);
        assert_eq!(btf.member("s", &["d"]), None);
        assert_eq!(btf.member("t", &["a"]), None);
        assert_eq!(btf.member("s", &["a", "b"]), None);
        assert_eq!(btf.member("s", &[]), None);
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
                let _ = btf.member("s", &["b"]);
            }
        }
    }

    #[test]
    fn the_running_kernel_is_understood() {
        let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel has no BTF");
            return;
        };
        let btf = Btf::parse(data).unwrap();
        let common = btf.member("sock", &["__sk_common"]).unwrap();
        assert_eq!(common.bit_offset, 0);
        assert!(
            btf.member("sock", &["__sk_common", "skc_net", "net"])
                .is_some()
        );
        assert!(btf.member("net", &["ns", "inum"]).is_some());
    }
}
