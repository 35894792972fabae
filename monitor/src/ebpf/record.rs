//! Where the fields stand in the record of the plain tracepoint, from its `format` file.

use super::offsets::Globals;

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

    /// The program's globals.
    pub(super) fn globals(&self) -> Globals {
        let mut globals = Globals::default();
        globals.set("RECORD_SKADDR", self.skaddr);
        globals.set("RECORD_OLDSTATE", self.oldstate);
        globals.set("RECORD_NEWSTATE", self.newstate);
        globals
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
