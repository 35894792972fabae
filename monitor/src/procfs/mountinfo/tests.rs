//! Tests of the parent module.

use std::borrow::Cow;

use proptest::prelude::{any, prop, proptest};

use super::{Device, Mount, has_option, parse, unescape};
use crate::procfs::ParseError;

/// A Docker container with a volume, and a mount point of odd bytes.
const CONTAINER: &[u8] = br"712 633 0:57 / / rw,relatime master:310 - overlay overlay rw,lowerdir=/a/l/X:/a/l/Y,upperdir=/var/lib/docker/overlay2/9c\040x/diff,workdir=/w
713 712 0:60 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
714 712 254:0 /var/lib/docker/volumes/v/_data /with\040blank\012and\134more ro,relatime - ext4 /dev/vda rw,discard
715 712 0:70 / /nfs rw,relatime shared:1 master:2 propagate_from:3 unbindable - nfs4 server:/export\040a rw,vers=4.2,addr=10.0.0.1
716 712 0:71 / /empty rw -  rw
";

fn all(text: &[u8]) -> Result<Vec<Mount<'_>>, ParseError> {
    let mut mounts = Vec::new();
    parse(text, |mount| mounts.push(mount))?;
    Ok(mounts)
}

#[test]
fn a_containers_mounts() {
    let text = CONTAINER
        .strip_suffix(b"716 712 0:71 / /empty rw -  rw\n")
        .unwrap();
    let mounts = all(text).unwrap();
    assert_eq!(mounts.len(), 4);
    assert_eq!((mounts[0].id, mounts[0].parent), (712, 633));
    assert_eq!(&*mounts[0].fs_type, b"overlay");
    assert_eq!(
        mounts[0].super_option(b"upperdir").as_deref(),
        Some(&b"/var/lib/docker/overlay2/9c x/diff"[..])
    );
    assert_eq!(mounts[0].super_option(b"upper"), None);
    assert!(!mounts[0].is_readonly());
    let volume = &mounts[2];
    assert_eq!(&*volume.point, b"/with blank\nand\\more");
    assert_eq!(&*volume.root, b"/var/lib/docker/volumes/v/_data");
    assert_eq!(
        volume.device,
        Device {
            major: 254,
            minor: 0
        }
    );
    assert!(volume.is_readonly());
    assert_eq!(&*mounts[3].source, b"server:/export a");
}

/// A source may be the empty string, which the kernel shows as nothing between two blanks.
#[test]
fn an_empty_source() {
    let mounts = all(b"1 0 0:1 / /a rw - tmpfs  rw\n").unwrap();
    assert_eq!(
        (&*mounts[0].source, mounts[0].super_options),
        (&b""[..], &b"rw"[..])
    );
}

/// The captures of this very machine must parse, whatever they hold.
#[test]
fn our_own_mounts() {
    let text = std::fs::read("/proc/self/mountinfo").unwrap();
    let mounts = all(&text).unwrap();
    assert_eq!(
        mounts.len(),
        text.iter().filter(|byte| **byte == b'\n').count()
    );
    assert!(mounts.iter().any(|mount| &*mount.point == b"/"));
}

#[test]
fn what_is_not_understood_is_named() {
    let error = |text: &[u8]| all(text).unwrap_err().to_string();
    assert_eq!(error(b""), "the file is empty");
    assert_eq!(
        error(b"1 0 0:1 / /a rw - tmpfs t rw"),
        "line 1 is cut short"
    );
    assert_eq!(
        error(CONTAINER),
        "line 5: has no options of the file system"
    );
    for (line, said) in [
        (
            "x 0 0:1 / / rw - a b c",
            "value of mount id is no number: \"x\"",
        ),
        (
            "1 +2 0:1 / / rw - a b c",
            "value of parent id is no number: \"+2\"",
        ),
        (
            "1 2 3 / / rw - a b c",
            "value of device is no number: \"3\"",
        ),
        (
            "1 2 3:99999999999 / / rw - a b c",
            "value of device is no number: \"99999999999\"",
        ),
        ("1 2 3:4 / / rw shared:1 a b c", "has no separator"),
    ] {
        assert_eq!(
            error(format!("{line}\n").as_bytes()),
            format!("line 1: {said}")
        );
    }
}

#[test]
fn options_are_whole_words() {
    assert!(has_option(b"rw,prjquota", b"prjquota"));
    assert!(has_option(b"size=5k,ro", b"size"));
    assert!(!has_option(b"rw,errors=ro,rox", b"ro"));
    let text = br"1 0 0:1 / / rw - overlay o rw,upperdir=/a\,b\:c,workdir=/w
";
    let mounts = all(text).unwrap();
    assert_eq!(
        mounts[0].super_option(b"upperdir").as_deref(),
        Some(&b"/a,b:c"[..])
    );
    assert_eq!(
        mounts[0].super_option(b"workdir").as_deref(),
        Some(&b"/w"[..])
    );
}

#[test]
fn escapes_that_are_none_stay() {
    for text in [&b"\\"[..], b"a\\0", b"\\400", b"\\08x", b"\\n"] {
        assert_eq!(unescape(text), Cow::Borrowed(text));
    }
}

/// As the kernel does it (`mangle_path` with the characters of `mangle`).
fn escape(bytes: &[u8]) -> Vec<u8> {
    let escaped = bytes.iter().map(|&byte| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![byte],
    });
    escaped.collect::<Vec<_>>().concat()
}

#[test]
fn the_layers_of_an_overlay() {
    let text = CONTAINER.strip_suffix(b"716 712 0:71 / /empty rw -  rw\n");
    let mounts = all(text.unwrap()).unwrap();
    let layers = |mount: &Mount<'_>| -> Vec<String> {
        let layers = mount.layers();
        let text = layers.map(|layer| String::from_utf8(layer.into_owned()).unwrap());
        text.collect()
    };
    let expected = ["/a/l/X", "/a/l/Y", "/var/lib/docker/overlay2/9c x/diff"];
    assert_eq!(layers(&mounts[0]), expected);
    assert_eq!(layers(&mounts[3]), Vec::<String>::new());
    let text =
        br"1 0 0:57 / / rw - overlay o rw,lowerdir+=/a,lowerdir+=/b\:c,datadir+=/d,upperdir=/u
";
    assert_eq!(layers(&all(text).unwrap()[0]).len(), 4);
}

proptest! {
    #[test]
    fn any_name_comes_back(name in prop::collection::vec(1u8..=255, 1..40), id in any::<u64>()) {
        let mut text = format!("{id} 0 0:1 / ").into_bytes();
        text.extend(escape(&name));
        text.extend_from_slice(b" rw - t ");
        text.extend(escape(&name));
        text.extend_from_slice(b" rw\n");
        let mounts = all(&text).unwrap();
        assert_eq!(&*mounts[0].point, &name[..]);
        assert_eq!(&*mounts[0].source, &name[..]);
        assert_eq!(mounts[0].id, id);
    }

    #[test]
    fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = all(&text);
        let _ = unescape(&text);
        let options = [b"1 0 0:1 / / rw - overlay o ", &*text].concat();
        for mount in all(&options).unwrap_or_default() {
            mount.layers().count();
            mount.super_option(b"upperdir");
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_no_panic(at in 0..CONTAINER.len()) {
        let _ = all(&CONTAINER[..at]);
    }
}
