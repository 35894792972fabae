//! Tests of the parent module.

use proptest::prelude::{any, prop, proptest};

use super::{ByDevice, Counted, Traffic, blkio, io_stat};
use crate::procfs::mountinfo::Device;

const SDA: Device = Device { major: 8, minor: 0 };
const DM: Device = Device {
    major: 253,
    minor: 1,
};

#[test]
fn version_2() {
    let text = b"8:0 rbytes=180224 wbytes=4096 rios=3 wios=1 dbytes=0 dios=0\n\
        7:1 \n253:1 rbytes=1 wbytes=0 rios=1 wios=0 dbytes=0 dios=0 cost.usage=12 cost.x=yes\n";
    let mut traffic = ByDevice::new();
    io_stat(text, &mut traffic).unwrap();
    assert_eq!(traffic.len(), 2);
    assert_eq!(
        traffic[&SDA],
        Traffic {
            read_bytes: 180_224,
            written_bytes: 4096,
            reads: 3,
            writes: 1
        }
    );
    assert_eq!(traffic[&DM].read_bytes, 1);
}

#[test]
fn version_1() {
    let mut traffic = ByDevice::new();
    let bytes = b"8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Async 0\n8:0 Discard 5\n\
        8:0 Total 35\n253:1 Read 7\nTotal 42\n";
    blkio(bytes, Counted::Bytes, &mut traffic).unwrap();
    blkio(
        b"8:0 Read 1\n8:0 Write 2\nTotal 3\n",
        Counted::Operations,
        &mut traffic,
    )
    .unwrap();
    assert_eq!(
        traffic[&SDA],
        Traffic {
            read_bytes: 10,
            written_bytes: 20,
            reads: 1,
            writes: 2
        }
    );
    assert_eq!(traffic[&DM].read_bytes, 7);
    traffic.clear();
    blkio(b"Total 0\n", Counted::Bytes, &mut traffic).unwrap();
    assert!(traffic.is_empty());
}

#[test]
fn what_is_not_understood_is_named() {
    let mut traffic = ByDevice::new();
    for (text, said) in [
        (
            "sda rbytes=1\n",
            "line 1: value of device is no number: \"sda\"",
        ),
        (
            "\n8:0 rbytes=-1\n",
            "line 2: value of io.stat is no number: \"-1\"",
        ),
        (
            "8:x rbytes=1\n",
            "line 1: value of device is no number: \"8:x\"",
        ),
    ] {
        let error = io_stat(text.as_bytes(), &mut traffic).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
    let error = blkio(b"8:0 Read\n", Counted::Bytes, &mut traffic).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1: value of blkio.throttle is no number: \"\""
    );
}

proptest! {
    #[test]
    fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut traffic = ByDevice::new();
        let _ = io_stat(&text, &mut traffic);
        let _ = blkio(&text, Counted::Operations, &mut traffic);
    }

    #[test]
    fn numbers_come_back(values in any::<[u64; 4]>(), major in any::<u32>(), minor in any::<u32>()) {
        let [read_bytes, written_bytes, reads, writes] = values;
        let expected = Traffic { read_bytes, written_bytes, reads, writes };
        let device = Device { major, minor };
        let mut two = ByDevice::new();
        let text = format!(
            "{major}:{minor} rbytes={read_bytes} wbytes={written_bytes} rios={reads} wios={writes}\n"
        );
        io_stat(text.as_bytes(), &mut two).unwrap();
        assert_eq!(two[&device], expected);
        let mut one = ByDevice::new();
        let text = |read, write| format!("{major}:{minor} Read {read}\n{major}:{minor} Write {write}\n");
        blkio(text(read_bytes, written_bytes).as_bytes(), Counted::Bytes, &mut one).unwrap();
        blkio(text(reads, writes).as_bytes(), Counted::Operations, &mut one).unwrap();
        assert_eq!(one, two);
    }
}
