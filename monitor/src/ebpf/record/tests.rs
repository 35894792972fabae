//! Tests of the record's layout, with `format` files of several kernels.

use super::*;

/// What all of these begin with, but [`LAZY`].
const COMMON: &str = "\
name: inet_sock_set_state
ID: 1250
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
";

/// Linux 4.16 to 5.5: captured from a 5.4.
const BYTE: &str = "
\tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:int oldstate;\toffset:16;\tsize:4;\tsigned:1;
\tfield:int newstate;\toffset:20;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;
\tfield:__u16 dport;\toffset:26;\tsize:2;\tsigned:0;
\tfield:__u16 family;\toffset:28;\tsize:2;\tsigned:0;
\tfield:__u8 protocol;\toffset:30;\tsize:1;\tsigned:0;
\tfield:__u8 saddr[4];\toffset:31;\tsize:4;\tsigned:0;
\tfield:__u8 daddr[4];\toffset:35;\tsize:4;\tsigned:0;
\tfield:__u8 saddr_v6[16];\toffset:39;\tsize:16;\tsigned:0;
\tfield:__u8 daddr_v6[16];\toffset:55;\tsize:16;\tsigned:0;

print fmt: \"family=%s protocol=%s sport=%hu dport=%hu saddr=%pI4 daddr=%pI4 saddrv6=%pI6c daddrv6=%pI6c oldstate=%s newstate=%s\", __print_symbolic(REC->family, { 2, \"AF_INET\" }, { 10, \"AF_INET6\" })
";

/// Linux 5.6 and later: captured from a 6.18, and the same on a 7.1.
const NUMBER: &str = "
\tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:int oldstate;\toffset:16;\tsize:4;\tsigned:1;
\tfield:int newstate;\toffset:20;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;
\tfield:__u16 dport;\toffset:26;\tsize:2;\tsigned:0;
\tfield:__u16 family;\toffset:28;\tsize:2;\tsigned:0;
\tfield:__u16 protocol;\toffset:30;\tsize:2;\tsigned:0;
\tfield:__u8 saddr[4];\toffset:32;\tsize:4;\tsigned:0;
\tfield:__u8 daddr[4];\toffset:36;\tsize:4;\tsigned:0;
\tfield:__u8 saddr_v6[16];\toffset:40;\tsize:16;\tsigned:0;
\tfield:__u8 daddr_v6[16];\toffset:56;\tsize:16;\tsigned:0;

print fmt: \"family=%s oldstate=%s newstate=%s\", REC->family, REC->oldstate, REC->newstate
";

/// The 5.14 of RHEL 9, whose records all begin with one field more: its beginning as captured of
/// another tracepoint, the rest where it then has to be.
const LAZY: &str = "\
name: inet_sock_set_state
ID: 1397
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
\tfield:unsigned char common_preempt_lazy_count;\toffset:8;\tsize:1;\tsigned:0;

\tfield:const void * skaddr;\toffset:16;\tsize:8;\tsigned:0;
\tfield:int oldstate;\toffset:24;\tsize:4;\tsigned:1;
\tfield:int newstate;\toffset:28;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:32;\tsize:2;\tsigned:0;
";

fn parse(format: &str) -> Result<Record, String> {
    Record::parse(format).map_err(|error| error.to_string())
}

#[test]
fn the_record_is_read_by_field_names() {
    let record = |skaddr, oldstate, newstate| {
        Ok(Record {
            skaddr,
            oldstate,
            newstate,
        })
    };
    for (format, expected) in [
        (format!("{COMMON}{BYTE}"), record(8, 16, 20)),
        (format!("{COMMON}{NUMBER}"), record(8, 16, 20)),
        (LAZY.to_owned(), record(16, 24, 28)),
    ] {
        assert_eq!(parse(&format), expected, "{format}");
    }
    let moved = NUMBER.replace("oldstate;\toffset:16", "oldstate;\toffset:48");
    assert_eq!(parse(&moved), record(8, 48, 20));
}

#[test]
fn a_field_that_is_missing_is_named() {
    let missing = |name: &str| {
        Err(format!(
            "the record of sock:inet_sock_set_state has no field {name}"
        ))
    };
    assert_eq!(parse(""), missing("skaddr"));
    let renamed = NUMBER.replace("oldstate;", "old;");
    assert_eq!(parse(&renamed), missing("oldstate"));
    let cut = NUMBER.replace("offset:20", "offset:");
    assert_eq!(parse(&cut), missing("newstate"));
}

#[test]
fn each_thing_that_can_be_missing_is_told_apart() {
    let sysfs = tempfile::tempdir().unwrap();
    let error = || Record::read(sysfs.path()).unwrap_err();
    // An empty folder to mount it at is there on every kernel.
    std::fs::create_dir_all(sysfs.path().join("kernel/tracing")).unwrap();
    assert!(matches!(error(), RecordError::NoTracefs(_)));
    // Where only debugfs is mounted, it is there.
    let events = sysfs.path().join("kernel/debug/tracing/events");
    std::fs::create_dir_all(&events).unwrap();
    assert!(matches!(error(), RecordError::NoTracepoint));
    let folder = events.join("sock").join(TRACEPOINT);
    std::fs::create_dir_all(folder.join("format")).unwrap();
    assert!(matches!(error(), RecordError::Unreadable { .. }));
    std::fs::remove_dir(folder.join("format")).unwrap();
    std::fs::write(folder.join("format"), COMMON).unwrap();
    assert!(matches!(error(), RecordError::NoField("skaddr")));
    std::fs::write(folder.join("format"), format!("{COMMON}{BYTE}")).unwrap();
    assert_eq!(Record::read(sysfs.path()).unwrap().newstate, 20);
}
