//! What the pass over the kernel's network namespaces tells of each.

/// Most counters that are asked for.
pub const MAX_FIELDS: usize = 192;

/// Most namespaces that one run of the program tells of.
pub const MAX_NAMESPACES: u32 = 128;

/// Words of the buffer that one CPU's counters are read into; a power of two, so that an index is
/// bounded by a mask.
pub const SCRATCH_WORDS: usize = 256;

/// Words of that buffer for each block of counters: `tcp_statistics`, `udp_statistics`,
/// `udp_stats_in6` and `net_statistics`, one behind the other.
pub const BLOCK_WORDS: [usize; 4] = [32, 16, 16, 192];

/// The counters that are asked for: element 0 of the map `FIELDS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// How many.
    pub count: u64,
    /// Where each stands in the buffer.
    pub words: [u64; MAX_FIELDS],
}

/// [`Fields`] in words.
pub type FieldsWords = [u64; 1 + MAX_FIELDS];

impl From<Fields> for FieldsWords {
    fn from(fields: Fields) -> Self {
        let mut words = [0; 1 + MAX_FIELDS];
        words[0] = fields.count;
        words[1..].copy_from_slice(&fields.words);
        words
    }
}

/// One network namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceRecord {
    /// Address of its `struct net`.
    pub net: u64,
    /// As in [`Key::netns`](crate::Key::netns).
    pub key: u64,
    /// Inode number.
    pub inode: u64,
    /// Address of the table of its connections; that of others too, unless it has its own.
    pub ehash: u64,
    /// The same of its listeners.
    pub lhash2: u64,
    /// Reads that failed: if any, the counters are no use.
    pub failed: u64,
    /// The counters, in the order of [`Fields`].
    pub counters: [u64; MAX_FIELDS],
}

/// [`NamespaceRecord`] in words.
pub type NamespaceWords = [u64; 6 + MAX_FIELDS];

impl From<NamespaceWords> for NamespaceRecord {
    fn from([net, key, inode, ehash, lhash2, failed, counters @ ..]: NamespaceWords) -> Self {
        Self {
            net,
            key,
            inode,
            ehash,
            lhash2,
            failed,
            counters,
        }
    }
}

const _: () = {
    assert!(size_of::<Fields>() == size_of::<FieldsWords>());
    assert!(size_of::<NamespaceRecord>() == size_of::<NamespaceWords>());
    let [tcp, udp, udp6, net] = BLOCK_WORDS;
    assert!(tcp + udp + udp6 + net == SCRATCH_WORDS && SCRATCH_WORDS.is_power_of_two());
};
