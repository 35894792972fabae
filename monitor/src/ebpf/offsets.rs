//! Where the fields stand that the programs read, from the kernel's BTF: values of the programs'
//! globals.

use std::collections::HashMap;

use aya::EbpfLoader;

use super::btf::{Btf, Member, Structure};

/// A structure, or a member of one, that a program cannot do without and the kernel does not
/// have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's BTF has no {0}")]
pub struct Missing(pub(super) String);

/// Values of a program's globals, all of them 64 bits wide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals(Vec<(&'static str, u64)>);

impl Globals {
    /// Gives a global its value.
    pub(super) fn set(&mut self, name: &'static str, value: u64) {
        self.0.push((name, value));
    }

    /// The value of a global; 0 where it was given none.
    pub(super) fn get(&self, name: &str) -> u64 {
        let mut values = self.0.iter();
        values
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, value)| *value)
    }

    /// Sets them in the object that is loaded next; it must have all of them.
    pub(super) fn apply<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        for (name, value) in &self.0 {
            loader.override_global(name, value, true);
        }
    }
}

/// Finds structures and members in BTF, each structure once.
pub(super) struct Resolver<'a> {
    btf: &'a Btf,
    structures: HashMap<&'static str, Option<Structure<'a>>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(btf: &'a Btf) -> Self {
        Self {
            btf,
            structures: HashMap::new(),
        }
    }

    fn structure(&mut self, name: &'static str) -> Option<Structure<'a>> {
        let btf = self.btf;
        *self
            .structures
            .entry(name)
            .or_insert_with(|| btf.structure(name))
    }

    /// A member, where the kernel has it.
    pub(super) fn find(&mut self, structure: &'static str, path: &[&str]) -> Option<Member> {
        self.structure(structure)?.member(path)
    }

    /// A member that must be there, and begin with a byte.
    ///
    /// # Errors
    /// It is not, or does not.
    pub(super) fn member(
        &mut self,
        structure: &'static str,
        path: &[&str],
    ) -> Result<Member, Missing> {
        let name = || format!("{structure}.{}", path.join("."));
        match self.find(structure, path) {
            Some(member) if member.bit_offset % 8 == 0 => Ok(member),
            Some(member) => Err(Missing(format!(
                "{} that begins with a byte, but one at bit {}",
                name(),
                member.bit_offset
            ))),
            None => Err(Missing(name())),
        }
    }

    /// The offset of a member that must be there, in bytes.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn offset(
        &mut self,
        structure: &'static str,
        path: &[&str],
    ) -> Result<u64, Missing> {
        self.member(structure, path).map(Member::offset)
    }

    /// The size of a structure that must be there, in bytes.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn size(&mut self, structure: &'static str) -> Result<u64, Missing> {
        self.structure(structure)
            .map(|found| found.size())
            .ok_or_else(|| Missing(structure.to_owned()))
    }
}

/// The globals of `kernel.rs`, which every object has: a socket's namespace and cgroup. Sockets
/// without a cgroup, and namespaces without a cookie, are no error: the programs then count by
/// what there is. `cookies` says whether user space can ask for a namespace's cookie; if not, one
/// in the key would tell it nothing.
///
/// # Errors
/// A member is missing without which nothing can be counted.
pub(super) fn shared(resolver: &mut Resolver<'_>, cookies: bool) -> Result<Globals, Missing> {
    let mut globals = Globals::default();
    let net = resolver.offset("sock", &["__sk_common", "skc_net", "net"])?;
    globals.set("SK_NET", net);
    globals.set("NET_INUM", resolver.offset("net", &["ns", "inum"])?);
    if cookies && let Some(cookie) = resolver.find("net", &["net_cookie"]) {
        globals.set("NET_COOKIE", cookie.offset());
    }
    let pointer = resolver.find("sock", &["sk_cgrp_data", "cgroup"]);
    let cgroup = pointer.or_else(|| resolver.find("sock", &["sk_cgrp_data"]));
    let node = resolver.find("cgroup", &["kn"]);
    let id = resolver.find("kernfs_node", &["id"]);
    if let (Some(cgroup), Some(node), Some(id)) = (cgroup, node, id) {
        globals.set("SK_CGROUP", cgroup.offset());
        globals.set("CGROUP_KN", node.offset());
        globals.set("KN_ID", id.offset());
    }
    globals.set("SK_CGROUP_IS_POINTER", u64::from(pointer.is_some()));
    globals.set("KN_ID_MASK", inode_bits(resolver));
    Ok(globals)
}

/// The bits of `kernfs_node.id` that are the cgroup's inode number: the lower half where the upper
/// one is a generation, else all.
fn inode_bits(resolver: &mut Resolver<'_>) -> u64 {
    let is_union = resolver.find("kernfs_node", &["id", "ino"]).is_some();
    // The 4.18 of RHEL 8 has one number there as later kernels have, and counts generations as
    // earlier ones do; those with whole numbers have `id_highbits` in its stead.
    let has_generations = resolver.find("kernfs_root", &["next_generation"]).is_some();
    if is_union || has_generations {
        u32::MAX.into()
    } else {
        u64::MAX
    }
}

/// The globals of the program on `sock:inet_sock_set_state`, beside [`shared`] ones.
///
/// # Errors
/// As [`shared`].
pub(super) fn transitions(resolver: &mut Resolver<'_>) -> Result<Globals, Missing> {
    let protocol = resolver.member("sock", &["sk_protocol"])?;
    let mask = match protocol.bits {
        // A bit field, before Linux 5.6.
        8 => 0xff,
        16 => 0xffff,
        bits => {
            let what = format!("sock.sk_protocol of 8 or 16 bits, but one of {bits}");
            return Err(Missing(what));
        }
    };
    let mut globals = Globals::default();
    globals.set("SK_PROTOCOL", protocol.offset());
    globals.set("SK_PROTOCOL_MASK", mask);
    Ok(globals)
}

#[cfg(test)]
mod tests;
