//! Where the fields stand that the programs read: [`Offsets`] of kernel structures from BTF,
//! [`Record`] of the plain tracepoint from its `format` file.

use aya::EbpfLoader;

use super::btf::{Btf, Member};

/// A structure member that no program can do without, and the kernel does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's BTF has no {0}")]
pub struct MissingMember(&'static str);

/// Offsets of kernel structures' members, in bytes; the programs' globals of the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets {
    sk_net: u64,
    sk_protocol: u64,
    sk_protocol_mask: u16,
    sk_cgroup: u64,
    sk_cgroup_is_pointer: u8,
    cgroup_kn: u64,
    kn_id: u64,
    kn_id_mask: u64,
    net_inum: u64,
    net_cookie: u64,
}

impl Offsets {
    /// Looks all members up. Sockets without a cgroup, and namespaces without a cookie, are no
    /// error: the programs then count by what there is. `cookies` says whether user space can ask
    /// for a namespace's cookie; if not, one in the key would tell it nothing.
    ///
    /// # Errors
    /// A member is missing without which nothing can be counted.
    pub fn resolve(btf: &Btf, cookies: bool) -> Result<Self, MissingMember> {
        let required =
            |name, structure, path: &[&str]| btf.member(structure, path).ok_or(MissingMember(name));
        let protocol = required("sock.sk_protocol", "sock", &["sk_protocol"])?;
        let pointer = btf.member("sock", &["sk_cgrp_data", "cgroup"]);
        let cgroup = pointer.or_else(|| btf.member("sock", &["sk_cgrp_data"]));
        let node = btf.member("cgroup", &["kn"]);
        let id = btf.member("kernfs_node", &["id"]);
        let has_cgroup = cgroup.is_some() && node.is_some() && id.is_some();
        let offset = |member: Option<Member>| member.map_or(0, Member::offset);
        Ok(Self {
            sk_net: required(
                "sock.__sk_common.skc_net",
                "sock",
                &["__sk_common", "skc_net", "net"],
            )?
            .offset(),
            sk_protocol: protocol.offset(),
            sk_protocol_mask: if protocol.bits == 8 { 0xff } else { 0xffff },
            sk_cgroup: if has_cgroup { offset(cgroup) } else { 0 },
            sk_cgroup_is_pointer: u8::from(pointer.is_some()),
            cgroup_kn: offset(node),
            kn_id: offset(id),
            // A union of the number and its parts, where it has parts.
            kn_id_mask: match btf.member("kernfs_node", &["id", "ino"]) {
                Some(_) => u64::from(u32::MAX),
                None => u64::MAX,
            },
            net_inum: required("net.ns.inum", "net", &["ns", "inum"])?.offset(),
            net_cookie: if cookies {
                offset(btf.member("net", &["net_cookie"]))
            } else {
                0
            },
        })
    }

    /// Whether the programs identify namespaces by their cookies.
    pub fn has_cookie(&self) -> bool {
        self.net_cookie != 0
    }

    /// Sets the programs' globals.
    pub(super) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader
            .override_global("SK_NET", &self.sk_net, true)
            .override_global("SK_PROTOCOL", &self.sk_protocol, true)
            .override_global("SK_PROTOCOL_MASK", &self.sk_protocol_mask, true)
            .override_global("SK_CGROUP", &self.sk_cgroup, true)
            .override_global("SK_CGROUP_IS_POINTER", &self.sk_cgroup_is_pointer, true)
            .override_global("CGROUP_KN", &self.cgroup_kn, true)
            .override_global("KN_ID", &self.kn_id, true)
            .override_global("KN_ID_MASK", &self.kn_id_mask, true)
            .override_global("NET_INUM", &self.net_inum, true)
            .override_global("NET_COOKIE", &self.net_cookie, true);
    }
}

/// Offsets in the record of the tracepoint `sock:inet_sock_set_state`, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    skaddr: u64,
    oldstate: u64,
    newstate: u64,
}

impl Record {
    /// Parses the tracepoint's `format` file (`Documentation/trace/events.rst`); `None` where it
    /// lacks a field.
    pub fn parse(format: &str) -> Option<Self> {
        let offset = |name: &str| {
            format.lines().find_map(|line| {
                let (declaration, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
                if !declaration.ends_with(&format!(" {name}")) {
                    return None;
                }
                rest.trim()
                    .strip_prefix("offset:")?
                    .split(';')
                    .next()?
                    .parse()
                    .ok()
            })
        };
        Some(Self {
            skaddr: offset("skaddr")?,
            oldstate: offset("oldstate")?,
            newstate: offset("newstate")?,
        })
    }

    /// Sets the programs' globals.
    pub(super) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader
            .override_global("RECORD_SKADDR", &self.skaddr, true)
            .override_global("RECORD_OLDSTATE", &self.oldstate, true)
            .override_global("RECORD_NEWSTATE", &self.newstate, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux 6.18.
    const FORMAT: &str = "\
name: inet_sock_set_state
ID: 1297
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:int oldstate;\toffset:16;\tsize:4;\tsigned:1;
\tfield:int newstate;\toffset:20;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;
\tfield:__u16 dport;\toffset:26;\tsize:2;\tsigned:0;
\tfield:__u16 family;\toffset:28;\tsize:2;\tsigned:0;
\tfield:__u16 protocol;\toffset:30;\tsize:2;\tsigned:0;

print fmt: \"family=%s oldstate=%s newstate=%s\", REC->family, REC->oldstate, REC->newstate
";

    #[test]
    fn the_record_is_read_by_field_names() {
        let expected = Record {
            skaddr: 8,
            oldstate: 16,
            newstate: 20,
        };
        assert_eq!(Record::parse(FORMAT), Some(expected));
        let moved = FORMAT.replace("oldstate;\toffset:16", "oldstate;\toffset:48");
        assert_eq!(Record::parse(&moved).unwrap().oldstate, 48);
    }

    #[test]
    fn a_record_without_a_field_is_none() {
        assert_eq!(Record::parse(""), None);
        assert_eq!(Record::parse(&FORMAT.replace("skaddr", "address")), None);
        assert_eq!(Record::parse(&FORMAT.replace("offset:20", "offset:")), None);
    }
}
