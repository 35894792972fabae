//! `/proc/<pid>/cgroup`: the cgroup paths of a process.
//!
//! One line for each hierarchy, `<hierarchy>:<controllers>:<path>` (kernel/cgroup/cgroup.c,
//! `proc_cgroup_show`): the v1 hierarchies have a number of their own, the unified one (v2) is
//! `0::<path>`, and a hybrid system shows both. What a path says about a container stands in
//! [`container_id`](crate::discovery::container_id).

use super::ParseError;

/// What the kernel appends to the path of a removed cgroup that still has a process.
const DELETED: &[u8] = b" (deleted)";

/// One line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership<'a> {
    /// Number of the hierarchy; 0 is the unified one.
    pub hierarchy: u32,
    /// Controllers of a v1 hierarchy, separated by commas, or `name=…`; empty for the unified one.
    pub controllers: &'a [u8],
    /// Path below the root of the reader's cgroup namespace. A process outside of that namespace
    /// has a path that starts with `/..`. The bytes are whatever the cgroup is called, colons
    /// too; the kernel's mark of a removed cgroup is taken off.
    pub path: &'a [u8],
    /// Whether the cgroup is removed already.
    pub deleted: bool,
}

impl Membership<'_> {
    /// Whether this is the unified hierarchy of cgroup v2.
    pub fn is_unified(&self) -> bool {
        self.hierarchy == 0 && self.controllers.is_empty()
    }
}

/// The lines of a `/proc/<pid>/cgroup`, in the file's order (v1 hierarchies first).
///
/// # Errors
/// Each item on its own: a line that has not three parts, whose hierarchy is no number, or whose
/// path does not start with a slash.
pub fn memberships(text: &[u8]) -> impl Iterator<Item = Result<Membership<'_>, ParseError>> {
    text.split(|&byte| byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| membership(index + 1, line))
}

fn membership(line_number: usize, line: &[u8]) -> Result<Membership<'_>, ParseError> {
    // Only the path may hold further colons.
    let mut parts = line.splitn(3, |&byte| byte == b':');
    let (Some(hierarchy), Some(controllers), Some(path)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return Err(ParseError::Mismatch {
            line: line_number,
            reason: "has not the form <hierarchy>:<controllers>:<path>".to_owned(),
        });
    };
    let number = std::str::from_utf8(hierarchy)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| ParseError::NotANumber {
            line: line_number,
            field: "hierarchy".to_owned(),
            value: String::from_utf8_lossy(hierarchy).into_owned(),
        })?;
    if !path.starts_with(b"/") {
        return Err(ParseError::Mismatch {
            line: line_number,
            reason: "its path does not start with a slash".to_owned(),
        });
    }
    let (path, deleted) = path
        .strip_suffix(DELETED)
        .map_or((path, false), |path| (path, true));
    Ok(Membership {
        hierarchy: number,
        controllers,
        path,
        deleted,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Membership, memberships};
    use crate::procfs::ParseError;

    fn all(text: &[u8]) -> Vec<Membership<'_>> {
        memberships(text).map(Result::unwrap).collect()
    }

    #[test]
    fn a_hybrid_system_shows_both_kinds() {
        let text = b"12:pids:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n";
        let lines = all(text);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].hierarchy, 12);
        assert_eq!(lines[0].controllers, b"pids");
        assert!(!lines[0].is_unified());
        assert_eq!(lines[1].controllers, b"name=systemd");
        assert_eq!(lines[2].path, b"/docker/abc");
        assert!(lines[2].is_unified());
    }

    #[test]
    fn colons_belong_to_the_path() {
        let text = b"4:cpu,cpuacct:/system.slice:docker:0123\n0::/a:b\n";
        let lines = all(text);
        assert_eq!(lines[0].controllers, b"cpu,cpuacct");
        assert_eq!(lines[0].path, b"/system.slice:docker:0123");
        assert_eq!(lines[1].path, b"/a:b");
    }

    #[test]
    fn a_removed_cgroup_is_marked_and_its_path_clean() {
        let lines = all(b"0::/user.slice/run-1.scope (deleted)\n");
        assert_eq!(lines[0].path, b"/user.slice/run-1.scope");
        assert!(lines[0].deleted);
        assert!(!all(b"0::/a(deleted)")[0].deleted);
    }

    #[test]
    fn a_path_outside_of_the_cgroup_namespace_is_kept_as_it_is() {
        assert_eq!(
            all(b"0::/../../kubepods/pod1\n")[0].path,
            b"/../../kubepods/pod1"
        );
    }

    #[test]
    fn an_empty_file_has_no_line_and_bytes_need_not_be_utf8() {
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n"), []);
        assert_eq!(all(b"0::/\xff\xfe")[0].path, b"/\xff\xfe");
    }

    #[test]
    fn a_bad_line_is_an_error_and_the_next_one_still_read() {
        let results: Vec<_> = memberships(b"0:\nx::/\n+1::/\n0::a\n0::/\n").collect();
        assert!(matches!(
            results[0],
            Err(ParseError::Mismatch { line: 1, .. })
        ));
        assert!(matches!(
            results[1],
            Err(ParseError::NotANumber { line: 2, .. })
        ));
        assert!(matches!(
            results[2],
            Err(ParseError::NotANumber { line: 3, .. })
        ));
        assert!(matches!(
            results[3],
            Err(ParseError::Mismatch { line: 4, .. })
        ));
        assert_eq!(results[4].as_ref().unwrap().path, b"/");
    }

    #[test]
    fn the_own_file_is_understood() {
        let text = std::fs::read("/proc/self/cgroup").unwrap();
        assert!(!all(&text).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = memberships(&text).count();
        }

        #[test]
        fn what_is_written_is_read(
            hierarchy in any::<u32>(),
            controllers in "[a-z_=,]{0,12}",
            path in "/[^\n]{0,40}",
        ) {
            let deleted = path.ends_with(" (deleted)");
            let text = format!("{hierarchy}:{controllers}:{path}\n");
            let lines = all(text.as_bytes());
            prop_assert_eq!(lines.len(), 1);
            prop_assert_eq!(lines[0].hierarchy, hierarchy);
            prop_assert_eq!(lines[0].controllers, controllers.as_bytes());
            if !deleted {
                prop_assert_eq!(lines[0].path, path.as_bytes());
            }
        }
    }
}
