//! What the checked-in eBPF objects hold, seen without loading it. That they were built from
//! the sources beside them is checked by xtask's tests and by `cargo xtask build-ebpf --check`.

use std::path::{Path, PathBuf};

use aya_obj::{Object, ProgramSection};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn has_both_programs_and_its_maps() {
    for (name, logs) in [("transitions.o", true), ("transitions-nolog.o", false)] {
        let object = Object::parse(&bytes(name)).expect(name);
        let section = |program: &str| &object.programs.get(program).expect(program).section;
        assert!(matches!(
            section("transitions_btf"),
            ProgramSection::BtfTracePoint
        ));
        assert!(matches!(
            section("transitions_tracepoint"),
            ProgramSection::TracePoint
        ));
        for map in ["TRANSITIONS", "PROBLEMS"] {
            assert!(object.maps.contains_key(map), "{name}: {map}");
        }
        assert_eq!(object.maps.contains_key("AYA_LOGS"), logs, "{name}");
        assert_eq!(object.license.to_bytes(), b"Dual MIT/GPL", "{name}");
    }
}

#[test]
fn has_the_passes_and_their_maps() {
    let object = Object::parse(&bytes("passes.o")).expect("passes.o");
    for program in ["sockets", "namespaces", "cpu_offsets"] {
        let section = &object.programs.get(program).expect(program).section;
        assert!(
            matches!(section, ProgramSection::RawTracePoint),
            "{program}"
        );
    }
    for map in [
        "SOCKETS",
        "LISTENERS",
        "PASS",
        "NAMESPACES",
        "FIELDS",
        "CPU_OFFSETS",
    ] {
        assert!(object.maps.contains_key(map), "{map}");
    }
    // What is never attached needs no ring buffer to be loaded.
    assert!(!object.maps.contains_key("AYA_LOGS"));
    assert_eq!(object.license.to_bytes(), b"Dual MIT/GPL");
}

/// Paths of the machine that built it would make it another object on every machine.
#[test]
fn names_no_folder_of_its_builder() {
    let mut folders = ["/home/", "/root/", "/tmp/", ".cargo/", ".debug_info"]
        .map(str::to_owned)
        .to_vec();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let variables = ["HOME", "CARGO_HOME"].map(|name| std::env::var_os(name).map(PathBuf::from));
    let own = variables.into_iter().flatten();
    let own = own.chain(workspace.map(Path::to_path_buf));
    // One such as / or /src says nothing: any path may have it inside.
    let own = own.filter(|folder| folder.is_absolute() && folder.components().count() > 2);
    folders.extend(own.map(|folder| format!("{}/", folder.display())));
    for name in ["transitions.o", "transitions-nolog.o", "passes.o"] {
        let bytes = bytes(name);
        for folder in &folders {
            let found = memchr::memmem::find(&bytes, folder.as_bytes());
            assert_eq!(found, None, "{name}: {folder}");
        }
    }
}

#[test]
fn its_hash_is_one_line() {
    let hash = std::fs::read_to_string(path("sources.sha256")).expect("checked in");
    let hash = hash.strip_suffix('\n').expect("a line");
    assert_eq!(hash.len(), 64);
    assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
}
