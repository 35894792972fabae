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

    /// A member that must be there.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn member(
        &mut self,
        structure: &'static str,
        path: &[&str],
    ) -> Result<Member, Missing> {
        self.find(structure, path)
            .ok_or_else(|| Missing(format!("{structure}.{}", path.join("."))))
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
    // A union of the number and its parts, where it has parts.
    let parts = resolver.find("kernfs_node", &["id", "ino"]);
    globals.set("KN_ID_MASK", parts.map_or(u64::MAX, |_| u32::MAX.into()));
    Ok(globals)
}

/// The globals of the program on `sock:inet_sock_set_state`, beside [`shared`] ones.
///
/// # Errors
/// As [`shared`].
pub(super) fn transitions(resolver: &mut Resolver<'_>) -> Result<Globals, Missing> {
    let protocol = resolver.member("sock", &["sk_protocol"])?;
    let mut globals = Globals::default();
    globals.set("SK_PROTOCOL", protocol.offset());
    // It was 8 bits wide before Linux 5.6.
    let mask = if protocol.bits == 8 { 0xff } else { 0xffff };
    globals.set("SK_PROTOCOL_MASK", mask);
    Ok(globals)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
