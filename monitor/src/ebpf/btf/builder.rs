//! BTF made by hand, for tests.

use super::{Btf, KIND_INT, KIND_POINTER, KIND_STRUCT, KIND_UNION, MAGIC};

/// Name, type and offset in bits of a member; see [`bit_field`].
pub(crate) type Field<'a> = (&'a str, u32, u32);

/// Types one after the other; each call gives the id of the type that it adds.
#[derive(Debug)]
pub(crate) struct Builder {
    types: Vec<u32>,
    strings: Vec<u8>,
    last: u32,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            last: 0,
        }
    }
}

impl Builder {
    /// An integer.
    pub(crate) fn int(&mut self, bytes: u32) -> u32 {
        self.int_of_bits(bytes, 0, 8 * bytes)
    }

    /// An integer of which some bits are used, from `start` on.
    pub(crate) fn int_of_bits(&mut self, bytes: u32, start: u32, bits: u32) -> u32 {
        let name = self.name("int");
        self.add(&[name, KIND_INT << 24, bytes, start << 16 | bits])
    }

    /// A pointer to something.
    pub(crate) fn pointer(&mut self) -> u32 {
        self.add(&[0, KIND_POINTER << 24, 0])
    }

    /// A structure; anonymous where its name is empty.
    pub(crate) fn structure(&mut self, name: &str, size: u32, fields: &[Field<'_>]) -> u32 {
        self.members(KIND_STRUCT << 24, name, size, fields)
    }

    /// A structure that states the sizes of its bit fields, as today's kernels have them.
    pub(crate) fn structure_with_bit_fields(
        &mut self,
        name: &str,
        size: u32,
        fields: &[Field<'_>],
    ) -> u32 {
        self.members(1 << 31 | KIND_STRUCT << 24, name, size, fields)
    }

    /// A union, whose members all begin with it.
    pub(crate) fn union(&mut self, name: &str, size: u32, fields: &[(&str, u32)]) -> u32 {
        let fields: Vec<Field<'_>> = fields.iter().map(|&(name, id)| (name, id, 0)).collect();
        self.members(KIND_UNION << 24, name, size, &fields)
    }

    /// What was built.
    pub(crate) fn btf(self) -> Btf {
        Btf::parse(build(&self.types, &self.strings)).unwrap()
    }

    fn members(&mut self, info: u32, name: &str, size: u32, fields: &[Field<'_>]) -> u32 {
        let mut words = vec![self.name(name), info | fields.len() as u32, size];
        for &(name, id, offset) in fields {
            words.extend([self.name(name), id, offset]);
        }
        self.add(&words)
    }

    fn add(&mut self, words: &[u32]) -> u32 {
        self.types.extend(words);
        self.last += 1;
        self.last
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len();
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at as u32
    }
}

/// Offset and size of a bit field, as [`Builder::structure_with_bit_fields`] wants them.
pub(crate) fn bit_field(offset: u32, bits: u32) -> u32 {
    bits << 24 | offset
}

/// The file: `types` are words, `strings` begins with the empty name.
pub(crate) fn build(types: &[u32], strings: &[u8]) -> Vec<u8> {
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
