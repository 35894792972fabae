//! The running kernel's BTF with one member of a structure moved.

use anyhow::{Context, Result, ensure};

const KIND_STRUCT: u32 = 4;

/// A folder in place of sysfs, with BTF in which `member` stands `bytes` later than it does.
///
/// # Errors
/// When there is no BTF, or no such member in it.
pub(super) fn sysfs(structure: &str, member: &str, bytes: u32) -> Result<tempfile::TempDir> {
    let mut btf = Btf(std::fs::read("/sys/kernel/btf/vmlinux")?);
    let at = btf
        .find(structure, member)?
        .with_context(|| format!("BTF has no {structure}.{member}"))?;
    // The low 24 bits where the structure has bit fields, all of them else.
    let moved = btf.word(at)? + 8 * bytes;
    btf.0[at..at + 4].copy_from_slice(&moved.to_ne_bytes());
    let folder = tempfile::tempdir()?;
    std::fs::create_dir_all(folder.path().join("kernel/btf"))?;
    std::fs::write(folder.path().join("kernel/btf/vmlinux"), &btf.0)?;
    Ok(folder)
}

struct Btf(Vec<u8>);

impl Btf {
    /// Where the offset of a structure's direct or anonymous member stands.
    fn find(&self, structure: &str, member: &str) -> Result<Option<usize>> {
        let header = self.word(4)? as usize;
        let strings = header + self.word(16)? as usize;
        let mut positions = vec![0];
        let mut at = header + self.word(8)? as usize;
        let end = at + self.word(12)? as usize;
        let mut found = None;
        while at < end {
            let info = self.word(at + 4)?;
            let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let name = self.name(strings, self.word(at)?);
            if kind == KIND_STRUCT && members > 0 && name == structure.as_bytes() {
                found = found.or(Some(positions.len()));
            }
            positions.push(at);
            at += 12
                + match kind {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    4 | 5 | 15 | 19 => 12 * members,
                    6 | 13 => 8 * members,
                    _ => 0,
                };
        }
        match found {
            Some(id) => self.member(strings, &positions, id, member.as_bytes()),
            None => Ok(None),
        }
    }

    fn member(
        &self,
        strings: usize,
        positions: &[usize],
        id: usize,
        name: &[u8],
    ) -> Result<Option<usize>> {
        let at = positions[id];
        for index in 0..(self.word(at + 4)? & 0xffff) as usize {
            let member = at + 12 + 12 * index;
            match self.name(strings, self.word(member)?) {
                found if found == name => return Ok(Some(member + 8)),
                [] => {
                    let inner = self.word(member + 4)? as usize;
                    let found = self.member(strings, positions, inner, name)?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn name(&self, strings: usize, offset: u32) -> &[u8] {
        let name = &self.0[strings + offset as usize..];
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn word(&self, at: usize) -> Result<u32> {
        ensure!(at + 4 <= self.0.len(), "BTF is cut short");
        let bytes = self.0[at..at + 4].try_into()?;
        Ok(u32::from_ne_bytes(bytes))
    }
}
