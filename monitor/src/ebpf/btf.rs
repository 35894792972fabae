//! BTF, the kernel's own description of its types, as far as offsets of structure members and
//! values of enumeration constants go.
//!
//! The format: `Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`. aya reads BTF too, but
//! shows no members.

use std::ops::Range;

const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_POINTER: u32 = 2;
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

/// More members than are looked at for any real one, those of anonymous structures too: BTF that
/// lies may nest them without an end.
const MAX_MEMBERS: u32 = 4096;

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
    /// Whether it is a pointer.
    pub is_pointer: bool,
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

/// A structure of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Structure<'a> {
    btf: &'a Btf,
    found: Type,
}

impl Structure<'_> {
    /// The member at `path`, a name for each level; anonymous structures and unions on the way
    /// need none. `None` where this kernel has no such member, or a pointer is on the way.
    pub fn member(&self, path: &[&str]) -> Option<Member> {
        self.btf.member_of(self.found, path, 0)
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        u64::from(self.found.size_or_type)
    }
}

/// A type's fixed part.
#[derive(Clone, Copy, Debug)]
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

    /// The structure of this name; `None` where this kernel has none.
    ///
    /// One walk over all types: ask once for all members that are wanted.
    pub fn structure(&self, name: &str) -> Option<Structure<'_>> {
        self.types.iter().find_map(|&position| {
            let found = self.type_at(position as usize).ok()?;
            // One without members was cut down to its name.
            let matches = found.kind == KIND_STRUCT
                && found.members > 0
                && self.name(found.name) == name.as_bytes();
            matches.then_some(Structure { btf: self, found })
        })
    }

    /// All enumeration constants, named or not the enumerations that they belong to: name and
    /// value of each, those of 64 bits left out.
    pub fn constants(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.types
            .iter()
            .filter_map(|&position| self.type_at(position as usize).ok())
            .filter(|found| found.kind == KIND_ENUM)
            .flat_map(move |found| {
                (0..found.members).filter_map(move |index| {
                    let at = found.rest + 8 * index;
                    Some((self.name(self.word(at).ok()?), self.word(at + 4).ok()?))
                })
            })
    }

    fn member_of(&self, structure: Type, path: &[&str], base: u32) -> Option<Member> {
        let (first, rest) = path.split_first()?;
        let mut budget = MAX_MEMBERS;
        let (member, target) =
            self.direct_member(structure, first.as_bytes(), base, 0, &mut budget)?;
        if rest.is_empty() {
            return Some(member);
        }
        self.member_of(self.structure_of(target)?, rest, member.bit_offset)
    }

    /// The member with this name, and its type; looks into anonymous members, as long as the
    /// budget of members lasts.
    fn direct_member(
        &self,
        structure: Type,
        name: &[u8],
        base: u32,
        depth: u32,
        budget: &mut u32,
    ) -> Option<(Member, u32)> {
        if depth > MAX_DEPTH {
            return None;
        }
        (0..structure.members).find_map(|index| {
            *budget = budget.checked_sub(1)?;
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
            let bit_offset = base.checked_add(bit_offset)?;
            let found = self.name(name_offset);
            if found == name {
                Some((self.member_at(bit_offset, bit_field, target)?, target))
            } else if found.is_empty() {
                self.direct_member(
                    self.structure_of(target)?,
                    name,
                    bit_offset,
                    depth + 1,
                    budget,
                )
            } else {
                None
            }
        })
    }

    /// A member of type `target`; `bit_field` is its size in bits where its structure states it.
    fn member_at(&self, bit_offset: u32, bit_field: u32, target: u32) -> Option<Member> {
        let found = self.resolve(target);
        let (start, bits) = match found {
            _ if bit_field > 0 => (0, bit_field),
            // Where no structure states it, a bit field's type is an integer of so many bits,
            // which may begin later.
            Some(found) if found.kind == KIND_INT => {
                let encoding = self.word(found.rest).ok()?;
                (encoding >> 16 & 0xff, encoding & 0xff)
            }
            Some(found) => (0, bits(found)),
            None => (0, 0),
        };
        Some(Member {
            bit_offset: bit_offset.checked_add(start)?,
            bits,
            is_pointer: found.is_some_and(|found| found.kind == KIND_POINTER),
        })
    }

    /// The structure or union behind typedefs and modifiers.
    fn structure_of(&self, id: u32) -> Option<Type> {
        let found = self.resolve(id)?;
        matches!(found.kind, KIND_STRUCT | KIND_UNION).then_some(found)
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

/// Size of a type other than an integer in bits; 0 where it has none.
fn bits(found: Type) -> u32 {
    match found.kind {
        KIND_STRUCT | KIND_UNION | KIND_ENUM => found.size_or_type.saturating_mul(8),
        _ => 0,
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
pub(super) mod builder;
#[cfg(test)]
mod tests;
